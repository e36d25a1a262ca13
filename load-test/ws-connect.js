// WebSockets of both kinds: those of callers, through the mesh to the service, which echoes; and
// those of agents, at the registration endpoint, up to the upgrade and no further.

import { check } from 'k6';
import { Counter, Rate, Trend } from 'k6/metrics';
import { clearTimeout, setTimeout } from 'k6/timers';
import { WebSocket } from 'k6/websockets';

import { common, config, requireTarget } from './lib/mesh.js';

const MESSAGES = 10;
const PAUSE_MS = 100;
/** How long a registration is held open. The ingress cuts it after its --registration-timeout, 10 s
 * unless somebody changed it. */
const HELD_MS = 2000;
/** A socket that is not open by then never will be. */
const PATIENCE_MS = 10_000;

const echoTime = new Trend('ws_echo_time', true);
const openTime = new Trend('ws_open_time', true);
const opened = new Rate('ws_opened');
const lost = new Counter('ws_messages_lost');

/** @type {import('k6/options').Options} */
export const options = {
  ...common,
  scenarios: {
    callers: {
      executor: 'constant-vus',
      exec: 'caller',
      vus: config.sockets,
      duration: config.duration,
    },
    agents: {
      executor: 'constant-vus',
      exec: 'registration',
      vus: config.sockets,
      duration: config.duration,
    },
  },
  thresholds: {
    'ws_opened{kind:caller}': ['rate>0.999'],
    'ws_opened{kind:registration}': ['rate>0.999'],
    'ws_open_time{kind:caller}': [`p(95)<${config.p95}`],
    'ws_open_time{kind:registration}': [`p(95)<${config.p95}`],
    ws_echo_time: [`p(95)<${config.p95}`],
    ws_messages_lost: ['count<1'],
    checks: ['rate>0.999'],
  },
};

export const setup = requireTarget;

/** A caller's WebSocket: some messages, each of which must come back before the next. */
export function caller() {
  const url = `${config.url.replace(/^http/, 'ws')}/ws`;
  const socket = open(url, 'echo.v1', { Host: config.host });
  watch(socket, 'caller');
  let sent = 0;
  let sentAt = 0;
  let returned = 0;
  const send = () => {
    sent += 1;
    sentAt = Date.now();
    socket.send(`${__VU}-${sent}`);
  };
  socket.addEventListener('open', send);
  socket.onmessage = (event) => {
    echoTime.add(Date.now() - sentAt);
    returned += 1;
    check(event?.data, { 'echo: what was sent': (text) => text === `${__VU}-${sent}` });
    if (sent < MESSAGES) {
      setTimeout(send, PAUSE_MS);
    } else {
      socket.close(1000);
    }
  };
  socket.addEventListener('close', () => {
    lost.add(sent - returned);
  });
}

/** What an agent does first. The ingress waits for it to introduce itself, and says nothing. */
export function registration() {
  const socket = open(config.registrationUrl, 'mesh.v1');
  watch(socket, 'registration');
  let spoke = false;
  let isOurs = false;
  socket.addEventListener('open', () => {
    setTimeout(() => {
      isOurs = true;
      socket.close(1000);
    }, HELD_MS);
  });
  socket.addEventListener('message', () => {
    spoke = true;
  });
  socket.addEventListener('close', () => {
    check(null, {
      'registration: silent before HELLO': () => !spoke,
      'registration: kept until we left': () => isOurs,
    });
  });
}

/**
 * A socket that offers a sub-protocol. k6 takes it as a header only.
 * @param {string} url
 * @param {string} protocol
 * @param {Record<string, string>} [headers]
 */
function open(url, protocol, headers = {}) {
  return new WebSocket(url, null, { headers: { ...headers, 'Sec-WebSocket-Protocol': protocol } });
}

/**
 * Measures whether a socket opens, and how long that takes.
 * @param {WebSocket} socket
 * @param {string} kind
 */
function watch(socket, kind) {
  const began = Date.now();
  let isDecided = false;
  const decide = (/** @type {boolean} */ isOpen) => {
    if (!isDecided) {
      isDecided = true;
      clearTimeout(patience);
      opened.add(isOpen, { kind });
    }
  };
  const patience = setTimeout(() => {
    decide(false);
    socket.close();
  }, PATIENCE_MS);
  socket.addEventListener('open', () => {
    openTime.add(Date.now() - began, { kind });
    decide(true);
  });
  socket.onerror = (event) => {
    // A close with another code than 1000 is an error to k6 as well, and how the ingress answers
    // the close of somebody who never introduced himself.
    if (!isDecided) {
      console.error(`${kind}: ${event?.error}`);
      decide(false);
    }
  };
}

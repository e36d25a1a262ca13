// Server-sent events. k6 gives a script an answer only when it is over, so that single events cannot
// be timed without an extension. What it does measure is enough to see whether somebody on the way
// holds events back: when the first byte came, and how long the rest took. A proxy that collects the
// answer makes the first byte late and the rest instant.

import http from 'k6/http';
import { check } from 'k6';
import { Trend } from 'k6/metrics';

import { common, config, counted, params, requireTarget, thresholds } from './lib/mesh.js';

const EVENTS = 10;
const INTERVAL_MS = 200;
/** From the first event to the last. */
const SPAN_MS = (EVENTS - 1) * INTERVAL_MS;
/** Timers and networks are not exact. */
const SLACK = 0.9;

const firstByte = new Trend('sse_first_byte', true);
const rest = new Trend('sse_rest', true);

/** @type {import('k6/options').Options} */
export const options = {
  ...common,
  scenarios: {
    streams: { executor: 'constant-vus', vus: config.streams, duration: config.duration },
  },
  thresholds: {
    checks: ['rate>0.999'],
    http_req_failed: thresholds.http_req_failed,
    mesh_errors: thresholds.mesh_errors,
    sse_first_byte: [`p(95)<${config.p95}`],
    // Not much longer than the service takes: nothing piles up on the way.
    sse_rest: [`p(95)<${SPAN_MS + config.p95}`],
  },
};

export const setup = requireTarget;

export default function () {
  const url = `${config.url}/api/stream?count=${EVENTS}&interval_ms=${INTERVAL_MS}`;
  const response = counted(http.get(url, params('sse', { Accept: 'text/event-stream' })));
  const { waiting, receiving } = response.timings;
  firstByte.add(waiting);
  rest.add(receiving);
  const ids = [...String(response.body).matchAll(/^id: ?(\d+)$/gm)].map((match) => Number(match[1]));
  check(response, {
    'sse: 200': (r) => r.status === 200,
    'sse: events': (r) => (r.headers['Content-Type'] ?? '').startsWith('text/event-stream'),
    'sse: the first one is not held back': () => waiting < SPAN_MS * SLACK,
    'sse: the others come as they are written': () => receiving >= SPAN_MS * SLACK,
    'sse: all of them, in order': () =>
      ids.length === EVENTS && ids.every((id, index) => id === index + 1),
  });
}

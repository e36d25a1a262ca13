// What all scripts share: where the load goes, how requests are made, what counts as an error.

import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';

/**
 * A variable, or what holds without it.
 * @param {string} name
 * @param {string} fallback
 */
function variable(name, fallback) {
  return __ENV[name] || fallback;
}

/**
 * A variable with a number.
 * @param {string} name
 * @param {number} fallback
 */
function number(name, fallback) {
  const value = Number(variable(name, String(fallback)));
  if (!(value > 0)) {
    throw new Error(`${name}: ${__ENV[name]} is no number more than 0`);
  }
  return value;
}

export const config = {
  url: variable('TARGET_URL', 'http://127.0.0.1:8080').replace(/\/$/, ''),
  host: variable('TARGET_HOST', 'demo.local'),
  registrationUrl: variable('REGISTRATION_URL', 'ws://127.0.0.1:8082'),
  healthUrl: variable('HEALTH_URL', '').replace(/\/$/, ''),
  rate: number('RATE', 50),
  spikeFactor: number('SPIKE_FACTOR', 10),
  duration: variable('DURATION', '2m'),
  soakDuration: variable('SOAK_DURATION', '1h'),
  sockets: number('SOCKETS', 20),
  streams: number('STREAMS', 10),
  p95: number('P95_MS', 250),
  p99: number('P99_MS', 1000),
};

/** Options of every script. */
export const common = {
  insecureSkipTLSVerify: variable('INSECURE_TLS', 'false') === 'true',
  summaryTrendStats: ['min', 'med', 'avg', 'p(95)', 'p(99)', 'max'],
  // Answers are compared with what was sent, so their bodies are needed only where that is done.
  discardResponseBodies: false,
};

/** Answers that the mesh wrote itself, by reason: the service behind it did not make them. */
export const meshErrors = new Counter('mesh_errors');

/** Requests that must be answered in time, none of them by the mesh itself. */
export const thresholds = {
  http_req_failed: ['rate<0.001'],
  http_req_duration: [`p(95)<${config.p95}`, `p(99)<${config.p99}`],
  checks: ['rate>0.999'],
  mesh_errors: ['count<1'],
  // The load generator could not keep up: then the other numbers mean nothing.
  dropped_iterations: ['count<1'],
};

/**
 * Parameters of a request to the service. `name` groups requests in the metrics.
 * @param {string} name
 * @param {Record<string, string>} [headers]
 */
export function params(name, headers = {}) {
  return { headers: { Host: config.host, ...headers }, tags: { name } };
}

/**
 * Counts an answer of the mesh itself, and returns the answer.
 * @template {import('k6/http').RefinedResponse<any>} R
 * @param {R} response
 */
export function counted(response) {
  const reason = response.headers['X-Mesh-Error'];
  if (reason !== undefined) {
    meshErrors.add(1, { reason });
  }
  return response;
}

/** A small GET, as most requests are. */
export function getSmall() {
  const response = counted(http.get(`${config.url}/api/health`, params('small')));
  check(response, {
    'small: 200': (r) => r.status === 200,
    'small: it is the service that answers': (r) => r.json('status') === 'healthy',
  });
}

/** An answer of 10 KiB. */
export function getMedium() {
  const size = 10 * 1024;
  const response = counted(http.get(`${config.url}/api/bytes/${size}`, params('medium')));
  check(response, {
    'medium: 200': (r) => r.status === 200,
    'medium: whole': (r) => typeof r.body === 'string' && r.body.length === size,
  });
}

/** A body that comes back. */
export function postEcho() {
  const body = JSON.stringify({ user: __VU, iteration: __ITER, padding: 'x'.repeat(1024) });
  const headers = { 'Content-Type': 'application/json' };
  const response = counted(http.post(`${config.url}/api/echo`, body, params('echo', headers)));
  check(response, {
    'echo: 200': (r) => r.status === 200,
    'echo: what was sent': (r) => typeof r.body === 'string' && r.body.includes('x'.repeat(1024)),
  });
}

/** One request: eight of ten small, one larger, one with a body. */
export function mixed() {
  const turn = Math.random() * 10;
  if (turn < 8) {
    getSmall();
  } else if (turn < 9) {
    getMedium();
  } else {
    postEcho();
  }
}

/** Fails the whole test at its start if nothing is there: better than a flood of errors. */
export function requireTarget() {
  const response = http.get(`${config.url}/api/health`, params('setup'));
  if (response.status !== 200) {
    const reason = response.headers['X-Mesh-Error'] || response.error || 'no x-mesh-error';
    throw new Error(
      `${config.url} with Host ${config.host} answers ${response.status} (${reason}); ` +
        'see TARGET_URL and TARGET_HOST in env.example',
    );
  }
}

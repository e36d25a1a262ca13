// A sudden peak: what happens in it, and whether everything is as before when it is over.

import { common, config, mixed, requireTarget, thresholds } from './lib/mesh.js';

const peak = Math.ceil(config.rate * config.spikeFactor);

/** Seconds of the peak, with its slopes. */
const SPIKE_SECONDS = 5 + 20 + 5;

/** @type {import('k6/options').Options} */
export const options = {
  ...common,
  scenarios: {
    spike: {
      executor: 'ramping-arrival-rate',
      startRate: config.rate,
      timeUnit: '1s',
      stages: [
        { target: peak, duration: '5s' },
        { target: peak, duration: '20s' },
        { target: config.rate, duration: '5s' },
      ],
      preAllocatedVUs: Math.max(20, peak),
      maxVUs: Math.max(50, peak * 2),
    },
    recovery: {
      executor: 'constant-arrival-rate',
      rate: config.rate,
      timeUnit: '1s',
      startTime: `${SPIKE_SECONDS + 2}s`,
      duration: '20s',
      preAllocatedVUs: Math.max(10, config.rate),
      maxVUs: Math.max(50, config.rate * 4),
    },
  },
  thresholds: {
    // In the peak the mesh may say that it is overloaded, but it has to say so, and seldom.
    'http_req_failed{scenario:spike}': ['rate<0.05'],
    'checks{scenario:spike}': ['rate>0.95'],
    'http_req_duration{scenario:spike}': [`p(95)<${config.p99}`],
    'http_req_failed{scenario:recovery}': thresholds.http_req_failed,
    'http_req_duration{scenario:recovery}': thresholds.http_req_duration,
    'checks{scenario:recovery}': thresholds.checks,
    'mesh_errors{scenario:recovery}': thresholds.mesh_errors,
    'dropped_iterations{scenario:recovery}': thresholds.dropped_iterations,
  },
};

export const setup = requireTarget;
export default mixed;

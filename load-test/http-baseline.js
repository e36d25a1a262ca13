// How it is on an ordinary day: a steady rate, whatever the answers take. Compare runs of it.

import { common, config, mixed, requireTarget, thresholds } from './lib/mesh.js';

/** @type {import('k6/options').Options} */
export const options = {
  ...common,
  scenarios: {
    steady: {
      // By rate, not by users: users that wait for slow answers would hide them.
      executor: 'constant-arrival-rate',
      rate: config.rate,
      timeUnit: '1s',
      duration: config.duration,
      preAllocatedVUs: Math.max(10, config.rate),
      maxVUs: Math.max(50, config.rate * 4),
    },
  },
  thresholds,
};

export const setup = requireTarget;
export default mixed;

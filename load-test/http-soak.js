// Hours of the same: leaks, and answers that become slower. The first and the last part of the run
// have to meet the same thresholds, and with HEALTH_URL the ingress must come to rest at the end.

import exec from 'k6/execution';
import http from 'k6/http';
import { check, sleep } from 'k6';

import { common, config, mixed, requireTarget, thresholds } from './lib/mesh.js';

/** Of the run: what is compared. */
const PART = 0.2;

/** @type {import('k6/options').Options} */
export const options = {
  ...common,
  scenarios: {
    soak: {
      executor: 'constant-arrival-rate',
      rate: config.rate,
      timeUnit: '1s',
      duration: config.soakDuration,
      preAllocatedVUs: Math.max(10, config.rate),
      maxVUs: Math.max(50, config.rate * 4),
    },
  },
  thresholds: {
    ...thresholds,
    'http_req_duration{part:first}': thresholds.http_req_duration,
    'http_req_duration{part:last}': thresholds.http_req_duration,
  },
};

export const setup = requireTarget;

export default function () {
  const { progress } = exec.scenario;
  exec.vu.metrics.tags['part'] =
    progress < PART ? 'first' : progress > 1 - PART ? 'last' : 'middle';
  mixed();
}

export function teardown() {
  if (config.healthUrl === '') {
    return;
  }
  // The last answers may still be on their way when the users have gone.
  sleep(2);
  const response = http.get(`${config.healthUrl}/metrics`, { tags: { name: 'metrics' } });
  const metrics = String(response.body);
  check(metrics, {
    'nothing is in flight after the end': (text) => /^mesh_requests_in_flight 0$/m.test(text),
  });
  for (const name of ['mesh_connections', 'mesh_tunnels', 'mesh_tunnels_lost_total']) {
    console.log(metrics.match(new RegExp(`^${name} .*$`, 'm'))?.[0] ?? `${name} is missing`);
  }
}

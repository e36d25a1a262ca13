// Does everything work at all? One user, once, a few seconds. Run it before the others.

import http from 'k6/http';
import { check, group } from 'k6';

import { common, config, counted, getMedium, getSmall, params, postEcho } from './lib/mesh.js';

export const options = {
  ...common,
  vus: 1,
  iterations: 1,
  thresholds: { checks: ['rate==1'] },
};

export default function () {
  group('through the mesh', () => {
    getSmall();
    getMedium();
    postEcho();
  });
  group('statuses of the service arrive as they are', () => {
    for (const status of [204, 301, 404, 418, 503]) {
      const response = counted(
        http.get(`${config.url}/api/status/${status}`, {
          ...params('status'),
          redirects: 0,
          responseCallback: http.expectedStatuses(status),
        }),
      );
      check(response, {
        'status as asked for': (r) => r.status === status,
        'not by the mesh': (r) => r.headers['X-Mesh-Error'] === undefined,
      });
    }
  });
  group('one megabyte up and down', () => {
    const size = 1024 * 1024;
    const down = counted(http.get(`${config.url}/api/bytes/${size}`, params('large')));
    check(down, { 'large: whole': (r) => typeof r.body === 'string' && r.body.length === size });
    const up = counted(
      http.post(`${config.url}/api/upload`, 'x'.repeat(size), params('upload')),
    );
    check(up, {
      'upload: 200': (r) => r.status === 200,
      'upload: all of it': (r) => typeof r.body === 'string' && r.body.includes(String(size)),
    });
  });
  group('a host that nobody registered', () => {
    const response = http.get(`${config.url}/`, {
      ...params('unknown', { Host: 'nobody.invalid' }),
      responseCallback: http.expectedStatuses(404),
    });
    check(response, {
      'unknown: 404': (r) => r.status === 404,
      'unknown: by the mesh': (r) => r.headers['X-Mesh-Error'] === 'no_route',
    });
  });
}

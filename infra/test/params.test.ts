// Parameters: what is taken, and what is said about the rest.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import {
  checkParams,
  maxHealthyPercent,
  parseParams,
  readParams,
  tasksAtOnce,
  ParamsError,
} from '../lib/params';
import { FIELDS, TEST_WORKLOAD } from '../lib/params/fields';
import { editDistance, nearest } from '../lib/params/nearest';
import { fargateMemory, ingressMemoryMiB } from '../lib/params/memory';
import { EVERYTHING, MINIMAL, VPC, paramsWith, TEST_APP } from './support';

function problems(content: unknown): readonly string[] {
  try {
    checkParams(content, 'params.json');
  } catch (error) {
    expect(error).toBeInstanceOf(ParamsError);
    return (error as ParamsError).problems;
  }
  return [];
}

const problem = (changes: Record<string, unknown>) => {
  const found = problems({ ...MINIMAL, ...changes });
  expect(found).toHaveLength(1);
  return found[0];
};

test('the least that is needed has these defaults', () => {
  const params = paramsWith();
  expect(params).toMatchObject({
    stackName: 'mesh',
    cpuArchitecture: 'ARM64',
    desiredCount: 2,
    agentLoadBalancer: 'alb',
    deletionProtection: false,
  });
  expect(params.testWorkload).toBeUndefined();
  expect(params.vpcId).toBeUndefined();
});

test('everything at once is taken', () => {
  expect(problems(EVERYTHING)).toEqual([]);
});

test('the parameters that come with the project are valid', () => {
  expect(() => readParams(join(__dirname, '..', 'params.json'))).not.toThrow();
});

test('what is missing is named', () => {
  expect(problems({})).toEqual([
    'domainName: it is missing',
    'hostedZoneId: it is missing',
    'hostedZoneName: it is missing',
    'certificateArn: it is missing',
    'ingressImage: it is missing',
  ]);
  expect(problems({ ...MINIMAL, testWorkload: {} })).toEqual(['testWorkload.image: it is missing']);
});

test('null is the same as nothing', () => {
  expect(problems({ ...MINIMAL, vpcId: null, testWorkload: null })).toEqual([]);
  expect(problem({ domainName: null })).toBe('domainName: it is missing');
});

test('an unknown parameter is answered with the nearest one', () => {
  expect(problem({ certificatArn: 'x' })).toBe(
    'certificatArn: there is no such parameter; did you mean certificateArn?',
  );
  expect(problem({ testWorkload: { image: TEST_APP, hots: 'x' } })).toBe(
    'testWorkload.hots: there is no such parameter; did you mean testWorkload.host?',
  );
  expect(problem({ TestWorkLoad: {} })).toContain('did you mean testWorkload?');
  expect(problem({ wholly: 1 })).toBe('wholly: there is no such parameter');
  // Not a parameter only because every object has it.
  expect(problem({ toString: 'x' })).toBe('toString: there is no such parameter');
});

test.each([
  ['domainName', 5, '5 is no text; give for example "mesh.example.com"'],
  ['domainName', '*.example.com', 'is no domain name in lower case, without a star'],
  ['domainName', 'Mesh.example.com', 'is no domain name'],
  ['domainName', 'example', 'is no domain name'],
  ['hostedZoneId', '/hostedzone/Z1', 'is no id of a hosted zone'],
  ['certificateArn', 'arn:aws:acm:eu-central-1:1234:certificate/x', 'is no ARN of a certificate'],
  ['certificateArn', 'arn:aws:iam::123456789012:role/x', 'is no ARN of a certificate in ACM'],
  ['tlsPolicy', 'ELBSecurityPolicy-TLS-1-0-2015-04', 'is no TLS policy without versions'],
  ['ingressImage', 'mesh', 'is no image with a tag or digest'],
  ['ingressImage', 'example.com/mesh@sha256:abc', 'is no image'],
  ['callerCidrs', '0.0.0.0/0', '"0.0.0.0/0" is no list'],
  ['callerCidrs', ['10.0.0.1/8'], 'has bits beyond its prefix of 8'],
  ['callerCidrs', ['10.0.0.0/33'], 'is no IPv4 range'],
  ['callerCidrs', ['256.0.0.0/8'], 'is no IPv4 range'],
  ['agentCidrs', ['10.0.0.0/8', '10.0.0.0/8'], 'is there twice'],
  ['agentCidrs', [], 'nobody could connect'],
  ['agentLoadBalancer', 'elb', '"elb" is not known; give one of "alb", "nlb"'],
  ['cpuArchitecture', 'arm64', 'is not known; give one of "ARM64", "X86_64"'],
  ['natGateways', 3, 'is not known; give one of 1, 2'],
  ['cpu', 300, 'is not known; give one of 256, 512, 1024, 2048'],
  ['memory', '1024', '"1024" is no whole number'],
  ['memory', 1024.5, 'is no whole number'],
  ['desiredCount', 17, '17 is out of bounds; give a number from 0 to 16'],
  ['assignPublicIp', 'yes', '"yes" is no switch; give true or false, without quotes'],
  ['allowedRoleArns', ['arn:aws:iam::*:role/x'], 'is no ARN of a role'],
  ['allowedRoleArns', ['arn:aws:iam::123456789012:role/team/*'], 'is no ARN of a role'],
  ['allowedRoleArns', ['arn:aws:iam::123456789012:role/a,b'], 'is no ARN of a role'],
  ['allowedRoleArns', ['arn:aws:iam::123456789012:role/team//x'], 'is no ARN of a role'],
  ['allowedRoleArns', ['arn:aws:iam::123456789012:role/team/'], 'is no ARN of a role'],
  ['allowedClusters', ['*'], 'is no name of an ECS cluster'],
  ['allowedClusters', ['arn:aws:ecs:eu-central-1:123456789012:service/x'], 'is no ARN of an ECS'],
  ['tokensSecretArn', 'mesh-tokens', 'is no ARN of a secret'],
  ['tokensKeyArn', 'alias/aws/secretsmanager', 'is no ARN of a KMS key'],
  ['describableClusters', ['*'], 'is no name of an ECS cluster'],
  ['configPath', 'server.yaml', 'is no absolute path'],
  ['logLevel', 'loud', 'is no log level'],
  ['logRetentionDays', 31, 'is not known'],
  ['loadBalancerLogsBucket', 'Logs', 'is no name of a bucket'],
  ['alarmTopicArn', 'alarms', 'is no ARN of an SNS topic'],
  ['deletionProtection', 1, 'is no switch'],
  ['testWorkload', true, 'true is no object'],
])('%s: %j is refused', (name, value, expected) => {
  const found = problem({ [name]: value });
  expect(found).toMatch(new RegExp(`^${name}: `));
  expect(found).toContain(expected);
});

test.each([
  [{ hostedZoneName: 'example.org' }, 'domainName: mesh.example.com is not in the zone example.org'],
  [{ hostedZoneName: 'ple.com' }, 'domainName: mesh.example.com is not in the zone'],
  [{ taskSubnetIds: ['subnet-0123456789abcdef0'] }, 'vpcId: it is missing, and there are subnets'],
  [{ assignPublicIp: true }, 'assignPublicIp: the VPC that the stack makes has a NAT gateway'],
  [{ ...VPC, loadBalancerSubnetIds: ['subnet-0000000000000000a'] }, 'loadBalancerSubnetIds: give'],
  [{ ...VPC, taskSubnetIds: [] }, 'taskSubnetIds: give at least one'],
  [{ agentPort: 443 }, 'agentPort: 443 is where callers connect; give another port, or'],
  [{ ...VPC, natGateways: 2 }, 'natGateways: the stack makes none in a VPC that is given'],
  [{ allowedRoleArns: [] }, 'allowedRoleArns: no agent could register'],
  [
    {
      allowedRoleArns: [],
      allowedClusters: ['edge'],
      tokensSecretArn: EVERYTHING.tokensSecretArn,
    },
    'allowedClusters: clusters alone admit nobody',
  ],
  [
    { allowedClusters: ['edge'], testWorkload: { image: TEST_APP } },
    'allowedClusters: the test workload runs in mesh, which is not among them',
  ],
  [
    { agentLoadBalancer: 'nlb', testWorkload: { image: TEST_APP, host: 'agents' } },
    'testWorkload.host: agents.mesh.example.com is what agents dial',
  ],
  [{ requestTimeoutSeconds: 60 }, 'requestTimeoutSeconds: 60 is not less than idleTimeoutSeconds'],
  [
    { deregistrationDelaySeconds: 110 },
    'deregistrationDelaySeconds: 110 is more than warmUpSeconds (60)',
  ],
  [{ memory: 5000 }, 'memory: Fargate has no 5000 MiB with cpu 512; give one of 1024, 2048'],
  [{ maxConnections: 20000, maxTunnels: 1000 }, 'memory: 1024 MiB are less than the'],
  [{ desiredCount: 16 }, 'desiredCount: 16 tasks could become 17 during a deployment'],
  [{ desiredCount: 9, maxHealthyPercent: 200 }, 'desiredCount: 9 tasks could become 18'],
  [{ desiredCount: 4, maxHealthyPercent: 120 }, 'leave no room for a new one; give at least 125'],
  [
    { serviceConnectClientSecurityGroupIds: ['sg-0123456789abcdef0'] },
    'serviceConnectClientSecurityGroupIds: there is no namespace',
  ],
])('%j do not go together', (changes, expected) => {
  expect(problem(changes)).toContain(expected);
});

const ranges = (number: number) => Array.from({ length: number }, (_, n) => `10.0.${n}.0/24`);

test.each([
  [60, 'alb', 'agentCidrs: with callerCidrs they are 61 rules of one security group, and AWS allows'],
  [59, 'alb', undefined],
  [60, 'nlb', undefined],
  [61, 'nlb', 'agentCidrs: they are 61 rules of a security group, and AWS allows 60'],
])('%i ranges of agents at the %s fit a security group, or are refused', (count, balancer, why) => {
  const changes = { agentCidrs: ranges(count), agentLoadBalancer: balancer };
  const found = problems({ ...MINIMAL, ...changes });
  expect(found).toEqual(why === undefined ? [] : [expect.stringContaining(why)]);
});

test.each([
  [{ hostedZoneName: 'mesh.example.com' }],
  [{ allowedRoleArns: [], tokensSecretArn: EVERYTHING.tokensSecretArn }],
  [{ allowedRoleArns: [], configPath: '/etc/mesh/server.yaml' }],
  [{ allowedRoleArns: [], testWorkload: { image: TEST_APP } }],
  [{ allowedClusters: [] }],
  [{ allowedRoleArns: ['arn:aws:iam::123456789012:role/team/mesh_a+b=c@d.e-*'] }],
  [{ testWorkload: { image: TEST_APP, host: 'agents' } }],
  [{ desiredCount: 0 }],
  [{ desiredCount: 1 }],
  [{ desiredCount: 15 }],
  [{ desiredCount: 8, maxHealthyPercent: 200 }],
  [{ deregistrationDelaySeconds: 90, warmUpSeconds: 90 }],
  // Downloads and WebSockets of an hour outlast a deployment.
  [{ deregistrationDelaySeconds: 3600, warmUpSeconds: 3600 }],
  [{ deregistrationDelaySeconds: 60, drainTimeoutSeconds: 25 }],
  [{ warmUpSeconds: 0 }],
  [{ logLevel: 'warn,mesh_ingress::audit=info' }],
  [{ ingressImage: `localhost:5000/mesh@sha256:${'0'.repeat(64)}` }],
])('%j is fine', (changes) => {
  expect(problems({ ...MINIMAL, ...changes })).toEqual([]);
});

test.each([0, 1, 2, 3, 7, 15])('%i tasks become at most one more during a deployment', (desiredCount) => {
  const params = paramsWith({ desiredCount });
  expect(tasksAtOnce(params)).toBe(desiredCount + 1);
  expect(maxHealthyPercent(params)).toBeLessThanOrEqual(200);
});

test('all mistakes are told at once, each with the name of the file', () => {
  const content = { ...MINIMAL, cpu: 3, memory: 'x', sizes: 1 };
  expect(() => checkParams(content, 'my.json')).toThrow(
    /^my\.json: sizes: .*\nmy\.json: cpu: .*\nmy\.json: memory: /,
  );
});

test('what is no file, no JSON or no object is said to be so', () => {
  expect(() => readParams('/nowhere/params.json')).toThrow(/^\/nowhere\/params\.json: cannot be/);
  expect(() => parseParams('{ "a": }', 'p')).toThrow(/^p: it is no JSON: /);
  expect(() => parseParams('[]', 'p')).toThrow('p: [] is no object');
  expect(() => parseParams('null', 'p')).toThrow('p: null is no object');
});

test('distances and hints', () => {
  expect(editDistance('kitten', 'sitting')).toBe(3);
  expect(editDistance('', 'abc')).toBe(3);
  expect(editDistance('hots', 'host')).toBe(1);
  expect(nearest('cpus', ['memory', 'cpu'])).toBe('cpu');
  expect(nearest('zzzz', ['memory', 'cpu'])).toBeUndefined();
});

test('memory is that of docs/operations.md', () => {
  const one = { cpu: 512, windowGrowthKiB: 0 };
  const small = { ...one, maxConnections: 2000, maxTunnels: 100, streamWindowKiB: 64 };
  expect(ingressMemoryMiB(small)).toBe(1139);
  expect(ingressMemoryMiB({ ...small, serviceConnectNamespace: 'mesh' })).toBe(1139 + 64);
  expect(ingressMemoryMiB({ ...small, windowGrowthKiB: 2048, cpu: 2048 })).toBe(1139 + 250 + 6);
  const many = { maxConnections: 20000, maxTunnels: 1000, streamWindowKiB: 256 };
  const defaults = { ...one, ...many, windowGrowthKiB: 8192 };
  expect(ingressMemoryMiB(defaults) / 1024).toBeCloseTo(24.2, 1);
  expect(fargateMemory(256)).toEqual([512, 1024, 2048]);
  expect(fargateMemory(1024)[0]).toBe(2048);
});

test('README.md has a row for every parameter, with its default', () => {
  const readme = readFileSync(join(__dirname, '..', 'README.md'), 'utf8');
  const rows = new Map(
    [...readme.matchAll(/^\| `([\w.]+)` \| ([^|]*) \|/gm)].map(([, name, value]) => [name, value]),
  );
  const entries = [
    ...Object.entries(FIELDS),
    ...Object.entries(TEST_WORKLOAD).map(([key, field]) => [`testWorkload.${key}`, field] as const),
  ];
  for (const [name, { fallback }] of entries) {
    const shown = typeof fallback === 'symbol' ? 'required' : JSON.stringify(fallback);
    const expected = shown === undefined ? 'none' : shown.replaceAll('"', '');
    expect(`${name} ${rows.get(name)}`).toBe(
      `${name} ${/^(required|none)$/.test(expected) ? expected : `\`${expected}\``}`,
    );
    rows.delete(name);
  }
  expect([...rows.keys()]).toEqual([]);
});

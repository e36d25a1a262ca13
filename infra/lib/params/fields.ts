// The parameters: what each may be, and what holds without it. README.md has the same as a table,
// and a test compares the two.

import * as check from './checks';
import type { Check } from './checks';

/** A parameter. */
export interface Field<T> {
  readonly check: Check<T>;
  /** `REQUIRED` keeps the stack from being made without it; `undefined` means that it is off. */
  readonly fallback: T | undefined | typeof REQUIRED;
}

export const REQUIRED = Symbol('required');

export type Fields = Readonly<Record<string, Field<unknown>>>;

/** What the fields give once they are checked. */
export type Values<F extends Fields> = {
  readonly [K in keyof F]: F[K] extends Field<infer T>
    ? F[K]['fallback'] extends undefined
      ? T | undefined
      : T
    : never;
};

const required = <T>(check: Check<T>) => ({ check, fallback: REQUIRED }) as const;
const optional = <T>(check: Check<T>) => ({ check, fallback: undefined }) as const;
const or = <T>(check: Check<T>, fallback: NoInfer<T>) => ({ check, fallback });

/** Those that CloudWatch Logs takes. */
const RETENTION_DAYS = [
  1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
  3288, 3653,
] as const;

export const TEST_WORKLOAD = {
  image: required(check.image),
  agentImage: optional(check.image),
  host: or(check.hostLabel, 'test-app'),
  // Without a host in the cluster, tasks that are wanted would make the deployment fail.
  desiredCount: or(check.integer(0, 100), 0),
  exec: or(check.flag, false),
};

export const FIELDS = {
  stackName: or(check.stackName, 'mesh'),

  domainName: required(check.domain),
  hostedZoneId: required(check.zoneId),
  hostedZoneName: required(check.domain),
  certificateArn: required(check.certificateArn),
  tlsPolicy: or(check.tlsPolicy, 'ELBSecurityPolicy-TLS13-1-2-Res-2021-06'),

  vpcId: optional(check.vpcId),
  loadBalancerSubnetIds: or(check.list(check.subnetId), []),
  taskSubnetIds: or(check.list(check.subnetId), []),
  natGateways: or(check.oneOf(1, 2), 1),
  assignPublicIp: or(check.flag, false),
  internal: or(check.flag, false),
  callerCidrs: or(check.list(check.cidr), ['0.0.0.0/0']),
  agentCidrs: or(check.list(check.cidr), ['0.0.0.0/0']),
  agentLoadBalancer: or(check.oneOf('alb', 'nlb'), 'alb'),
  agentPort: or(check.integer(1, 65_535), 8082),

  clusterName: or(check.clusterName, 'mesh'),
  ingressImage: required(check.image),
  cpuArchitecture: or(check.oneOf('ARM64', 'X86_64'), 'ARM64'),
  cpu: or(check.oneOf(256, 512, 1024, 2048), 512),
  memory: or(check.integer(512, 16384), 1024),
  desiredCount: or(check.integer(0, 16), 2),
  maxHealthyPercent: optional(check.integer(101, 200)),

  allowedRoleArns: or(check.list(check.roleArn), []),
  allowedClusters: optional(check.list(check.cluster)),
  describableClusters: or(check.list(check.cluster), []),
  tokensSecretArn: optional(check.secretArn),
  tokensKeyArn: optional(check.keyArn),
  configPath: optional(check.absolutePath),
  // Left out it is what the file says, which a variable would override.
  ecsGraceSeconds: optional(check.integer(0, 86_400)),

  requestTimeoutSeconds: or(check.integer(1, 3999), 30),
  idleTimeoutSeconds: or(check.integer(31, 4000), 60),
  deregistrationDelaySeconds: or(check.integer(0, 3600), 60),
  drainTimeoutSeconds: or(check.integer(1, 119), 100),
  warmUpSeconds: or(check.integer(0, 3600), 60),
  maxConnections: or(check.integer(1, 1_000_000), 1150),
  maxTunnels: or(check.integer(1, 100_000), 100),
  streamWindowKiB: or(check.integer(16, 16_384), 64),
  windowGrowthKiB: or(check.integer(0, 65_536), 2048),

  accessLog: or(check.oneOf('off', 'text', 'json'), 'off'),
  logLevel: or(check.logLevel, 'info'),
  logRetentionDays: or(check.oneOf(...RETENTION_DAYS), 30),
  loadBalancerLogsBucket: optional(check.bucketName),
  alarmTopicArn: optional(check.topicArn),
  containerInsights: or(check.flag, true),
  deletionProtection: or(check.flag, false),

  serviceConnectNamespace: optional(check.namespaceName),
  serviceConnectClientSecurityGroupIds: or(check.list(check.securityGroupId), []),
};

export type TestWorkload = Values<typeof TEST_WORKLOAD>;
export type Params = Values<typeof FIELDS> & { readonly testWorkload: TestWorkload | undefined };

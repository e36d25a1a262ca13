// What a single value may be. A check returns the value as the stack uses it, or throws a
// `Problem` whose text fits behind the name of the parameter.

/** Why a value cannot be used. */
export class Problem extends Error {}

/** Takes a value from the file; throws a `Problem`. */
export type Check<T> = (value: unknown) => T;

/** A text that matches; `is` and `example` complete the sentence about one that does not. */
export function text(pattern: RegExp, is: string, example: string): Check<string> {
  return (value) => {
    if (typeof value !== 'string') {
      throw new Problem(`${show(value)} is no text; give for example ${show(example)}`);
    }
    if (!pattern.test(value)) {
      throw new Problem(`${show(value)} is no ${is}; give for example ${show(example)}`);
    }
    return value;
  };
}

export function integer(min: number, max: number): Check<number> {
  return (value) => {
    if (typeof value !== 'number' || !Number.isInteger(value)) {
      throw new Problem(`${show(value)} is no whole number; give one from ${min} to ${max}`);
    }
    if (value < min || value > max) {
      throw new Problem(`${value} is out of bounds; give a number from ${min} to ${max}`);
    }
    return value;
  };
}

export const flag: Check<boolean> = (value) => {
  if (typeof value !== 'boolean') {
    throw new Problem(`${show(value)} is no switch; give true or false, without quotes`);
  }
  return value;
};

export function oneOf<T extends string | number>(...choices: readonly T[]): Check<T> {
  return (value) => {
    const found = choices.find((choice) => choice === value);
    if (found === undefined) {
      throw new Problem(`${show(value)} is not known; give one of ${choices.map(show).join(', ')}`);
    }
    return found;
  };
}

export function list<T>(item: Check<T>): Check<readonly T[]> {
  return (value) => {
    if (!Array.isArray(value)) {
      throw new Problem(`${show(value)} is no list; put it between [ and ]`);
    }
    const items = value.map((element: unknown) => item(element));
    const twice = items.find((element, index) => items.indexOf(element) !== index);
    if (twice !== undefined) {
      throw new Problem(`${show(twice)} is there twice`);
    }
    return items;
  };
}

const LABEL = '[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?';

export const domain = text(
  new RegExp(`^(?=.{1,253}$)(${LABEL}\\.)+${LABEL}$`),
  'domain name in lower case, without a star',
  'mesh.example.com',
);
export const hostLabel = text(new RegExp(`^${LABEL}$`), 'single label of a host name', 'test-app');
export const zoneId = text(/^[A-Z0-9]{1,32}$/, 'id of a hosted zone', 'Z0123456789ABCDEFGHIJ');
export const image = text(
  /^[a-z0-9][a-zA-Z0-9.:_/-]*(:[\w][\w.-]{0,127}|@sha256:[0-9a-f]{64})$/,
  'image with a tag or digest',
  '123456789012.dkr.ecr.eu-central-1.amazonaws.com/mesh:0.1.0',
);
export const vpcId = text(/^vpc-[0-9a-f]{8,17}$/, 'id of a VPC', 'vpc-0123456789abcdef0');
export const subnetId = text(
  /^subnet-[0-9a-f]{8,17}$/,
  'id of a subnet',
  'subnet-0123456789abcdef0',
);
export const securityGroupId = text(
  /^sg-[0-9a-f]{8,17}$/,
  'id of a security group',
  'sg-0123456789abcdef0',
);
export const bucketName = text(
  /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
  'name of a bucket',
  'example-load-balancer-logs',
);
export const clusterName = text(
  /^[a-zA-Z0-9_-]{1,255}$/,
  'name of an ECS cluster',
  'production',
);
export const namespaceName = text(
  /^[a-zA-Z0-9][a-zA-Z0-9.-]{0,252}$/,
  'name of a namespace',
  'mesh.internal',
);
export const stackName = text(
  /^[a-zA-Z][a-zA-Z0-9-]{0,127}$/,
  'name of a stack',
  'mesh',
);
export const absolutePath = text(
  /^\/[\x21-\x7e]+$/,
  'absolute path in the image',
  '/etc/mesh/server.yaml',
);
export const tlsPolicy = text(
  /^ELBSecurityPolicy-TLS13-1-[23]-[A-Za-z0-9-]+$/,
  'TLS policy without versions before 1.2',
  'ELBSecurityPolicy-TLS13-1-2-Res-2021-06',
);
export const logLevel = text(
  /^(off|error|warn|info|debug|trace)(,[a-z_:]+=(off|error|warn|info|debug|trace))*$/,
  'log level',
  'info,mesh_ingress=debug',
);

export const cidr: Check<string> = (value) => {
  const shape = text(/^\d{1,3}(\.\d{1,3}){3}\/\d{1,2}$/, 'IPv4 range', '203.0.113.0/24');
  const [address = '', bits = ''] = shape(value).split('/');
  const octets = address.split('.').map(Number);
  const [a = 0, b = 0, c = 0, d = 0] = octets;
  const number = ((a * 256 + b) * 256 + c) * 256 + d;
  if (octets.some((octet) => octet > 255) || Number(bits) > 32) {
    throw new Problem(`${show(value)} is no IPv4 range; give for example "203.0.113.0/24"`);
  }
  // EC2 clears such bits itself, which then looks like a drift.
  if (number % 2 ** (32 - Number(bits)) !== 0) {
    throw new Problem(`${show(value)} has bits beyond its prefix of ${bits}; clear them`);
  }
  return `${address}/${bits}`;
};

const ACCOUNT = '[0-9]{12}';
const REGION = '[a-z]{2}(-[a-z]+)+-[0-9]';

function arn(service: string, region: string, resource: string, is: string, example: string) {
  const pattern = new RegExp(`^arn:aws[a-z-]*:${service}:${region}:${ACCOUNT}:${resource}$`);
  return text(pattern, `ARN of ${is}`, example);
}

export const certificateArn = arn(
  'acm',
  REGION,
  'certificate/[0-9a-f-]{36}',
  'a certificate in ACM',
  'arn:aws:acm:eu-central-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef',
);
export const topicArn = arn(
  'sns',
  REGION,
  '[A-Za-z0-9_-]{1,256}',
  'an SNS topic',
  'arn:aws:sns:eu-central-1:123456789012:alarms',
);
export const secretArn = arn(
  'secretsmanager',
  REGION,
  'secret:[A-Za-z0-9/_+=.@-]+-[A-Za-z0-9]{6}',
  'a secret, with the six characters at its end',
  'arn:aws:secretsmanager:eu-central-1:123456789012:secret:mesh-tokens-AbCdEf',
);
export const keyArn = arn(
  'kms',
  REGION,
  'key/[A-Za-z0-9-]+',
  'a KMS key',
  'arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef',
);
/**
 * Names may have stars, as the ingress allows them; partition and account must be plain. STS does
 * not tell paths, so that a star alone behind one would be every role of the account. A comma, which
 * IAM allows, would end the item in the variable of the ingress.
 */
export const roleArn = arn(
  'iam',
  '',
  'role/(?![^:]*/[*]+$)([A-Za-z0-9+=.@_*-]+/)*[A-Za-z0-9+=.@_*-]+',
  'a role with more than a star behind its path',
  'arn:aws:iam::123456789012:role/mesh-agent-*',
);
const clusterArn = arn(
  'ecs',
  REGION,
  'cluster/[a-zA-Z0-9_-]{1,255}',
  'an ECS cluster',
  'arn:aws:ecs:eu-central-1:123456789012:cluster/production',
);

export const cluster: Check<string> = (value) =>
  typeof value === 'string' && value.startsWith('arn:') ? clusterArn(value) : clusterName(value);

/** A value as a message shows it. */
export function show(value: unknown): string {
  return JSON.stringify(value) ?? 'nothing';
}

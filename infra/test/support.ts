// A stack from parameters, for tests.

import { App, type Stack } from 'aws-cdk-lib';
import { Match, Template } from 'aws-cdk-lib/assertions';

import { checkParams, type Params } from '../lib/params';
import { makeStack } from '../lib/stack';

export const IMAGE = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/mesh:0.1.0';
export const TEST_APP = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/test-app:0.1.0';
export const ROLE = 'arn:aws:iam::123456789012:role/mesh-agent-*';

/** Parameters that are enough. */
export const MINIMAL = {
  domainName: 'mesh.example.com',
  hostedZoneId: 'Z0123456789ABCDEFGHIJ',
  hostedZoneName: 'example.com',
  certificateArn:
    'arn:aws:acm:eu-central-1:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef',
  ingressImage: IMAGE,
  allowedRoleArns: [ROLE],
};

/** A VPC that is there already. */
export const VPC = {
  vpcId: 'vpc-0123456789abcdef0',
  loadBalancerSubnetIds: ['subnet-0000000000000000a', 'subnet-0000000000000000b'],
  taskSubnetIds: ['subnet-0000000000000000c'],
};

/** Every option that there is, to see all of the stack at once. */
export const EVERYTHING = {
  ...MINIMAL,
  ...VPC,
  agentLoadBalancer: 'nlb',
  allowedClusters: ['mesh', 'arn:aws:ecs:eu-west-1:123456789012:cluster/edge'],
  tokensSecretArn: 'arn:aws:secretsmanager:eu-central-1:123456789012:secret:mesh-tokens-AbCdEf',
  tokensKeyArn: 'arn:aws:kms:eu-central-1:123456789012:key/01234567-89ab-cdef-0123-456789abcdef',
  loadBalancerLogsBucket: 'example-logs',
  alarmTopicArn: 'arn:aws:sns:eu-central-1:123456789012:alarms',
  // Its proxy takes memory, too.
  serviceConnectNamespace: 'mesh.internal',
  memory: 2048,
  serviceConnectClientSecurityGroupIds: ['sg-0123456789abcdef0'],
  testWorkload: { image: TEST_APP, desiredCount: 1, exec: true },
};

export function paramsWith(changes: Record<string, unknown> = {}): Params {
  return checkParams({ ...MINIMAL, ...changes }, 'params.json');
}

export function stackWith(changes: Record<string, unknown> = {}): Stack {
  return makeStack(new App(), paramsWith(changes));
}

export function templateWith(changes: Record<string, unknown> = {}): Template {
  return Template.fromStack(stackWith(changes));
}

interface Container {
  Name: string;
  Environment?: { Name: string; Value: unknown }[];
  [member: string]: unknown;
}

/** A container by its name, whatever the task. */
export function container(template: Template, name: string): Container {
  const tasks = Object.values(template.findResources('AWS::ECS::TaskDefinition'));
  const found = tasks
    .flatMap((task) => task['Properties'].ContainerDefinitions as Container[])
    .find((definition) => definition.Name === name);
  if (found === undefined) {
    throw new Error(`there is no container ${name}`);
  }
  return found;
}

/** The variables of a container. */
export function environment(template: Template, name: string): Record<string, unknown> {
  const variables = container(template, name).Environment ?? [];
  return Object.fromEntries(variables.map(({ Name, Value }) => [Name, Value]));
}

/** The task with this container. */
export function taskOf(template: Template, name: string): Record<string, unknown> {
  const definition = Match.objectLike({
    ContainerDefinitions: Match.arrayWith([Match.objectLike({ Name: name })]),
  });
  const [task] = Object.values(
    template.findResources('AWS::ECS::TaskDefinition', { Properties: definition }),
  );
  if (task === undefined) {
    throw new Error(`there is no task with ${name}`);
  }
  return task['Properties'];
}

/** The service of this launch type, and what CloudFormation makes before it. */
export function serviceOf(template: Template, LaunchType: string): { id: string; after: string[] } {
  const found = template.findResources('AWS::ECS::Service', { Properties: { LaunchType } });
  const [service] = Object.entries(found);
  if (service === undefined) {
    throw new Error(`there is no service of launch type ${LaunchType}`);
  }
  return { id: service[0], after: [service[1]['DependsOn'] ?? []].flat() };
}

export interface Statement {
  Sid?: string;
  Effect: string;
  Action: string | string[];
  Resource: unknown;
}

/** What a role may do: the statements of its policies. The role is found by its description. */
export function statements(template: Template, description: string): Statement[] {
  return Object.values(policiesOf(template, description)).flatMap(
    (policy) => policy['Properties'].PolicyDocument.Statement as Statement[],
  );
}

/** The policies of a role, by their logical ids. */
export function policiesOf(template: Template, description: string) {
  const roles = template.findResources('AWS::IAM::Role', {
    Properties: { Description: description },
  });
  const [id] = Object.keys(roles);
  if (id === undefined) {
    throw new Error(`there is no role described as ${description}`);
  }
  return template.findResources('AWS::IAM::Policy', { Properties: { Roles: [{ Ref: id }] } });
}

/** A value of CloudFormation as one text, with references as `<AWS::Region>`. */
export function flat(value: unknown): string {
  if (typeof value === 'string') {
    return value;
  }
  const object = value as Record<string, unknown>;
  if ('Ref' in object) {
    return `<${String(object['Ref'])}>`;
  }
  if ('Fn::GetAtt' in object) {
    return `<${(object['Fn::GetAtt'] as string[]).join('.')}>`;
  }
  if ('Fn::Join' in object) {
    const [separator, parts] = object['Fn::Join'] as [string, unknown[]];
    return parts.map(flat).join(separator);
  }
  throw new Error(`not a text: ${JSON.stringify(value)}`);
}

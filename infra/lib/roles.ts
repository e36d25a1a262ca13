// Roles of tasks, and the permissions that the ingress and the ECS agent need.

import { Aws } from 'aws-cdk-lib';
import type { BaseService, TaskDefinition } from 'aws-cdk-lib/aws-ecs';
import { Effect, PolicyStatement, Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';

import { explain } from './nag';

/**
 * A role that ECS alone may assume, and only for tasks of this account. ECS names sessions after
 * tasks; if anybody else could start them, the session's name would prove nothing.
 */
export function taskRole(scope: Construct, id: string, description: string): Role {
  const principal = new ServicePrincipal('ecs-tasks.amazonaws.com', {
    conditions: {
      StringEquals: { 'aws:SourceAccount': Aws.ACCOUNT_ID },
      ArnLike: {
        'aws:SourceArn': `arn:${Aws.PARTITION}:ecs:${Aws.REGION}:${Aws.ACCOUNT_ID}:*`,
      },
    },
  });
  return new Role(scope, id, { assumedBy: principal, description });
}

/** Lets the ingress ask what runs in these clusters, given by name or ARN, and change nothing. */
export function allowDescribing(role: Role, clusters: readonly string[]): void {
  const places = clusters.map(placeOf);
  const resources = (kind: string, rest: string) =>
    places.map(({ prefix, name }) => `${prefix}:${kind}/${name}${rest}`);
  const allow = (sid: string, action: string, kind: string, rest: string) => {
    const statement = { sid, effect: Effect.ALLOW, actions: [`ecs:${action}`] };
    role.addToPolicy(new PolicyStatement({ ...statement, resources: resources(kind, rest) }));
    for (const resource of rest === '' ? [] : resources(kind, rest)) {
      explain(
        role,
        `IAM5[Resource::${asNagShows(resource)}]`,
        'Agents come and go, and so do the ids of their tasks; the cluster is the boundary.',
      );
    }
  };
  allow('Tasks', 'DescribeTasks', 'task', '/*');
  allow('ContainerInstances', 'DescribeContainerInstances', 'container-instance', '/*');
  allow('Services', 'DescribeServices', 'service', '/*');
  allow('Clusters', 'DescribeClusters', 'cluster', '');
}

/** What stands before and behind the kind of resource in the ARNs of a cluster. */
function placeOf(cluster: string): { prefix: string; name: string } {
  const [prefix, name] = cluster.split(':cluster/');
  if (prefix !== undefined && name !== undefined) {
    return { prefix, name };
  }
  return { prefix: `arn:${Aws.PARTITION}:ecs:${Aws.REGION}:${Aws.ACCOUNT_ID}`, name: cluster };
}

/** Lets the ECS agent pull an image, if it is in ECR. */
export function allowPulling(role: Role, image: string): void {
  // Also by the names for FIPS, and for IPv6 besides IPv4.
  const ecr =
    /^(\d{12})\.dkr[.-]ecr(?:-fips)?\.([a-z0-9-]+)\.(?:amazonaws\.com|on\.(?:aws|amazonwebservices\.com))(?:\.cn)?\/([^:@]+)/.exec(
      image,
    );
  if (ecr === null) {
    return;
  }
  const [, account, region, repository] = ecr;
  role.addToPolicy(
    new PolicyStatement({
      actions: [
        'ecr:BatchCheckLayerAvailability',
        'ecr:BatchGetImage',
        'ecr:GetDownloadUrlForLayer',
      ],
      resources: [`arn:${Aws.PARTITION}:ecr:${region}:${account}:repository/${repository}`],
    }),
  );
  role.addToPolicy(
    new PolicyStatement({ actions: ['ecr:GetAuthorizationToken'], resources: ['*'] }),
  );
  explain(role, 'IAM5[Resource::*]', 'ecr:GetAuthorizationToken knows no resources.');
}

/** A secret by its ARN, which the ECS agent may read for a container. */
export function secretOf(scope: Construct, arn: string) {
  return Secret.fromSecretCompleteArn(scope, 'Tokens', arn);
}

/** Lets the ECS agent use a key for secrets, and for nothing else. */
export function allowDecrypting(role: Role, keyArn: string): void {
  const region = keyArn.split(':')[3];
  role.addToPolicy(
    new PolicyStatement({
      actions: ['kms:Decrypt'],
      resources: [keyArn],
      conditions: {
        StringEquals: { 'kms:ViaService': `secretsmanager.${region}.${Aws.URL_SUFFIX}` },
      },
    }),
  );
}

/**
 * Tasks begin when there is a service, and what they may do stands in policies of their own, which
 * CloudFormation would make at the same time. The circuit breaker counts tasks that come too early.
 */
export function startAfterRoles(service: BaseService, task: TaskDefinition): void {
  service.node.addDependency(task.taskRole, task.obtainExecutionRole());
}

/** cdk-nag shows references to AWS as `<AWS::Region>` in the ids of its findings. */
function asNagShows(resource: string): string {
  return resource
    .replaceAll(Aws.PARTITION, '<AWS::Partition>')
    .replaceAll(Aws.REGION, '<AWS::Region>')
    .replaceAll(Aws.ACCOUNT_ID, '<AWS::AccountId>');
}

// What must hold between parameters. Each rule returns the sentences about what does not.

import type { Params } from './fields';
import { fargateMemory, ingressMemoryMiB } from './memory';

/** Seconds between SIGTERM and SIGKILL: the most that Fargate allows. */
export const STOP_TIMEOUT = 120;
/** Rules for what comes in, of one security group: AWS's quota unless somebody had it raised. */
const RULES_OF_A_GROUP = 60;
/** The agent's bound for `--tunnels`. */
const TUNNELS_MAX = 16;

export function broken(params: Params): string[] {
  return [
    ...domainRules(params),
    ...workloadRules(params),
    ...networkRules(params),
    ...admissionRules(params),
    ...timeoutRules(params),
    ...sizeRules(params),
    ...serviceConnectRules(params),
  ];
}

/** What `maxHealthyPercent` has to be at least, so that there is room for one more task. */
function percentForOneMore(desiredCount: number): number {
  return Math.ceil((100 * (desiredCount + 1)) / desiredCount);
}

/**
 * How many tasks there may be during a deployment, in percent of those that are wanted. Unless
 * somebody says otherwise one is replaced after the other: agents have to find only one at a time.
 */
export function maxHealthyPercent(params: Params): number {
  const { desiredCount } = params;
  return params.maxHealthyPercent ?? (desiredCount === 0 ? 200 : percentForOneMore(desiredCount));
}

/** Ingress tasks that run at once while a deployment replaces them. */
export function tasksAtOnce(params: Params): number {
  return Math.max(1, Math.floor((params.desiredCount * maxHealthyPercent(params)) / 100));
}

function domainRules({ domainName, hostedZoneName }: Params): string[] {
  if (domainName === hostedZoneName || domainName.endsWith(`.${hostedZoneName}`)) {
    return [];
  }
  return [
    `domainName: ${domainName} is not in the zone ${hostedZoneName}; give a name that ends with ` +
      `.${hostedZoneName}, or the zone it is in`,
  ];
}

/** With a load balancer of their own, agents dial a name that the wildcard would also match. */
function workloadRules({ agentLoadBalancer, domainName, testWorkload }: Params): string[] {
  if (agentLoadBalancer !== 'nlb' || testWorkload?.host !== 'agents') {
    return [];
  }
  return [
    `testWorkload.host: agents.${domainName} is what agents dial (agentLoadBalancer); give another`,
  ];
}

function networkRules(params: Params): string[] {
  const problems: string[] = [];
  if (params.agentPort === 443 && params.agentLoadBalancer === 'alb') {
    problems.push(
      'agentPort: 443 is where callers connect; give another port, or agentLoadBalancer "nlb"',
    );
  }
  const subnets = [params.loadBalancerSubnetIds, params.taskSubnetIds];
  if (params.vpcId === undefined) {
    if (subnets.some((ids) => ids.length > 0)) {
      problems.push('vpcId: it is missing, and there are subnets; give the VPC they are in');
    }
    if (params.assignPublicIp) {
      problems.push('assignPublicIp: the VPC that the stack makes has a NAT gateway; remove it');
    }
  } else {
    if (params.natGateways > 1) {
      problems.push('natGateways: the stack makes none in a VPC that is given; remove it, or vpcId');
    }
    // An Application Load Balancer refuses less than two zones.
    if (params.loadBalancerSubnetIds.length < 2) {
      problems.push('loadBalancerSubnetIds: give at least two, in different zones of vpcId');
    }
    if (params.taskSubnetIds.length < 1) {
      problems.push('taskSubnetIds: give at least one, from which tasks reach STS, ECS and images');
    }
  }
  for (const name of ['callerCidrs', 'agentCidrs'] as const) {
    if (params[name].length === 0) {
      problems.push(`${name}: nobody could connect; give at least one range`);
    }
  }
  return [...problems, ...securityGroupRules(params)];
}

/** The deployment would fail in the middle, where AWS allows a group fewer rules. */
function securityGroupRules({ agentLoadBalancer, callerCidrs, agentCidrs }: Params): string[] {
  const [callers, agents] = [callerCidrs.length, agentCidrs.length];
  const fewer = 'give fewer and wider ranges';
  if (agentLoadBalancer === 'alb') {
    const rules = callers + agents;
    return rules <= RULES_OF_A_GROUP
      ? []
      : [
          `agentCidrs: with callerCidrs they are ${rules} rules of one security group, and AWS allows ` +
            `${RULES_OF_A_GROUP}; ${fewer}, or agentLoadBalancer "nlb", which has a group of its own`,
        ];
  }
  return Object.entries({ callerCidrs: callers, agentCidrs: agents })
    .filter(([, rules]) => rules > RULES_OF_A_GROUP)
    .map(
      ([name, rules]) =>
        `${name}: they are ${rules} rules of a security group, and AWS allows ${RULES_OF_A_GROUP}; ` +
        fewer,
    );
}

function admissionRules(params: Params): string[] {
  const { allowedRoleArns, allowedClusters, tokensSecretArn, configPath, testWorkload } = params;
  const problems: string[] = [];
  const hasRoles = allowedRoleArns.length > 0 || testWorkload !== undefined;
  if (!hasRoles && tokensSecretArn === undefined && configPath === undefined) {
    problems.push(
      'allowedRoleArns: no agent could register; give the roles of agents, tokensSecretArn, ' +
        'configPath or testWorkload',
    );
  }
  const hasClusters = allowedClusters !== undefined && allowedClusters.length > 0;
  if (hasClusters && !hasRoles && configPath === undefined) {
    problems.push(
      'allowedClusters: clusters alone admit nobody; give allowedRoleArns, or configPath for rules',
    );
  }
  const own = (cluster: string) => cluster.replace(/^.*:cluster\//, '') === params.clusterName;
  if (testWorkload !== undefined && hasClusters && !allowedClusters.some(own)) {
    problems.push(
      `allowedClusters: the test workload runs in ${params.clusterName}, which is not among them; ` +
        'add it',
    );
  }
  return problems;
}

function timeoutRules(params: Params): string[] {
  const problems: string[] = [];
  const { requestTimeoutSeconds, idleTimeoutSeconds } = params;
  const { deregistrationDelaySeconds, warmUpSeconds } = params;
  if (requestTimeoutSeconds >= idleTimeoutSeconds) {
    problems.push(
      `requestTimeoutSeconds: ${requestTimeoutSeconds} is not less than idleTimeoutSeconds ` +
        `(${idleTimeoutSeconds}), so that the load balancer would answer 504 in place of the mesh`,
    );
  }
  // A task that is let go of counts no longer, and ECS starts the next one beside it. Until the delay
  // is over it has its tunnels: agents have no more of them for a third task. Without a warm-up
  // nothing waits for agents anyway. The drain has no part in this: it begins after the delay.
  if (warmUpSeconds > 0 && deregistrationDelaySeconds > warmUpSeconds) {
    problems.push(
      `deregistrationDelaySeconds: ${deregistrationDelaySeconds} is more than warmUpSeconds ` +
        `(${warmUpSeconds}), so that the next task could get callers while agents still hold their ` +
        'tunnels to the one before',
    );
  }
  return problems;
}

function sizeRules(params: Params): string[] {
  const problems: string[] = [];
  const sizes = fargateMemory(params.cpu);
  if (!sizes.includes(params.memory)) {
    problems.push(
      `memory: Fargate has no ${params.memory} MiB with cpu ${params.cpu}; give one of ` +
        sizes.join(', '),
    );
  }
  const needed = ingressMemoryMiB(params);
  if (needed > params.memory) {
    problems.push(
      `memory: ${params.memory} MiB are less than the ${needed} MiB that maxConnections, ` +
        'maxTunnels, streamWindowKiB and windowGrowthKiB allow peers to use; give more, or lower these',
    );
  }
  const tasks = tasksAtOnce(params);
  if (tasks > TUNNELS_MAX) {
    problems.push(
      `desiredCount: ${params.desiredCount} tasks could become ${tasks} during a deployment, ` +
        `and an agent holds ${TUNNELS_MAX} tunnels at most; lower it or maxHealthyPercent`,
    );
  }
  // ECS rounds down, and without room for one more task no deployment could ever begin.
  if (params.desiredCount > 0 && tasks <= params.desiredCount) {
    problems.push(
      `maxHealthyPercent: ${maxHealthyPercent(params)} % of ${params.desiredCount} tasks leave no ` +
        `room for a new one; give at least ${percentForOneMore(params.desiredCount)}`,
    );
  }
  return problems;
}

function serviceConnectRules(params: Params): string[] {
  const { serviceConnectNamespace, serviceConnectClientSecurityGroupIds: clients } = params;
  if (serviceConnectNamespace === undefined && clients.length > 0) {
    return [
      'serviceConnectClientSecurityGroupIds: there is no namespace for them; give ' +
        'serviceConnectNamespace',
    ];
  }
  return [];
}

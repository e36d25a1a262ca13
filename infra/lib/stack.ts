// The stack: an ingress behind load balancers, and whatever the parameters ask for besides.

import { CfnOutput, DefaultStackSynthesizer, Stack, Tags, type App } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';

import { Alarms } from './alarms';
import { Edge } from './edge';
import { agentEndpoint, type Admission } from './environment';
import { Ingress } from './ingress';
import { explain } from './nag';
import { Network } from './network';
import { tasksAtOnce, type Params } from './params';
import { TestWorkload, workloadRole } from './test-workload';

/** Makes the stack. It belongs to no account and region until it is deployed. */
export function makeStack(app: App, params: Params): Stack {
  const stack = new Stack(app, params.stackName, {
    description: 'Anywhere Mesh: an ingress for agents outside of AWS',
    // The template has no assets, so that anything that knows CloudFormation can deploy it. The
    // parameter about the CDK's bootstrap would be in the way.
    synthesizer: new DefaultStackSynthesizer({ generateBootstrapVersionRule: false }),
  });
  Tags.of(stack).add('application', 'anywhere-mesh');
  const network = new Network(stack, params);
  const cluster = new ecs.Cluster(stack, 'Cluster', {
    clusterName: params.clusterName,
    vpc: network.vpc,
    containerInsightsV2: params.containerInsights
      ? ecs.ContainerInsights.ENABLED
      : ecs.ContainerInsights.DISABLED,
    // Else the role of each task that people may enter has to be allowed to write logs.
    executeCommandConfiguration: { logging: ecs.ExecuteCommandLogging.NONE },
  });
  if (!params.containerInsights) {
    explain(cluster, 'ECS4', 'Whoever pays for the measurements has turned them off.');
  }
  const edge = new Edge(stack, params, network);
  const { testWorkload: workload } = params;
  const role = workload === undefined ? undefined : workloadRole(stack);
  const admission = admissionOf(params, role?.roleArn);
  const ingress = new Ingress(stack, { params, network, edge, cluster, admission });
  if (workload !== undefined && role !== undefined) {
    const { host, service } = new TestWorkload(stack, { params, workload, cluster, role });
    // Its agents find nobody before there is an ingress.
    service.node.addDependency(ingress.service);
    output(stack, 'TestUrl', `https://${host}/`, 'The sample service, through the mesh');
    output(stack, 'TestService', service.serviceName, 'The ECS service of the test workload');
    output(stack, 'TestRole', role.roleArn, 'The role of its agents, for rules');
  }
  // What nobody runs yet is not missed: without targets, alarms would ring before the first task.
  const alarms = new Alarms(stack, { params, edge, log: ingress.log });
  alarms.node.addDependency(ingress.service);
  output(stack, 'AgentEndpoint', agentEndpoint(params), '--ingress-endpoint of agents');
  output(stack, 'AgentTunnels', String(tasksAtOnce(params)), '--tunnels of agents');
  output(stack, 'Cluster', params.clusterName, 'The ECS cluster, also for hosts outside of AWS');
  output(stack, 'IngressService', ingress.service.serviceName, 'The ECS service of the ingress');
  output(stack, 'IngressLogs', ingress.log.logGroupName, 'The log of the ingress');
  return stack;
}

/** Who may register, as far as the stack knows: a file in the image may say more. */
function admissionOf(params: Params, workloadRoleArn: string | undefined): Admission {
  const hasFile = params.configPath !== undefined;
  // A role that is allowed everything beside rules would make these pointless, so that the ingress
  // refuses to start; the file decides alone.
  const own = hasFile || workloadRoleArn === undefined ? [] : [workloadRoleArn];
  const roles = [...params.allowedRoleArns, ...own];
  const clusters = params.allowedClusters ?? [params.clusterName];
  const described = roles.length > 0 || hasFile ? clusters : [];
  return {
    roles,
    // The file may be about tokens alone, and then the ingress refuses clusters without roles.
    clusters: roles.length > 0 ? clusters : (params.allowedClusters ?? []),
    describable: [...new Set([...described, ...params.describableClusters])],
  };
}

function output(stack: Stack, id: string, value: string, description: string): void {
  new CfnOutput(stack, `${id}Output`, { value, description }).overrideLogicalId(id);
}

// A service on ECS Anywhere to try the ingress with: the sample service, and an agent beside it.

import { Duration } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type { Role } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';

import { hardened, imageOf, logDriver } from './container';
import { PORTS, agentEndpoint } from './environment';
import { logGroup } from './logs';
import { explain } from './nag';
import { tasksAtOnce, type Params, type TestWorkload as Workload } from './params';
import { allowPulling, startAfterRoles, taskRole } from './roles';

const SERVICE_PORT = 3000;
/** A limit that nothing is set aside for: the reservation is what the host has to have. */
const AGENT_MEMORY_MIB = 1024;

/**
 * Requests that the agent may carry at once on each of its tunnels, so that all buffers fit its
 * memory: the formula of docs/operations.md, with one worker and TLS, for the default sizes. Where
 * tunnels move, those before are there too, with all that they carry.
 */
function streamsOfEach(tunnels: number): number {
  const [programMiB, workersMiB, tunnelMiB, streamMiB] = [6, 6, 10.1, 0.5];
  const buffersMiB = (AGENT_MEMORY_MIB - programMiB - workersMiB) / 1.25;
  return Math.floor((buffersMiB / (2 * tunnels) - tunnelMiB) / streamMiB);
}

export interface TestWorkloadProps {
  readonly params: Params;
  readonly workload: Workload;
  readonly cluster: ecs.Cluster;
  readonly role: Role;
}

/** The role of the workload's agents, which the ingress has to know before there is a workload. */
export function workloadRole(scope: Construct): Role {
  return taskRole(scope, 'TestWorkloadRole', 'Who the agents of the test workload are');
}

export class TestWorkload extends Construct {
  readonly service: ecs.ExternalService;
  readonly host: string;

  constructor(scope: Construct, private readonly props: TestWorkloadProps) {
    super(scope, 'TestWorkload');
    const { params, workload, cluster } = props;
    this.host = `${workload.host}.${params.domainName}`;
    const task = this.makeTask();
    this.service = new ecs.ExternalService(this, 'Service', {
      serviceName: `${params.stackName}-${workload.host}`,
      cluster,
      taskDefinition: task,
      desiredCount: workload.desiredCount,
      // Two agents may hold one host: the new pair serves before the old one leaves.
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      circuitBreaker: { enable: true, rollback: true },
      enableExecuteCommand: workload.exec,
      propagateTags: ecs.PropagatedTagSource.SERVICE,
      enableECSManagedTags: true,
    });
    startAfterRoles(this.service, task);
  }

  private makeTask(): ecs.ExternalTaskDefinition {
    const { params, workload, role } = this.props;
    const executionRole = taskRole(this, 'ExecutionRole', 'Pulls the images and writes the log');
    const images = [workload.image, workload.agentImage ?? params.ingressImage];
    new Set(images).forEach((image) => allowPulling(executionRole, image));
    const task = new ecs.ExternalTaskDefinition(this, 'Task', {
      family: `${params.stackName}-${workload.host}`,
      // Hosts outside of AWS know bridge, host and none; with bridge, two of these tasks can share
      // a host.
      networkMode: ecs.NetworkMode.BRIDGE,
      taskRole: role,
      executionRole,
    });
    const logs = logGroup(this, 'workload', params);
    const service = this.addService(task, logDriver(logs, 'test-app'));
    const agent = this.addAgent(task, logDriver(logs, 'agent'));
    agent.addLink(service, 'test-app');
    // ECS stops in the opposite order: the agent leaves while its service still answers.
    agent.addContainerDependencies({
      container: service,
      condition: ecs.ContainerDependencyCondition.START,
    });
    if (workload.exec) {
      explain(role, 'IAM5[Resource::*]', 'The actions of ssmmessages know no resources.');
    }
    explain(task, 'ECS2', 'Variables are how agent and sample service are configured.');
    return task;
  }

  private addService(task: ecs.ExternalTaskDefinition, logging: ecs.LogDriver) {
    const { workload } = this.props;
    const container = task.addContainer('test-app', {
      image: imageOf(this, workload.image),
      memoryReservationMiB: 32,
      memoryLimitMiB: 128,
      environment: { PORT: String(SERVICE_PORT), SERVICE_NAME: workload.host },
      stopTimeout: Duration.seconds(30),
      ...hardened(new Construct(this, 'TestApp'), logging),
      // The agent of ECS Exec is put into the container and writes there.
      readonlyRootFilesystem: !workload.exec,
    });
    return container;
  }

  private addAgent(task: ecs.ExternalTaskDefinition, logging: ecs.LogDriver) {
    const { params, workload } = this.props;
    return task.addContainer('agent', {
      image: imageOf(this, workload.agentImage ?? params.ingressImage),
      // The agent's own image has a program that knows nothing else.
      ...(workload.agentImage === undefined && { command: ['client'] }),
      memoryReservationMiB: 32,
      memoryLimitMiB: AGENT_MEMORY_MIB,
      environment: {
        MESH_INGRESS_ENDPOINT: agentEndpoint(params),
        MESH_LOCAL_ENDPOINT: `http://test-app:${SERVICE_PORT}`,
        MESH_HOST: this.host,
        MESH_SERVICE_NAME: `${params.stackName}-${workload.host}`,
        MESH_CLUSTER_NAME: params.clusterName,
        MESH_HEALTH_CHECK_PATH: '/api/health',
        MESH_HEALTH_PORT: String(PORTS.health),
        // As many as there may be ingress tasks while a deployment replaces them.
        MESH_TUNNELS: String(tasksAtOnce(params)),
        MESH_MAX_STREAMS: String(streamsOfEach(tasksAtOnce(params))),
      },
      // ECS replaces a task whose agent has had no tunnel for five minutes. Sooner would only have
      // all of them restarted while there is no ingress. It is also what a deployment waits for before
      // it stops the former task: a tunnel, and a service that has been healthy once.
      healthCheck: {
        command: ['CMD', workload.agentImage === undefined ? '/mesh' : '/mesh-agent', 'health'],
        interval: Duration.seconds(30),
        timeout: Duration.seconds(5),
        retries: 10,
        startPeriod: Duration.seconds(60),
      },
      // More than the agent's own limit of 30 s for a drain.
      stopTimeout: Duration.seconds(40),
      ...hardened(new Construct(this, 'Agent'), logging),
    });
  }
}

// The ingress: a Fargate service of `mesh server`.

import { Duration } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import { HttpNamespace } from 'aws-cdk-lib/aws-servicediscovery';
import { Construct } from 'constructs';

import type { Edge } from './edge';
import { PORTS, ingressEnvironment, type Admission } from './environment';
import { logGroup } from './logs';
import { explain } from './nag';
import type { Network } from './network';
import { STOP_TIMEOUT, maxHealthyPercent, type Params } from './params';
import {
  allowDecrypting,
  allowDescribing,
  allowPulling,
  secretOf,
  startAfterRoles,
  taskRole,
} from './roles';
import { hardened, imageOf, logDriver } from './container';

export interface IngressProps {
  readonly params: Params;
  readonly network: Network;
  readonly edge: Edge;
  readonly cluster: ecs.ICluster;
  readonly admission: Admission;
}

export class Ingress extends Construct {
  readonly service: ecs.FargateService;
  readonly log: ILogGroup;

  constructor(scope: Construct, private readonly props: IngressProps) {
    super(scope, 'Ingress');
    this.log = logGroup(this, 'ingress', props.params);
    const task = this.makeTask(logDriver(this.log, 'ingress'));
    const securityGroup = this.makeSecurityGroup();
    this.service = this.makeService(task, securityGroup);
    startAfterRoles(this.service, task);
    // Nor before images can be pulled.
    const { vpc, taskSubnets } = props.network;
    this.service.node.addDependency(vpc.selectSubnets(taskSubnets).internetConnectivityEstablished);
    this.register();
  }

  private makeTask(logging: ecs.LogDriver): ecs.FargateTaskDefinition {
    const { params, admission } = this.props;
    const role = taskRole(this, 'TaskRole', 'What an ingress may ask ECS; STS needs no permission');
    if (admission.describable.length > 0) {
      allowDescribing(role, admission.describable);
    }
    const executionRole = taskRole(this, 'ExecutionRole', 'Pulls the image and writes the log');
    allowPulling(executionRole, params.ingressImage);
    if (params.tokensKeyArn !== undefined) {
      allowDecrypting(executionRole, params.tokensKeyArn);
    }
    const task = new ecs.FargateTaskDefinition(this, 'Task', {
      family: `${params.stackName}-ingress`,
      cpu: params.cpu,
      memoryLimitMiB: params.memory,
      taskRole: role,
      executionRole,
      runtimePlatform: {
        cpuArchitecture: ecs.CpuArchitecture.of(params.cpuArchitecture),
        operatingSystemFamily: ecs.OperatingSystemFamily.LINUX,
      },
    });
    this.addContainer(task, logging);
    explain(
      task,
      'ECS2',
      'Variables are how the ingress is configured; its tokens come from Secrets Manager.',
    );
    return task;
  }

  private addContainer(task: ecs.FargateTaskDefinition, logging: ecs.LogDriver): void {
    const { params, admission } = this.props;
    const { tokensSecretArn } = params;
    const container = task.addContainer('ingress', {
      image: imageOf(this, params.ingressImage),
      command: ['server'],
      environment: ingressEnvironment(params, admission),
      ...(tokensSecretArn !== undefined && {
        secrets: { MESH_TOKENS: ecs.Secret.fromSecretsManager(secretOf(this, tokensSecretArn)) },
      }),
      stopTimeout: Duration.seconds(STOP_TIMEOUT),
      ...hardened(this, logging),
    });
    for (const [name, containerPort] of Object.entries(PORTS)) {
      container.addPortMappings({ name, containerPort, protocol: ecs.Protocol.TCP });
    }
    // One descriptor for each caller and tunnel: memory ends before these do.
    container.addUlimits({ name: ecs.UlimitName.NOFILE, softLimit: 65535, hardLimit: 65535 });
  }

  private makeSecurityGroup(): ec2.SecurityGroup {
    const { params, network, edge } = this.props;
    const group = new ec2.SecurityGroup(this, 'SecurityGroup', {
      vpc: network.vpc,
      description: 'Ingress tasks',
      allowAllOutbound: false,
    });
    // The regions of agents, and so the addresses of STS, are not known in advance.
    group.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'STS, ECS, registry and logs');
    if (params.vpcId !== undefined) {
      // Those of AWS need no rule, but a VPC may name others to its hosts.
      for (const port of [ec2.Port.udp(53), ec2.Port.tcp(53)]) {
        group.addEgressRule(ec2.Peer.anyIpv4(), port, 'Name servers');
      }
    }
    const allow = (source: ec2.ISecurityGroup, port: number, what: string) => {
      group.addIngressRule(source, ec2.Port.tcp(port), what);
      source.addEgressRule(group, ec2.Port.tcp(port), what);
    };
    allow(edge.sources.traffic, PORTS.traffic, 'Requests');
    allow(edge.sources.tunnels, PORTS.tunnels, 'Tunnels');
    for (const source of new Set([edge.sources.traffic, edge.sources.tunnels])) {
      allow(source, PORTS.health, 'Health checks');
    }
    params.serviceConnectClientSecurityGroupIds.forEach((id, index) => {
      const client = ec2.SecurityGroup.fromSecurityGroupId(this, `Client${index}`, id, {
        mutable: false,
      });
      group.addIngressRule(client, ec2.Port.tcp(PORTS.traffic), 'Requests by Service Connect');
      group.addIngressRule(client, ec2.Port.tcp(PORTS.tunnels), 'Tunnels by Service Connect');
    });
    return group;
  }

  private makeService(task: ecs.FargateTaskDefinition, group: ec2.SecurityGroup) {
    const { params, network, cluster } = this.props;
    const serviceConnect = this.serviceConnect();
    return new ecs.FargateService(this, 'Service', {
      serviceName: `${params.stackName}-ingress`,
      cluster,
      taskDefinition: task,
      desiredCount: params.desiredCount,
      // The old tasks serve until the new ones do.
      minHealthyPercent: 100,
      maxHealthyPercent: maxHealthyPercent(params),
      circuitBreaker: { enable: true, rollback: true },
      // ECS must not replace a task that still waits for agents, plus two checks to notice.
      healthCheckGracePeriod: Duration.seconds(params.warmUpSeconds + 60),
      vpcSubnets: network.taskSubnets,
      securityGroups: [group],
      assignPublicIp: params.assignPublicIp,
      propagateTags: ecs.PropagatedTagSource.SERVICE,
      enableECSManagedTags: true,
      ...(serviceConnect !== undefined && { serviceConnectConfiguration: serviceConnect }),
    });
  }

  /** Names for tasks in the VPC. Without an appProtocol bytes pass as they are, upgrades too. */
  private serviceConnect(): ecs.ServiceConnectProps | undefined {
    const { params } = this.props;
    if (params.serviceConnectNamespace === undefined) {
      return undefined;
    }
    const namespace = new HttpNamespace(this, 'Namespace', {
      name: params.serviceConnectNamespace,
      description: 'Anywhere Mesh',
    });
    const logs = logGroup(this, 'serviceConnect', params);
    return {
      namespace: namespace.namespaceArn,
      services: (['traffic', 'tunnels'] as const).map((portMappingName) => ({
        portMappingName,
        discoveryName: `mesh-ingress-${portMappingName}`,
        dnsName: 'mesh-ingress',
        port: PORTS[portMappingName],
      })),
      logDriver: logDriver(logs, 'service-connect'),
    };
  }

  /** ECS registers each task in both groups, and deregisters it before it stops it. */
  private register(): void {
    const { edge } = this.props;
    const target = (containerPort: number) =>
      this.service.loadBalancerTarget({ containerName: 'ingress', containerPort });
    edge.traffic.addTarget(target(PORTS.traffic));
    edge.tunnels.addTarget(target(PORTS.tunnels));
  }
}

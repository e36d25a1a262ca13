// What callers and agents connect to: load balancers, listeners, target groups and names.

import { Duration } from 'aws-cdk-lib';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import * as route53 from 'aws-cdk-lib/aws-route53';
import { LoadBalancerTarget } from 'aws-cdk-lib/aws-route53-targets';
import { Construct } from 'constructs';

import { HTTPS_PORT, PORTS, agentDomain } from './environment';
import { explain } from './nag';
import type { Network } from './network';
import type { Params } from './params';

export class Edge extends Construct {
  readonly loadBalancer: elb.ApplicationLoadBalancer;
  readonly traffic: elb.ApplicationTargetGroup;
  readonly tunnels: elb.ApplicationTargetGroup | elb.NetworkTargetGroup;
  /** Who may reach the traffic, the WebSocket and the health port. */
  readonly sources: { traffic: ec2.ISecurityGroup; tunnels: ec2.ISecurityGroup };

  constructor(
    scope: Construct,
    private readonly params: Params,
    private readonly network: Network,
  ) {
    super(scope, 'Edge');
    this.loadBalancer = this.makeLoadBalancer();
    const callers = this.securityGroupOf(this.loadBalancer);
    this.traffic = this.makeTrafficListener();
    if (params.agentLoadBalancer === 'nlb') {
      const agents = this.securityGroup('Agents', 'Agents, on their way to the ingress');
      const loadBalancer = this.makeNetworkLoadBalancer(agents);
      this.tunnels = this.makeNetworkListener(loadBalancer);
      this.sources = { traffic: callers, tunnels: agents };
      this.name('AgentsName', agentDomain(params), loadBalancer);
    } else {
      this.tunnels = this.makeTunnelListener();
      this.sources = { traffic: callers, tunnels: callers };
    }
    this.open();
    this.name('Name', params.domainName, this.loadBalancer);
    this.name('WildcardName', `*.${params.domainName}`, this.loadBalancer);
  }

  private makeLoadBalancer(): elb.ApplicationLoadBalancer {
    const { params, network } = this;
    const loadBalancer = new elb.ApplicationLoadBalancer(this, 'LoadBalancer', {
      vpc: network.vpc,
      vpcSubnets: network.loadBalancerSubnets,
      internetFacing: !params.internal,
      securityGroup: this.securityGroup('Callers', 'Callers, on their way to the ingress'),
      idleTimeout: Duration.seconds(params.idleTimeoutSeconds),
      deletionProtection: params.deletionProtection,
      // Fields with unusual names belong to the services; the ingress refuses what is ambiguous.
      dropInvalidHeaderFields: false,
      desyncMitigationMode: elb.DesyncMitigationMode.DEFENSIVE,
    });
    this.logTo(loadBalancer, params.loadBalancerLogsBucket);
    return loadBalancer;
  }

  /** By attributes, since the bucket and its policy are not of this stack. */
  private logTo(loadBalancer: elb.BaseLoadBalancer, bucket: string | undefined): void {
    if (bucket === undefined) {
      explain(
        loadBalancer,
        'ELB2',
        'Access logs need a bucket that outlives the stack: loadBalancerLogsBucket names it. ' +
          'The ingress has an access log of its own.',
      );
      return;
    }
    loadBalancer.setAttribute('access_logs.s3.enabled', 'true');
    loadBalancer.setAttribute('access_logs.s3.bucket', bucket);
    loadBalancer.setAttribute('access_logs.s3.prefix', this.params.stackName);
  }

  private makeTrafficListener(): elb.ApplicationTargetGroup {
    // With a warm-up, a young task fails /ready until agents have found it, so that callers come
    // after them. If there is no other task, the load balancer sends it requests nevertheless.
    const path = this.params.warmUpSeconds > 0 ? '/ready' : '/health';
    const group = this.applicationTargetGroup('TrafficTargets', PORTS.traffic, path);
    this.applicationListener('TrafficListener', HTTPS_PORT, group);
    return group;
  }

  private makeTunnelListener(): elb.ApplicationTargetGroup {
    const group = this.applicationTargetGroup('TunnelTargets', PORTS.tunnels, '/health');
    this.applicationListener('TunnelListener', this.params.agentPort, group);
    return group;
  }

  private applicationTargetGroup(id: string, port: number, path: string) {
    return new elb.ApplicationTargetGroup(this, id, {
      vpc: this.network.vpc,
      port,
      protocol: elb.ApplicationProtocol.HTTP,
      protocolVersion: elb.ApplicationProtocolVersion.HTTP1,
      targetType: elb.TargetType.IP,
      deregistrationDelay: Duration.seconds(this.params.deregistrationDelaySeconds),
      // An agent that looks for one more ingress is led to the one with the fewest tunnels, which
      // is the new one.
      loadBalancingAlgorithmType: elb.TargetGroupLoadBalancingAlgorithmType
        .LEAST_OUTSTANDING_REQUESTS,
      healthCheck: healthCheck(path),
    });
  }

  private applicationListener(id: string, port: number, group: elb.ApplicationTargetGroup): void {
    this.loadBalancer.addListener(id, {
      port,
      protocol: elb.ApplicationProtocol.HTTPS,
      certificates: [elb.ListenerCertificate.fromArn(this.params.certificateArn)],
      sslPolicy: this.tlsPolicy(),
      open: false,
      defaultTargetGroups: [group],
    });
  }

  private makeNetworkLoadBalancer(agents: ec2.ISecurityGroup): elb.NetworkLoadBalancer {
    const { params, network } = this;
    const loadBalancer = new elb.NetworkLoadBalancer(this, 'AgentLoadBalancer', {
      vpc: network.vpc,
      vpcSubnets: network.loadBalancerSubnets,
      internetFacing: !params.internal,
      securityGroups: [agents],
      // Each node must be able to lead agents to each task, or they never find all of them.
      crossZoneEnabled: true,
      deletionProtection: params.deletionProtection,
    });
    this.logTo(loadBalancer, params.loadBalancerLogsBucket);
    return loadBalancer;
  }

  private makeNetworkListener(loadBalancer: elb.NetworkLoadBalancer): elb.NetworkTargetGroup {
    const group = new elb.NetworkTargetGroup(this, 'AgentTargets', {
      vpc: this.network.vpc,
      port: PORTS.tunnels,
      protocol: elb.Protocol.TCP,
      targetType: elb.TargetType.IP,
      // The ingress sees the load balancer's addresses, which its security group can name.
      preserveClientIp: false,
      deregistrationDelay: Duration.seconds(this.params.deregistrationDelaySeconds),
      healthCheck: healthCheck('/health'),
    });
    // An ingress that drains fails its health check, and serves what is under way: its tunnels are
    // not to be reset for that. One that is gone is noticed by the echo.
    group.setAttribute('target_health_state.unhealthy.connection_termination.enabled', 'false');
    loadBalancer.addListener('TunnelListener', {
      port: this.params.agentPort,
      protocol: elb.Protocol.TLS,
      certificates: [elb.ListenerCertificate.fromArn(this.params.certificateArn)],
      sslPolicy: this.tlsPolicy(),
      defaultTargetGroups: [group],
    });
    return group;
  }

  private tlsPolicy(): elb.SslPolicy {
    // The enumeration is a list of names, and AWS adds policies before the CDK knows them.
    return this.params.tlsPolicy as elb.SslPolicy;
  }

  private securityGroup(id: string, description: string): ec2.SecurityGroup {
    const { vpc } = this.network;
    return new ec2.SecurityGroup(this, id, { vpc, description, allowAllOutbound: false });
  }

  private securityGroupOf(loadBalancer: elb.ApplicationLoadBalancer): ec2.ISecurityGroup {
    const [group] = loadBalancer.connections.securityGroups;
    if (group === undefined) {
      throw new Error('the load balancer was made with a security group');
    }
    return group;
  }

  /** Lets in who may come from outside. */
  private open(): void {
    const { params, sources } = this;
    for (const range of params.callerCidrs) {
      const what = 'Callers, by HTTPS';
      sources.traffic.addIngressRule(ec2.Peer.ipv4(range), ec2.Port.tcp(HTTPS_PORT), what);
    }
    for (const range of params.agentCidrs) {
      const what = 'Agents, by WebSocket';
      sources.tunnels.addIngressRule(ec2.Peer.ipv4(range), ec2.Port.tcp(params.agentPort), what);
    }
    for (const group of new Set([sources.traffic, sources.tunnels])) {
      explain(
        group,
        'EC23',
        'Callers and agents come from anywhere unless callerCidrs and agentCidrs say otherwise; ' +
          'agents have to prove who they are.',
      );
    }
  }

  private name(id: string, name: string, loadBalancer: elb.ILoadBalancerV2): void {
    const { hostedZoneId, hostedZoneName: zoneName } = this.params;
    const zone = route53.HostedZone.fromHostedZoneAttributes(this, `${id}Zone`, {
      hostedZoneId,
      zoneName,
    });
    new route53.ARecord(this, id, {
      zone,
      recordName: name,
      target: route53.RecordTarget.fromAlias(new LoadBalancerTarget(loadBalancer)),
      comment: 'Anywhere Mesh',
    });
  }
}

/** On the health port, where no service behind the mesh can answer in place of the ingress. */
function healthCheck(path: string) {
  return {
    protocol: elb.Protocol.HTTP,
    port: String(PORTS.health),
    path,
    healthyHttpCodes: '200',
    interval: Duration.seconds(10),
    timeout: Duration.seconds(5),
    healthyThresholdCount: 2,
    unhealthyThresholdCount: 2,
  };
}

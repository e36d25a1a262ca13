// Load balancers, listeners, target groups, names and who may reach what.

import { Match, type Template } from 'aws-cdk-lib/assertions';

import { EVERYTHING, MINIMAL, TEST_APP, VPC, environment, templateWith } from './support';

const LISTENER = 'AWS::ElasticLoadBalancingV2::Listener';
const BALANCER = 'AWS::ElasticLoadBalancingV2::LoadBalancer';
const TARGETS = 'AWS::ElasticLoadBalancingV2::TargetGroup';
const attribute = (Key: string, Value: string) => Match.arrayWith([{ Key, Value }]);

describe('with an Application Load Balancer alone', () => {
  let template: Template;
  beforeAll(() => {
    template = templateWith();
  });

  test('there is one, for the internet', () => {
    template.resourceCountIs(BALANCER, 1);
    template.hasResourceProperties(BALANCER, { Type: 'application', Scheme: 'internet-facing' });
  });

  test.each([
    ['idle_timeout.timeout_seconds', '60'],
    ['deletion_protection.enabled', 'false'],
    ['routing.http.drop_invalid_header_fields.enabled', 'false'],
    ['routing.http.desync_mitigation_mode', 'defensive'],
  ])('its %s is %s', (key, value) => {
    template.hasResourceProperties(BALANCER, { LoadBalancerAttributes: attribute(key, value) });
  });

  test.each([443, 8082])('port %i speaks TLS 1.2 and 1.3 with the given certificate', (Port) => {
    template.hasResourceProperties(LISTENER, {
      Port,
      Protocol: 'HTTPS',
      SslPolicy: 'ELBSecurityPolicy-TLS13-1-2-Res-2021-06',
      Certificates: [{ CertificateArn: MINIMAL.certificateArn }],
    });
  });

  test('no other port is open', () => {
    template.resourceCountIs(LISTENER, 2);
  });

  test.each([
    [443, 8080],
    [8082, 8082],
  ])('port %i forwards to port %i of the tasks', (from, to) => {
    const [listener] = Object.values(template.findResources(LISTENER, { Properties: { Port: from } }));
    const [action] = listener?.['Properties'].DefaultActions;
    expect(action.Type).toBe('forward');
    const targets = template.findResources(TARGETS, { Properties: { Port: to } });
    expect(Object.keys(targets)).toEqual([action.TargetGroupArn.Ref]);
  });

  test.each([
    [8080, '/ready'],
    [8082, '/health'],
  ])('targets on port %i are checked by %s of the health port', (Port, HealthCheckPath) => {
    template.hasResourceProperties(TARGETS, {
      Port,
      Protocol: 'HTTP',
      ProtocolVersion: 'HTTP1',
      TargetType: 'ip',
      HealthCheckPath,
      HealthCheckPort: '8081',
      HealthCheckProtocol: 'HTTP',
      HealthCheckIntervalSeconds: 10,
      HealthCheckTimeoutSeconds: 5,
      HealthyThresholdCount: 2,
      UnhealthyThresholdCount: 2,
      Matcher: { HttpCode: '200' },
      TargetGroupAttributes: Match.arrayWith([
        { Key: 'deregistration_delay.timeout_seconds', Value: '60' },
      ]),
    });
  });

  test('the least busy task gets requests and tunnels', () => {
    template.allResourcesProperties(TARGETS, {
      TargetGroupAttributes: attribute(
        'load_balancing.algorithm.type',
        'least_outstanding_requests',
      ),
    });
  });

  test.each(['mesh.example.com.', '*.mesh.example.com.'])('%s leads there', (Name) => {
    template.hasResourceProperties('AWS::Route53::RecordSet', {
      Name,
      Type: 'A',
      HostedZoneId: MINIMAL.hostedZoneId,
      AliasTarget: {
        DNSName: Match.anyValue(),
        HostedZoneId: { 'Fn::GetAtt': [Match.anyValue(), 'CanonicalHostedZoneID'] },
      },
    });
    template.resourceCountIs('AWS::Route53::RecordSet', 2);
  });

  test('the world reaches these two ports and no task', () => {
    const groups = Object.values(template.findResources('AWS::EC2::SecurityGroup'));
    const open = groups.flatMap((group) => group['Properties'].SecurityGroupIngress ?? []);
    expect(open.map((rule: Record<string, unknown>) => [rule['CidrIp'], rule['FromPort']])).toEqual(
      [
        ['0.0.0.0/0', 443],
        ['0.0.0.0/0', 8082],
      ],
    );
  });

  test('the load balancer reaches the three ports of the tasks, and nothing else', () => {
    const ports = (type: string) =>
      Object.values(template.findResources(type))
        .map(({ Properties }) => [Properties.FromPort, Properties.ToPort, Properties.IpProtocol])
        .sort();
    const expected = [
      [8080, 8080, 'tcp'],
      [8081, 8081, 'tcp'],
      [8082, 8082, 'tcp'],
    ];
    expect(ports('AWS::EC2::SecurityGroupIngress')).toEqual(expected);
    expect(ports('AWS::EC2::SecurityGroupEgress')).toEqual(expected);
  });

  test('tasks reach HTTPS and nothing else', () => {
    template.hasResourceProperties('AWS::EC2::SecurityGroup', {
      GroupDescription: 'Ingress tasks',
      SecurityGroupEgress: [Match.objectLike({ FromPort: 443, ToPort: 443, IpProtocol: 'tcp' })],
    });
  });

  test('the VPC is made, with two zones, one way out and a log of what is refused', () => {
    template.resourceCountIs('AWS::EC2::VPC', 1);
    template.resourceCountIs('AWS::EC2::Subnet', 4);
    template.resourceCountIs('AWS::EC2::NatGateway', 1);
    template.hasResourceProperties('AWS::EC2::FlowLog', { TrafficType: 'REJECT' });
  });

  test('with two ways out, each zone has its own', () => {
    const gateways = (natGateways: number) => {
      const routes = templateWith({ natGateways }).findResources('AWS::EC2::Route', {
        Properties: { NatGatewayId: Match.anyValue() },
      });
      return Object.values(routes).map(({ Properties }) => JSON.stringify(Properties.NatGatewayId));
    };
    expect(gateways(1)).toHaveLength(2);
    expect(new Set(gateways(1)).size).toBe(1);
    expect(new Set(gateways(2)).size).toBe(2);
  });
});

describe('parameters', () => {
  test('a VPC that is there is used', () => {
    const template = templateWith(VPC);
    template.resourceCountIs('AWS::EC2::VPC', 0);
    template.hasResourceProperties(BALANCER, { Subnets: VPC.loadBalancerSubnetIds });
    template.hasResourceProperties('AWS::ECS::Service', {
      NetworkConfiguration: {
        AwsvpcConfiguration: { Subnets: VPC.taskSubnetIds, AssignPublicIp: 'DISABLED' },
      },
    });
    template.allResourcesProperties('AWS::EC2::SecurityGroup', { VpcId: VPC.vpcId });
  });

  test('its name servers are asked, which may be its own', () => {
    templateWith(VPC).hasResourceProperties('AWS::EC2::SecurityGroup', {
      GroupDescription: 'Ingress tasks',
      SecurityGroupEgress: [
        Match.objectLike({ FromPort: 443, ToPort: 443, IpProtocol: 'tcp' }),
        Match.objectLike({ FromPort: 53, ToPort: 53, IpProtocol: 'udp' }),
        Match.objectLike({ FromPort: 53, ToPort: 53, IpProtocol: 'tcp' }),
      ],
    });
  });

  test('internal, ranges, TLS policy, timeouts and protection', () => {
    const template = templateWith({
      internal: true,
      callerCidrs: ['10.0.0.0/8'],
      agentCidrs: ['192.0.2.0/24', '198.51.100.0/24'],
      tlsPolicy: 'ELBSecurityPolicy-TLS13-1-3-2021-06',
      idleTimeoutSeconds: 300,
      deregistrationDelaySeconds: 5,
      deletionProtection: true,
    });
    template.hasResourceProperties(BALANCER, { Scheme: 'internal' });
    template.hasResourceProperties(BALANCER, {
      LoadBalancerAttributes: attribute('idle_timeout.timeout_seconds', '300'),
    });
    template.hasResourceProperties(BALANCER, {
      LoadBalancerAttributes: attribute('deletion_protection.enabled', 'true'),
    });
    template.allResourcesProperties(LISTENER, { SslPolicy: 'ELBSecurityPolicy-TLS13-1-3-2021-06' });
    template.allResourcesProperties(TARGETS, {
      TargetGroupAttributes: attribute('deregistration_delay.timeout_seconds', '5'),
    });
    template.hasResourceProperties('AWS::EC2::SecurityGroup', {
      SecurityGroupIngress: [
        Match.objectLike({ CidrIp: '10.0.0.0/8', FromPort: 443 }),
        Match.objectLike({ CidrIp: '192.0.2.0/24', FromPort: 8082 }),
        Match.objectLike({ CidrIp: '198.51.100.0/24', FromPort: 8082 }),
      ],
    });
  });

  test.each([
    ['alb', 8443, 'HTTPS', 'wss://mesh.example.com:8443'],
    ['nlb', 443, 'TLS', 'wss://agents.mesh.example.com'],
  ])('agents dial the %s at port %i', (agentLoadBalancer, agentPort, Protocol, Value) => {
    const template = templateWith({ agentLoadBalancer, agentPort, testWorkload: { image: TEST_APP } });
    template.hasResourceProperties(LISTENER, { Port: agentPort, Protocol });
    template.resourcePropertiesCountIs(LISTENER, { Port: 8082 }, 0);
    template.hasResourceProperties(TARGETS, { Port: 8082 });
    template.hasOutput('AgentEndpoint', { Value });
    expect(environment(template, 'agent')['MESH_INGRESS_ENDPOINT']).toBe(Value);
    template.hasResourceProperties('AWS::EC2::SecurityGroup', {
      SecurityGroupIngress: Match.arrayWith([
        Match.objectLike({ Description: 'Agents, by WebSocket', FromPort: agentPort }),
      ]),
    });
  });

  test('without a warm-up nothing waits for /ready', () => {
    templateWith({ warmUpSeconds: 0 }).allResourcesProperties(TARGETS, {
      HealthCheckPath: '/health',
    });
  });

  test('access logs of the load balancer go to the given bucket', () => {
    const template = templateWith({ loadBalancerLogsBucket: 'example-logs' });
    template.hasResourceProperties(BALANCER, {
      LoadBalancerAttributes: attribute('access_logs.s3.enabled', 'true'),
    });
    template.hasResourceProperties(BALANCER, {
      LoadBalancerAttributes: attribute('access_logs.s3.bucket', 'example-logs'),
    });
    // The bucket is not of this stack, and so its policy is not either.
    template.resourceCountIs('AWS::S3::BucketPolicy', 0);
  });
});

describe('with a Network Load Balancer for agents', () => {
  let template: Template;
  beforeAll(() => {
    template = templateWith(EVERYTHING);
  });

  test('each has one listener', () => {
    template.resourceCountIs(BALANCER, 2);
    template.resourceCountIs(LISTENER, 2);
    template.hasResourceProperties(LISTENER, { Port: 443, Protocol: 'HTTPS' });
    template.hasResourceProperties(LISTENER, {
      Port: 8082,
      Protocol: 'TLS',
      SslPolicy: 'ELBSecurityPolicy-TLS13-1-2-Res-2021-06',
      Certificates: [{ CertificateArn: MINIMAL.certificateArn }],
    });
  });

  test('each of its nodes leads to each task', () => {
    template.hasResourceProperties(BALANCER, {
      Type: 'network',
      Scheme: 'internet-facing',
      LoadBalancerAttributes: attribute('load_balancing.cross_zone.enabled', 'true'),
    });
  });

  test('its targets are checked by HTTP, and see its addresses', () => {
    template.hasResourceProperties(TARGETS, {
      Port: 8082,
      Protocol: 'TCP',
      TargetType: 'ip',
      HealthCheckProtocol: 'HTTP',
      HealthCheckPath: '/health',
      HealthCheckPort: '8081',
      TargetGroupAttributes: Match.arrayWith([
        { Key: 'deregistration_delay.timeout_seconds', Value: '60' },
        { Key: 'preserve_client_ip.enabled', Value: 'false' },
      ]),
    });
  });

  test('an ingress that drains keeps its tunnels, although it fails its health check', () => {
    template.hasResourceProperties(TARGETS, {
      Port: 8082,
      TargetGroupAttributes: attribute(
        'target_health_state.unhealthy.connection_termination.enabled',
        'false',
      ),
    });
  });

  test('agents have a name of their own', () => {
    template.hasResourceProperties('AWS::Route53::RecordSet', { Name: 'agents.mesh.example.com.' });
    template.resourceCountIs('AWS::Route53::RecordSet', 3);
    template.hasOutput('AgentEndpoint', { Value: 'wss://agents.mesh.example.com:8082' });
  });

  test('each load balancer reaches its own port and the health port', () => {
    const rules = Object.values(template.findResources('AWS::EC2::SecurityGroupEgress'));
    const bySource = new Map<string, number[]>();
    for (const { Properties } of rules) {
      const source = JSON.stringify(Properties.GroupId);
      bySource.set(source, [...(bySource.get(source) ?? []), Properties.FromPort]);
    }
    const ports = [...bySource.values()].map((found) => found.sort());
    expect(ports.sort()).toEqual([
      [8080, 8081],
      [8081, 8082],
    ]);
  });
});

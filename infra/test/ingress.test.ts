// The Fargate service of the ingress: task, configuration, permissions, deployment.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Match, type Template } from 'aws-cdk-lib/assertions';

import {
  EVERYTHING,
  IMAGE,
  ROLE,
  TEST_APP,
  container,
  environment,
  flat,
  policiesOf,
  serviceOf,
  statements,
  taskOf,
  templateWith,
} from './support';

const TASK_ROLE = 'What an ingress may ask ECS; STS needs no permission';
const EXECUTION_ROLE = 'Pulls the image and writes the log';
const SERVICE = 'AWS::ECS::Service';

describe('by default', () => {
  let template: Template;
  beforeAll(() => {
    template = templateWith();
  });

  test('the task is one of Fargate, on ARM64', () => {
    expect(taskOf(template, 'ingress')).toMatchObject({
      Family: 'mesh-ingress',
      Cpu: '512',
      Memory: '1024',
      NetworkMode: 'awsvpc',
      RequiresCompatibilities: ['FARGATE'],
      RuntimePlatform: { CpuArchitecture: 'ARM64', OperatingSystemFamily: 'LINUX' },
    });
  });

  test('the container runs the server, without root, capabilities or a place to write', () => {
    expect(container(template, 'ingress')).toMatchObject({
      Image: IMAGE,
      Command: ['server'],
      Essential: true,
      User: '65532:65532',
      ReadonlyRootFilesystem: true,
      LinuxParameters: { Capabilities: { Drop: ['ALL'] } },
      StopTimeout: 120,
      Ulimits: [{ Name: 'nofile', SoftLimit: 65535, HardLimit: 65535 }],
      PortMappings: [
        { Name: 'traffic', ContainerPort: 8080, Protocol: 'tcp' },
        { Name: 'health', ContainerPort: 8081, Protocol: 'tcp' },
        { Name: 'tunnels', ContainerPort: 8082, Protocol: 'tcp' },
      ],
    });
    expect(container(template, 'ingress')['Secrets']).toBeUndefined();
  });

  test('it is configured by variables', () => {
    expect(environment(template, 'ingress')).toEqual({
      MESH_ALB_PORT: '8080',
      MESH_HEALTH_PORT: '8081',
      MESH_WEBSOCKET_PORT: '8082',
      MESH_SERVER_ID: 'mesh.example.com',
      MESH_ALLOWED_ROLE_ARNS: ROLE,
      MESH_ALLOWED_CLUSTERS: 'mesh',
      MESH_REQUEST_TIMEOUT: '30',
      MESH_IDLE_TIMEOUT: '75',
      MESH_DRAIN_TIMEOUT: '100',
      MESH_WARM_UP: '60',
      MESH_MAX_CONNECTIONS: '1150',
      MESH_MAX_CONNECTIONS_PER_ADDRESS: '1150',
      MESH_MAX_TUNNELS: '100',
      MESH_STREAM_WINDOW: '64KiB',
      MESH_WINDOW_GROWTH: '2048KiB',
      MESH_WORKERS: '1',
      MESH_ACCESS_LOG: 'off',
      MESH_LOG_LEVEL: 'info',
    });
  });

  test('nothing turns the proof of identity off', () => {
    expect(JSON.stringify(template.toJSON())).not.toContain('SKIP_IAM');
  });

  test('timeouts nest: drain < SIGKILL, and the load balancer hangs up first', () => {
    const variables = environment(template, 'ingress');
    expect(Number(variables['MESH_DRAIN_TIMEOUT'])).toBeLessThan(120);
    expect(Number(variables['MESH_REQUEST_TIMEOUT'])).toBeLessThan(60);
    expect(Number(variables['MESH_IDLE_TIMEOUT'])).toBeGreaterThan(60);
  });

  test('a slow log loses lines rather than time', () => {
    expect(container(template, 'ingress')['LogConfiguration']).toMatchObject({
      LogDriver: 'awslogs',
      Options: { mode: 'non-blocking', 'awslogs-stream-prefix': 'ingress' },
    });
    template.hasResource('AWS::Logs::LogGroup', {
      Properties: { LogGroupName: '/mesh/mesh/ingress', RetentionInDays: 30 },
      DeletionPolicy: 'Delete',
    });
  });

  test('two tasks run, and a deployment starts one more before it stops one', () => {
    template.hasResourceProperties(SERVICE, {
      ServiceName: 'mesh-ingress',
      LaunchType: 'FARGATE',
      DesiredCount: 2,
      DeploymentConfiguration: Match.objectLike({
        MinimumHealthyPercent: 100,
        MaximumPercent: 150,
        DeploymentCircuitBreaker: { Enable: true, Rollback: true },
      }),
      HealthCheckGracePeriodSeconds: 120,
      NetworkConfiguration: { AwsvpcConfiguration: { AssignPublicIp: 'DISABLED' } },
      ServiceConnectConfiguration: Match.absent(),
    });
    template.hasOutput('AgentTunnels', { Value: '3' });
  });

  test('it is registered in both target groups, once there are listeners', () => {
    const [service] = Object.values(template.findResources(SERVICE));
    const balancers = service?.['Properties'].LoadBalancers;
    expect(balancers).toMatchObject([
      { ContainerName: 'ingress', ContainerPort: 8080 },
      { ContainerName: 'ingress', ContainerPort: 8082 },
    ]);
    const listeners = Object.keys(
      template.findResources('AWS::ElasticLoadBalancingV2::Listener'),
    );
    expect(service?.['DependsOn']).toEqual(expect.arrayContaining(listeners));
  });

  test('it starts once its tasks may do what they have to, and have a way out', () => {
    const policies = [TASK_ROLE, EXECUTION_ROLE].flatMap((role) =>
      Object.keys(policiesOf(template, role)),
    );
    const routes = Object.keys(
      template.findResources('AWS::EC2::Route', {
        Properties: { NatGatewayId: Match.anyValue() },
      }),
    );
    expect([policies.length, routes.length]).toEqual([2, 2]);
    const { after } = serviceOf(template, 'FARGATE');
    expect(after).toEqual(expect.arrayContaining([...policies, ...routes]));
  });

  test('the cluster is watched', () => {
    template.hasResourceProperties('AWS::ECS::Cluster', {
      ClusterName: 'mesh',
      ClusterSettings: [{ Name: 'containerInsights', Value: 'enabled' }],
    });
    templateWith({ containerInsights: false }).hasResourceProperties('AWS::ECS::Cluster', {
      ClusterSettings: [{ Name: 'containerInsights', Value: 'disabled' }],
    });
  });

  test('the ingress may ask about the cluster, and do nothing else', () => {
    const found = statements(template, TASK_ROLE).map(({ Effect, Action, Resource }) => [
      Effect,
      Action,
      flat(Resource),
    ]);
    const arn = (rest: string) =>
      `arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:${rest}`;
    expect(found).toEqual([
      ['Allow', 'ecs:DescribeTasks', arn('task/mesh/*')],
      ['Allow', 'ecs:DescribeContainerInstances', arn('container-instance/mesh/*')],
      ['Allow', 'ecs:DescribeServices', arn('service/mesh/*')],
      ['Allow', 'ecs:DescribeClusters', arn('cluster/mesh')],
    ]);
  });

  test('the ECS agent may pull this image and write this log', () => {
    const actions = statements(template, EXECUTION_ROLE).map(({ Action, Resource }) => [
      Action,
      flat(Resource),
    ]);
    expect(actions).toEqual([
      [
        ['ecr:BatchCheckLayerAvailability', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
        'arn:<AWS::Partition>:ecr:eu-central-1:123456789012:repository/mesh',
      ],
      ['ecr:GetAuthorizationToken', '*'],
      [['logs:CreateLogStream', 'logs:PutLogEvents'], expect.stringMatching(/Logs\w*\.Arn>$/)],
    ]);
  });

  test('roles of tasks are trusted to ECS alone, and for this account', () => {
    for (const Description of [TASK_ROLE, EXECUTION_ROLE]) {
      template.hasResourceProperties('AWS::IAM::Role', {
        Description,
        ManagedPolicyArns: Match.absent(),
        AssumeRolePolicyDocument: {
          Statement: [
            {
              Action: 'sts:AssumeRole',
              Effect: 'Allow',
              Principal: { Service: 'ecs-tasks.amazonaws.com' },
              Condition: {
                StringEquals: { 'aws:SourceAccount': { Ref: 'AWS::AccountId' } },
                ArnLike: { 'aws:SourceArn': Match.anyValue() },
              },
            },
          ],
        },
      });
    }
  });
});

describe('parameters', () => {
  test('size, number and architecture', () => {
    const template = templateWith({
      cpuArchitecture: 'X86_64',
      cpu: 2048,
      memory: 4096,
      desiredCount: 3,
      maxHealthyPercent: 150,
      warmUpSeconds: 90,
      maxConnections: 5000,
      streamWindowKiB: 128,
      windowGrowthKiB: 4096,
    });
    expect(taskOf(template, 'ingress')).toMatchObject({
      Cpu: '2048',
      Memory: '4096',
      RuntimePlatform: { CpuArchitecture: 'X86_64' },
    });
    template.hasResourceProperties(SERVICE, {
      DesiredCount: 3,
      DeploymentConfiguration: Match.objectLike({ MaximumPercent: 150 }),
      HealthCheckGracePeriodSeconds: 150,
    });
    template.hasOutput('AgentTunnels', { Value: '4' });
    expect(environment(template, 'ingress')).toMatchObject({
      MESH_WARM_UP: '90',
      MESH_MAX_CONNECTIONS: '5000',
      MESH_MAX_CONNECTIONS_PER_ADDRESS: '5000',
      MESH_STREAM_WINDOW: '128KiB',
      MESH_WINDOW_GROWTH: '4096KiB',
      MESH_WORKERS: '2',
    });
  });

  test('how long agents outlast a silence of ECS, where it is given', () => {
    const variables = environment(templateWith({ ecsGraceSeconds: 1800 }), 'ingress');
    expect(variables['MESH_ECS_GRACE']).toBe('1800');
    const without = templateWith({ configPath: '/etc/mesh/server.yaml', allowedRoleArns: [] });
    expect(environment(without, 'ingress')).not.toHaveProperty('MESH_ECS_GRACE');
  });

  test('the ingress outlasts the idle timeout of the load balancer, whatever it is', () => {
    const template = templateWith({ idleTimeoutSeconds: 600 });
    expect(environment(template, 'ingress')['MESH_IDLE_TIMEOUT']).toBe('615');
  });

  test('clusters elsewhere are asked about elsewhere', () => {
    const template = templateWith(EVERYTHING);
    const describe = statements(template, TASK_ROLE).filter(
      ({ Action }) => Action === 'ecs:DescribeTasks',
    );
    expect(describe.flatMap(({ Resource }) => (Resource as unknown[]).map(flat))).toEqual([
      'arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:task/mesh/*',
      'arn:aws:ecs:eu-west-1:123456789012:task/edge/*',
    ]);
    expect(environment(template, 'ingress')['MESH_ALLOWED_CLUSTERS']).toBe(
      'mesh,arn:aws:ecs:eu-west-1:123456789012:cluster/edge',
    );
  });

  test('without clusters ECS is not asked', () => {
    const template = templateWith({ allowedClusters: [] });
    expect(statements(template, TASK_ROLE)).toEqual([]);
    expect(environment(template, 'ingress')).not.toHaveProperty('MESH_ALLOWED_CLUSTERS');
  });

  test('tokens come from Secrets Manager, and only their secret may be read', () => {
    const { tokensSecretArn } = EVERYTHING;
    const template = templateWith({ tokensSecretArn, allowedRoleArns: [] });
    expect(container(template, 'ingress')['Secrets']).toEqual([
      { Name: 'MESH_TOKENS', ValueFrom: tokensSecretArn },
    ]);
    expect(statements(template, EXECUTION_ROLE)).toContainEqual({
      Action: ['secretsmanager:GetSecretValue', 'secretsmanager:DescribeSecret'],
      Effect: 'Allow',
      Resource: tokensSecretArn,
    });
    const variables = environment(template, 'ingress');
    expect(variables).not.toHaveProperty('MESH_ALLOWED_ROLE_ARNS');
    // Clusters without roles would keep the ingress from starting.
    expect(variables).not.toHaveProperty('MESH_ALLOWED_CLUSTERS');
  });

  test('the key of the secret may be used for reading it, if it is named', () => {
    const { tokensSecretArn, tokensKeyArn } = EVERYTHING;
    const template = templateWith({ tokensSecretArn, tokensKeyArn });
    const [decrypting] = statements(template, EXECUTION_ROLE).filter(
      ({ Action }) => Action === 'kms:Decrypt',
    );
    expect(decrypting).toMatchObject({ Effect: 'Allow', Resource: tokensKeyArn });
    const without = JSON.stringify(statements(templateWith({ tokensSecretArn }), EXECUTION_ROLE));
    expect(without).not.toContain('kms:');
  });

  test('rules of a file may name more clusters, which are asked about and demanded of nobody', () => {
    const template = templateWith({
      allowedRoleArns: [],
      configPath: '/etc/mesh/server.yaml',
      describableClusters: ['production'],
    });
    expect(environment(template, 'ingress')).not.toHaveProperty('MESH_ALLOWED_CLUSTERS');
    const [clusters] = statements(template, TASK_ROLE).filter(
      ({ Action }) => Action === 'ecs:DescribeClusters',
    );
    expect(JSON.stringify(clusters?.['Resource'])).toMatch(/cluster\/mesh".*cluster\/production"/);
  });

  test.each([
    '123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com/mesh:0.1.0',
    '123456789012.dkr-ecr.eu-central-1.on.aws/mesh:0.1.0',
    '123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn/mesh:0.1.0',
  ])('%s may be pulled', (ingressImage) => {
    const pulled = JSON.stringify(statements(templateWith({ ingressImage }), EXECUTION_ROLE));
    expect(pulled).toContain(':123456789012:repository/mesh"');
  });

  test('a file in the image decides alone who may register', () => {
    const template = templateWith({
      allowedRoleArns: [],
      configPath: '/etc/mesh/server.yaml',
      testWorkload: { image: TEST_APP },
    });
    const variables = environment(template, 'ingress');
    expect(variables['MESH_CONFIG']).toBe('/etc/mesh/server.yaml');
    expect(variables).not.toHaveProperty('MESH_ALLOWED_ROLE_ARNS');
    expect(variables).not.toHaveProperty('MESH_ALLOWED_CLUSTERS');
    expect(statements(template, TASK_ROLE)).toHaveLength(4);
  });

  test('images outside of ECR need no permission', () => {
    const template = templateWith({ ingressImage: 'registry.example.com/mesh:0.1.0' });
    const actions = JSON.stringify(statements(template, EXECUTION_ROLE));
    expect(actions).not.toContain('ecr:');
    expect(actions).toContain('logs:PutLogEvents');
  });

  test('logs', () => {
    const template = templateWith({
      accessLog: 'json',
      logLevel: 'debug',
      logRetentionDays: 365,
      stackName: 'other',
    });
    expect(environment(template, 'ingress')).toMatchObject({
      MESH_ACCESS_LOG: 'json',
      MESH_LOG_LEVEL: 'debug',
    });
    template.allResourcesProperties('AWS::Logs::LogGroup', { RetentionInDays: 365 });
    template.hasResourceProperties('AWS::Logs::LogGroup', { LogGroupName: '/mesh/other/ingress' });
  });

  test('a public address, where tasks have no other way out', () => {
    const { vpcId, loadBalancerSubnetIds, taskSubnetIds } = EVERYTHING;
    templateWith({
      vpcId,
      loadBalancerSubnetIds,
      taskSubnetIds,
      assignPublicIp: true,
    }).hasResourceProperties(SERVICE, {
      NetworkConfiguration: { AwsvpcConfiguration: { AssignPublicIp: 'ENABLED' } },
    });
  });
});

describe('with Service Connect', () => {
  let template: Template;
  beforeAll(() => {
    template = templateWith(EVERYTHING);
  });

  test('tasks of the namespace reach both ports under one name', () => {
    template.hasResourceProperties('AWS::ServiceDiscovery::HttpNamespace', {
      Name: 'mesh.internal',
    });
    template.hasResourceProperties(SERVICE, {
      ServiceConnectConfiguration: {
        Enabled: true,
        Namespace: { 'Fn::GetAtt': [Match.anyValue(), 'Arn'] },
        Services: [
          {
            PortName: 'traffic',
            DiscoveryName: 'mesh-ingress-traffic',
            ClientAliases: [{ DnsName: 'mesh-ingress', Port: 8080 }],
          },
          {
            PortName: 'tunnels',
            DiscoveryName: 'mesh-ingress-tunnels',
            ClientAliases: [{ DnsName: 'mesh-ingress', Port: 8082 }],
          },
        ],
        LogConfiguration: Match.objectLike({ LogDriver: 'awslogs' }),
      },
    });
  });

  test('bytes pass as they are, so that upgrades work', () => {
    const [first] = container(template, 'ingress')['PortMappings'] as Record<string, unknown>[];
    expect(first).not.toHaveProperty('AppProtocol');
  });

  test('only the given clients reach the tasks besides the load balancers', () => {
    for (const FromPort of [8080, 8082]) {
      template.hasResourceProperties('AWS::EC2::SecurityGroupIngress', {
        FromPort,
        SourceSecurityGroupId: 'sg-0123456789abcdef0',
      });
    }
  });
});

test('every variable is a setting that the product has', () => {
  const documented = readFileSync(join(__dirname, '../../docs/configuration.md'), 'utf8');
  const template = templateWith({ ...EVERYTHING, configPath: '/etc/mesh/server.yaml' });
  const names = ['ingress', 'agent'].flatMap((name) => Object.keys(environment(template, name)));
  expect(names.length).toBeGreaterThan(20);
  for (const name of names) {
    const flag = name.replace(/^MESH_/, '--').toLowerCase().replaceAll('_', '-');
    expect(documented).toContain(`\`${flag}\``);
  }
});

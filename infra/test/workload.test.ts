// The test workload on ECS Anywhere, and the alarms.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { Match, type Template } from 'aws-cdk-lib/assertions';

import { FULL, REFUSAL, SILENCE } from '../lib/alarms';
import {
  EVERYTHING,
  IMAGE,
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

const AGENT_ROLE = 'Who the agents of the test workload are';
const EXECUTION_ROLE = 'Pulls the images and writes the log';
const ALARM = 'AWS::CloudWatch::Alarm';

describe('the test workload', () => {
  let template: Template;
  beforeAll(() => {
    template = templateWith({
      testWorkload: { image: TEST_APP, host: 'try', desiredCount: 1 },
    });
  });

  test('is not there unless it is asked for', () => {
    templateWith().resourceCountIs('AWS::ECS::Service', 1);
  });

  test('runs on hosts outside of AWS', () => {
    expect(taskOf(template, 'agent')).toMatchObject({
      Family: 'mesh-try',
      NetworkMode: 'bridge',
      RequiresCompatibilities: ['EXTERNAL'],
    });
    template.hasResourceProperties('AWS::ECS::Service', {
      ServiceName: 'mesh-try',
      LaunchType: 'EXTERNAL',
      DesiredCount: 1,
      DeploymentConfiguration: Match.objectLike({
        MinimumHealthyPercent: 100,
        MaximumPercent: 200,
        DeploymentCircuitBreaker: { Enable: true, Rollback: true },
      }),
      NetworkConfiguration: Match.absent(),
      LoadBalancers: Match.absent(),
    });
  });

  test('waits for a host before it has tasks', () => {
    const waiting = templateWith({ testWorkload: { image: TEST_APP } });
    waiting.hasResourceProperties('AWS::ECS::Service', {
      LaunchType: 'EXTERNAL',
      DesiredCount: 0,
    });
  });

  test('is deployed after the ingress', () => {
    expect(serviceOf(template, 'EXTERNAL').after).toContain(serviceOf(template, 'FARGATE').id);
  });

  test('starts once ECS may pull its images, and it may do what it has to', () => {
    const open = templateWith(EVERYTHING);
    const policies = [AGENT_ROLE, EXECUTION_ROLE].flatMap((role) =>
      Object.keys(policiesOf(open, role)),
    );
    expect(policies).toHaveLength(2);
    expect(serviceOf(open, 'EXTERNAL').after).toEqual(expect.arrayContaining(policies));
  });

  test('has an agent that dials the ingress and serves the service beside it', () => {
    expect(container(template, 'agent')).toMatchObject({
      Image: IMAGE,
      Command: ['client'],
      Essential: true,
      User: '65532:65532',
      ReadonlyRootFilesystem: true,
      Links: ['test-app:test-app'],
      // Longer than the agent's drain, and the service is stopped after it.
      StopTimeout: 40,
      DependsOn: [{ ContainerName: 'test-app', Condition: 'START' }],
      HealthCheck: { Command: ['CMD', '/mesh', 'health'], Interval: 30, Retries: 10 },
    });
    expect(environment(template, 'agent')).toEqual({
      MESH_INGRESS_ENDPOINT: 'wss://mesh.example.com:8082',
      MESH_LOCAL_ENDPOINT: 'http://test-app:3000',
      MESH_HOST: 'try.mesh.example.com',
      MESH_SERVICE_NAME: 'mesh-try',
      MESH_CLUSTER_NAME: 'mesh',
      MESH_HEALTH_CHECK_PATH: '/api/health',
      MESH_HEALTH_PORT: '8081',
      // Two ingress tasks, and one more while they are replaced.
      MESH_TUNNELS: '3',
      MESH_MAX_STREAMS: '249',
    });
    template.hasOutput('AgentTunnels', { Value: '3' });
  });

  test('has fewer requests on each of more tunnels, which take memory themselves', () => {
    const many = templateWith({ desiredCount: 15, testWorkload: { image: TEST_APP } });
    const { MESH_TUNNELS, MESH_MAX_STREAMS } = environment(many, 'agent');
    expect(MESH_TUNNELS).toBe('16');
    const perTunnelMiB = Number(MESH_MAX_STREAMS) * 0.5 + 10.1;
    // While tunnels are replaced, there are twice as many.
    const bothMiB = 1.25 * 2 * 16 * perTunnelMiB + 6;
    // The program itself takes 6 MiB at rest.
    const limitMiB = Number(container(many, 'agent')['Memory']);
    expect(bothMiB + 6).toBeLessThan(limitMiB);
    expect(bothMiB + 6).toBeGreaterThan(limitMiB - 32);
  });

  test('has an image of its own for the agent, if one is given, which needs no command', () => {
    const agentImage = '123456789012.dkr.ecr.eu-central-1.amazonaws.com/mesh-agent:0.1.0';
    const other = templateWith({ testWorkload: { image: TEST_APP, agentImage } });
    expect(container(other, 'agent')['Image']).toBe(agentImage);
    expect(container(other, 'agent')).not.toHaveProperty('Command');
    expect(container(other, 'agent')).toMatchObject({
      HealthCheck: { Command: ['CMD', '/mesh-agent', 'health'] },
    });
    const pulled = statements(other, EXECUTION_ROLE).map(({ Resource }) =>
      Resource === '*' ? '*' : JSON.stringify(Resource),
    );
    expect(pulled.join()).toContain('repository/mesh-agent');
  });

  test('has the sample service', () => {
    expect(container(template, 'test-app')).toMatchObject({
      Image: TEST_APP,
      Essential: true,
      User: '65532:65532',
      ReadonlyRootFilesystem: true,
    });
    expect(environment(template, 'test-app')).toEqual({ PORT: '3000', SERVICE_NAME: 'try' });
  });

  test('its agents may do nothing, and only ECS can start their sessions', () => {
    expect(statements(template, AGENT_ROLE)).toEqual([]);
    const [role] = Object.values(
      template.findResources('AWS::IAM::Role', { Properties: { Description: AGENT_ROLE } }),
    );
    const [trust] = role?.['Properties'].AssumeRolePolicyDocument.Statement;
    expect(trust.Principal).toEqual({ Service: 'ecs-tasks.amazonaws.com' });
    expect(trust.Condition.StringEquals).toEqual({
      'aws:SourceAccount': { Ref: 'AWS::AccountId' },
    });
    expect(flat(trust.Condition.ArnLike['aws:SourceArn'])).toBe(
      'arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:*',
    );
  });

  test('the ingress knows their role', () => {
    const roles = flat(environment(template, 'ingress')['MESH_ALLOWED_ROLE_ARNS']);
    expect(roles).toMatch(/^arn:aws:iam::123456789012:role\/mesh-agent-\*,<TestWorkloadRole\w+\.Arn>$/);
  });

  test('people get into it only if asked for', () => {
    template.hasResourceProperties('AWS::ECS::Service', {
      LaunchType: 'EXTERNAL',
      EnableExecuteCommand: false,
    });
    const open = templateWith(EVERYTHING);
    open.hasResourceProperties('AWS::ECS::Service', {
      LaunchType: 'EXTERNAL',
      EnableExecuteCommand: true,
    });
    expect(container(open, 'test-app')['ReadonlyRootFilesystem']).toBe(false);
    const allowed = statements(open, AGENT_ROLE);
    expect(allowed.flatMap(({ Action }) => Action).sort()).toEqual([
      'ssmmessages:CreateControlChannel',
      'ssmmessages:CreateDataChannel',
      'ssmmessages:OpenControlChannel',
      'ssmmessages:OpenDataChannel',
    ]);
  });
});

describe('alarms', () => {
  const [BELOW, FROM] = ['LessThanThreshold', 'GreaterThanOrEqualToThreshold'];
  test.each([
    ['TrafficUnhealthy', 'HealthyHostCount', 'Minimum', BELOW, 2, [4, 4], 'notBreaching'],
    ['TunnelUnhealthy', 'HealthyHostCount', 'Minimum', BELOW, 2, [3, 3], 'notBreaching'],
    ['TrafficGone', 'HealthyHostCount', 'Minimum', BELOW, 1, [4, 4], 'breaching'],
    ['TunnelGone', 'HealthyHostCount', 'Minimum', BELOW, 1, [3, 3], 'breaching'],
    ['LoadBalancerErrors', 'HTTPCode_ELB_5XX_Count', 'Sum', FROM, 10, [3, 5], 'notBreaching'],
    ['IngressErrors', 'HTTPCode_Target_5XX_Count', 'Sum', FROM, 10, [3, 5], 'notBreaching'],
    ['AgentsRefused', 'mesh-refusals', 'Sum', FROM, 1, [3, 5], 'notBreaching'],
    ['EcsSilent', 'mesh-ecs-silences', 'Sum', FROM, 1, [1, 15], 'notBreaching'],
  ])(
    '%s watches %s: %s %s %i in %j minutes',
    (id, MetricName, Statistic, ComparisonOperator, Threshold, minutes, TreatMissingData) => {
      const template = templateWith();
      const [alarm] = Object.values(
        template.findResources(ALARM, { Properties: { AlarmName: `mesh-${id}` } }),
      );
      const found = alarm?.['Properties'];
      expect(found).toMatchObject({
        MetricName,
        Namespace: MetricName.startsWith('mesh-') ? 'AnywhereMesh' : 'AWS/ApplicationELB',
        Statistic,
        Period: 60,
        ComparisonOperator,
        Threshold,
        TreatMissingData,
      });
      const { DatapointsToAlarm = found.EvaluationPeriods, EvaluationPeriods } = found;
      expect([DatapointsToAlarm, EvaluationPeriods]).toEqual(minutes);
      template.resourceCountIs(ALARM, 8);
    },
  );

  test('as many targets as tasks are wanted, however many a deployment adds', () => {
    const template = templateWith({ desiredCount: 5, maxHealthyPercent: 200 });
    for (const name of ['Traffic', 'Tunnel']) {
      template.hasResourceProperties(ALARM, { AlarmName: `mesh-${name}Unhealthy`, Threshold: 5 });
    }
  });

  test('a task that replaces a lost one may wait for agents, and agents do not wait', () => {
    const template = templateWith({ warmUpSeconds: 300 });
    for (const [name, EvaluationPeriods] of [['Traffic', 8], ['Tunnel', 3]] as const) {
      for (const what of ['Unhealthy', 'Gone']) {
        const AlarmName = `mesh-${name}${what}`;
        template.hasResourceProperties(ALARM, { AlarmName, EvaluationPeriods });
      }
    }
  });

  test.each([
    [REFUSAL, 'mesh-refusals', 'audit.rs', `log::warn!("${REFUSAL.words} {peer}`],
    [FULL, 'mesh-refusals', 'room.rs', `"${FULL.words}: `],
    [SILENCE, 'mesh-ecs-silences', 'verification/silence.rs', `"${SILENCE.words}: `],
  ])('each line with %j counts for %s, as the ingress writes it in %s', (line, MetricName, file, quoted) => {
    const template = templateWith();
    template.hasResourceProperties('AWS::Logs::MetricFilter', {
      FilterPattern: `"${line.target}" "${line.words}"`,
      LogGroupName: { Ref: Match.stringLikeRegexp('IngressLogs') },
      MetricTransformations: [{ MetricNamespace: 'AnywhereMesh', MetricName, MetricValue: '1' }],
    });
    template.resourceCountIs('AWS::Logs::MetricFilter', 3);
    const source = readFileSync(join(__dirname, '../../ingress/src', file), 'utf8');
    expect(source).toContain(quoted);
    // The target is the module's path.
    const path = file.replace('.rs', '').replaceAll('/', '::');
    expect(line.target).toBe(`mesh_ingress::${path}`);
  });

  test('a silence of ECS rings for as long as agents are kept', () => {
    for (const [ecsGraceSeconds, EvaluationPeriods] of [[1830, 31], [0, 1]] as const) {
      const template = templateWith({ ecsGraceSeconds });
      template.hasResourceProperties(ALARM, { AlarmName: 'mesh-EcsSilent', EvaluationPeriods });
    }
  });

  test('none rings before there are tasks: they are made after the service stands', () => {
    const template = templateWith();
    const { id } = serviceOf(template, 'FARGATE');
    for (const alarm of Object.values(template.findResources(ALARM))) {
      expect(alarm['DependsOn']).toContain(id);
    }
  });

  test('an ingress that is turned off misses nobody', () => {
    templateWith({ desiredCount: 0 }).resourceCountIs(ALARM, 4);
  });

  test('they are about the load balancer that agents use', () => {
    const template = templateWith(EVERYTHING);
    template.hasResourceProperties(ALARM, {
      AlarmName: 'mesh-TunnelUnhealthy',
      Namespace: 'AWS/NetworkELB',
    });
  });

  test('the topic is told of both ends of an alarm', () => {
    const { alarmTopicArn } = EVERYTHING;
    templateWith({ alarmTopicArn }).allResourcesProperties(ALARM, {
      AlarmActions: [alarmTopicArn],
      OKActions: [alarmTopicArn],
    });
  });
});

test('stacks need no account, no region and no look-up', () => {
  const template = JSON.stringify(templateWith(EVERYTHING).toJSON());
  expect(template).toContain('"AWS::Region"');
  expect(template).not.toContain('dummy');
});

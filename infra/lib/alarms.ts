// What somebody should be woken for, as far as the load balancers and the log know it. Whether agents
// are there is only in the metrics of the ingress: docs/operations.md, "Metrics".

import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { FilterPattern, MetricFilter, type ILogGroup } from 'aws-cdk-lib/aws-logs';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';

import type { Edge } from './edge';
import type { Params } from './params';

const MINUTE = Duration.minutes(1);
/** Answers of class 5xx in a minute that are no accident any more. */
const ERRORS_PER_MINUTE = 10;
/** A line of the ingress's log for each agent that it refuses, whatever the reason. */
export const REFUSAL = { target: 'mesh_ingress::audit', words: 'refused the agent from' } as const;
/** A line each minute while there is no place for agents, who are told before they can say who they are. */
export const FULL = { target: 'mesh_ingress::room', words: 'agents are turned away' } as const;
/** One line when ECS falls silent about agents that are registered. */
export const SILENCE = {
  target: 'mesh_ingress::verification::silence',
  words: 'ECS cannot be asked about registered agents',
} as const;
/** `--ecs-grace` where nothing says otherwise. */
const ECS_GRACE_SECONDS = 900;
/** For a task in the place of one that was lost: to be noticed, to start, and to be found healthy. */
const STARTING_MINUTES = 3;

export interface AlarmsProps {
  readonly params: Params;
  readonly edge: Edge;
  /** The log of the ingress. */
  readonly log: ILogGroup;
}

export class Alarms extends Construct {
  private readonly params: Params;

  constructor(scope: Construct, { params, edge, log }: AlarmsProps) {
    super(scope, 'Alarms');
    this.params = params;
    if (params.desiredCount > 0) {
      // A young task fails /ready while it waits for agents, and agents wait for nobody.
      const warmUp = Math.ceil(params.warmUpSeconds / MINUTE.toSeconds());
      this.watchHosts('Traffic', healthyHosts(edge.traffic), warmUp + STARTING_MINUTES);
      this.watchHosts('Tunnel', healthyHosts(edge.tunnels), STARTING_MINUTES);
    }
    this.watchErrors(
      'LoadBalancerErrors',
      edge.loadBalancer.metrics.httpCodeElb(elb.HttpCodeElb.ELB_5XX_COUNT, perMinute('Sum')),
      'The load balancer answers 5xx itself: no target, or one that breaks connections.',
    );
    this.watchErrors(
      'IngressErrors',
      edge.traffic.metrics.httpCodeTarget(elb.HttpCodeTarget.TARGET_5XX_COUNT, perMinute('Sum')),
      'The ingress or the services behind it answer 5xx. x-mesh-error and mesh_errors_total say who.',
    );
    // A refused agent comes again within half a minute. An ingress that lets nobody in passes all
    // its health checks, and its callers get 404, as for a host that is not there.
    this.watchErrors(
      'AgentsRefused',
      this.refusals(log),
      'The ingress refuses agents, or turns them away, again and again. Its log says why.',
      1,
    );
    this.watchSilence(this.lines(log, 'Silences', 'ecs-silences', SILENCE));
  }

  private refusals(log: ILogGroup): cloudwatch.IMetric {
    // No pattern has words that are required beside some of which one is enough.
    this.lines(log, 'TurnedAway', 'refusals', FULL);
    return this.lines(log, 'Refusals', 'refusals', REFUSAL);
  }

  /** Counts lines of the log. */
  private lines(
    logGroup: ILogGroup,
    id: string,
    name: string,
    { target, words }: { readonly target: string; readonly words: string },
  ): cloudwatch.IMetric {
    const filter = new MetricFilter(this, id, {
      logGroup,
      filterPattern: FilterPattern.allTerms(target, words),
      metricNamespace: 'AnywhereMesh',
      metricName: `${this.params.stackName}-${name}`,
    });
    return filter.metric(perMinute('Sum'));
  }

  // The line comes once, and all is well for callers until the grace is over. Until then it rings: an
  // end after a minute would read as if ECS answered again.
  private watchSilence(metric: cloudwatch.IMetric): void {
    const grace = this.params.ecsGraceSeconds ?? ECS_GRACE_SECONDS;
    this.alarm('EcsSilent', {
      metric,
      threshold: 1,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      evaluationPeriods: Math.max(1, Math.ceil(grace / MINUTE.toSeconds())),
      datapointsToAlarm: 1,
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
      alarmDescription:
        'ECS does not answer the ingress. Agents lose their places when the grace is over.',
    });
  }

  private watchHosts(name: string, healthy: cloudwatch.IMetric, evaluationPeriods: number): void {
    const below = {
      metric: healthy,
      comparisonOperator: cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
      evaluationPeriods,
    };
    // Young tasks of a deployment fail their health checks for as long as it takes, one after the
    // other, while those before them stay. So it is not the unhealthy ones that are counted.
    this.alarm(`${name}Unhealthy`, {
      ...below,
      threshold: this.params.desiredCount,
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
      alarmDescription: `${name} targets of the ingress: fewer are healthy than are wanted.`,
    });
    this.alarm(`${name}Gone`, {
      ...below,
      threshold: 1,
      // Without any target there is no data.
      treatMissingData: cloudwatch.TreatMissingData.BREACHING,
      alarmDescription: `${name} targets of the ingress: none is healthy.`,
    });
  }

  private watchErrors(
    id: string,
    metric: cloudwatch.IMetric,
    alarmDescription: string,
    threshold = ERRORS_PER_MINUTE,
  ): void {
    this.alarm(id, {
      metric,
      threshold,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      evaluationPeriods: 5,
      datapointsToAlarm: 3,
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
      alarmDescription,
    });
  }

  private alarm(id: string, props: cloudwatch.AlarmProps): void {
    const alarm = new cloudwatch.Alarm(this, id, {
      alarmName: `${this.params.stackName}-${id}`,
      ...props,
    });
    if (this.params.alarmTopicArn !== undefined) {
      const action = new SnsAction(Topic.fromTopicArn(this, `${id}Topic`, this.params.alarmTopicArn));
      alarm.addAlarmAction(action);
      alarm.addOkAction(action);
    }
  }
}

function healthyHosts(group: Edge['tunnels']): cloudwatch.IMetric {
  return group.metrics.healthyHostCount(perMinute('Minimum'));
}

function perMinute(statistic: string): cloudwatch.MetricOptions {
  return { statistic, period: MINUTE };
}

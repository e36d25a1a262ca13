// What somebody should be woken for, as far as the load balancers know it. Whether agents are there
// is only in the metrics of the ingress: docs/operations.md, "Metrics".

import { Duration } from 'aws-cdk-lib';
import * as cloudwatch from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import * as elb from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';

import type { Edge } from './edge';
import type { Params } from './params';

const MINUTE = Duration.minutes(1);
/** Answers of class 5xx in a minute that are no accident any more. */
const ERRORS_PER_MINUTE = 10;

export class Alarms extends Construct {
  constructor(scope: Construct, private readonly params: Params, edge: Edge) {
    super(scope, 'Alarms');
    this.watchHosts('Traffic', hostCounts(edge.traffic));
    this.watchHosts('Tunnel', hostCounts(edge.tunnels));
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
  }

  private watchHosts(name: string, counts: HostCounts): void {
    // A young task counts as unhealthy while it waits for agents, which is no reason for an alarm.
    const patience = Math.ceil(this.params.warmUpSeconds / 60) + 3;
    this.alarm(`${name}Unhealthy`, {
      metric: counts.unhealthy,
      threshold: 0,
      comparisonOperator: cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
      evaluationPeriods: patience,
      treatMissingData: cloudwatch.TreatMissingData.NOT_BREACHING,
      alarmDescription: `${name} targets of the ingress fail their health checks.`,
    });
    if (this.params.desiredCount > 0) {
      this.alarm(`${name}Gone`, {
        metric: counts.healthy,
        threshold: 1,
        comparisonOperator: cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
        evaluationPeriods: patience,
        // Without any target there is no data.
        treatMissingData: cloudwatch.TreatMissingData.BREACHING,
        alarmDescription: `${name} targets of the ingress: none is healthy.`,
      });
    }
  }

  private watchErrors(id: string, metric: cloudwatch.IMetric, alarmDescription: string): void {
    this.alarm(id, {
      metric,
      threshold: ERRORS_PER_MINUTE,
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

interface HostCounts {
  readonly unhealthy: cloudwatch.IMetric;
  readonly healthy: cloudwatch.IMetric;
}

function hostCounts(group: Edge['tunnels']): HostCounts {
  if (group instanceof elb.NetworkTargetGroup) {
    return {
      unhealthy: group.metrics.unHealthyHostCount(perMinute('Maximum')),
      healthy: group.metrics.healthyHostCount(perMinute('Minimum')),
    };
  }
  return {
    unhealthy: group.metrics.unhealthyHostCount(perMinute('Maximum')),
    healthy: group.metrics.healthyHostCount(perMinute('Minimum')),
  };
}

function perMinute(statistic: string): cloudwatch.MetricOptions {
  return { statistic, period: MINUTE };
}

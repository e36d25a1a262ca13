// Log groups.

import { RemovalPolicy } from 'aws-cdk-lib';
import { LogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';

import type { Params } from './params';

/** A log group that lives as long as the stack: a kept one would be in the way of the next stack. */
export function logGroup(scope: Construct, name: string, params: Params): LogGroup {
  return new LogGroup(scope, `${name[0]?.toUpperCase()}${name.slice(1)}Logs`, {
    logGroupName: `/mesh/${params.stackName}/${name}`,
    retention: params.logRetentionDays as number,
    removalPolicy: RemovalPolicy.DESTROY,
  });
}

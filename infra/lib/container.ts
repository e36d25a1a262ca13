// What all containers have in common.

import { Size, Validations } from 'aws-cdk-lib';
import * as ecs from 'aws-cdk-lib/aws-ecs';
import type { ILogGroup } from 'aws-cdk-lib/aws-logs';
import type { Construct } from 'constructs';

/** A stalled log must never hold requests up: what does not fit the buffer is lost instead. */
export function logDriver(logGroup: ILogGroup, streamPrefix: string): ecs.LogDriver {
  return ecs.LogDrivers.awsLogs({
    logGroup,
    streamPrefix,
    mode: ecs.AwsLogDriverMode.NON_BLOCKING,
    maxBufferSize: Size.mebibytes(8),
  });
}

/** The image of a container, whose registry the execution role knows: `allowPulling`. */
export function imageOf(scope: Construct, image: string): ecs.ContainerImage {
  Validations.of(scope).acknowledge({
    id: 'Annotation::@aws-cdk/aws-ecs:ecrImageRequiresPolicy',
    reason: 'The execution role gets the policy by allowPulling.',
  });
  return ecs.ContainerImage.fromRegistry(image);
}

/** No root, no capabilities, nothing to write to: static binaries need none of it. */
export function hardened(scope: Construct, logging: ecs.LogDriver) {
  const linuxParameters = new ecs.LinuxParameters(scope, 'Linux');
  linuxParameters.dropCapabilities(ecs.Capability.ALL);
  return {
    logging,
    linuxParameters,
    user: '65532:65532',
    readonlyRootFilesystem: true,
    essential: true,
  };
}

// cdk-nag: rules of the house of AWS, and why some findings are as they should be.

import { Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { App } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

/** Lets `app.synth()` fail for each finding that nobody has explained. */
export function checkWithNag(app: App): void {
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
}

/** Says of a finding why it is as it should be. */
export function explain(construct: IConstruct, id: string, reason: string): void {
  Validations.of(construct).acknowledge({ id: `AwsSolutions-${id}`, reason });
}

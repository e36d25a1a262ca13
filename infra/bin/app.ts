// Makes the stack from the parameters in params.json, or in the file that the context value
// `params` names: `cdk synth -c params=params.test.json`.

import { join } from 'node:path';

import { App } from 'aws-cdk-lib';

import { readParams, ParamsError } from '../lib/params';
import { makeStack } from '../lib/stack';
import { checkWithNag } from '../lib/nag';

const app = new App();
const given: unknown = app.node.tryGetContext('params');
const path = typeof given === 'string' ? given : join(__dirname, '..', 'params.json');
try {
  makeStack(app, readParams(path));
  checkWithNag(app);
} catch (error) {
  if (!(error instanceof ParamsError)) {
    throw error;
  }
  // A stack trace would hide the sentences.
  console.error(error.message);
  process.exitCode = 1;
}

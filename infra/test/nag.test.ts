// cdk-nag finds nothing that lib/ does not explain, and would find what it does not.

import { App, Validations } from 'aws-cdk-lib';
import * as s3 from 'aws-cdk-lib/aws-s3';

import { checkWithNag } from '../lib/nag';
import { makeStack } from '../lib/stack';
import { EVERYTHING, TEST_APP, paramsWith } from './support';

function synth(changes: Record<string, unknown>, spoil: (app: App) => void = () => {}): void {
  const app = new App();
  makeStack(app, paramsWith(changes));
  spoil(app);
  checkWithNag(app);
  app.synth();
}

test.each([
  ['the least', {}],
  ['everything', EVERYTHING],
  ['a VPC of its own, with a test workload', { testWorkload: { image: TEST_APP } }],
  ['a cluster without measurements', { containerInsights: false }],
  ['an internal load balancer', { internal: true, callerCidrs: ['10.0.0.0/8'] }],
])('%s has no findings', (_, changes) => {
  expect(() => synth(changes)).not.toThrow();
});

test('an unexplained finding keeps the stack from being made', () => {
  const quiet = jest.spyOn(console, 'error').mockImplementation(() => {});
  const addBucket = (app: App) => {
    new s3.Bucket(app.node.findChild('mesh') as never, 'Bucket');
  };
  expect(() => synth({}, addBucket)).toThrow(/validation/i);
  quiet.mockRestore();
});

test('every explanation is a sentence', () => {
  const app = new App();
  const stack = makeStack(app, paramsWith(EVERYTHING));
  const key = Validations.ACKNOWLEDGED_RULES_METADATA_KEY;
  const reasons = stack.node
    .findAll()
    .flatMap((construct) => construct.node.metadata)
    .filter(({ type }) => type === key)
    .map(({ data }) => JSON.stringify(data));
  expect(reasons.length).toBeGreaterThan(5);
  for (const reason of reasons) {
    expect(reason).toMatch(/[a-z].{20,}\./i);
  }
});

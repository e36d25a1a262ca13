// Parameters of the stack: from a JSON file to values that cannot be invalid. All mistakes are
// told at once, each in one sentence that names the parameter.

import { readFileSync } from 'node:fs';

import { Problem, show } from './checks';
import { FIELDS, REQUIRED, TEST_WORKLOAD, type Fields, type Params, type Values } from './fields';
import { nearest } from './nearest';
import { broken } from './rules';

export type { Params, TestWorkload } from './fields';
export { STOP_TIMEOUT, maxHealthyPercent, tasksAtOnce } from './rules';

/** Every mistake in a parameter file. */
export class ParamsError extends Error {
  readonly problems: readonly string[];

  constructor(name: string, problems: readonly string[]) {
    super(problems.map((problem) => `${name}: ${problem}`).join('\n'));
    this.name = 'ParamsError';
    this.problems = problems;
  }
}

/** Reads the parameters from a file. */
export function readParams(path: string): Params {
  return parseParams(readText(path), path);
}

/** Takes `json` as the content of the file `name`. */
export function parseParams(json: string, name: string): Params {
  return checkParams(parseJson(json, name), name);
}

/** Checks what a parameter file holds. */
export function checkParams(content: unknown, name: string): Params {
  const problems: string[] = [];
  if (!isObject(content)) {
    throw new ParamsError(name, [`${show(content)} is no object; write { "domainName": ... }`]);
  }
  const { testWorkload, ...rest } = content;
  const values = checkFields(FIELDS, rest, '', ['testWorkload'], problems);
  const workload = checkTestWorkload(testWorkload, problems);
  if (problems.length === 0) {
    const params: Params = { ...values, testWorkload: workload };
    problems.push(...broken(params));
    if (problems.length === 0) {
      return params;
    }
  }
  throw new ParamsError(name, problems);
}

function checkTestWorkload(content: unknown, problems: string[]): Params['testWorkload'] {
  if (content === undefined || content === null) {
    return undefined;
  }
  if (!isObject(content)) {
    problems.push(`testWorkload: ${show(content)} is no object; write { "image": ... }`);
    return undefined;
  }
  return checkFields(TEST_WORKLOAD, content, 'testWorkload.', [], problems);
}

/** Checks one object; what is wrong goes to `problems`. */
function checkFields<F extends Fields>(
  fields: F,
  content: Record<string, unknown>,
  prefix: string,
  others: readonly string[],
  problems: string[],
): Values<F> {
  const names = [...Object.keys(fields), ...others];
  for (const key of Object.keys(content).filter((key) => !names.includes(key))) {
    const meant = nearest(key, names);
    const hint = meant === undefined ? '' : `; did you mean ${prefix}${meant}?`;
    problems.push(`${prefix}${key}: there is no such parameter${hint}`);
  }
  const values: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(fields)) {
    // null is how JSON says that something is left out.
    const given = content[key] ?? undefined;
    try {
      values[key] = given === undefined ? fallback(field.fallback) : field.check(given);
    } catch (error) {
      if (!(error instanceof Problem)) {
        throw error;
      }
      problems.push(`${prefix}${key}: ${error.message}`);
    }
  }
  return values as Values<F>;
}

function fallback(value: unknown): unknown {
  if (value === REQUIRED) {
    throw new Problem('it is missing');
  }
  return value;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new ParamsError(path, [`cannot be read: ${(error as Error).message}`]);
  }
}

function parseJson(json: string, name: string): unknown {
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new ParamsError(name, [`it is no JSON: ${(error as Error).message}`]);
  }
}

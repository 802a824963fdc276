/** From what zod found wrong to one sentence that a person can act on, and the path of the place to point at. */
import type { z } from 'zod';
import { didYouMean, quote } from './errors.ts';

interface Mistake {
  /** Inside the document. */
  readonly path: readonly (string | number)[];
  /** Point at the key rather than at its value. */
  readonly atKey: boolean;
  readonly message: string;
}

type Issue = z.core.$ZodIssue;

export type Checked<T> = { readonly value: T; readonly mistake?: undefined } | { readonly mistake: Mistake };

/**
 * `data` as `schema` gives it, or the first mistake. A misspelt key comes before what its absence causes. `what` names
 * the whole document; `aliases` are words that a key at its top may be meant for.
 */
export function check<T>(
  schema: z.ZodType<T>,
  data: unknown,
  what: string,
  aliases: readonly string[] = [],
): Checked<T> {
  const result = schema.safeParse(data);
  if (result.success) return { value: result.data };
  return { mistake: explain(schema, result.error.issues, data, what, aliases) };
}

function explain(
  schema: z.ZodType,
  issues: readonly Issue[],
  data: unknown,
  what: string,
  aliases: readonly string[],
): Mistake {
  const flat = issues.map(unfold);
  const issue = flat.find((each) => each.code === 'unrecognized_keys') ?? flat[0];
  const path = issue.path.map((part) => (typeof part === 'number' ? part : String(part)));
  const value = valueAt(data, path);
  const name = path.length === 0 ? what : `"${dotted(path)}"`;
  switch (issue.code) {
    case 'unrecognized_keys': {
      const key = issue.keys[0];
      const known = keysOf(schemaAt(schema, path));
      const where = path.length === 0 ? what : dotted(path);
      const expected = known.length === 0 ? '' : ` Expected one of ${known.join(', ')}.`;
      const hint = didYouMean(key, path.length === 0 ? [...known, ...aliases] : known);
      return { path: [...path, key], atKey: true, message: `Unknown key "${key}" in ${where}.${expected}${hint}` };
    }
    case 'invalid_type':
      if (value === undefined && path.length > 0) {
        return { path, atKey: false, message: `${name} is missing; expected ${article(issue.expected)}.` };
      }
      return { path, atKey: false, message: `${name} must be ${article(issue.expected)}, got ${describe(value)}.` };
    case 'invalid_value': {
      const known = issue.values.map(String);
      return { path, atKey: false, message: missingOrWrong(name, value, known, path) };
    }
    case 'invalid_union':
      return { path, atKey: false, message: unionMessage(name, issue, value, path) };
    case 'too_small':
    case 'too_big':
      return { path, atKey: false, message: limitMessage(name, issue, value) };
    case 'invalid_key':
      return { path, atKey: true, message: `${name} is not a valid key.` };
    default:
      return { path, atKey: false, message: `${name} ${issue.message}, got ${describe(value)}.` };
  }
}

/** Inside a union, the issue of the form that fits best: not one of another type altogether, and with the fewest issues. */
function unfold(issue: Issue): Issue {
  if (issue.code !== 'invalid_union' || issue.errors.length === 0) return issue;
  let best: readonly Issue[] | undefined;
  for (const branch of issue.errors) {
    const first = branch[0];
    if (
      first === undefined ||
      (first.path.length === 0 && (first.code === 'invalid_type' || first.code === 'invalid_value'))
    )
      continue;
    if (best === undefined || branch.length < best.length) best = branch;
  }
  const inner = best?.find((each) => each.code === 'unrecognized_keys') ?? best?.[0];
  return inner === undefined ? issue : unfold({ ...inner, path: [...issue.path, ...inner.path] });
}

function missingOrWrong(name: string, value: unknown, known: readonly string[], path: Mistake['path']): string {
  const expected = known.length === 1 ? `"${known[0]}"` : `one of ${known.join(', ')}`;
  if (value === undefined && path.length > 0) return `${name} is missing; expected ${expected}.`;
  const hint = typeof value === 'string' ? didYouMean(value, known) : '';
  return `${name} must be ${expected}, got ${describe(value)}.${hint}`;
}

function unionMessage(
  name: string,
  issue: Extract<Issue, { code: 'invalid_union' }>,
  value: unknown,
  path: Mistake['path'],
): string {
  const options = 'options' in issue && Array.isArray(issue.options) ? issue.options.map(String) : undefined;
  if (options !== undefined) return missingOrWrong(name, value, options, path);
  const types = new Set<string>();
  const known: string[] = [];
  for (const branch of issue.errors) {
    for (const each of branch) {
      if (each.code === 'invalid_type') types.add(article(each.expected));
      if (each.code === 'invalid_value') known.push(...each.values.map(String));
    }
  }
  const expected = [...known.map(quote), ...types].join(' or ');
  if (value === undefined && path.length > 0) return `${name} is missing; expected ${expected}.`;
  const hint = typeof value === 'string' ? didYouMean(value, known) : '';
  return `${name} must be ${expected}, got ${describe(value)}.${hint}`;
}

function limitMessage(name: string, issue: Extract<Issue, { code: 'too_small' | 'too_big' }>, value: unknown): string {
  const limit = issue.code === 'too_small' ? issue.minimum : issue.maximum;
  const small = issue.code === 'too_small';
  if (issue.origin === 'array' || issue.origin === 'string' || issue.origin === 'set') {
    const unit = issue.origin === 'string' ? 'character' : 'entry';
    const units = Number(limit) === 1 ? unit : unit === 'entry' ? 'entries' : 'characters';
    const length = Array.isArray(value) || typeof value === 'string' ? value.length : 0;
    return `${name} must have ${small ? 'at least' : 'at most'} ${limit} ${units}, got ${length}.`;
  }
  if ('note' in issue && issue.origin === 'int')
    return `${name} must be an integer below 2^53, got ${describe(value)}.`;
  const relation = issue.inclusive === true ? (small ? 'at least' : 'at most') : small ? 'above' : 'below';
  return `${name} must be ${relation} ${limit}, got ${describe(value)}.`;
}

/** `cluster.synthetic.services`, `churn.0.scale`. */
export function dotted(path: readonly (string | number)[]): string {
  return path.join('.');
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list (${quote(value)})`;
  if (typeof value === 'object') return `a mapping (${quote(value)})`;
  return quote(value);
}

function article(expected: string): string {
  switch (expected) {
    case 'int':
      return 'an integer';
    case 'object':
    case 'record':
      return 'a mapping';
    case 'array':
      return 'a list';
    case 'string':
      return 'text';
    case 'boolean':
      return 'true or false';
    case 'null':
      return 'nothing';
    default:
      return /^[aeiou]/.test(expected) ? `an ${expected}` : `a ${expected}`;
  }
}

function valueAt(data: unknown, path: readonly (string | number)[]): unknown {
  let value = data;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string | number, unknown>)[part];
  }
  return value;
}

/** What zod keeps in a schema's definition, as far as a walk along a path needs it. */
interface Definition {
  readonly type: string;
  readonly shape?: Record<string, Defined>;
  readonly innerType?: Defined;
  readonly element?: Defined;
  readonly valueType?: Defined;
  readonly options?: readonly Defined[];
}
interface Defined {
  readonly def: Definition;
}

/** The schemas that may govern the value at `path` (several below a union). */
function schemaAt(schema: z.ZodType, path: readonly (string | number)[]): Definition[] {
  let current = unwrap((schema as unknown as Defined).def);
  for (const part of path) {
    const next: Definition[] = [];
    for (const each of current) {
      const child =
        typeof part === 'number' ? each.element : each.type === 'record' ? each.valueType : each.shape?.[part];
      if (child !== undefined) next.push(...unwrap(child.def));
    }
    current = next;
  }
  return current;
}

function unwrap(definition: Definition): Definition[] {
  if (definition.innerType !== undefined) return unwrap(definition.innerType.def);
  if (definition.options !== undefined) return definition.options.flatMap((option) => unwrap(option.def));
  return [definition];
}

function keysOf(definitions: readonly Definition[]): string[] {
  const keys = new Set<string>();
  for (const each of definitions) for (const key of Object.keys(each.shape ?? {})) keys.add(key);
  return [...keys];
}

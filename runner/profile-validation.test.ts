/** The validation beside a profile: found by the profile's name or file, checked, and absent where it is absent. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ResultsError } from '../reports/results-error.ts';
import { CLUSTER, HEAD, load } from '../scenarios/load-fixtures.ts';
import { listProfiles, scenariosFolder } from '../scenarios/load-profile.ts';
import { readValidation } from './profile-validation.ts';

const scratch = mkdtempSync(join(tmpdir(), 'chainwalk-validation-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Profiles on a base are held against published points instead (docs/published.md). */
const MEASURED = listProfiles().filter((name) => {
  const text = readFileSync(join(scenariosFolder(), 'profiles', `${name}.yaml`), 'utf8');
  return !/^base:/m.test(text);
});

describe('a shipped profile', () => {
  it('was measured, or stands on one that was', () => {
    expect(MEASURED).toEqual(['linux-6.1-instructions', 'linux-6.18-native']);
    for (const name of listProfiles().filter((each) => !MEASURED.includes(each))) {
      const { profileFiles } = load(`${HEAD}${CLUSTER}profile: ${name}\n`);
      expect(readValidation(profileFiles.get(name) ?? ''), name).toBeUndefined();
    }
  });

  it.each(MEASURED)('%s: has a validation of its own name, with errors of every engine', (name) => {
    const { profileFiles } = load(`${HEAD}${CLUSTER}profile: ${name}\n`);
    expect([...profileFiles]).toEqual([[name, join(scenariosFolder(), 'profiles', `${name}.yaml`)]]);
    const validation = readValidation(profileFiles.get(name) ?? '');
    expect(validation?.profile).toBe(name);
    expect(validation?.splits[0]?.name).toBe('all rows');
    expect(validation?.splits.length).toBeGreaterThan(1);
    for (const { groups } of validation?.splits ?? []) {
      expect(groups.length).toBeGreaterThan(0);
      for (const group of groups) {
        expect(group.rows).toBeLessThanOrEqual(group.of);
        expect(group.median_error_ratio ?? 0).toBeLessThanOrEqual(group.max_error_ratio ?? 0);
      }
    }
    const first = (engine: string) =>
      validation?.splits[0]?.groups.find((group) => group.engine === engine && group.mode === 'first');
    for (const engine of ['ipt-legacy', 'ipt-nft', 'nft']) expect(first(engine)?.rows, engine).toBeGreaterThan(10);
    expect(validation?.not_modelled.join('\n')).toMatch(/veth.*\n.*TCP/);
  });
});

describe('a profile from a file', () => {
  const file = join(scratch, 'mine.yaml');
  const beside = join(scratch, 'mine.validation.json');

  it('has none, or what stands beside it', () => {
    expect(readValidation(file)).toBeUndefined();
    const validation = { profile: 'mine', splits: [], not_modelled: ['TCP'] };
    writeFileSync(beside, JSON.stringify(validation));
    expect(readValidation(file)).toEqual(validation);
    expect(readValidation(join(scratch, 'mine.yml'))).toEqual(validation);
    expect(readValidation(beside)).toBeUndefined();
  });

  it('with one that is none names the file and the place', () => {
    writeFileSync(beside, '{ "profile": "mine", "splits": [{ "name": "all rows" }], "not_modelled": [] }');
    expect(() => readValidation(file)).toThrow(ResultsError);
    expect(() => readValidation(file)).toThrow('mine.validation.json (splits.0.groups)');
    writeFileSync(beside, '{');
    expect(() => readValidation(file)).toThrow('mine.validation.json: not JSON');
  });
});

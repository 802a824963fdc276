/** `bench --profile SUITE`: our own contenders alone under Node's profiler, and the functions that took the time. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from '../host.ts';
import { alignedTable } from '../text-table.ts';
import type { CpuProfile } from './cpu-profile.ts';
import { mostSelfTime } from './cpu-profile.ts';
import type { SuitesOptions } from './run-suites.ts';
import { runSuites } from './run-suites.ts';

const FUNCTIONS_SHOWN = 10;

export interface ProfileRun {
  readonly file: string;
  readonly table: string;
  readonly failures: readonly string[];
}

/** Writes `folder`/SUITE.cpuprofile. The profile covers the whole process: what makes the jobs ready is in it, too. */
export async function profileSuite(name: string, folder: string, options: SuitesOptions): Promise<ProfileRun> {
  const file = join(folder, `${name}.cpuprofile`);
  const nodeFlags = ['--cpu-prof', `--cpu-prof-dir=${folder}`, `--cpu-prof-name=${name}.cpuprofile`];
  const { failures } = await runSuites([name], { ...options, nodeFlags, ourselves: true }, () => undefined);
  if (failures.length > 0 || options.signal.aborted) return { file, table: '', failures };
  const times = mostSelfTime(JSON.parse(readFileSync(file, 'utf8')) as CpuProfile, FUNCTIONS_SHOWN, projectRoot());
  const table = alignedTable(
    ['self ms', 'share', 'function', 'where'],
    times.map(({ ms, share, name: fn, place }) => [ms.toFixed(0), `${(share * 100).toFixed(1)} %`, fn, place]),
  );
  return { file, table, failures };
}

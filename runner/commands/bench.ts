/** `chainwalk bench`: host time of our code on this machine, beside the same work in C, C++ and other simulators. */
import { join } from 'node:path';
import { renderBench } from '../../reports/html/bench.ts';
import type { BenchFacts, GrowthRow } from '../../reports/host-time.ts';
import { formatGrowthRows, formatHostRows } from '../../reports/host-time.ts';
import { writeFileAtomic } from '../../reports/results.ts';
import { didYouMean, InputError } from '../../scenarios/errors.ts';
import { growthRows } from '../bench/host-rows.ts';
import { growthTable, hostTable } from '../bench/host-table.ts';
import { installPeers } from '../bench/install-peers.ts';
import { packetSuiteNames, runPacketSuite } from '../bench/packet-suites.ts';
import { peerTools } from '../bench/peer.ts';
import { profileSuite } from '../bench/profile-suite.ts';
import type { BenchSize, Missing } from '../bench/run-suite.ts';
import type { SuitesRun } from '../bench/run-suites.ts';
import { runSuites } from '../bench/run-suites.ts';
import { suiteNames } from '../bench/suites.ts';
import { EXIT_CHECK_FAILED, EXIT_INTERRUPTED } from '../exit-codes.ts';
import { commit, machine, versions } from '../host.ts';
import { withInterrupt } from '../interrupt.ts';
import { assertWritable } from '../output-folder.ts';
import { readSite } from '../site.ts';

interface BenchFlags {
  readonly suite: string;
  readonly size: string;
  readonly out: string;
  readonly profile?: string;
  readonly install?: boolean;
  readonly json?: boolean;
}

const say = (line: string): void => void process.stderr.write(`${line}\n`);

export async function benchCommand(flags: BenchFlags): Promise<void> {
  const size = sizeOf(flags);
  if (packetSuiteNames().includes(flags.suite) && flags.profile === undefined) {
    process.stdout.write(await runPacketSuite(flags.suite, size));
    return;
  }
  const names = chosenSuites(flags);
  assertWritable(flags.out, '--out');
  if (flags.install === true) await installPeers(names, size, say);
  if (flags.profile !== undefined) await profile(flags.profile, size, flags);
  else await compare(names, size, flags);
}

function sizeOf({ size }: BenchFlags): BenchSize {
  if (size === 'smoke' || size === 'full') return size;
  throw new InputError(`--size "${size}" is not known. Expected smoke or full`);
}

function chosenSuites({ suite, profile: profiled }: BenchFlags): string[] {
  const known = suiteNames();
  if (profiled !== undefined) return [knownSuite(profiled, '--profile', known)];
  if (suite === 'all') return known;
  return [knownSuite(suite, '--suite', ['all', ...known, ...packetSuiteNames()])];
}

function knownSuite(name: string, flag: string, known: readonly string[]): string {
  if (known.includes(name)) return name;
  throw new InputError(`${flag} "${name}" is not known. Expected ${known.join(', ')}${didYouMean(name, known)}`);
}

async function profile(name: string, size: BenchSize, flags: BenchFlags): Promise<void> {
  const { file, table, failures } = await withInterrupt((signal) =>
    profileSuite(name, flags.out, { size, signal, say }),
  );
  process.stdout.write(table);
  if (failures.length > 0) process.exitCode = EXIT_CHECK_FAILED;
  else say(`Profile: ${file}`);
}

async function compare(names: readonly string[], size: BenchSize, flags: BenchFlags): Promise<void> {
  const files = (run: SuitesRun): void => writeFiles(run, size, flags);
  const { run, isInterrupted } = await withInterrupt(async (signal) => ({
    run: await runSuites(names, { size, signal, say }, files),
    isInterrupted: signal.aborted,
  }));
  await renderBench(flags.out, readSite());
  const growth = growthOf(run, size);
  if (flags.json === true) process.stdout.write(`${JSON.stringify({ rows: run.rows, growth }, null, 2)}\n`);
  else process.stdout.write(`${hostTable(run.rows)}${growth.length === 0 ? '' : `\n${growthTable(growth)}`}`);
  for (const line of missingLines(run.missing)) say(`left out: ${line}`);
  say(`Report: ${join(flags.out, 'report.html')}`);
  process.exitCode = exitCode(run, growth, size, isInterrupted);
}

/** After each suite, so that nothing is lost when a later one is interrupted. */
function writeFiles(run: SuitesRun, size: BenchSize, { out }: BenchFlags): void {
  const facts: BenchFacts = {
    command: ['chainwalk', ...process.argv.slice(2)].join(' '),
    size,
    commit: commit(),
    versions: { ...versions(), v8: process.versions.v8, ...peerTools() },
    machine: machine(),
    suites: run.suites.map(({ name, question, seconds }) => ({ name, question, seconds })),
    missing: missingLines(run.missing),
    failures: run.failures,
  };
  writeFileAtomic(join(out, 'host.csv'), formatHostRows(run.rows));
  writeFileAtomic(join(out, 'growth.csv'), formatGrowthRows(growthOf(run, size)));
  writeFileAtomic(join(out, 'bench.json'), `${JSON.stringify(facts, null, 2)}\n`);
}

function growthOf({ suites, rows }: SuitesRun, size: BenchSize): GrowthRow[] {
  if (size === 'smoke') return growthRows(rows);
  return growthRows(rows, (suite, job) => {
    const bars = suites.find(({ name }) => name === suite)?.growthBars ?? [];
    return bars.find((bar) => bar.job === job)?.atMost;
  });
}

/** Each reason once, with the names of those that it keeps away. */
function missingLines(missing: readonly Missing[]): string[] {
  const names = new Map<string, Set<string>>();
  for (const { name, reason } of missing) {
    const known = names.get(reason);
    if (known === undefined) names.set(reason, new Set([name]));
    else known.add(name);
  }
  return [...names].map(([reason, who]) => `${[...who].join(', ')} (${reason})`);
}

function exitCode(run: SuitesRun, growth: readonly GrowthRow[], size: BenchSize, isInterrupted: boolean): number {
  if (isInterrupted) return EXIT_INTERRUPTED;
  const missed = [
    ...run.rows
      .filter((row) => row.verdict === 'missed')
      .map((row) => `${row.suite}, ${row.job}, ${row.size} ${row.size_of}, against ${row.contender}`),
    ...growth
      .filter((line) => line.verdict === 'missed')
      .map((line) => `${line.suite}, ${line.job}, growth with ${line.size_of}`),
  ];
  for (const what of missed) say(`missed: ${what}`);
  const requiresAll = size === 'full' && process.env['CHAINWALK_REQUIRE'] === 'all';
  const isIncomplete = requiresAll && run.missing.length > 0;
  if (isIncomplete) say('CHAINWALK_REQUIRE=all: nothing may be left out');
  return missed.length > 0 || run.failures.length > 0 || isIncomplete ? EXIT_CHECK_FAILED : 0;
}

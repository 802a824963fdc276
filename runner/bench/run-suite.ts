/** Runs the jobs of a suite: contenders and peers round by round, interleaved, their answers compared after every round. */
import { Bench } from 'tinybench';
import type { HostRow } from '../../reports/host-time.ts';
import type { Contender } from '../../sim/contender.ts';
import { hostSeconds, usedHeapBytes } from '../host.ts';
import type { ContenderTimes } from './host-rows.ts';
import { hostRows } from './host-rows.ts';
import type { Peer } from './peer.ts';
import { isPlainC, startPeer, whatPeerLacks } from './peer.ts';
import type { Job, Suite } from './suite.ts';

export type BenchSize = 'smoke' | 'full';

/** A contender or peer that was left out. */
export interface Missing {
  readonly name: string;
  /** What is not there, and how to get it. */
  readonly reason: string;
  /** Debian packages that help; empty for a package of npm. */
  readonly packages: readonly string[];
}

export interface JobRun {
  readonly rows: readonly HostRow[];
  readonly missing: readonly Missing[];
  readonly seconds: number;
}

/** Contenders of a job do not agree: a bug of ours or of the peer, never noise. */
export class ChecksumError extends Error {}

interface Pace {
  /** Warm-up ends after this time of ours, or after this time of all, but not before so many rounds. */
  readonly warmupOurMs: number;
  readonly warmupMs: number;
  readonly warmupRounds: number;
  /** Timed rounds: as many as fit, between these two. */
  readonly budgetMs: number;
  readonly leastRounds: number;
  readonly mostRounds: number;
}

const PACES: Readonly<Record<BenchSize, Pace>> = {
  smoke: { warmupOurMs: 0, warmupMs: 0, warmupRounds: 1, budgetMs: 0, leastRounds: 3, mostRounds: 3 },
  full: { warmupOurMs: 150, warmupMs: 1500, warmupRounds: 3, budgetMs: 3500, leastRounds: 9, mostRounds: 101 },
};

/** One that takes part: a contender of this process or a peer program, whose rounds a clock of its own times. */
type Entrant =
  | {
      readonly kind: 'contender';
      readonly name: string;
      checksum(): number;
      readonly contender: Contender;
      /** Its rounds end when a promise does, as those of worker threads do. */
      isAsync: boolean;
    }
  | { readonly kind: 'peer'; readonly name: string; checksum(): number; round(): Promise<number> };

/** All jobs of the suite, in order. `onJob` is told of each as it ends. `ourselves`: our contender alone, for a profile. */
export async function runSuite(
  suite: Suite,
  size: BenchSize,
  onJob: (job: Job, run: JobRun) => void,
  ourselves = false,
): Promise<void> {
  for (const job of suite.jobs(size)) onJob(job, await runJob(suite.name, job, size, ourselves));
}

/** Throws a ChecksumError where contenders do not agree. */
export async function runJob(suite: string, job: Job, size: BenchSize, ourselves = false): Promise<JobRun> {
  const start = hostSeconds();
  const missing: Missing[] = [];
  const peers: Peer[] = [];
  try {
    const contenders = await job.contenders();
    const entrants = contenders.flatMap((contender, i) => {
      if (i > 0 && ourselves) return [];
      if (contender.absent === undefined) return [ofThisProcess(contender)];
      missing.push({ name: contender.name, reason: contender.absent, packages: [] });
      return [];
    });
    for (const program of ourselves ? [] : job.peers) {
      if (size === 'smoke' && !isPlainC(program)) continue;
      const lack = whatPeerLacks(program);
      if (lack !== undefined) {
        missing.push({ name: program.name, ...lack });
        continue;
      }
      const peer = await startPeer(program);
      peers.push(peer);
      entrants.push(ofPeer(peer));
    }
    assertNames(suite, job, [...entrants, ...missing]);
    const times = await runRounds(suite, job, entrants, PACES[size]);
    return { rows: hostRows(suite, job, times, size === 'full'), missing, seconds: hostSeconds() - start };
  } finally {
    for (const peer of peers) peer.stop();
  }
}

function ofThisProcess(contender: Contender): Entrant {
  const { name } = contender;
  return { kind: 'contender', name, checksum: () => contender.checksum() >>> 0, contender, isAsync: false };
}

function ofPeer(peer: Peer): Entrant {
  let checksum = 0;
  return {
    kind: 'peer',
    name: peer.name,
    checksum: () => checksum,
    async round() {
      const round = await peer.round();
      checksum = round.checksum;
      return round.ns;
    },
  };
}

/** A bar against a name that no contender has would never be looked at. */
function assertNames(suite: string, job: Job, all: readonly { readonly name: string }[]): void {
  const names = all.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new Error(`${describeJob(suite, job)}: two contenders are named "${twice}"`);
  const known = new Set([...names, ...job.peers.map(({ name }) => name)]);
  for (const { against } of job.bars) {
    if (known.has(against) || names.length === 1) continue;
    throw new Error(`${describeJob(suite, job)}: the bar against "${against}" is none of ${[...known].join(', ')}`);
  }
}

async function runRounds(suite: string, job: Job, entrants: readonly Entrant[], pace: Pace): Promise<ContenderTimes[]> {
  let round = 0;
  const oneRound = async (): Promise<number[]> => {
    const times = await timeRound(entrants, round++);
    assertEqualAnswers(suite, job, entrants, round);
    return times;
  };
  await firstRound(entrants);
  assertEqualAnswers(suite, job, entrants, ++round);
  const roundMs = await warmUp(oneRound, pace);
  const fitting = Math.floor(pace.budgetMs / Math.max(roundMs, 1e-3));
  const rounds = Math.min(pace.mostRounds, Math.max(pace.leastRounds, fitting));
  const times: number[][] = [];
  for (let i = 0; i < rounds; i++) times.push(await oneRound());
  return entrants.map((entrant, i) => ({
    name: entrant.name,
    roundNs: times.map((each) => each[i]),
    checksum: entrant.checksum(),
  }));
}

/** Outside tinybench, which cannot tell without a round whether a function is asynchronous. */
async function firstRound(entrants: readonly Entrant[]): Promise<void> {
  for (const entrant of entrants) {
    if (entrant.kind === 'peer') {
      await entrant.round();
      continue;
    }
    const done: unknown = entrant.contender.round();
    entrant.isAsync = done instanceof Promise;
    await done;
  }
}

/** Returns how long the last warm-up round of all took, in milliseconds. */
async function warmUp(oneRound: () => Promise<number[]>, pace: Pace): Promise<number> {
  let ours = 0;
  let all = 0;
  for (let rounds = 1; ; rounds++) {
    const start = hostSeconds();
    ours += (await oneRound())[0] / 1e6;
    const last = (hostSeconds() - start) * 1e3;
    all += last;
    if (rounds >= pace.warmupRounds && (ours >= pace.warmupOurMs || all >= pace.warmupMs)) return last;
  }
}

/**
 * Nanoseconds of one round of each entrant. Who begins rotates, and every other round runs backwards, so that nobody always follows
 * the same one. tinybench has no such order of its own: it gets a bench for every round, with one iteration a task.
 */
async function timeRound(entrants: readonly Entrant[], round: number): Promise<number[]> {
  const bench = new Bench({ iterations: 1, time: 0, warmup: false, throws: true, retainSamples: true });
  const n = entrants.length;
  const order = entrants.map((_, i) => (i + round) % n);
  if (round % 2 === 1) order.reverse();
  for (const i of order) addTask(bench, entrants[i], String(i));
  await bench.run();
  const times = new Array<number>(n);
  for (const task of bench.tasks) {
    if (task.result.state !== 'completed') throw new Error(`The round of "${task.name}" ended as ${task.result.state}`);
    times[Number(task.name)] = task.result.latency.p50 * 1e6;
  }
  return times;
}

function addTask(bench: Bench, entrant: Entrant, name: string): void {
  if (entrant.kind === 'peer') {
    bench.add(name, async () => ({ overriddenDuration: (await entrant.round()) / 1e6 }), { async: true });
  } else {
    const { contender, isAsync } = entrant;
    bench.add(name, () => contender.round(), { async: isAsync, beforeEach: collectYoung });
  }
}

/** What one contender leaves behind is collected before the next is timed: each pays for its own rubbish alone. */
function collectYoung(): void {
  if (globalThis.gc === undefined || usedHeapBytes() - heapAfterCollection < RUBBISH_BYTES) return;
  void globalThis.gc({ type: 'minor' });
  heapAfterCollection = usedHeapBytes();
}

const RUBBISH_BYTES = 1 << 20;
let heapAfterCollection = 0;

function assertEqualAnswers(suite: string, job: Job, entrants: readonly Entrant[], rounds: number): void {
  const [ours, ...others] = entrants;
  const expected = ours.checksum();
  for (const other of others) {
    const found = other.checksum();
    if (found === expected) continue;
    throw new ChecksumError(
      `${describeJob(suite, job)}: after round ${rounds} the answers of "${other.name}" have the checksum ${hex(found)}, those of "${ours.name}" ${hex(expected)}`,
    );
  }
}

export function describeJob(suite: string, job: Job): string {
  return `${suite}, ${job.name}, ${job.size} ${job.sizeOf}`;
}

function hex(checksum: number): string {
  return checksum.toString(16).padStart(8, '0');
}

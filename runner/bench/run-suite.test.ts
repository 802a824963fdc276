import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { Contender } from '../../sim/contender.ts';
import { mixed } from '../../sim/contender.ts';
import { startPeer, whatPeerLacks } from './peer.ts';
import { ChecksumError, runJob, runSuite } from './run-suite.ts';
import type { Job, PeerProgram, Suite } from './suite.ts';

const scratch = mkdtempSync(join(tmpdir(), 'chainwalk-bench-test-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** Counts its rounds and mixes `answer(round)` into its checksum. */
function counter(name: string, log: string[], answer: (round: number) => number = (round) => round): Contender {
  let rounds = 0;
  let checksum = 0;
  return {
    name,
    round() {
      log.push(name);
      checksum = mixed(checksum, answer(++rounds));
    },
    checksum: () => checksum >>> 0,
  };
}

function job(contenders: readonly Contender[], changes: Partial<Job> = {}): Job {
  return {
    name: 'counting',
    size: 4,
    sizeOf: 'things',
    operations: 10,
    contenders: () => contenders,
    peers: [],
    bars: [],
    ...changes,
  };
}

/** A peer that counts its rounds as `counter` does; `wrongFrom`: its answers are others from that round on. */
function peerProgram(file: string, body: string, name = 'C'): PeerProgram {
  const path = join(scratch, file);
  writeFileSync(path, body);
  return { name, source: path, args: [] };
}

const countingC = (wrongFrom: number): string => `
#include "peer.h"
static uint32_t rounds, checksum;
static uint32_t one_round(void) { rounds++; return checksum = mixed(checksum, rounds >= ${wrongFrom}u ? 77 : rounds); }
int main(void) { return converse(one_round); }
`;
const NEVER = 1_000_000;
const NO_CC = whatPeerLacks(peerProgram('there.c', countingC(NEVER)))?.reason;

describe('runJob', () => {
  it('does as many rounds with each, in an order that rotates', async () => {
    const log: string[] = [];
    const { rows, missing } = await runJob('s', job(['a', 'b', 'c'].map((name) => counter(name, log))), 'smoke');
    expect(missing).toEqual([]);
    expect(rows.map((row) => [row.contender, row.rounds])).toEqual([
      ['a', 3],
      ['b', 3],
      ['c', 3],
    ]);
    for (const row of rows) {
      expect(row.checksum).toBe(rows[0].checksum);
      expect(row.operation_median_ns).toBeGreaterThan(0);
    }
    expect(rows[1].median_ratio).toBeGreaterThan(0);
    const rounds = Array.from({ length: log.length / 3 }, (_, i) => log.slice(i * 3, i * 3 + 3).join(''));
    for (const round of rounds) expect([...round].sort((a, b) => (a < b ? -1 : 1)).join('')).toBe('abc');
    expect(new Set(rounds.map((round) => round[0])).size).toBeGreaterThan(1);
  });

  it('catches a contender that answers otherwise, in the round in which it does', async () => {
    const wrong = counter('wrong', [], (round) => (round === 4 ? 0 : round));
    const run = runJob('queue', job([counter('ours', []), counter('right', []), wrong]), 'smoke');
    await expect(run).rejects.toThrow(ChecksumError);
    await expect(run).rejects.toThrow(
      /^queue, counting, 4 things: after round 4 the answers of "wrong" have the checksum [0-9a-f]{8}, those of "ours" [0-9a-f]{8}$/,
    );
  });

  it('waits for rounds that end later', async () => {
    let rounds = 0;
    const wait = async (): Promise<void> => {
      await new Promise((done) => setTimeout(done, 2));
      rounds++;
    };
    const later: Contender = { name: 'later', round: () => wait() as unknown as void, checksum: () => rounds };
    let sum = 0;
    const { rows } = await runJob(
      's',
      job([later, { name: 'now', round: () => void sum++, checksum: () => sum }]),
      'smoke',
    );
    expect(rows[0].operation_median_ns * 10).toBeGreaterThan(1e6);
  });

  it('leaves out what is not there, and says why', async () => {
    const absent: Contender = {
      ...counter('npm-queue', []),
      absent: 'the npm package npm-queue is not installed: npm ci',
    };
    const bars = [{ against: 'npm-queue', atMost: 1 }];
    const { rows, missing } = await runJob('s', job([counter('ours', []), absent], { bars }), 'smoke');
    expect(rows.map((row) => row.contender)).toEqual(['ours']);
    expect(missing).toEqual([
      { name: 'npm-queue', reason: 'the npm package npm-queue is not installed: npm ci', packages: [] },
    ]);
  });

  it('refuses a bar against nobody, and a name twice', async () => {
    const ours = () => counter('ours', []);
    const typo = job([ours(), counter('C', [])], { bars: [{ against: 'c', atMost: 1 }] });
    await expect(runJob('s', typo, 'smoke')).rejects.toThrow(/the bar against "c" is none of ours, C/);
    await expect(runJob('s', job([ours(), ours()]), 'smoke')).rejects.toThrow(/two contenders are named "ours"/);
  });

  it('tells of each job of a suite; by ourselves it runs the first contender alone', async () => {
    const log: string[] = [];
    const suite: Suite = {
      name: 'pair',
      question: '?',
      jobs: () => [job([counter('a', log), counter('b', log)]), job([counter('c', log)], { name: 'second' })],
    };
    const told: string[] = [];
    await runSuite(suite, 'smoke', (done) => told.push(done.name), true);
    expect(told).toEqual(['counting', 'second']);
    expect(new Set(log)).toEqual(new Set(['a', 'c']));
  });
});

describe('peer programs', () => {
  it('are built, asked round by round and compared', async (context) => {
    context.skip(NO_CC !== undefined, NO_CC);
    const peers = [peerProgram('right.c', countingC(NEVER))];
    const { rows } = await runJob('s', job([counter('ours', [])], { peers }), 'smoke');
    expect(rows.map((row) => [row.contender, row.checksum])).toEqual([
      ['ours', rows[0].checksum],
      ['C', rows[0].checksum],
    ]);
  });

  it('are caught, too, when they answer otherwise', async (context) => {
    context.skip(NO_CC !== undefined, NO_CC);
    const peers = [peerProgram('wrong.c', countingC(2), 'C that errs')];
    const run = runJob('s', job([counter('ours', [])], { peers }), 'smoke');
    await expect(run).rejects.toThrow(/after round 2 the answers of "C that errs"/);
  });

  it('that do not compile, end or talk nonsense stop the benchmark with what they said', async (context) => {
    context.skip(NO_CC !== undefined, NO_CC);
    await expect(startPeer(peerProgram('broken.c', 'int main(void) { return x; }'))).rejects.toThrow(
      /cc could not build .*broken\.c:\n[^]*undeclared/,
    );
    const dies = '#include "peer.h"\nint main(void) { fprintf(stderr, "no table\\n"); return 3; }';
    await expect(startPeer(peerProgram('dies.c', dies))).rejects.toThrow(
      'The peer "C" failed: it ended with exit code 3; it said: no table',
    );
    const hello = '#include "peer.h"\nint main(void) { puts("hello"); return 0; }';
    await expect(startPeer(peerProgram('hello.c', hello))).rejects.toThrow(/began with "hello", expected "ready"/);
    const odd =
      '#include "peer.h"\nint main(void) { puts("ready"); fflush(stdout); getchar(); puts("soon"); return 0; }';
    const peer = await startPeer(peerProgram('odd.c', odd));
    await expect(peer.round()).rejects.toThrow(/answered "soon", expected "<ns> <checksum>"/);
    await expect(peer.round()).rejects.toThrow(/it ended with exit code 0/);
  });

  it('in the smoke size need a C compiler alone', async () => {
    const python = peerProgram('never.py', 'import simpy\n', 'SimPy');
    const { rows, missing } = await runJob('s', job([counter('ours', [])], { peers: [python] }), 'smoke');
    expect(rows).toHaveLength(1);
    expect(missing).toEqual([]);
  });
});

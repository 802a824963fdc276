import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { loadExperiment } from '../scenarios/load.ts';
import { poolExecutor, type TrialOutcome } from './executor.ts';
import { projectRoot } from './host.ts';
import { expectedSeconds, planSweep, type Trial } from './sweep-plan.ts';
import { groupTrials } from './trial-groups.ts';

const scratch = mkdtempSync(join(tmpdir(), 'chainwalk-executor-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function trials(services: readonly number[], replications: number): Trial[] {
  const file = join(projectRoot(), 'scenarios', 'experiments', 'service-scaling.yaml');
  const set = [`sweep.services=[${services.join(',')}]`, `replications=${replications}`, 'traffic.connections=50'];
  return [...planSweep(loadExperiment(file, { set })).trials];
}

/** A worker that plays no trial: what it does is given as the body of `reply(trial)`. */
function worker(name: string, body: string): string {
  const file = join(scratch, `${name}.mjs`);
  writeFileSync(
    file,
    `const reply = (trial) => { ${body}; return { status: 'ok', result: { index: trial.index, observation: {}, timeline: [] } }; };
     export default ({ trials }) => trials.map(reply);`,
  );
  return file;
}

async function outcomes(file: string, workers: number, all: readonly Trial[]): Promise<TrialOutcome[]> {
  const executor = poolExecutor(file, workers);
  const found: TrialOutcome[] = [];
  try {
    await executor.run(all, (outcome) => found.push(outcome), new AbortController().signal);
  } finally {
    await executor.close();
  }
  return found.sort((a, b) => a.trial.index - b.trial.index);
}

describe('groups of trials', () => {
  it('hold every trial once, in order, each group long enough and none longer than its last trial makes it', () => {
    const all = trials([20_000, 5000, 100, 10], 40);
    const groups = groupTrials(all, 2);
    expect(groups.flat()).toEqual(all);
    for (const group of groups.slice(0, -1)) {
      const seconds = group.map(expectedSeconds);
      const sum = seconds.reduce((a, b) => a + b, 0);
      expect(sum).toBeGreaterThanOrEqual(0.05 - 1e-12);
      expect(sum - seconds[seconds.length - 1]).toBeLessThan(0.05);
    }
  });

  it('are small where there is little to do, so that each worker has some', () => {
    const all = trials([10], 3);
    expect(groupTrials(all, 2).length).toBeGreaterThanOrEqual(4);
    expect(groupTrials([], 2)).toEqual([]);
  });
});

describe('the pool', () => {
  it.each([1, 2, 3])('gives each trial its own result with %i workers', async (workers) => {
    const all = trials([10, 20], 10);
    const found = await outcomes(worker('plain', ''), workers, all);
    expect(found.map(({ trial }) => trial)).toEqual(all);
    for (const outcome of found) {
      expect(outcome.status === 'ok' && outcome.result.index).toBe(outcome.trial.index);
    }
  });

  it('fails the trial alone whose worker dies', async () => {
    const all = trials([10], 30);
    expect(groupTrials(all, 2).some((group) => group.length > 3)).toBe(true);
    const deadly = worker('deadly', `if (trial.index === 7 || trial.index === 50) process.exit(1)`);
    const found = await outcomes(deadly, 2, all);
    expect(found).toHaveLength(all.length);
    expect(found.filter(({ status }) => status === 'failed').map(({ trial }) => trial.index)).toEqual([7, 50]);
  });

  it('fails the trial alone whose result cannot come back', async () => {
    const all = trials([10], 20);
    const file = worker('uncloneable', `if (trial.index === 3) return { status: 'ok', result: () => 0 }`);
    const found = await outcomes(file, 2, all);
    expect(found.filter(({ status }) => status === 'failed').map(({ trial }) => trial.index)).toEqual([3]);
  });

  it('hands out nothing more once it is interrupted, and runs again', async () => {
    const all = trials([10], 30);
    const executor = poolExecutor(worker('again', ''), 2);
    const controller = new AbortController();
    let before = 0;
    await executor.run(all, () => ++before === 5 && controller.abort(), controller.signal);
    expect(before).toBeLessThan(all.length);
    let after = 0;
    await executor.run(all, () => after++, new AbortController().signal);
    expect(after).toBe(all.length);
    await executor.close();
  });
});

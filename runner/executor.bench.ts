/** A sweep's trials on a pool of worker threads: what a second worker buys. Each round plays the same trials, as a sweep does. */
import { join } from 'node:path';
import { mixed, type Contender } from '../sim/contender.ts';
import { poolExecutor } from './executor.ts';
import { projectRoot } from './host.ts';
import type { Trial } from './sweep-plan.ts';

/** Its rounds end when their promise does. The checksum is of every byte of the observations, in the plan's order. */
export function poolContender(name: string, workers: number, trials: readonly Trial[]): Contender {
  const executor = poolExecutor(join(projectRoot(), 'dist', 'runner', 'worker.js'), workers);
  const { signal } = new AbortController();
  let checksum = 0;
  const round = async (): Promise<void> => {
    const texts: string[] = [];
    await executor.run(
      trials,
      (outcome) => {
        if (outcome.status === 'failed') throw new Error(`${outcome.trial.engine}: ${outcome.reason}`);
        texts[outcome.trial.index] = JSON.stringify(outcome.result.observation);
      },
      signal,
    );
    for (const text of texts) for (let i = 0; i < text.length; i++) checksum = mixed(checksum, text.charCodeAt(i));
  };
  const contender = { name, round, checksum: () => checksum };
  return contender;
}

/** `chainwalk plan`: the trials that a sweep would run, their number and expected time. */
import { expectedSeconds, planSweep } from '../sweep-plan.ts';
import { loadExperiments, type ScenarioOptions } from './experiments.ts';

export function planCommand(files: string[], flags: ScenarioOptions): void {
  let total = 0;
  let seconds = 0;
  for (const experiment of loadExperiments(files, flags)) {
    const { trials } = planSweep(experiment);
    process.stdout.write(`${experiment.name}: ${experiment.question}\n`);
    for (const trial of trials) {
      const values = Object.entries(trial.values).map(([name, value]) => `${name}=${value}`);
      process.stdout.write(
        `  ${String(trial.index).padStart(4)}  ${[...values, trial.engine].join(' ')} replication ${trial.replication}, ` +
          `about ${expectedSeconds(trial).toFixed(2)} s\n`,
      );
    }
    total += trials.length;
    seconds += trials.reduce((sum, trial) => sum + expectedSeconds(trial), 0);
  }
  process.stdout.write(`${total} trials, about ${Math.ceil(seconds)} s on one worker\n`);
}

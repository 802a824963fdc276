/** Short trials go to a worker several at a time: what passes between threads then costs little beside them. */
import { expectedSeconds, type Trial } from './sweep-plan.ts';

/**
 * A round trip between threads takes 30 to 90 us. Neighbours have the same point, mostly, and so the cluster that the worker has built
 * for the first.
 */
const GROUP_SECONDS = 0.05;
/** Groups for each worker at least, where there are as many trials: one that takes longer than expected is then made up for. */
const GROUPS_PER_WORKER = 4;

/** Neighbours in the order given, so many that each group is expected to take GROUP_SECONDS; a long trial is alone. */
export function groupTrials(trials: readonly Trial[], workers: number): Trial[][] {
  const total = trials.reduce((sum, trial) => sum + expectedSeconds(trial), 0);
  const wanted = Math.min(GROUP_SECONDS, total / (GROUPS_PER_WORKER * workers));
  const groups: Trial[][] = [];
  let seconds = Infinity;
  for (const trial of trials) {
    if (seconds >= wanted) {
      groups.push([]);
      seconds = 0;
    }
    groups[groups.length - 1].push(trial);
    seconds += expectedSeconds(trial);
  }
  return groups;
}

/** One worker thread against two on the same trials: what a second core buys a sweep. */
import { poolContender } from '../../executor.bench.ts';
import { scalingTrials, type ScalingSize } from '../../trial.bench.ts';
import type { Job, Suite } from '../suite.ts';

export const SUITE: Suite = {
  name: 'workers',
  question: 'How much faster do two workers play the same trials than one?',
  jobs(size) {
    if (size === 'smoke')
      return [job('small trials', { services: 20, connections: 100, packets: 6, replications: 8 }, 1)];
    return [
      // Some 0.5 MB of state a trial: both workers' cores have it in their own L2 cache.
      job('trials that fit L2', { services: 100, connections: 2000, packets: 40, replications: 24 }, 1 / 1.8),
      // Some 60 MB: both workers wait for the same memory.
      job('trials beyond L2', { services: 20_000, connections: 30_000, packets: 5, replications: 4 }, 1 / 1.35),
    ];
  },
};

function job(name: string, size: ScalingSize, atMost: number): Job {
  const trials = scalingTrials('iptables', size);
  return {
    name,
    size: size.services,
    sizeOf: 'services',
    operations: trials.length,
    contenders: () => [poolContender('two workers', 2, trials), poolContender('one worker', 1, trials)],
    peers: [],
    bars: [{ against: 'one worker', atMost }],
  };
}

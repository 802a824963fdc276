/** Random draws against the same in C. */
import type { Draw } from '../../../sim/rng.bench.ts';
import { DRAW_STATE, drawContender } from '../../../sim/rng.bench.ts';
import type { Job, Suite } from '../suite.ts';

export const SUITE: Suite = {
  name: 'rng',
  question: 'What does a random draw cost: a word, a float, an exponential, an index of an alias table?',
  jobs(size) {
    // A round takes some milliseconds.
    const draws = (full: number): number => (size === 'full' ? full : 10_000);
    const tables = size === 'full' ? [1000, 10_000, 100_000] : [1000];
    return [
      drawJob('word', 'uint32', draws(1_000_000)),
      drawJob('float', 'float', draws(500_000)),
      drawJob('exponential', 'exponential', draws(200_000)),
      ...tables.map((weights) => drawJob('Zipf by alias table', 'alias', draws(200_000), weights)),
    ];
  },
};

function drawJob(name: string, draw: Draw, draws: number, weights?: number): Job {
  const args = [draw, ...[draws, ...DRAW_STATE].map(String), ...(weights === undefined ? [] : [String(weights)])];
  return {
    name,
    size: weights ?? draws,
    sizeOf: weights === undefined ? 'draws' : 'weights',
    operations: draws,
    contenders: () => [drawContender(draw, draws, weights)],
    // Without fused multiply-add, which would round otherwise where the processor has it.
    peers: [{ name: 'C', source: 'rng.c', args, flags: ['-ffp-contract=off'] }],
    bars: [],
  };
}

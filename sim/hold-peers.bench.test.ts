import { expect, it } from 'vitest';
import type { Contender } from './contender.ts';
import { mixed } from './contender.ts';
import { constant, exponential } from './distributions.ts';
import type { HoldJob } from './hold-peers.bench.ts';
import { flatqueueHold, simjsHold, tinyqueueHold } from './hold-peers.bench.ts';
import { Rng } from './rng.ts';

/** The job by a list that is sorted anew for each hold. */
function sortedHold({ increments, pending, holds, spread }: HoldJob, rounds: number): number {
  let cursor = 0;
  let sequence = 0;
  let checksum = 0;
  const next = (): number => increments[cursor++ % increments.length];
  const events = Array.from({ length: pending }, (_, payload) => ({
    time: next() + spread * payload,
    sequence: sequence++,
    payload,
  }));
  for (let i = 0; i < holds * rounds; i++) {
    const event = events.sort((a, b) => a.time - b.time || a.sequence - b.sequence)[0];
    checksum = mixed(checksum, event.payload);
    event.time += next();
    event.sequence = sequence++;
  }
  return checksum >>> 0;
}

function table(unit: number, draw: { next(stream: ReturnType<Rng['stream']>): number }): Float64Array {
  const stream = new Rng(1).stream('test/hold');
  return Float64Array.from({ length: 64 }, () => unit * Math.floor(draw.next(stream)));
}

async function checksums(job: HoldJob, makers: readonly ((job: HoldJob) => Promise<Contender>)[]): Promise<number[]> {
  return await Promise.all(
    makers.map(async (make) => {
      const contender = await make(job);
      expect(contender.absent).toBeUndefined();
      for (let i = 0; i < 3; i++) contender.round();
      return contender.checksum();
    }),
  );
}

it('all three hold as a sorted list does where no two times are equal', async () => {
  const job: HoldJob = { increments: table(128, exponential(50)), pending: 100, holds: 200, spread: 1 };
  const expected = sortedHold(job, 3);
  expect(await checksums(job, [flatqueueHold, tinyqueueHold, simjsHold])).toEqual([expected, expected, expected]);
});

it.each([
  ['equal times', constant(0)],
  ['frequent ties', exponential(2)],
])('tinyqueue and simjs take %s first in, first out', async (_, draw) => {
  const job: HoldJob = { increments: table(1, draw), pending: 50, holds: 200, spread: 0 };
  const expected = sortedHold(job, 3);
  expect(await checksums(job, [tinyqueueHold, simjsHold])).toEqual([expected, expected]);
});

/** The event queue against other queues and simulators, under the hold model. */
import { flatqueueHold, simjsHold, tinyqueueHold, type HoldJob } from '../../../sim/hold-peers.bench.ts';
import { holdContenders, holdIncrements, INCREMENT_DISTRIBUTIONS } from '../../../sim/hold.bench.ts';
import { holdTable } from '../hold-table.ts';
import type { Job, Suite } from '../suite.ts';

export const SUITE: Suite = {
  name: 'queue',
  question: 'What does it cost to take the next event and to set another, by pending events and by their distribution?',
  jobs(size) {
    if (size === 'smoke') return [exponentialJob(1_000, 2_000), shapeJob('ties', 1_000, 2_000)];
    return [
      ...[1_000, 10_000, 100_000, 1_000_000].map((pending) => exponentialJob(pending, 20_000)),
      ...INCREMENT_DISTRIBUTIONS.filter((name) => name !== 'exponential').map((name) => shapeJob(name, 10_000, 50_000)),
    ];
  },
};

/** Ours over C++, over SimPy and over ns-3, at most, by pending events. */
const OVER_CPP: Readonly<Record<number, number>> = { 10_000: 0.75, 100_000: 0.75, 1_000_000: 0.95 };
const OVER_SIMPY: Readonly<Record<number, number>> = { 1_000: 1 / 12, 10_000: 1 / 20, 100_000: 1 / 30 };
const OVER_FLATQUEUE: Readonly<Record<number, number>> = { 10_000: 0.85, 100_000: 0.85 };

function exponentialJob(pending: number, holds: number): Job {
  const increments = holdIncrements('exponential');
  const job: HoldJob = { increments, pending, holds, spread: 1 };
  const args = [holdTable('exponential', increments), String(pending), String(holds), '1'];
  const bar = (against: string, bars: Readonly<Record<number, number>>): Job['bars'] =>
    pending in bars ? [{ against, atMost: bars[pending] }] : [];
  // A process for each of a million events is more than SimPy and ns-3 are asked for.
  const simulators = pending <= 100_000;
  return {
    name: 'hold',
    size: pending,
    sizeOf: 'pending events',
    operations: holds,
    contenders: async () => [
      ...holdContenders(job),
      await flatqueueHold(job),
      await tinyqueueHold(job),
      ...(simulators ? [await simjsHold(job)] : []),
    ],
    peers: [
      { name: 'std::priority_queue', source: 'hold.cpp', args },
      ...(simulators
        ? [
            { name: 'SimPy', source: 'hold_simpy.py', args },
            { name: 'ns-3 map', source: 'hold_ns3.cc', args: [...args, 'map'] },
            { name: 'ns-3 heap', source: 'hold_ns3.cc', args: [...args, 'heap'] },
          ]
        : []),
    ],
    bars: [
      ...bar('std::priority_queue', OVER_CPP),
      ...bar('flatqueue', OVER_FLATQUEUE),
      ...(simulators
        ? [...bar('SimPy', OVER_SIMPY), { against: 'ns-3 map', atMost: 1 / 3 }, { against: 'ns-3 heap', atMost: 1 / 3 }]
        : []),
    ],
  };
}

function shapeJob(distribution: string, pending: number, holds: number): Job {
  const job: HoldJob = { increments: holdIncrements(distribution), pending, holds, spread: 0 };
  return {
    name: `hold, ${distribution}`,
    size: pending,
    sizeOf: 'pending events',
    operations: holds,
    contenders: () => holdContenders(job),
    peers: [],
    bars: [{ against: 'plain heap', atMost: 1.5 }],
  };
}

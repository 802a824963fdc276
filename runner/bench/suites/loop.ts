/** The whole packet loop against the same program in C and in SimPy. */
import { worldArguments } from '../../../engines/iptables/path.bench.ts';
import { loopContender, loopGaps } from '../../loop.bench.ts';
import type { Job, Suite } from '../suite.ts';

const ENDPOINTS = 10;
const CONNECTION = 20;

export const SUITE: Suite = {
  name: 'loop',
  question: 'What does a simulated packet cost in all: event, traffic, iptables engine, connection tracking, counters?',
  growthBars: [{ job: 'loop by services', atMost: 0.1 }],
  jobs(size) {
    if (size === 'smoke') return [loopJob('loop', 200, 1_000, 4_096, false)];
    return [
      loopJob('loop', 1_000, 10_000, 32_768, true),
      loopJob('loop', 1_000, 100_000, 32_768, true),
      // Services from a few to many, 10,000 flows.
      ...[100, 1_000, 10_000, 50_000].map((services) => servicesJob(services)),
    ];
  },
};

function loopJob(name: string, services: number, flows: number, packets: number, judged: boolean): Job {
  const job = { services, endpoints: ENDPOINTS, flows, connection: CONNECTION, packets };
  const args = [flows, CONNECTION, packets, ...loopGaps()].map(String);
  const world = worldArguments(services, ENDPOINTS);
  return {
    name,
    size: flows,
    sizeOf: 'flows',
    operations: packets,
    contenders: () => [loopContender('chainwalk', job)],
    peers: [
      { name: 'C', source: 'loop.c', args: [...args, ...world] },
      { name: 'SimPy', source: 'loop_simpy.py', args: [...args, ...world] },
    ],
    bars: judged
      ? [
          { against: 'C', atMost: 1.05 },
          { against: 'SimPy', atMost: 1 / 25 },
        ]
      : [],
  };
}

function servicesJob(services: number): Job {
  const packets = 32_768;
  const job = { services, endpoints: ENDPOINTS, flows: 10_000, connection: CONNECTION, packets };
  return {
    name: 'loop by services',
    size: services,
    sizeOf: 'services',
    operations: packets,
    contenders: () => [loopContender('chainwalk', job)],
    peers: [],
    bars: [],
  };
}

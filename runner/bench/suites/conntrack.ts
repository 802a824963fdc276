/** The indexed path with connection tracking against the same program in C. */
import type { PathJob } from '../../../engines/iptables/path.bench.ts';
import { pathContender, worldArguments } from '../../../engines/iptables/path.bench.ts';
import type { Job, Suite } from '../suite.ts';

const ENDPOINTS = 10;
/** Ten times the services may cost 1.15 times as much. */
const GROWTH = 0.06;

export const SUITE: Suite = {
  name: 'conntrack',
  question: 'What does a packet cost on the indexed path of the iptables engine, connection tracking included?',
  growthBars: [
    { job: 'new flows', atMost: GROWTH },
    { job: 'established flows', atMost: GROWTH },
  ],
  jobs(size) {
    const full = size === 'full';
    const flows = full ? 100_000 : 1_000;
    const packets = full ? 65_536 : 4_096;
    return (['new', 'established'] as const).flatMap((kind) =>
      (full ? [1_000, 10_000] : [1_000]).map((services) =>
        pathJob({ kind, services, endpoints: ENDPOINTS, flows, packets }),
      ),
    );
  },
};

function pathJob(job: PathJob): Job {
  const { kind, services, endpoints, flows, packets } = job;
  return {
    name: `${kind} flows`,
    size: services,
    sizeOf: 'services',
    operations: packets,
    contenders: () => [pathContender('chainwalk', job)],
    peers: [
      {
        name: 'C',
        source: 'path.c',
        args: [kind, String(flows), String(packets), ...worldArguments(services, endpoints)],
      },
    ],
    bars: [{ against: 'C', atMost: 2.3 }],
  };
}

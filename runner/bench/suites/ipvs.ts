/** IPVS against the same program in C. */
import { establishedConnections, IPVS_PACKETS, newConnections } from '../../../engines/ipvs/process.bench.ts';
import type { Job, Suite } from '../suite.ts';

type Kind = 'new' | 'established';
type Evaluator = 'indexed' | 'literal';

/** At most this many times C's, for a new connection to one of so many services. */
const BAR = 1.3;
const JUDGED = [10_000, 50_000];

export const SUITE: Suite = {
  name: 'ipvs',
  question: 'What does a packet cost in IPVS mode, with a service table of 256 buckets?',
  jobs(size) {
    const services = size === 'full' ? [1_000, ...JUDGED] : [1_000];
    return (['indexed', 'literal'] as const).flatMap((evaluator) => [
      ...services.map((count) => ipvsJob('new', evaluator, count)),
      ...services.slice(0, 2).map((count) => ipvsJob('established', evaluator, count)),
    ]);
  },
};

function ipvsJob(kind: Kind, evaluator: Evaluator, services: number): Job {
  const isJudged = kind === 'new' && JUDGED.includes(services);
  return {
    name: `${kind === 'new' ? 'new connection' : 'established connection'}, ${evaluator}`,
    size: services,
    sizeOf: 'services',
    operations: IPVS_PACKETS,
    contenders: () => [(kind === 'new' ? newConnections : establishedConnections)(services, evaluator)],
    peers: [{ name: 'C', source: 'ipvs.c', args: [kind, evaluator, String(services)] }],
    bars: isJudged ? [{ against: 'C', atMost: BAR }] : [],
  };
}

/** Host time of a packet in whole trials: cluster, first sync, traffic, costs and the observation, over the number of services. */
import { scalingTrials, wholeTrial } from '../../trial.bench.ts';
import type { Job, Suite } from '../suite.ts';

const ENGINES = ['iptables', 'ipvs', 'nftables'] as const;
/** As many for each size, so that what a trial costs by itself is shared by as many packets. */
const PACKETS = 6;

export const SUITE: Suite = {
  name: 'sweep',
  question: 'What does a packet cost in a whole trial, and how does that grow with the number of services?',
  jobs(size) {
    const sizes = size === 'full' ? [1000, 10_000, 50_000] : [20, 200];
    const connections = size === 'full' ? 20_000 : 50;
    return ENGINES.flatMap((engine) =>
      sizes.map((services): Job => {
        const [trial] = scalingTrials(engine, { services, connections, packets: PACKETS });
        return {
          name: `whole trial, ${engine}`,
          size: services,
          sizeOf: 'services',
          operations: connections * PACKETS,
          contenders: () => [wholeTrial(trial)],
          peers: [],
          bars: [],
        };
      }),
    );
  },
};

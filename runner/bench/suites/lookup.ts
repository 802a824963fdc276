/** The index of KUBE-SERVICES against a Map and the same index in C. */
import { lookupContenders } from '../../../engines/iptables/lookup.bench.ts';
import { worldArguments } from '../../../engines/iptables/path.bench.ts';
import type { Suite } from '../suite.ts';

export const SUITE: Suite = {
  name: 'lookup',
  question: 'What does it cost to find the rule of a destination among those of all services?',
  jobs(size) {
    const lookups = size === 'full' ? 200_000 : 10_000;
    return (size === 'full' ? [1_000, 10_000, 50_000] : [1_000]).map((services) => ({
      name: 'rule of a destination',
      size: services,
      sizeOf: 'services',
      operations: lookups,
      contenders: () => lookupContenders({ services, lookups }),
      peers: [{ name: 'C', source: 'lookup.c', args: [String(lookups), ...worldArguments(services, 1)] }],
      bars: [],
    }));
  },
};

/** Host time of finding the rule for a destination in the index of KUBE-SERVICES; bench/lookup.c is the same program. */
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import type { Contender } from '../../sim/contender.ts';
import { mixed } from '../../sim/contender.ts';
import { Rng, shuffle } from '../../sim/rng.ts';
import { CLUSTER_IP_BASE } from '../synthetic.ts';
import { ChainIndex } from './chain-index.ts';
import { SERVICE_BYTES } from './sizes.ts';

export interface LookupJob {
  readonly services: number;
  /** Look-ups a round; one in nine is for an address that no service has. */
  readonly lookups: number;
}

/** Answers are places in the chain, 0 where there is no rule. */
export function lookupContenders({ services, lookups }: LookupJob): Contender[] {
  const order = Uint32Array.from({ length: services }, (_, slot) => slot);
  shuffle(order, new Rng(1).stream('service-order'));
  const index = new ChainIndex(SERVICE_BYTES);
  index.reset(services);
  const map = new Map<number, number>();
  order.forEach((slot, i) => {
    index.append(PROTOCOL_TCP, CLUSTER_IP_BASE + slot, 80, slot, SERVICE_BYTES);
    map.set(keyOf(CLUSTER_IP_BASE + slot, 80), i + 1);
  });
  return [
    contender('chainwalk', services, lookups, (address) => {
      const rule = index.find(PROTOCOL_TCP, address, 80);
      return rule < 0 ? 0 : index.place(rule);
    }),
    contender('Map', services, lookups, (address) => map.get(keyOf(address, 80)) ?? 0),
  ];
}

function contender(name: string, services: number, lookups: number, find: (address: number) => number): Contender {
  const stream = new Rng(1).stream('bench/lookup');
  const addresses = services + Math.floor(services / 8);
  let sum = 0;
  return {
    name,
    round: () => {
      for (let i = 0; i < lookups; i++) sum = mixed(sum, find(CLUSTER_IP_BASE + stream.below(addresses)));
    },
    checksum: () => sum,
  };
}

/** Of TCP: below 2^53. */
function keyOf(address: number, port: number): number {
  return address * 65_536 + port;
}

/** The literal scan of a chain of `rules` ClusterIP rules in service order, to its match or to its end: bench/scan.c does the same. */
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import type { Contender } from '../../sim/contender.ts';
import { mixed } from '../../sim/contender.ts';
import { RandomStream, shuffle } from '../../sim/rng.ts';
import { CLUSTER_IP_BASE } from '../synthetic.ts';
import { KIND_JUMP, RuleArrays, SCANNING } from './rule-arrays.ts';
import { HAS_SIMD, KEY_ANY_DST, KEY_SERVICE_CHAIN, portKey, ruleKey } from './scan.ts';
import { SERVICE_BYTES } from './sizes.ts';

export interface ScanJob {
  readonly rules: number;
  readonly walks: number;
  /** State of xoshiro128**. */
  readonly seed: readonly [number, number, number, number];
}

/** As many as two engines would have. They take turns, so that no scan is compiled for one chain alone. */
const CHAINS = 2;

function scanContender(usesSimd: boolean, { rules, walks, seed }: ScanJob): Contender {
  const stream = new RandomStream(...seed);
  const chains = Array.from({ length: CHAINS }, () => serviceChain(rules, usesSimd, stream));
  const packet = KEY_ANY_DST | portKey(PROTOCOL_TCP, 80);
  let turn = 0;
  let checksum = 0;
  return {
    name: 'chainwalk',
    round: () => {
      const chain = chains[turn];
      turn = (turn + 1) % CHAINS;
      for (let i = 0; i < walks; i++) {
        // One in nine asks for a service that there is not.
        const address = (CLUSTER_IP_BASE + stream.below(rules + Math.floor(rules / 8))) | 0;
        const at = chain.scan(0, rules, address, packet);
        checksum = mixed(mixed(checksum, at), chain.sum[0]);
      }
    },
    checksum: () => checksum,
  };
}

/** As the literal walk scans where WebAssembly has vectors. */
export function simdScanContender(job: ScanJob): Contender {
  return scanContender(HAS_SIMD, job);
}

/** What stands in for it where it has none. */
export function scalarScanContender(job: ScanJob): Contender {
  return scanContender(false, job);
}

function serviceChain(rules: number, usesSimd: boolean, stream: RandomStream): RuleArrays {
  const arrays = new RuleArrays();
  const before = { ...SCANNING };
  Object.assign(SCANNING, { usesSimd, fewestRules: 0 });
  arrays.reserve(rules, 0);
  Object.assign(SCANNING, before);
  const addresses = Uint32Array.from({ length: rules }, (_, i) => CLUSTER_IP_BASE + i);
  shuffle(addresses, stream);
  arrays.dst.set(addresses);
  arrays.key.fill(portKey(PROTOCOL_TCP, 80) | KEY_SERVICE_CHAIN | ruleKey(KIND_JUMP, SERVICE_BYTES));
  return arrays;
}

/** The filter base chains of one hook (kube-proxy setupNFTables, engines/README.md 9.1), with the counts of nft_do_chain. */
import { JUMPS, MAP_LOOKUPS, RULES_EVALUATED, RULES_MATCHED } from '../../model/counters.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_REJECT,
  REASON_NO_ENDPOINTS,
  REASON_NO_LOCAL_ENDPOINTS,
  REASON_SOURCE_RANGE,
  REASON_UNALLOCATED_VIP,
  REASON_UNUSED_VIP_PORT,
} from '../../model/verdict.ts';
import type { ServiceTable } from './compile.ts';
import type { ElementMap } from './element-map.ts';
import { DROPPED, serviceWord } from './elements.ts';
import type { NodeFacts } from './node-facts.ts';
import {
  CHECK_FIREWALL,
  CHECK_NODE_PORT_ENDPOINTS,
  CHECK_SERVICE_ENDPOINTS,
  holds,
  inSomeBlock,
  isLoopback,
} from './node-facts.ts';
import type { PacketWalk } from './packet-walk.ts';

export class FilterWalk {
  readonly #facts: NodeFacts;
  readonly #table: ServiceTable;

  constructor(facts: NodeFacts, table: ServiceTable) {
    this.#facts = facts;
    this.#table = table;
  }

  /** All rules of these base chains: OUTCOME_ACCEPT, or a refusal with the walk's `reason`. Adds to the counters from rows[row] on. */
  run(checks: Uint8Array, walk: PacketWalk, rows: Uint32Array, row: number): number {
    if (!walk.isNew) {
      // Each rule begins with `ct state new`.
      rows[row + RULES_EVALUATED] += checks.length;
      return OUTCOME_ACCEPT;
    }
    for (let i = 0; i < checks.length; i++) {
      // The rule that jumps.
      rows[row + RULES_EVALUATED]++;
      rows[row + RULES_MATCHED]++;
      rows[row + JUMPS]++;
      const outcome = this.#check(checks[i], walk, rows, row);
      if (outcome !== OUTCOME_ACCEPT) return outcome;
    }
    return OUTCOME_ACCEPT;
  }

  #check(check: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    if (check === CHECK_SERVICE_ENDPOINTS) return this.#serviceEndpoints(walk, rows, row);
    if (check === CHECK_FIREWALL) return this.#firewall(walk, rows, row);
    if (check === CHECK_NODE_PORT_ENDPOINTS) return this.#nodePortEndpoints(walk, rows, row);
    return this.#clusterIps(walk, rows, row);
  }

  #firewall(walk: PacketWalk, rows: Uint32Array, row: number): number {
    rows[row + RULES_EVALUATED]++;
    rows[row + MAP_LOOKUPS]++;
    const value = this.#table.elements.firewallIps.find(walk.dst, serviceWord(walk.protocol, walk.dstPort));
    if (value < 0) return OUTCOME_ACCEPT;
    const slot = value >> 2;
    const allowed = this.#table.slots.allowedSources[slot] as Int32Array;
    // On to the service's firewall chain, and its one rule.
    rows[row + RULES_MATCHED]++;
    rows[row + JUMPS]++;
    rows[row + RULES_EVALUATED]++;
    if (allowed.length > 2) rows[row + MAP_LOOKUPS]++;
    if (inSomeBlock(allowed, walk.src)) return OUTCOME_ACCEPT;
    rows[row + RULES_MATCHED]++;
    walk.reason = REASON_SOURCE_RANGE;
    walk.servicePortId = this.#table.slots.id[slot];
    return OUTCOME_DROP;
  }

  #serviceEndpoints(walk: PacketWalk, rows: Uint32Array, row: number): number {
    rows[row + RULES_EVALUATED]++;
    const map = this.#table.elements.noEndpointServices;
    return this.#refusal(map, walk.dst, walk, rows, row);
  }

  #nodePortEndpoints(walk: PacketWalk, rows: Uint32Array, row: number): number {
    rows[row + RULES_EVALUATED]++;
    const { nodePortIps } = this.#facts;
    if (nodePortIps === undefined) {
      if (isLoopback(walk.dst)) return OUTCOME_ACCEPT;
    } else {
      rows[row + MAP_LOOKUPS]++;
      if (!holds(nodePortIps, walk.dst)) return OUTCOME_ACCEPT;
    }
    return this.#refusal(this.#table.elements.noEndpointNodePorts, 0, walk, rows, row);
  }

  /** The look-up in a no-endpoint map, and its verdict. */
  #refusal(map: ElementMap, address: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    rows[row + MAP_LOOKUPS]++;
    const value = map.find(address, serviceWord(walk.protocol, walk.dstPort));
    if (value < 0) return OUTCOME_ACCEPT;
    rows[row + RULES_MATCHED]++;
    walk.servicePortId = this.#table.slots.id[value >> 1];
    if ((value & 1) === DROPPED) {
      walk.reason = REASON_NO_LOCAL_ENDPOINTS;
      return OUTCOME_DROP;
    }
    // On to reject-chain, and its one rule.
    rows[row + JUMPS]++;
    rows[row + RULES_EVALUATED]++;
    rows[row + RULES_MATCHED]++;
    walk.reason = REASON_NO_ENDPOINTS;
    return OUTCOME_REJECT;
  }

  #clusterIps(walk: PacketWalk, rows: Uint32Array, row: number): number {
    rows[row + RULES_EVALUATED]++;
    rows[row + MAP_LOOKUPS]++;
    if (this.#table.elements.clusterIps.find(walk.dst, 0) >= 0) {
      rows[row + RULES_MATCHED]++;
      walk.reason = REASON_UNUSED_VIP_PORT;
      return OUTCOME_REJECT;
    }
    const { serviceCidrs } = this.#facts;
    if (serviceCidrs.length === 0) return OUTCOME_ACCEPT;
    rows[row + RULES_EVALUATED]++;
    // nft turns braces of one element into a compare (src/evaluate.c optimize_singleton_set).
    if (serviceCidrs.length > 2) rows[row + MAP_LOOKUPS]++;
    if (!inSomeBlock(serviceCidrs, walk.dst)) return OUTCOME_ACCEPT;
    rows[row + RULES_MATCHED]++;
    walk.reason = REASON_UNALLOCATED_VIP;
    return OUTCOME_DROP;
  }
}

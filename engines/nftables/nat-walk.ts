/** The nat base chains and the chains of the services (engines/README.md 9.1 and 9.2), with the counts of nft_do_chain. */
import { JUMPS, MAP_LOOKUPS, RULES_EVALUATED, RULES_MATCHED } from '../../model/counters.ts';
import type { RandomStream } from '../../sim/rng.ts';
import type { ServiceTable } from './compile.ts';
import {
  AFFINITY,
  EXTERNAL_LOCAL,
  HAS_EXTERNAL,
  INTERNAL_LOCAL,
  TO_EXTERNAL,
  TO_LOCAL,
  serviceWord,
} from './elements.ts';
import type { NodeFacts } from './node-facts.ts';
import { DETECT_CIDR, DETECT_NOTHING, holds, isLocal, isLoopback } from './node-facts.ts';
import type { PacketWalk } from './packet-walk.ts';

export class NatWalk {
  readonly #facts: NodeFacts;
  readonly #table: ServiceTable;
  readonly #numgen: RandomStream;

  constructor(facts: NodeFacts, table: ServiceTable, numgen: RandomStream) {
    this.#facts = facts;
    this.#table = table;
    this.#numgen = numgen;
  }

  /** nat-prerouting or nat-output: may set the walk's destination, mark, `translated` and `servicePortId`. */
  destination(walk: PacketWalk, rows: Uint32Array, row: number): void {
    const { elements } = this.#table;
    const service = serviceWord(walk.protocol, walk.dstPort);
    // `jump services`, and its first rule.
    count(rows, row, 2, 1, 1);
    rows[row + MAP_LOOKUPS]++;
    let value = elements.serviceIps.find(walk.dst, service);
    if (value < 0) {
      rows[row + RULES_EVALUATED]++;
      if (!this.#takesNodePorts(walk.dst, rows, row)) return;
      rows[row + MAP_LOOKUPS]++;
      value = elements.serviceNodePorts.find(0, service);
      if (value < 0) return;
    }
    // The map's `goto`: at the end of the chain gone to nothing follows.
    count(rows, row, 0, 1, 1);
    const slot = value >> 2;
    const chain = value & 3;
    if (chain === TO_EXTERNAL) this.#externalChain(slot, walk, rows, row);
    else this.#serviceChain(slot, chain === TO_LOCAL, walk, rows, row);
  }

  /** nat-postrouting: whether the packet is masqueraded. */
  source(walk: PacketWalk, rows: Uint32Array, row: number): boolean {
    // `jump masquerading`; there `return` without the mark, else the mark goes and `masquerade` follows.
    if (!walk.marked) count(rows, row, 2, 2, 1);
    else count(rows, row, 4, 3, 1);
    return walk.marked;
  }

  /** Whether the packet goes on to the look-up of node ports: not on loopback, where they do not work in this mode. */
  #takesNodePorts(dst: number, rows: Uint32Array, row: number): boolean {
    const { addresses, nodePortIps } = this.#facts;
    if (nodePortIps === undefined) return holds(addresses, dst) && !isLoopback(dst);
    rows[row + MAP_LOOKUPS]++;
    return holds(nodePortIps, dst);
  }

  #externalChain(slot: number, walk: PacketWalk, rows: Uint32Array, row: number): void {
    const flags = this.#table.slots.flags[slot];
    if ((flags & EXTERNAL_LOCAL) === 0) this.#mark(walk, rows, row);
    else {
      // As if the packet went out to the load balancer and came back: to any endpoint, whatever the policy.
      if (this.#facts.detector !== DETECT_NOTHING) {
        rows[row + RULES_EVALUATED]++;
        if (this.#isFromPod(walk)) {
          count(rows, row, 0, 1, 1);
          this.#serviceChain(slot, false, walk, rows, row);
          return;
        }
      }
      if (isLocal(this.#facts.addresses, walk.src)) {
        this.#mark(walk, rows, row);
        count(rows, row, 1, 1, 1);
        this.#serviceChain(slot, false, walk, rows, row);
        return;
      }
      rows[row + RULES_EVALUATED] += 2;
    }
    if ((flags & HAS_EXTERNAL) === 0) return;
    count(rows, row, 1, 1, 1);
    this.#serviceChain(slot, (flags & EXTERNAL_LOCAL) !== 0, walk, rows, row);
  }

  /** The service's chain of all endpoints or of local ones, and the chain of the endpoint chosen. */
  #serviceChain(slot: number, local: boolean, walk: PacketWalk, rows: Uint32Array, row: number): void {
    const { slots } = this.#table;
    const flags = slots.flags[slot];
    // Only the chain that the cluster IP goes to begins with the masquerade rule.
    if (slots.entryRule[slot] === 1 && local === ((flags & INTERNAL_LOCAL) !== 0)) {
      this.#entryRule(slot, walk, rows, row);
    }
    const first = local ? slots.start[slot] + slots.clusterCount[slot] : slots.start[slot];
    const length = local ? slots.localCount[slot] : slots.clusterCount[slot];
    if ((flags & AFFINITY) !== 0) {
      const { affinity } = this.#table;
      const sets = slots.affinitySet;
      for (let k = 0; k < length; k++) {
        rows[row + RULES_EVALUATED]++;
        rows[row + MAP_LOOKUPS]++;
        if (!affinity.holds(sets[first + k], walk.src)) continue;
        count(rows, row, 0, 1, 1);
        this.#endpointChain(slot, first + k, walk, rows, row);
        return;
      }
    }
    // `numgen random mod n` (nft_numgen.c nft_ng_random_eval: reciprocal_scale), n = 1 included.
    const chosen = Math.floor((this.#numgen.nextUint32() * length) / 4294967296);
    count(rows, row, 1, 1, 1);
    rows[row + MAP_LOOKUPS]++;
    this.#endpointChain(slot, first + chosen, walk, rows, row);
  }

  /** `ip daddr CIP [proto dport P] [from outside] jump mark-for-masquerade`. */
  #entryRule(slot: number, walk: PacketWalk, rows: Uint32Array, row: number): void {
    const { slots } = this.#table;
    const facts = this.#facts;
    const holdsHere =
      walk.dst === slots.clusterIp[slot] &&
      (!facts.testsClusterIpPort || walk.dstPort === slots.port[slot]) &&
      (facts.masqueradeAll || !this.#isFromPod(walk));
    if (holdsHere) this.#mark(walk, rows, row);
    else rows[row + RULES_EVALUATED]++;
  }

  #endpointChain(slot: number, endpoint: number, walk: PacketWalk, rows: Uint32Array, row: number): void {
    const { slots, affinity } = this.#table;
    const address = slots.endpointAddress[endpoint];
    const set = slots.affinitySet[endpoint];
    // A connection to itself.
    if (walk.src === address) this.#mark(walk, rows, row);
    else rows[row + RULES_EVALUATED]++;
    if (set >= 0) {
      count(rows, row, 1, 1, 0);
      rows[row + MAP_LOOKUPS]++;
      affinity.update(set, walk.src);
    }
    // `dnat to`.
    count(rows, row, 1, 1, 0);
    walk.dst = address;
    walk.dstPort = slots.endpointPort[endpoint];
    walk.translated = true;
    walk.servicePortId = slots.id[slot];
  }

  /** A rule that jumps to mark-for-masquerade, and the one rule there. */
  #mark(walk: PacketWalk, rows: Uint32Array, row: number): void {
    count(rows, row, 2, 2, 1);
    walk.marked = true;
  }

  #isFromPod(walk: PacketWalk): boolean {
    const facts = this.#facts;
    if (facts.detector === DETECT_CIDR) return (walk.src & facts.detectorMask) === facts.detectorAddress;
    return walk.fromPodInterface;
  }
}

function count(rows: Uint32Array, row: number, visited: number, matched: number, jumps: number): void {
  rows[row + RULES_EVALUATED] += visited;
  rows[row + RULES_MATCHED] += matched;
  rows[row + JUMPS] += jumps;
}

/** The evaluator whose cost does not depend on the number of services: finds the rule that the walk would reach and adds the walk's counts. */
import {
  JUMPS,
  RULES_EVALUATED,
  RULES_MATCHED,
  RULE_BYTES,
  SERVICE_RULES_SCANNED,
  STATISTIC_RULES,
} from '../../model/counters.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_REJECT,
  REASON_INVALID,
  REASON_NONE,
  REASON_NO_ENDPOINTS,
} from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import type { ServiceTable } from './compile.ts';
import type { Evaluator, NodeFacts, PacketWalk } from './packet-walk.ts';
import {
  HOOK_FORWARD,
  HOOK_OUTPUT,
  STATE_DNAT,
  STATE_ESTABLISHED,
  STATE_INVALID,
  STATE_NEW,
  hasMasqueradeRule,
  isLocal,
} from './packet-walk.ts';
import { statisticThresholds } from './probability.ts';
import {
  COMMENTED_BYTES,
  EXTERNAL_BYTES,
  INVALID_BYTES,
  LAST_BYTES,
  MARK_ACCEPT_BYTES,
  MARK_RETURN_BYTES,
  MASQUERADE_BYTES,
  PLAIN_BYTES,
  SERVICE_BYTES,
  STATE_BYTES,
  dnatBytes,
  endpointJumpBytes,
  hairpinBytes,
} from './sizes.ts';

export class IndexedEvaluator implements Evaluator {
  readonly #facts: NodeFacts;
  readonly #stream: RandomStream;
  readonly #masqueradeRule: boolean;
  #table: ServiceTable;
  #thresholds = statisticThresholds(1);

  constructor(facts: NodeFacts, stream: RandomStream, table: ServiceTable) {
    this.#table = table;
    this.#facts = facts;
    this.#stream = stream;
    this.#masqueradeRule = hasMasqueradeRule(facts);
  }

  update(): void {
    this.#thresholds = statisticThresholds(this.#table.maxEndpoints);
  }

  natDestination(_hook: number, walk: PacketWalk, rows: Uint32Array, row: number): void {
    const services = this.#table.services;
    // Every sum begins with the built-in chain's one rule, which jumps to KUBE-SERVICES.
    const rule = services.find(walk.protocol, walk.dst, walk.dstPort);
    if (rule >= 0) {
      const place = services.place(rule);
      rows[row + SERVICE_RULES_SCANNED] += place;
      const bytes = COMMENTED_BYTES + place * SERVICE_BYTES;
      this.#serviceChain(services.slot(rule), walk, rows, row, 1 + place, 2, 2, bytes);
      return;
    }
    const length = services.length;
    rows[row + SERVICE_RULES_SCANNED] += length + 1;
    const bytes = COMMENTED_BYTES + length * SERVICE_BYTES + LAST_BYTES;
    if (isLocal(this.#facts.addresses, walk.dst)) this.#nodePorts(walk, rows, row, length + 2, bytes);
    else count(rows, row, length + 2, 1, 1, bytes);
  }

  filter(hook: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    if (hook === HOOK_FORWARD) return this.#forward(walk, rows, row);
    // KUBE-FIREWALL, its one rule, then the jumps of INPUT or OUTPUT that want a NEW packet.
    count(rows, row, 2, 1, 1, PLAIN_BYTES + STATE_BYTES);
    if (walk.dst >>> 24 === 127 && walk.src >>> 24 !== 127 && (walk.state & (STATE_ESTABLISHED | STATE_DNAT)) === 0) {
      rows[row + RULES_MATCHED]++;
      walk.reason = REASON_NONE;
      return OUTCOME_DROP;
    }
    const isNew = (walk.state & STATE_NEW) !== 0 ? 1 : 0;
    if (hook === HOOK_OUTPUT) {
      count(rows, row, 2, 2 * isNew, 2 * isNew, 2 * STATE_BYTES);
      return isNew ? this.#rejects(walk, rows, row) : OUTCOME_ACCEPT;
    }
    count(rows, row, 3, 1 + 2 * isNew, 1 + 2 * isNew, 2 * STATE_BYTES + COMMENTED_BYTES);
    return isNew ? this.#externalRejects(walk, rows, row) : OUTCOME_ACCEPT;
  }

  natSource(walk: PacketWalk, rows: Uint32Array, row: number): boolean {
    if (!walk.marked) {
      count(rows, row, 2, 2, 1, COMMENTED_BYTES + MARK_RETURN_BYTES);
      return false;
    }
    count(rows, row, 4, 3, 1, COMMENTED_BYTES + MARK_RETURN_BYTES + PLAIN_BYTES + MASQUERADE_BYTES);
    return true;
  }

  /** KUBE-NODEPORTS, after `before` rules of `bytesBefore` bytes of which two, both jumps, matched. */
  #nodePorts(walk: PacketWalk, rows: Uint32Array, row: number, before: number, bytesBefore: number): void {
    const nodePorts = this.#table.nodePorts;
    const rule = nodePorts.find(walk.protocol, 0, walk.dstPort);
    const place = rule >= 0 ? nodePorts.place(rule) : nodePorts.length;
    rows[row + SERVICE_RULES_SCANNED] += place;
    const bytes = bytesBefore + place * SERVICE_BYTES;
    if (rule < 0) {
      count(rows, row, before + place, 2, 2, bytes);
      return;
    }
    // The rule found jumps to KUBE-EXT: the jump to KUBE-MARK-MASQ with its one rule, then the jump to KUBE-SVC.
    walk.marked = true;
    const extBytes = COMMENTED_BYTES + 2 * PLAIN_BYTES;
    this.#serviceChain(nodePorts.slot(rule), walk, rows, row, before + place + 3, 6, 5, bytes + extBytes);
  }

  /** KUBE-SVC and KUBE-SEP. The last four arguments are what the walk has met so far, the jump that leads here included. */
  #serviceChain(
    slot: number,
    walk: PacketWalk,
    rows: Uint32Array,
    row: number,
    visitedBefore: number,
    matchedBefore: number,
    jumpsBefore: number,
    bytesBefore: number,
  ): void {
    const table = this.#table;
    const facts = this.#facts;
    const commented = table.commented[slot] === 1;
    // KUBE-MARK-MASQ: a match, a jump, and the one rule there.
    let marks = 0;
    let visited = visitedBefore;
    let bytes = bytesBefore;
    if (this.#masqueradeRule) {
      visited++;
      bytes += SERVICE_BYTES;
      if (
        walk.dst === table.clusterIp[slot] &&
        walk.dstPort === table.port[slot] &&
        (facts.masqueradeAll || (walk.src & facts.detectorMask) !== facts.detectorAddress)
      ) {
        marks++;
      }
    }
    const last = table.endpointCount[slot] - 1;
    const thresholds = this.#thresholds;
    const stream = this.#stream;
    let chosen = 0;
    while (chosen < last && (stream.nextUint32() & 0x7fffffff) >= thresholds[last + 1 - chosen]) chosen++;
    const statistic = chosen < last ? chosen + 1 : chosen;
    bytes += statistic * endpointJumpBytes(true, commented);
    if (statistic === chosen) bytes += endpointJumpBytes(false, commented);
    rows[row + STATISTIC_RULES] += statistic;
    const endpoint = table.endpointStart[slot] + chosen;
    const address = table.endpointAddress[endpoint];
    if (walk.src === address) marks++;
    if (marks > 0) walk.marked = true;
    bytes += hairpinBytes(commented) + dnatBytes(commented) + marks * PLAIN_BYTES;
    // The jump to KUBE-SEP and DNAT match, too.
    visited += chosen + 3 + marks;
    count(rows, row, visited, matchedBefore + 2 + 2 * marks, jumpsBefore + 1 + marks, bytes);
    walk.dst = address;
    walk.dstPort = table.endpointPort[endpoint];
    walk.translated = true;
    walk.servicePortId = table.id[slot];
  }

  #forward(walk: PacketWalk, rows: Uint32Array, row: number): number {
    const isNew = (walk.state & STATE_NEW) !== 0 ? 1 : 0;
    // The jump to KUBE-PROXY-FIREWALL (only NEW), the jump to KUBE-FORWARD, and there INVALID.
    const bytes = STATE_BYTES + COMMENTED_BYTES + INVALID_BYTES;
    if ((walk.state & STATE_INVALID) !== 0) {
      count(rows, row, 3, 2, 1, bytes);
      walk.reason = REASON_INVALID;
      return OUTCOME_DROP;
    }
    if (walk.marked) {
      count(rows, row, 4, 2 + isNew, 1 + isNew, bytes + MARK_ACCEPT_BYTES);
      return OUTCOME_ACCEPT;
    }
    if (isNew === 0) {
      count(rows, row, 5, 2, 1, bytes + MARK_ACCEPT_BYTES + STATE_BYTES);
      return OUTCOME_ACCEPT;
    }
    // Back in FORWARD: the jump to KUBE-SERVICES.
    count(rows, row, 6, 3, 3, bytes + MARK_ACCEPT_BYTES + 2 * STATE_BYTES);
    if (this.#rejects(walk, rows, row) === OUTCOME_REJECT) return OUTCOME_REJECT;
    count(rows, row, 1, 1, 1, STATE_BYTES);
    return this.#externalRejects(walk, rows, row);
  }

  /** filter KUBE-SERVICES. */
  #rejects(walk: PacketWalk, rows: Uint32Array, row: number): number {
    const rejects = this.#table.rejects;
    if (rejects.length === 0) return OUTCOME_ACCEPT;
    const rule = rejects.find(walk.protocol, walk.dst, walk.dstPort);
    const place = rule >= 0 ? rejects.place(rule) : rejects.length;
    count(rows, row, place, 0, 0, place * SERVICE_BYTES);
    rows[row + SERVICE_RULES_SCANNED] += place;
    return rule < 0 ? OUTCOME_ACCEPT : this.#reject(rejects.slot(rule), walk, rows, row);
  }

  /** filter KUBE-EXTERNAL-SERVICES. */
  #externalRejects(walk: PacketWalk, rows: Uint32Array, row: number): number {
    const rejects = this.#table.externalRejects;
    if (rejects.length === 0) return OUTCOME_ACCEPT;
    const local = isLocal(this.#facts.addresses, walk.dst);
    const rule = local ? rejects.find(walk.protocol, 0, walk.dstPort) : -1;
    const place = rule >= 0 ? rejects.place(rule) : rejects.length;
    count(rows, row, place, 0, 0, place * EXTERNAL_BYTES);
    rows[row + SERVICE_RULES_SCANNED] += place;
    return rule < 0 ? OUTCOME_ACCEPT : this.#reject(rejects.slot(rule), walk, rows, row);
  }

  #reject(slot: number, walk: PacketWalk, rows: Uint32Array, row: number): number {
    rows[row + RULES_MATCHED]++;
    walk.reason = REASON_NO_ENDPOINTS;
    walk.servicePortId = this.#table.id[slot];
    return OUTCOME_REJECT;
  }
}

function count(rows: Uint32Array, row: number, visited: number, matched: number, jumps: number, bytes: number): void {
  rows[row + RULES_EVALUATED] += visited;
  rows[row + RULES_MATCHED] += matched;
  rows[row + JUMPS] += jumps;
  rows[row + RULE_BYTES] += bytes;
}

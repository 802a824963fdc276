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
import { ServiceTable } from './compile.ts';
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

const NO_ROW = new Uint32Array(0);

export class IndexedEvaluator implements Evaluator {
  readonly #facts: NodeFacts;
  readonly #stream: RandomStream;
  readonly #masqueradeRule: boolean;
  #table = new ServiceTable();
  #thresholds = NO_ROW;

  constructor(facts: NodeFacts, stream: RandomStream) {
    this.#facts = facts;
    this.#stream = stream;
    this.#masqueradeRule = hasMasqueradeRule(facts);
  }

  update(table: ServiceTable): void {
    this.#table = table;
    this.#thresholds = statisticThresholds(table.maxEndpoints);
  }

  natDestination(_hook: number, walk: PacketWalk, rows: Uint32Array, row: number): void {
    const services = this.#table.services;
    // The built-in chain's one rule, which jumps to KUBE-SERVICES.
    count(rows, row, 1, 1, 1, COMMENTED_BYTES);
    const rule = services.find(walk.protocol, walk.dst, walk.dstPort);
    if (rule >= 0) {
      const place = services.place(rule);
      count(rows, row, place, 1, 1, place * SERVICE_BYTES);
      rows[row + SERVICE_RULES_SCANNED] += place;
      this.#serviceChain(services.slot(rule), walk, rows, row);
      return;
    }
    const length = services.length;
    count(rows, row, length + 1, 0, 0, length * SERVICE_BYTES + LAST_BYTES);
    rows[row + SERVICE_RULES_SCANNED] += length + 1;
    if (isLocal(this.#facts.addresses, walk.dst)) this.#nodePorts(walk, rows, row);
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
    count(rows, row, 2, 1, 1, COMMENTED_BYTES + MARK_RETURN_BYTES);
    if (!walk.marked) {
      rows[row + RULES_MATCHED]++;
      return false;
    }
    count(rows, row, 2, 2, 0, PLAIN_BYTES + MASQUERADE_BYTES);
    return true;
  }

  #nodePorts(walk: PacketWalk, rows: Uint32Array, row: number): void {
    const nodePorts = this.#table.nodePorts;
    const rule = nodePorts.find(walk.protocol, 0, walk.dstPort);
    const place = rule >= 0 ? nodePorts.place(rule) : nodePorts.length;
    count(rows, row, place, 1, 1, place * SERVICE_BYTES);
    rows[row + SERVICE_RULES_SCANNED] += place;
    if (rule < 0) return;
    // KUBE-EXT: the jump to KUBE-MARK-MASQ with its one rule, then the jump to KUBE-SVC.
    count(rows, row, 3, 4, 3, COMMENTED_BYTES + 2 * PLAIN_BYTES);
    walk.marked = true;
    this.#serviceChain(nodePorts.slot(rule), walk, rows, row);
  }

  /** KUBE-SVC and KUBE-SEP. The jump that leads here is counted by the caller. */
  #serviceChain(slot: number, walk: PacketWalk, rows: Uint32Array, row: number): void {
    const table = this.#table;
    const facts = this.#facts;
    const commented = table.commented[slot] === 1;
    if (this.#masqueradeRule) {
      count(rows, row, 1, 0, 0, SERVICE_BYTES);
      if (
        walk.dst === table.clusterIp[slot] &&
        walk.dstPort === table.port[slot] &&
        (facts.masqueradeAll || (walk.src & facts.detectorMask) !== facts.detectorAddress)
      ) {
        count(rows, row, 1, 2, 1, PLAIN_BYTES);
        walk.marked = true;
      }
    }
    const endpoints = table.endpointCount[slot];
    const thresholds = this.#thresholds;
    const stream = this.#stream;
    let chosen = 0;
    while (chosen < endpoints - 1 && (stream.nextUint32() & 0x7fffffff) >= thresholds[endpoints - chosen]) chosen++;
    const statistic = chosen < endpoints - 1 ? chosen + 1 : chosen;
    let bytes = statistic * endpointJumpBytes(true, commented);
    if (statistic === chosen) bytes += endpointJumpBytes(false, commented);
    count(rows, row, chosen + 1, 1, 1, bytes);
    rows[row + STATISTIC_RULES] += statistic;
    const endpoint = table.endpointStart[slot] + chosen;
    const address = table.endpointAddress[endpoint];
    if (walk.src === address) {
      count(rows, row, 1, 2, 1, PLAIN_BYTES);
      walk.marked = true;
    }
    count(rows, row, 2, 1, 0, hairpinBytes(commented) + dnatBytes(commented));
    walk.dst = address;
    walk.dstPort = table.endpointPort[endpoint];
    walk.translated = true;
    walk.servicePortId = table.id[slot];
  }

  #forward(walk: PacketWalk, rows: Uint32Array, row: number): number {
    const isNew = (walk.state & STATE_NEW) !== 0 ? 1 : 0;
    count(rows, row, 3, 1 + isNew, 1 + isNew, STATE_BYTES + COMMENTED_BYTES + INVALID_BYTES);
    if ((walk.state & STATE_INVALID) !== 0) {
      rows[row + RULES_MATCHED]++;
      walk.reason = REASON_INVALID;
      return OUTCOME_DROP;
    }
    if (walk.marked) {
      count(rows, row, 1, 1, 0, MARK_ACCEPT_BYTES);
      return OUTCOME_ACCEPT;
    }
    count(rows, row, 2, 0, 0, MARK_ACCEPT_BYTES + STATE_BYTES);
    if ((walk.state & STATE_ESTABLISHED) !== 0) {
      rows[row + RULES_MATCHED]++;
      return OUTCOME_ACCEPT;
    }
    count(rows, row, 1, 1, 1, STATE_BYTES);
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

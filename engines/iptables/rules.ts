/** Every rule of the nat and filter tables in one flat array, as the kernel holds them in one blob (ip_tables.c). */
import { REASON_INVALID, REASON_NONE } from '../../model/verdict.ts';
import type { ServiceTable } from './compile.ts';
import type { NodeFacts } from './packet-walk.ts';
import { STATE_DNAT, STATE_ESTABLISHED, STATE_INVALID, STATE_NEW } from './packet-walk.ts';
import { statisticThresholds } from './probability.ts';
import * as size from './sizes.ts';

/** Words of a rule, 16 of 32 bits: one cache line. */
export const RULE_STRIDE = 16;
/** `-s` and `-d`: a packet fits when (address & mask) === value; mask 0 fits all. */
export const W_SRC = 0;
export const W_SRC_MASK = 1;
export const W_DST = 2;
export const W_DST_MASK = 3;
/** 0 = any. */
export const W_PROTOCOL = 4;
/** MATCH_* bits. */
export const W_MATCHES = 5;
export const W_DPORT = 6;
/** STATE_* bits of `--ctstate`. */
export const W_STATES = 7;
/** Threshold of `-m statistic`. */
export const W_THRESHOLD = 8;
/** TARGET_*. */
export const W_TARGET = 9;
/** Jump: first rule and end of the chain. DNAT: address and port. DROP: reason. */
export const W_FIRST = 10;
export const W_END = 11;
/** Id of the service port for DNAT and REJECT. */
export const W_SERVICE = 12;
export const W_BYTES = 13;
/** 1 in the four chains that grow with services. */
export const W_SERVICE_CHAIN = 14;

export const MATCH_SRC_INVERTED = 1;
export const MATCH_DPORT = 2;
export const MATCH_STATES = 4;
export const MATCH_STATES_INVERTED = 8;
export const MATCH_MARKED = 16;
export const MATCH_NOT_MARKED = 32;
export const MATCH_DST_LOCAL = 64;
export const MATCH_STATISTIC = 128;

export const TARGET_JUMP = 0;
export const TARGET_ACCEPT = 1;
export const TARGET_DROP = 2;
export const TARGET_RETURN = 3;
export const TARGET_REJECT = 4;
export const TARGET_MARK = 5;
const TARGET_UNMARK = 6;
export const TARGET_DNAT = 7;
export const TARGET_MASQUERADE = 8;

interface Chain {
  readonly first: number;
  readonly end: number;
}

const LOOPBACK = 127 << 24;
const LOOPBACK_MASK = 255 << 24;

/**
 * The service ports' own chains (KUBE-EXT, KUBE-SVC, KUBE-SEP) come first, one segment a service port; a partial sync
 * appends the segments of what changed. All other chains follow and are written anew at every sync, as kube-proxy does.
 */
export class RuleSet {
  words = new Int32Array(1024 * RULE_STRIDE);
  readonly #facts: NodeFacts;
  readonly #table: ServiceTable;
  #end = 0;
  #segmentsEnd = 0;
  #garbage = 0;
  /** Per slot: first rule of KUBE-SVC, and rules in its segment. KUBE-EXT's two rules stand before KUBE-SVC. */
  #svcFirst = new Int32Array(0);
  #segmentRules = new Int32Array(0);
  #masquerade: Chain = { first: 0, end: 0 };

  /** Base chains and those that they jump to are ranges of rules; the hooks of packet-walk.ts index `hooks`. */
  readonly natHooks: Chain[] = [];
  readonly filterHooks: Chain[] = [];

  constructor(facts: NodeFacts, table: ServiceTable) {
    this.#facts = facts;
    this.#table = table;
  }

  /** Rules in the chains of the last update. */
  get length(): number {
    return this.#end - this.#garbage;
  }

  update(changed?: readonly number[]): void {
    const table = this.#table;
    const slots = table.servicePorts.length;
    const full = changed === undefined || this.#garbage * 2 > this.#segmentsEnd;
    if (this.#svcFirst.length < slots) {
      this.#svcFirst = grown(this.#svcFirst, slots);
      this.#segmentRules = grown(this.#segmentRules, slots);
    }
    this.#end = this.#segmentsEnd;
    if (full) {
      // KUBE-MARK-MASQ never moves, so that the segments may point at it.
      this.#end = 0;
      this.#masquerade = this.#chain(() => this.#rule(size.PLAIN_BYTES, TARGET_MARK));
      this.#garbage = 0;
      this.#segmentRules.fill(0);
      for (let slot = 0; slot < slots; slot++) this.#segment(slot);
    } else {
      for (let slot = 0; slot < slots; slot++) {
        if (table.servicePorts[slot] === undefined) this.#drop(slot);
      }
      for (const slot of changed) {
        this.#drop(slot);
        this.#segment(slot);
      }
    }
    this.#segmentsEnd = this.#end;
    this.#nat();
    this.#filter();
  }

  #drop(slot: number): void {
    this.#garbage += this.#segmentRules[slot];
    this.#segmentRules[slot] = 0;
  }

  /** KUBE-EXT, KUBE-SVC and the KUBE-SEPs of one service port. */
  #segment(slot: number): void {
    const table = this.#table;
    const n = table.endpointCount[slot];
    if (n === 0 || table.servicePorts[slot] === undefined) return;
    const begin = this.#end;
    const commented = table.commented[slot] === 1;
    const protocol = table.protocol[slot];
    const external = table.nodePort[slot] !== 0;
    const { masqueradeRules } = table;
    const svc = { first: begin + (external ? 2 : 0), end: 0 };
    svc.end = svc.first + masqueradeRules + n;
    if (external) {
      this.#jump(size.COMMENTED_BYTES, this.#masquerade);
      this.#jump(size.PLAIN_BYTES, svc);
    }
    if (masqueradeRules === 1) this.#masqueradeRule(slot);
    const thresholds = statisticThresholds(n);
    for (let i = 0; i < n; i++) {
      const first = svc.end + 2 * i;
      const base = this.#jump(size.endpointJumpBytes(i < n - 1, commented), { first, end: first + 2 });
      if (i < n - 1) {
        this.words[base + W_MATCHES] = MATCH_STATISTIC;
        this.words[base + W_THRESHOLD] = thresholds[n - i];
      }
    }
    const start = table.endpointStart[slot];
    for (let i = 0; i < n; i++) {
      const hairpin = this.#jump(size.hairpinBytes(commented), this.#masquerade);
      this.words[hairpin + W_SRC] = table.endpointAddress[start + i];
      this.words[hairpin + W_SRC_MASK] = -1;
      const dnat = this.#rule(size.dnatBytes(commented), TARGET_DNAT);
      this.words[dnat + W_PROTOCOL] = protocol;
      this.words[dnat + W_FIRST] = table.endpointAddress[start + i];
      this.words[dnat + W_END] = table.endpointPort[start + i];
      this.words[dnat + W_SERVICE] = table.id[slot];
    }
    this.#svcFirst[slot] = svc.first;
    this.#segmentRules[slot] = this.#end - begin;
  }

  #masqueradeRule(slot: number): void {
    const base = this.#jump(size.SERVICE_BYTES, this.#masquerade);
    this.#destination(base, slot);
    if (this.#facts.masqueradeAll) return;
    this.words[base + W_SRC] = this.#facts.detectorAddress;
    this.words[base + W_SRC_MASK] = this.#facts.detectorMask;
    this.words[base + W_MATCHES] |= MATCH_SRC_INVERTED;
  }

  #nat(): void {
    const table = this.#table;
    const nodePorts = this.#chain(() => {
      this.#eachInOrder((slot) => {
        if (table.nodePort[slot] === 0 || table.endpointCount[slot] === 0) return;
        const first = this.#svcFirst[slot] - 2;
        const base = this.#jump(size.SERVICE_BYTES, { first, end: first + 2 });
        this.#nodePort(base, slot);
      });
    });
    const services = this.#chain(() => {
      const { masqueradeRules } = table;
      this.#eachInOrder((slot) => {
        const n = table.endpointCount[slot];
        if (n === 0) return;
        const first = this.#svcFirst[slot];
        const base = this.#jump(size.SERVICE_BYTES, { first, end: first + masqueradeRules + n });
        this.#destination(base, slot);
        this.words[base + W_SERVICE_CHAIN] = 1;
      });
      const last = this.#jump(size.LAST_BYTES, nodePorts);
      this.words[last + W_MATCHES] = MATCH_DST_LOCAL;
      this.words[last + W_SERVICE_CHAIN] = 1;
    });
    const postrouting = this.#chain(() => {
      const unmarked = this.#rule(size.MARK_RETURN_BYTES, TARGET_RETURN);
      this.words[unmarked + W_MATCHES] = MATCH_NOT_MARKED;
      this.#rule(size.PLAIN_BYTES, TARGET_UNMARK);
      this.#rule(size.MASQUERADE_BYTES, TARGET_MASQUERADE);
    });
    const none = { first: 0, end: 0 };
    const hooks = [none, none, this.#chain(() => this.#jump(size.COMMENTED_BYTES, services))];
    hooks.push(this.#chain(() => this.#jump(size.COMMENTED_BYTES, services)));
    hooks.push(this.#chain(() => this.#jump(size.COMMENTED_BYTES, postrouting)));
    this.natHooks.splice(0, 5, ...hooks);
  }

  #filter(): void {
    const table = this.#table;
    const empty = this.#chain(() => undefined);
    const firewall = this.#chain(() => {
      const base = this.#state(size.STATE_BYTES, STATE_ESTABLISHED | STATE_DNAT, TARGET_DROP);
      this.words[base + W_SRC] = LOOPBACK;
      this.words[base + W_SRC_MASK] = LOOPBACK_MASK;
      this.words[base + W_DST] = LOOPBACK;
      this.words[base + W_DST_MASK] = LOOPBACK_MASK;
      this.words[base + W_MATCHES] |= MATCH_SRC_INVERTED | MATCH_STATES_INVERTED;
      this.words[base + W_FIRST] = REASON_NONE;
    });
    const forward = this.#chain(() => {
      const invalid = this.#state(size.INVALID_BYTES, STATE_INVALID, TARGET_DROP);
      this.words[invalid + W_FIRST] = REASON_INVALID;
      const marked = this.#rule(size.MARK_ACCEPT_BYTES, TARGET_ACCEPT);
      this.words[marked + W_MATCHES] = MATCH_MARKED;
      this.#state(size.STATE_BYTES, STATE_ESTABLISHED, TARGET_ACCEPT);
    });
    const rejects = this.#chain(() => {
      this.#eachInOrder((slot) => {
        if (table.endpointCount[slot] > 0) return;
        const base = this.#reject(size.SERVICE_BYTES, slot);
        this.#destination(base, slot);
      });
    });
    const externalRejects = this.#chain(() => {
      this.#eachInOrder((slot) => {
        if (table.endpointCount[slot] > 0 || table.nodePort[slot] === 0) return;
        const base = this.#reject(size.EXTERNAL_BYTES, slot);
        this.#nodePort(base, slot);
        this.words[base + W_MATCHES] |= MATCH_DST_LOCAL;
      });
    });
    const onNew = (chain: Chain): void => {
      const base = this.#state(size.STATE_BYTES, STATE_NEW, TARGET_JUMP);
      this.words[base + W_FIRST] = chain.first;
      this.words[base + W_END] = chain.end;
    };
    const hooks = [
      this.#chain(() => {
        this.#jump(size.PLAIN_BYTES, firewall);
        onNew(empty);
        this.#jump(size.COMMENTED_BYTES, empty);
        onNew(externalRejects);
      }),
      this.#chain(() => {
        onNew(empty);
        this.#jump(size.COMMENTED_BYTES, forward);
        onNew(rejects);
        onNew(externalRejects);
      }),
      this.#chain(() => {
        this.#jump(size.PLAIN_BYTES, firewall);
        onNew(empty);
        onNew(rejects);
      }),
    ];
    this.filterHooks.splice(0, 3, ...hooks);
  }

  #eachInOrder(write: (slot: number) => void): void {
    const table = this.#table;
    for (let i = 0; i < table.count; i++) write(table.order[i]);
  }

  #chain(write: () => unknown): Chain {
    const first = this.#end;
    write();
    return { first, end: this.#end };
  }

  #destination(base: number, slot: number): void {
    const table = this.#table;
    this.words[base + W_DST] = table.clusterIp[slot];
    this.words[base + W_DST_MASK] = -1;
    this.words[base + W_PROTOCOL] = table.protocol[slot];
    this.words[base + W_DPORT] = table.port[slot];
    this.words[base + W_MATCHES] |= MATCH_DPORT;
  }

  #nodePort(base: number, slot: number): void {
    const table = this.#table;
    this.words[base + W_PROTOCOL] = table.protocol[slot];
    this.words[base + W_DPORT] = table.nodePort[slot];
    this.words[base + W_MATCHES] |= MATCH_DPORT;
    this.words[base + W_SERVICE_CHAIN] = 1;
  }

  #reject(bytes: number, slot: number): number {
    const base = this.#rule(bytes, TARGET_REJECT);
    this.words[base + W_SERVICE] = this.#table.id[slot];
    this.words[base + W_SERVICE_CHAIN] = 1;
    return base;
  }

  #state(bytes: number, states: number, target: number): number {
    const base = this.#rule(bytes, target);
    this.words[base + W_MATCHES] = MATCH_STATES;
    this.words[base + W_STATES] = states;
    return base;
  }

  #jump(bytes: number, chain: Chain): number {
    const base = this.#rule(bytes, TARGET_JUMP);
    this.words[base + W_FIRST] = chain.first;
    this.words[base + W_END] = chain.end;
    return base;
  }

  /** Appends a rule that matches everything; returns its first word. */
  #rule(bytes: number, target: number): number {
    const base = this.#end * RULE_STRIDE;
    if (base === this.words.length) this.words = grown(this.words, base + RULE_STRIDE);
    this.words.fill(0, base, base + RULE_STRIDE);
    this.words[base + W_TARGET] = target;
    this.words[base + W_BYTES] = bytes;
    this.#end++;
    return base;
  }
}

function grown(words: Int32Array, needed: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(needed, words.length * 2));
  larger.set(words);
  return larger;
}

/** Every rule of the nat and filter tables as a struct of arrays, for the literal evaluator. */
import { REASON_INVALID, REASON_NONE } from '../../model/verdict.ts';
import type { ServiceTable } from './compile.ts';
import { encodeRule } from './encode.ts';
import type { NodeFacts } from './node-facts.ts';
import { MARK_IN_CHAIN, MARK_IN_DISPATCH } from './node-facts.ts';
import { HOOK_FORWARD, HOOK_INPUT, HOOK_OUTPUT, HOOK_POSTROUTING, HOOK_PREROUTING } from './packet-walk.ts';
import { statisticThresholds } from './probability.ts';
import { BUILT_IN_CHAINS, firewallRules, forwardRules, postroutingRules } from './program/fixed-rules.ts';
import { nodePortDispatch } from './program/node-ports.ts';
import type { Rule } from './program/rules.ts';
import * as kind from './rule-arrays.ts';
import { RuleArrays, keyOfWords } from './rule-arrays.ts';
import type { Chain } from './rule-words.ts';
import { RULE_STRIDE, RuleWords, W_DST, W_END, W_FIRST } from './rule-words.ts';
import {
  KEY_ANY_DST,
  KEY_ANY_PORT,
  KEY_SERVICE_CHAIN,
  LEAST_BYTES,
  keyKind,
  portKey,
  protocolKey,
  ruleKey,
} from './scan.ts';
import * as size from './sizes.ts';
import * as shared from './special-ports.ts';
import { MARK_CHAIN, SHARED_CHAIN_COUNT } from './special-ports.ts';

const HOOKS: Readonly<Record<string, number>> = {
  INPUT: HOOK_INPUT,
  FORWARD: HOOK_FORWARD,
  OUTPUT: HOOK_OUTPUT,
  PREROUTING: HOOK_PREROUTING,
  POSTROUTING: HOOK_POSTROUTING,
};

/** Where a chain stands: that changes from sync to sync. */
class Place implements Chain {
  first = 0;
  end = 0;
}

/** A chain whose rules do not depend on Services: rules `first` .. `end - 1` of the fixed words. */
interface FixedChain {
  readonly place: Place;
  readonly first: number;
  readonly end: number;
}

/** Any destination, port and protocol. */
const ANY = KEY_ANY_DST | KEY_ANY_PORT;
/** By whether endpoint rules carry comments. DNAT's key is without the protocol. */
const CHANCE_KEYS = [false, true].map((c) => ANY | ruleKey(kind.KIND_CHANCE, size.endpointJumpBytes(true, c)));
const LAST_KEYS = [false, true].map((c) => ANY | ruleKey(kind.KIND_JUMP, size.endpointJumpBytes(false, c)));
const HAIRPIN_KEYS = [false, true].map((c) => ANY | ruleKey(kind.KIND_HAIRPIN, size.hairpinBytes(c)));
const DNAT_KEYS = [false, true].map((c) => ANY | ruleKey(kind.KIND_DNAT, size.dnatBytes(c)));
const EXTERNAL_MARK_KEY = ANY | ruleKey(kind.KIND_JUMP, size.COMMENTED_BYTES);
const EXTERNAL_JUMP_KEY = ANY | ruleKey(kind.KIND_JUMP, size.PLAIN_BYTES);
/** Without the port. */
const JUMP_KEY = ruleKey(kind.KIND_JUMP, size.SERVICE_BYTES);
const NODE_PORT_KEY = JUMP_KEY | KEY_SERVICE_CHAIN | KEY_ANY_DST;
const CLUSTER_MARK_KEY = ruleKey(kind.KIND_CLUSTER_MARK, size.SERVICE_BYTES);
const REJECT_KEY = ruleKey(kind.KIND_REJECT, size.SERVICE_BYTES);
const EXTERNAL_REJECT_KEY = KEY_SERVICE_CHAIN | KEY_ANY_DST | ruleKey(kind.KIND_REJECT_LOCAL, size.EXTERNAL_BYTES);
const SPECIAL_KEY = ruleKey(kind.KIND_SPECIAL, LEAST_BYTES);

/**
 * KUBE-MARK-MASQ's one rule comes first, then the service ports' own chains, one segment a service port; a partial sync writes those of
 * what changed, in place or behind the others. All other chains follow and are written anew at every sync, as kube-proxy does.
 */
export class RuleSet {
  readonly #facts: NodeFacts;
  readonly #table: ServiceTable;
  readonly arrays = new RuleArrays();
  #segmentsEnd = 0;
  #garbage = 0;
  /** By slot: the segment's first rule and the rules that it has room for. Of a plain service port KUBE-EXT's two rules stand in front of KUBE-SVC. */
  #first = new Int32Array(0);
  #room = new Int32Array(0);
  /** By slot, the four words of a plain service port's rule for its cluster IP, which is copied into the shared chain at every sync. A special one's has that kind alone. */
  #clusterIpRules = new Int32Array(0);
  #specialMoves = -1;

  /** The rules of fixed chains, and what their jumps lead to. */
  readonly fixed = new RuleWords();
  readonly #fixedChains: FixedChain[] = [];
  readonly #fixedJumps: { readonly base: number; readonly to: Place }[] = [];
  readonly #places = new Map<string, Place>();
  readonly #sharedPlaces: readonly Place[];
  readonly #fixedKeys: Int32Array;
  /** By shared chain: where it begins, the last one's end behind them, and where its next rule goes. */
  readonly #starts = new Int32Array(SHARED_CHAIN_COUNT + 1);
  readonly #next = new Int32Array(SHARED_CHAIN_COUNT);
  /** The last rules of nat KUBE-SERVICES. */
  readonly #dispatch: FixedChain;
  /** The built-in chains by hook. */
  readonly natHooks: Chain[] = [];
  readonly filterHooks: Chain[] = [];

  constructor(table: ServiceTable) {
    const { facts } = table;
    const { config } = facts;
    this.#facts = facts;
    this.#table = table;
    Object.assign(this.#place('nat/KUBE-MARK-MASQ'), MARK_CHAIN);
    this.#dispatch = this.#fixedChain('nat/', new Place(), nodePortDispatch(config));
    this.#addFixed('nat/KUBE-POSTROUTING', postroutingRules(config));
    this.#addFixed('filter/KUBE-FIREWALL', firewallRules(config));
    this.#addFixed('filter/KUBE-FORWARD', forwardRules(config), REASON_INVALID);
    for (const [name, rules] of BUILT_IN_CHAINS) {
      const [tableName, chain] = name.split('/');
      (tableName === 'nat' ? this.natHooks : this.filterHooks)[HOOKS[chain]] = this.#place(name);
      this.#addFixed(name, rules);
    }
    this.#sharedPlaces = shared.SHARED_CHAINS.map((name) => this.#place(name));
    const { words, length } = this.fixed;
    this.#fixedKeys = Int32Array.from({ length }, (_, rule) => keyOfWords(words, rule * RULE_STRIDE, kind.KIND_FIXED));
  }

  /** Of memory, all that grows with rules and with service ports. */
  get bytes(): number {
    const perSlot = this.#first.byteLength + this.#room.byteLength + this.#clusterIpRules.byteLength;
    return this.arrays.bytes + this.fixed.words.byteLength + perSlot;
  }

  update(changed?: readonly number[]): void {
    const table = this.#table;
    const { special, chains } = table;
    const slots = table.servicePorts.length;
    if (this.#first.length < slots) {
      this.#first = grown(this.#first, slots);
      this.#room = grown(this.#room, slots);
      this.#clusterIpRules = grown(this.#clusterIpRules, 4 * this.#first.length);
    }
    const after =
      this.fixed.length +
      chains.services.length +
      chains.nodePorts.length +
      chains.rejects.length +
      chains.externalRejects.length +
      chains.firewall.length +
      chains.healthPorts.length;
    if (changed === undefined || special.moves !== this.#specialMoves || this.#garbage * 2 > this.#segmentsEnd) {
      this.#specialMoves = special.moves;
      this.arrays.reserve(1 + table.allOwnRules + after, 0);
      this.#markChain();
      this.#room.fill(0);
      for (let slot = 0; slot < slots; slot++) if (table.servicePorts[slot] !== undefined) this.#segment(slot);
    } else {
      let appended = 0;
      for (const slot of table.freeSlots) this.#drop(slot);
      for (const slot of changed) if (table.ownRules[slot] > this.#room[slot]) appended += table.ownRules[slot];
      this.arrays.reserve(this.#segmentsEnd + appended + after, this.#segmentsEnd);
      for (const slot of changed) this.#segment(slot);
    }
    this.#sharedChains();
  }

  /** It never moves, so that the segments may point at it. */
  #markChain(): void {
    const { dst, key, arg, more } = this.arrays;
    dst[0] = 0;
    key[0] = ANY | ruleKey(kind.KIND_MARK, size.PLAIN_BYTES);
    arg[0] = 0;
    more[0] = 0;
    this.#segmentsEnd = 1;
    this.#garbage = 0;
  }

  #drop(slot: number): void {
    this.#garbage += this.#room[slot];
    this.#room[slot] = 0;
  }

  #segment(slot: number): void {
    const { ownRules, special } = this.#table;
    const length = ownRules[slot];
    if (length > this.#room[slot]) {
      this.#drop(slot);
      this.#first[slot] = this.#segmentsEnd;
      this.#room[slot] = length;
      this.#segmentsEnd += length;
    }
    if (special.length[slot] === 0) {
      this.#clusterIpRule(slot);
      if (length > 0) this.#plainSegment(slot, this.#first[slot]);
      return;
    }
    this.#clusterIpRules[4 * slot + 1] = SPECIAL_KEY;
    const begin = special.first[slot] + special.sharedStart(slot, SHARED_CHAIN_COUNT);
    this.#specialRules(this.#first[slot], begin, length, this.#first[slot] - begin, 0);
  }

  /** Of nat KUBE-SERVICES a jump to KUBE-SVC, or of filter KUBE-SERVICES the REJECT. */
  #clusterIpRule(slot: number): void {
    const { clusterIp, protocol, port, nodePort, id, endpoints } = this.#table;
    const rules = this.#clusterIpRules;
    const n = endpoints.count[slot];
    const destination = KEY_SERVICE_CHAIN | portKey(protocol[slot], port[slot]);
    rules[4 * slot] = clusterIp[slot];
    rules[4 * slot + 1] = destination | (n > 0 ? JUMP_KEY : REJECT_KEY);
    rules[4 * slot + 2] = n > 0 ? this.#first[slot] + (nodePort[slot] === 0 ? 0 : 2) : id[slot];
    rules[4 * slot + 3] = n + (this.#facts.clusterIpMark === MARK_IN_CHAIN ? 1 : 0);
  }

  /** KUBE-EXT, KUBE-SVC and the KUBE-SEPs of a plain service port that has endpoints. */
  #plainSegment(slot: number, first: number): void {
    const table = this.#table;
    const { address, port, start, count } = table.endpoints;
    const { dst, key, arg, more } = this.arrays;
    const hasMark = this.#facts.clusterIpMark === MARK_IN_CHAIN;
    const c = table.commented[slot];
    const n = count[slot];
    let at = first;
    if (table.nodePort[slot] !== 0) {
      key[at] = EXTERNAL_MARK_KEY;
      arg[at] = 0;
      more[at] = 1;
      at++;
      key[at] = EXTERNAL_JUMP_KEY;
      arg[at] = at + 1;
      more[at] = (hasMark ? 1 : 0) + n;
      at++;
    }
    if (hasMark) {
      dst[at] = table.clusterIp[slot];
      key[at] = CLUSTER_MARK_KEY | portKey(table.protocol[slot], table.port[slot]);
      at++;
    }
    const thresholds = statisticThresholds(n);
    const chanceKey = CHANCE_KEYS[c];
    let chain = at + n;
    for (let left = n; left > 1; left--, at++, chain += 2) {
      dst[at] = thresholds[left];
      key[at] = chanceKey;
      arg[at] = chain;
    }
    key[at] = LAST_KEYS[c];
    arg[at] = chain;
    more[at] = 2;
    at++;
    const hairpinKey = HAIRPIN_KEYS[c];
    const dnatKey = DNAT_KEYS[c] | protocolKey(table.protocol[slot]);
    const id = table.id[slot];
    const end = start[slot] + n;
    for (let i = start[slot]; i < end; i++, at += 2) {
      const endpoint = address[i];
      dst[at] = endpoint;
      key[at] = hairpinKey;
      dst[at + 1] = id;
      key[at + 1] = dnatKey;
      arg[at + 1] = endpoint;
      more[at + 1] = port[i];
    }
  }

  /** Rules `rule` .. `rule + count - 1` of special service ports at `to`. Jumps lead `shift` rules further here than in their words. */
  #specialRules(to: number, rule: number, count: number, shift: number, flags: number): void {
    const { dst, key, arg, more } = this.arrays;
    const { words } = this.#table.special.rules;
    for (let i = 0; i < count; i++) {
      const base = (rule + i) * RULE_STRIDE;
      dst[to + i] = words[base + W_DST];
      key[to + i] = keyOfWords(words, base, kind.KIND_SPECIAL) | flags;
      arg[to + i] = rule + i;
      more[to + i] = shift;
    }
  }

  #sharedChains(): void {
    const { chains } = this.#table;
    const starts = this.#starts;
    const next = this.#next;
    next[shared.NAT_SERVICES] = chains.services.length + this.#dispatch.end - this.#dispatch.first;
    next[shared.NAT_NODE_PORTS] = chains.nodePorts.length;
    next[shared.FILTER_SERVICES] = chains.rejects.length;
    next[shared.EXTERNAL_SERVICES] = chains.externalRejects.length;
    next[shared.PROXY_FIREWALL] = chains.firewall.length;
    next[shared.HEALTH_PORTS] = chains.healthPorts.length;
    starts[0] = this.#segmentsEnd;
    for (let chain = 0; chain < SHARED_CHAIN_COUNT; chain++) {
      const end = starts[chain] + next[chain];
      const place = this.#sharedPlaces[chain];
      place.first = next[chain] = starts[chain];
      place.end = starts[chain + 1] = end;
    }
    const dispatchFirst = starts[shared.NAT_SERVICES] + chains.services.length;
    this.#serviceRules();
    this.#writeFixed(this.#dispatch, dispatchFirst, KEY_SERVICE_CHAIN);
    let end = starts[SHARED_CHAIN_COUNT];
    for (const chain of this.#fixedChains) end = this.#writeFixed(chain, end, 0);
    for (const { base, to } of this.#fixedJumps) {
      this.fixed.words[base + W_FIRST] = to.first;
      this.fixed.words[base + W_END] = to.end;
    }
  }

  /** The rules of all service ports in the chains that they share, in service order. */
  #serviceRules(): void {
    const table = this.#table;
    const { count, order, protocol, nodePort, id } = table;
    const { dst, key, arg, more } = this.arrays;
    const rules = this.#clusterIpRules;
    const segment = this.#first;
    const marks = this.#facts.clusterIpMark === MARK_IN_DISPATCH;
    const at = this.#next;
    let services = at[shared.NAT_SERVICES];
    let rejects = at[shared.FILTER_SERVICES];
    let nodePorts = at[shared.NAT_NODE_PORTS];
    for (let i = 0; i < count; i++) {
      const slot = order[i];
      const word = rules[4 * slot + 1];
      const ruleKind = keyKind(word);
      if (ruleKind === kind.KIND_JUMP) {
        if (marks) {
          dst[services] = rules[4 * slot];
          key[services] = CLUSTER_MARK_KEY | (word & ~JUMP_KEY);
          services++;
        }
        dst[services] = rules[4 * slot];
        key[services] = word;
        arg[services] = rules[4 * slot + 2];
        more[services] = rules[4 * slot + 3];
        services++;
        if (nodePort[slot] === 0) continue;
        key[nodePorts] = NODE_PORT_KEY | portKey(protocol[slot], nodePort[slot]);
        arg[nodePorts] = segment[slot];
        more[nodePorts] = 2;
        nodePorts++;
      } else if (ruleKind === kind.KIND_REJECT) {
        dst[rejects] = rules[4 * slot];
        key[rejects] = word;
        arg[rejects] = rules[4 * slot + 2];
        rejects++;
        if (nodePort[slot] === 0) continue;
        const external = at[shared.EXTERNAL_SERVICES]++;
        key[external] = EXTERNAL_REJECT_KEY | portKey(protocol[slot], nodePort[slot]);
        arg[external] = id[slot];
      } else {
        at[shared.NAT_SERVICES] = services;
        at[shared.FILTER_SERVICES] = rejects;
        at[shared.NAT_NODE_PORTS] = nodePorts;
        this.#specialShared(slot, at);
        services = at[shared.NAT_SERVICES];
        rejects = at[shared.FILTER_SERVICES];
        nodePorts = at[shared.NAT_NODE_PORTS];
      }
    }
  }

  /** `at`: where the next rule of each chain goes. */
  #specialShared(slot: number, at: Int32Array): void {
    const { special } = this.#table;
    const first = special.first[slot];
    const shift = this.#first[slot] - first - special.sharedStart(slot, SHARED_CHAIN_COUNT);
    for (let chain = 0; chain < SHARED_CHAIN_COUNT; chain++) {
      const begin = special.sharedStart(slot, chain);
      const length = special.sharedStart(slot, chain + 1) - begin;
      if (length > 0) this.#specialRules(at[chain], first + begin, length, shift, KEY_SERVICE_CHAIN);
      at[chain] += length;
    }
  }

  #writeFixed({ place, first, end }: FixedChain, to: number, flags: number): number {
    const { dst, key, arg } = this.arrays;
    const { words } = this.fixed;
    const keys = this.#fixedKeys;
    place.first = to;
    place.end = to + end - first;
    for (let rule = first, at = to; rule < end; rule++, at++) {
      dst[at] = words[rule * RULE_STRIDE + W_DST];
      key[at] = keys[rule] | flags;
      arg[at] = rule;
    }
    return place.end;
  }

  #addFixed(name: string, rules: readonly Rule[], dropReason: number = REASON_NONE): void {
    const tableName = name.slice(0, name.indexOf('/') + 1);
    this.#fixedChains.push(this.#fixedChain(tableName, this.#place(name), rules, dropReason));
  }

  /** `tableName` is `nat/` or `filter/`. */
  #fixedChain(tableName: string, place: Place, rules: readonly Rule[], dropReason: number = REASON_NONE): FixedChain {
    const first = this.fixed.length;
    for (const rule of rules) {
      const base = encodeRule(this.fixed, rule, {
        servicePortId: -1,
        dropReason,
        chain: (name) => this.#place(tableName + name),
        list: () => -1,
      });
      const { target } = rule;
      if (target.kind === 'jump') this.#fixedJumps.push({ base, to: this.#place(tableName + target.chain) });
    }
    return { place, first, end: this.fixed.length };
  }

  /** Of a chain by `nat/NAME` or `filter/NAME`. */
  #place(name: string): Place {
    let place = this.#places.get(name);
    if (place === undefined) this.#places.set(name, (place = new Place()));
    return place;
  }
}

function grown(words: Int32Array, needed: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(needed, words.length * 2));
  larger.set(words);
  return larger;
}

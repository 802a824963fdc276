/**
 * Service ports that are not plain (node-facts.ts isPlain): compiled by the program's rules and kept as words, one segment a service
 * port (kube-proxy pkg/proxy/iptables/proxier.go syncProxyRules).
 */
import type { ServicePort } from '../../model/cluster.ts';
import { REASON_NO_LOCAL_ENDPOINTS, REASON_SOURCE_RANGE } from '../../model/verdict.ts';
import { assert } from '../../sim/assert.ts';
import { servicePortConfig } from '../proxy/configs.ts';
import { encodeRule } from './encode.ts';
import type { NodeFacts } from './node-facts.ts';
import type { Rule } from './program/rules.ts';
import { servicePortRules } from './program/service-rules.ts';
import type { RecentLists } from './recent-lists.ts';
import { restoreSize } from './restore-size.ts';
import type { RestoreSize } from './restore-size.ts';
import type { Chain } from './rule-words.ts';
import { RuleWords, TARGET_MARK, W_SERVICE_CHAIN } from './rule-words.ts';
import { PLAIN_BYTES } from './sizes.ts';

/** The chains that grow with services, as numbers. */
export const NAT_SERVICES = 0;
export const NAT_NODE_PORTS = 1;
export const FILTER_SERVICES = 2;
export const EXTERNAL_SERVICES = 3;
export const PROXY_FIREWALL = 4;
export const HEALTH_PORTS = 5;
export const SHARED_CHAINS = [
  'nat/KUBE-SERVICES',
  'nat/KUBE-NODEPORTS',
  'filter/KUBE-SERVICES',
  'filter/KUBE-EXTERNAL-SERVICES',
  'filter/KUBE-PROXY-FIREWALL',
  'filter/KUBE-NODEPORTS',
];

export const SHARED_CHAIN_COUNT = SHARED_CHAINS.length;

/** KUBE-MARK-MASQ: the first rule of every array of words that has segments in it. */
export const MARK_CHAIN: Chain = { first: 0, end: 1 };

/** A chain of one service port as it was written. */
interface OwnChain {
  readonly name: string;
  readonly rules: number;
  /** Handles of the `recent` lists that its rules refer to, one for each rule. */
  readonly lists: readonly number[];
}

/** As it was written. */
interface SpecialPort {
  readonly svc: ServicePort;
  readonly commented: boolean;
  readonly chains: readonly OwnChain[];
  /** Rules in its own chains. */
  readonly ownRules: number;
  readonly size: RestoreSize;
}

/** Elements a slot of `shared`. */
const SHARED_STRIDE = 8;

export class SpecialPorts {
  readonly #facts: NodeFacts;
  readonly #lists: RecentLists;
  /** By slot. */
  readonly #ports: (SpecialPort | undefined)[] = [];
  /** By slot: first rule and rules of the segment: those for the shared chains, chain by chain, then the own chains. 0 rules: no segment. */
  first = new Int32Array(16);
  length = new Int32Array(16);
  /** By slot and shared chain: where its rules begin, counted from `first`; one element more says where the last ends. */
  #shared = new Int32Array(16 * SHARED_STRIDE);
  /** Rules for each shared chain, summed over service ports. */
  readonly sharedTotals = SHARED_CHAINS.map(() => 0);
  rules = new RuleWords();
  /** How often the rules have changed their places. */
  moves = 0;
  #garbage = 0;

  constructor(facts: NodeFacts, lists: RecentLists) {
    this.#facts = facts;
    this.#lists = lists;
    this.rules.add(PLAIN_BYTES, TARGET_MARK);
  }

  get(slot: number): SpecialPort | undefined {
    return this.#ports[slot];
  }

  /** Where the slot's rules for a shared chain begin, counted from `first`; those for the next chain begin where they end. */
  sharedStart(slot: number, chain: number): number {
    return this.#shared[slot * SHARED_STRIDE + chain];
  }

  /** Whether any shared chain has a rule of one of these service ports. */
  get hasShared(): boolean {
    for (let chain = 0; chain < SHARED_CHAIN_COUNT; chain++) if (this.sharedTotals[chain] > 0) return true;
    return false;
  }

  reserveSlots(size: number): void {
    this.first = grown(this.first, size);
    this.length = grown(this.length, size);
    this.#shared = grown(this.#shared, size * SHARED_STRIDE);
  }

  /** Compiles the service port for this slot, in place of what was compiled for it before. */
  compile(slot: number, svc: ServicePort, commented: boolean): SpecialPort {
    const rulesOfPort = servicePortRules(servicePortConfig(svc, this.#facts.node), this.#facts.config, commented);
    const { shared, chains } = rulesOfPort;
    const byChain = SHARED_CHAINS.map((name) => shared.filter(([chain]) => chain === name).map(([, rule]) => rule));
    const starts = [0];
    for (const rules of byChain) starts.push(starts[starts.length - 1] + rules.length);
    const first = this.rules.length;
    const places = placesOf(chains, first + starts[starts.length - 1]);
    byChain.forEach((rules, chain) => {
      const reason = chain === PROXY_FIREWALL ? REASON_SOURCE_RANGE : REASON_NO_LOCAL_ENDPOINTS;
      for (const rule of rules) {
        const base = this.#encode(rule, places, svc.id, reason, []);
        this.rules.words[base + W_SERVICE_CHAIN] = 1;
      }
    });
    const own = chains.map(([name, rules]): OwnChain => {
      const lists: number[] = [];
      for (const rule of rules) this.#encode(rule, places, svc.id, REASON_NO_LOCAL_ENDPOINTS, lists);
      return { name, rules: rules.length, lists };
    });
    const length = this.rules.length - first;
    const before = this.take(slot);
    if (before !== undefined) for (const chain of before.chains) this.release(chain.lists);
    this.first[slot] = first;
    this.length[slot] = length;
    this.#shared.set(starts, slot * SHARED_STRIDE);
    byChain.forEach((rules, chain) => {
      this.sharedTotals[chain] += rules.length;
    });
    const size = restoreSize(rulesOfPort);
    const port = { svc, commented, chains: own, ownRules: length - starts[starts.length - 1], size };
    this.#ports[slot] = port;
    return port;
  }

  /** Removes the slot's service port. Whoever takes it holds its chains' lists. */
  take(slot: number): SpecialPort | undefined {
    const port = this.#ports[slot];
    if (port === undefined) return undefined;
    this.#ports[slot] = undefined;
    this.#garbage += this.length[slot];
    this.length[slot] = 0;
    for (let chain = 0; chain < SHARED_CHAINS.length; chain++) {
      this.sharedTotals[chain] -= this.sharedStart(slot, chain + 1) - this.sharedStart(slot, chain);
    }
    return port;
  }

  /** Chains whose rules refer to these lists are written anew or deleted. */
  release(lists: readonly number[]): void {
    for (const list of lists) this.#lists.release(list);
  }

  /** Closes the gaps that rewritten service ports have left. */
  compact(): void {
    if (this.#garbage < 1024 || this.#garbage * 2 < this.rules.length) return;
    const from = this.rules;
    this.moves++;
    this.rules = new RuleWords();
    this.rules.add(PLAIN_BYTES, TARGET_MARK);
    for (let slot = 0; slot < this.#ports.length; slot++) {
      if (this.length[slot] > 0) this.first[slot] = this.rules.copy(from, this.first[slot], this.length[slot]);
    }
    this.#garbage = 0;
  }

  #encode(rule: Rule, places: ReadonlyMap<string, Chain>, servicePortId: number, dropReason: number, lists: number[]) {
    return encodeRule(this.rules, rule, {
      servicePortId,
      dropReason,
      chain: (name) => {
        const place = places.get(name);
        assert(place !== undefined, `a rule jumps to ${name}, which does not exist`);
        return place;
      },
      list: (name) => {
        const list = this.#lists.acquire(name);
        lists.push(list);
        return list;
      },
    });
  }
}

function placesOf(chains: readonly (readonly [string, readonly Rule[]])[], begin: number): Map<string, Chain> {
  const places = new Map([['KUBE-MARK-MASQ', MARK_CHAIN]]);
  let first = begin;
  for (const [name, rules] of chains) {
    places.set(name, { first, end: first + rules.length });
    first += rules.length;
  }
  return places;
}

function grown(array: Int32Array, size: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(size);
  larger.set(array);
  return larger;
}

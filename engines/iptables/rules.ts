/** Every rule of the nat and filter tables in one array of words, for the literal evaluator. */
import { REASON_INVALID, REASON_NONE } from '../../model/verdict.ts';
import { assert } from '../../sim/assert.ts';
import type { ServiceTable } from './compile.ts';
import { encodeRule } from './encode.ts';
import type { NodeFacts } from './node-facts.ts';
import { MARK_IN_CHAIN, MARK_IN_DISPATCH } from './node-facts.ts';
import { HOOK_FORWARD, HOOK_INPUT, HOOK_OUTPUT, HOOK_POSTROUTING, HOOK_PREROUTING } from './packet-walk.ts';
import { statisticThresholds } from './probability.ts';
import { BUILT_IN_CHAINS, firewallRules, forwardRules, postroutingRules } from './program/fixed-rules.ts';
import { nodePortDispatch } from './program/node-ports.ts';
import type { Rule } from './program/rules.ts';
import type { Chain } from './rule-words.ts';
import * as word from './rule-words.ts';
import { RuleWords } from './rule-words.ts';
import * as size from './sizes.ts';
import * as shared from './special-ports.ts';
import { MARK_CHAIN } from './special-ports.ts';

const HOOKS: Readonly<Record<string, number>> = {
  INPUT: HOOK_INPUT,
  FORWARD: HOOK_FORWARD,
  OUTPUT: HOOK_OUTPUT,
  PREROUTING: HOOK_PREROUTING,
  POSTROUTING: HOOK_POSTROUTING,
};

/**
 * KUBE-MARK-MASQ comes first, then the service ports' own chains, one segment a service port; a partial sync appends the segments of
 * what changed. All other chains follow and are written anew at every sync, as kube-proxy does.
 */
export class RuleSet {
  readonly #facts: NodeFacts;
  readonly #table: ServiceTable;
  readonly #rules = new RuleWords();
  #segmentsEnd = 0;
  #garbage = 0;
  /** By slot: the segment's first rule and its rules. Of a plain service port KUBE-EXT's two rules stand in front of KUBE-SVC. */
  #first = new Int32Array(0);
  #length = new Int32Array(0);

  /** The built-in chains by hook. */
  readonly natHooks: Chain[] = [];
  readonly filterHooks: Chain[] = [];

  constructor(table: ServiceTable) {
    this.#facts = table.facts;
    this.#table = table;
  }

  get words(): Int32Array {
    return this.#rules.words;
  }

  update(changed?: readonly number[]): void {
    const table = this.#table;
    const slots = table.servicePorts.length;
    const full = changed === undefined || this.#garbage * 2 > this.#segmentsEnd;
    if (this.#first.length < slots) {
      this.#first = grown(this.#first, slots);
      this.#length = grown(this.#length, slots);
    }
    this.#rules.length = this.#segmentsEnd;
    if (full) {
      // KUBE-MARK-MASQ never moves, so that the segments may point at it.
      this.#rules.length = 0;
      this.#rules.add(size.PLAIN_BYTES, word.TARGET_MARK);
      this.#garbage = 0;
      this.#length.fill(0);
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
    this.#segmentsEnd = this.#rules.length;
    this.#nat();
    this.#filter();
  }

  #drop(slot: number): void {
    this.#garbage += this.#length[slot];
    this.#length[slot] = 0;
  }

  #segment(slot: number): void {
    const { servicePorts, special } = this.#table;
    if (servicePorts[slot] === undefined) return;
    const begin = this.#rules.length;
    this.#first[slot] = begin;
    if (special.length[slot] === 0) this.#plainSegment(slot);
    else this.#rules.copy(special.rules, special.first[slot], special.length[slot]);
    this.#length[slot] = this.#rules.length - begin;
  }

  /** KUBE-EXT, KUBE-SVC and the KUBE-SEPs of a plain service port. */
  #plainSegment(slot: number): void {
    const table = this.#table;
    const rules = this.#rules;
    const { endpoints } = table;
    const n = endpoints.count[slot];
    if (n === 0) return;
    const commented = table.commented[slot] === 1;
    const svc = this.#plainService(slot);
    if (table.nodePort[slot] !== 0) {
      rules.addJump(size.COMMENTED_BYTES, MARK_CHAIN);
      rules.addJump(size.PLAIN_BYTES, svc);
    }
    if (this.#facts.clusterIpMark === MARK_IN_CHAIN) this.#clusterIpMark(slot);
    const thresholds = statisticThresholds(n);
    for (let i = 0; i < n; i++) {
      const first = svc.end + 2 * i;
      const base = rules.addJump(size.endpointJumpBytes(i < n - 1, commented), { first, end: first + 2 });
      if (i < n - 1) {
        rules.words[base + word.W_MATCHES] = word.MATCH_STATISTIC;
        rules.words[base + word.W_THRESHOLD] = thresholds[n - i];
      }
    }
    const start = endpoints.start[slot];
    for (let i = 0; i < n; i++) {
      const hairpin = rules.addJump(size.hairpinBytes(commented), MARK_CHAIN);
      rules.words[hairpin + word.W_SRC] = endpoints.address[start + i];
      rules.words[hairpin + word.W_SRC_MASK] = -1;
      const dnat = rules.add(size.dnatBytes(commented), word.TARGET_DNAT);
      rules.words[dnat + word.W_PROTOCOL] = table.protocol[slot];
      rules.words[dnat + word.W_FIRST] = endpoints.address[start + i];
      rules.words[dnat + word.W_END] = endpoints.port[start + i];
      rules.words[dnat + word.W_SERVICE] = table.id[slot];
    }
  }

  /** KUBE-SVC of a plain service port. */
  #plainService(slot: number): Chain {
    const first = this.#first[slot] + (this.#table.nodePort[slot] === 0 ? 0 : 2);
    const mark = this.#facts.clusterIpMark === MARK_IN_CHAIN ? 1 : 0;
    return { first, end: first + mark + this.#table.endpoints.count[slot] };
  }

  #clusterIpMark(slot: number): number {
    const base = this.#rules.addJump(size.SERVICE_BYTES, MARK_CHAIN);
    this.#destination(base, slot);
    const facts = this.#facts;
    const { words } = this.#rules;
    if (facts.masqueradeAll) return base;
    if (facts.detectsInterface) {
      words[base + word.W_MATCHES] |= word.MATCH_NOT_FROM_POD;
      return base;
    }
    words.set(facts.detector, base + word.W_SRC);
    words[base + word.W_MATCHES] |= word.MATCH_SRC_INVERTED;
    return base;
  }

  #nat(): void {
    const { config, clusterIpMark } = this.#facts;
    const { nodePort, endpoints } = this.#table;
    const nodePorts = this.#sharedChain(shared.NAT_NODE_PORTS, (slot) => {
      if (nodePort[slot] === 0 || endpoints.count[slot] === 0) return;
      const first = this.#first[slot];
      this.#nodePort(this.#rules.addJump(size.SERVICE_BYTES, { first, end: first + 2 }), slot);
    });
    const chains = new Map([
      ['KUBE-NODEPORTS', nodePorts],
      ['KUBE-MARK-MASQ', MARK_CHAIN],
    ]);
    const dispatch = this.#sharedChain(shared.NAT_SERVICES, (slot) => {
      if (endpoints.count[slot] === 0) return;
      if (clusterIpMark === MARK_IN_DISPATCH) this.#inServiceChain(this.#clusterIpMark(slot));
      const base = this.#rules.addJump(size.SERVICE_BYTES, this.#plainService(slot));
      this.#destination(base, slot);
      this.#inServiceChain(base);
    });
    const last = this.#fixed(nodePortDispatch(config), chains);
    for (let rule = last.first; rule < last.end; rule++) this.#inServiceChain(rule * word.RULE_STRIDE);
    chains.set('KUBE-SERVICES', { first: dispatch.first, end: last.end });
    chains.set('KUBE-POSTROUTING', this.#fixed(postroutingRules(config), chains));
    this.#hooks('nat/', chains, this.natHooks);
  }

  #filter(): void {
    const { config } = this.#facts;
    const { nodePort, endpoints } = this.#table;
    const none = (): undefined => undefined;
    const chains = new Map([
      ['KUBE-FIREWALL', this.#fixed(firewallRules(config), new Map())],
      ['KUBE-FORWARD', this.#fixed(forwardRules(config), new Map(), REASON_INVALID)],
      ['KUBE-PROXY-FIREWALL', this.#sharedChain(shared.PROXY_FIREWALL, none)],
      ['KUBE-NODEPORTS', this.#sharedChain(shared.HEALTH_PORTS, none)],
    ]);
    const services = this.#sharedChain(shared.FILTER_SERVICES, (slot) => {
      if (endpoints.count[slot] === 0) this.#destination(this.#reject(size.SERVICE_BYTES, slot), slot);
    });
    const external = this.#sharedChain(shared.EXTERNAL_SERVICES, (slot) => {
      if (endpoints.count[slot] > 0 || nodePort[slot] === 0) return;
      const base = this.#reject(size.EXTERNAL_BYTES, slot);
      this.#nodePort(base, slot);
      this.#rules.words[base + word.W_MATCHES] |= word.MATCH_DST_LOCAL;
    });
    chains.set('KUBE-SERVICES', services);
    chains.set('KUBE-EXTERNAL-SERVICES', external);
    this.#hooks('filter/', chains, this.filterHooks);
  }

  /** One of the chains that all service ports share, in service order; `plain` writes a plain service port's rules. */
  #sharedChain(chain: number, plain: (slot: number) => void): Chain {
    const { count, order, special } = this.#table;
    const hasSpecial = special.sharedTotals[chain] > 0;
    return this.#rules.chain(() => {
      for (let i = 0; i < count; i++) {
        const slot = order[i];
        if (special.length[slot] === 0) plain(slot);
        else if (hasSpecial) {
          const begin = special.sharedStart(slot, chain);
          this.#rules.copy(this.#rules, this.#first[slot] + begin, special.sharedStart(slot, chain + 1) - begin);
        }
      }
    });
  }

  #fixed(rules: readonly Rule[], chains: ReadonlyMap<string, Chain>, dropReason: number = REASON_NONE): Chain {
    const context = {
      servicePortId: -1,
      dropReason,
      chain: (name: string): Chain => {
        const chain = chains.get(name);
        assert(chain !== undefined, `there is a chain ${name}`);
        return chain;
      },
      list: (): number => -1,
    };
    return this.#rules.chain(() => {
      for (const rule of rules) encodeRule(this.#rules, rule, context);
    });
  }

  #hooks(table: string, chains: ReadonlyMap<string, Chain>, hooks: Chain[]): void {
    for (const [name, rules] of BUILT_IN_CHAINS) {
      if (name.startsWith(table)) hooks[HOOKS[name.slice(table.length)]] = this.#fixed(rules, chains);
    }
  }

  #destination(base: number, slot: number): void {
    const table = this.#table;
    const { words } = this.#rules;
    words[base + word.W_DST] = table.clusterIp[slot];
    words[base + word.W_DST_MASK] = -1;
    words[base + word.W_PROTOCOL] = table.protocol[slot];
    words[base + word.W_DPORT] = table.port[slot];
    words[base + word.W_MATCHES] |= word.MATCH_DPORT;
  }

  #nodePort(base: number, slot: number): void {
    const table = this.#table;
    const { words } = this.#rules;
    words[base + word.W_PROTOCOL] = table.protocol[slot];
    words[base + word.W_DPORT] = table.nodePort[slot];
    words[base + word.W_MATCHES] |= word.MATCH_DPORT;
    this.#inServiceChain(base);
  }

  #reject(bytes: number, slot: number): number {
    const base = this.#rules.add(bytes, word.TARGET_REJECT);
    this.#rules.words[base + word.W_SERVICE] = this.#table.id[slot];
    this.#inServiceChain(base);
    return base;
  }

  #inServiceChain(base: number): void {
    this.#rules.words[base + word.W_SERVICE_CHAIN] = 1;
  }
}

function grown(words: Int32Array, needed: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(needed, words.length * 2));
  larger.set(words);
  return larger;
}

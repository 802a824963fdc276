/** The walk of one packet through one base chain, counting as README 9.3 says (nf_tables_core.c nft_do_chain). */
import { cidrContains, formatIpv4 } from '../../model/address.ts';
import { JUMPS, MAP_LOOKUPS, RULES_EVALUATED, RULES_MATCHED } from '../../model/counters.ts';
import type { Protocol } from '../../model/protocol.ts';
import { protocolName } from '../../model/protocol.ts';
import {
  OUTCOME_DROP,
  OUTCOME_REJECT,
  REASON_NO_ENDPOINTS,
  REASON_NO_LOCAL_ENDPOINTS,
  REASON_SOURCE_RANGE,
  REASON_UNALLOCATED_VIP,
  REASON_UNUSED_VIP_PORT,
} from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { mark } from './marks.ts';
import { markRule } from './nftables-marks.ts';
import type { NftRule, NftVerdict, Statement } from './nftables-rules.ts';
import type { BaseChain, NftElement, ReferenceTable } from './nftables-table.ts';
import { count } from './packet.ts';
import type { Packet, Party, Work } from './packet.ts';

export type Ruling =
  | { readonly kind: 'accept' }
  | { readonly kind: 'masquerade' }
  | { readonly kind: 'dnat'; readonly to: Party; readonly servicePortId: number }
  | { readonly kind: 'refuse'; readonly outcome: number; readonly reason: number; readonly servicePortId: number };

export interface Surroundings {
  readonly table: ReferenceTable;
  readonly isLocal: (address: number) => boolean;
  readonly numgen: RandomStream;
}

/** What a statement comes to: the rule goes on, is over, or has decided. */
type Result = 'holds' | 'break' | { readonly verdict: NftVerdict } | { readonly ruling: Ruling };

interface Place {
  readonly chain: string;
  readonly next: number;
}

const SECOND = 1e9;
const REFUSING_MAPS = ['no-endpoint-services', 'no-endpoint-nodeports'];

export class NftWalk {
  readonly #base: { readonly name: string; readonly hook: BaseChain };
  readonly #packet: Packet;
  readonly #world: Surroundings;
  readonly #work: Work;
  readonly #stack: Place[] = [];
  /** The map element that led to where the walk is. */
  #by: { readonly map: string; readonly element: NftElement } | undefined;

  constructor(name: string, hook: BaseChain, packet: Packet, world: Surroundings, work: Work) {
    this.#base = { name, hook };
    this.#packet = packet;
    this.#world = world;
    this.#work = work;
  }

  run(): Ruling {
    let place: Place = { chain: this.#base.name, next: 0 };
    let goneTo = false;
    for (;;) {
      const rule = this.#world.table.chain(place.chain).rules[place.next];
      if (rule === undefined) {
        if (goneTo) mark('goto fell through');
        const back = this.#stack.pop();
        if (back === undefined) return { kind: 'accept' };
        place = back;
        goneTo = false;
        continue;
      }
      place = { ...place, next: place.next + 1 };
      const decided = this.#evaluate(place.chain, rule);
      if (decided === undefined) continue;
      if ('ruling' in decided) return decided.ruling;
      const { verdict } = decided;
      if (verdict.kind === 'drop') return this.#refusal(place.chain, rule, OUTCOME_DROP);
      if (verdict.kind === 'reject') return this.#refusal(place.chain, rule, OUTCOME_REJECT);
      if (!('chain' in verdict)) place = { ...place, next: Infinity };
      else {
        count(this.#work, JUMPS);
        if (verdict.kind === 'jump') this.#stack.push(place);
        goneTo = verdict.kind === 'goto';
        place = { chain: verdict.chain, next: 0 };
      }
    }
  }

  /** Undefined when the walk goes on with the next rule. */
  #evaluate(chain: string, rule: NftRule): { verdict: NftVerdict } | { ruling: Ruling } | undefined {
    count(this.#work, RULES_EVALUATED);
    for (const statement of rule.statements) {
      const result = this.#statement(statement, rule);
      if (result === 'holds') continue;
      if (result === 'break') {
        if (chain.startsWith('firewall-') && rule.owner >= 0) mark('source range accepted');
        return undefined;
      }
      count(this.#work, RULES_MATCHED);
      markRule(chain, rule);
      return result;
    }
    count(this.#work, RULES_MATCHED);
    markRule(chain, rule);
    return undefined;
  }

  #statement(statement: Statement, rule: NftRule): Result {
    const packet = this.#packet;
    const when = (holds: boolean): Result => (holds ? 'holds' : 'break');
    switch (statement.kind) {
      case 'ct new':
        return when(packet.state === 'NEW');
      case 'blocks': {
        if (statement.looksUp) count(this.#work, MAP_LOOKUPS);
        const address = this.#address(statement.field);
        return when(statement.blocks.some((block) => cidrContains(block, address)) !== statement.not);
      }
      case 'in set':
        return when(this.#isInSet(statement.set, this.#address(statement.field)));
      case 'fib local':
        return when(this.#world.isLocal(this.#address(statement.field)));
      case 'from pod interface':
        return when(packet.fromPod !== statement.not);
      case 'protocol':
        return when(
          packet.protocol === statement.protocol &&
            (statement.dport === undefined || statement.dport === packet.dst.port),
        );
      case 'mark clear':
        return when(!packet.marked);
      case 'mark or':
        packet.marked = true;
        return 'holds';
      case 'mark xor':
        packet.marked = !packet.marked;
        return 'holds';
      case 'vmap':
        return this.#lookUp(statement.map, statement.byAddress);
      case 'numgen': {
        count(this.#work, MAP_LOOKUPS);
        const { chains } = statement;
        const value = Math.floor((this.#world.numgen.nextUint32() * chains.length) / 4_294_967_296);
        return { verdict: { kind: 'goto', chain: chains[value] ?? '' } };
      }
      case 'update':
        this.#update(statement.set);
        return 'holds';
      case 'dnat':
        return { ruling: { kind: 'dnat', to: statement.to, servicePortId: rule.owner } };
      case 'masquerade':
        return { ruling: { kind: 'masquerade' } };
      case 'verdict':
        return { verdict: statement.verdict };
    }
  }

  #address(field: 'saddr' | 'daddr'): number {
    return field === 'saddr' ? this.#packet.src.address : this.#packet.dst.address;
  }

  #isInSet(name: string, address: number): boolean {
    count(this.#work, MAP_LOOKUPS);
    const set = this.#world.table.container(name);
    if (set.timeoutSeconds === 0) return set.elements.has(formatIpv4(address));
    const expiry = set.clients.get(address);
    if (expiry === undefined) return false;
    const isAlive = expiry > this.#packet.time;
    mark(isAlive ? 'affinity hit' : 'affinity expired');
    return isAlive;
  }

  #update(name: string): void {
    count(this.#work, MAP_LOOKUPS);
    const set = this.#world.table.container(name);
    if ((set.clients.get(this.#packet.src.address) ?? 0) > this.#packet.time) mark('affinity renewed');
    set.clients.set(this.#packet.src.address, this.#packet.time + set.timeoutSeconds * SECOND);
  }

  #lookUp(map: string, byAddress: boolean): Result {
    count(this.#work, MAP_LOOKUPS);
    const { protocol, dst } = this.#packet;
    const byPort = `${protocolName(protocol as Protocol)} . ${dst.port}`;
    const key = byAddress ? `${formatIpv4(dst.address)} . ${byPort}` : byPort;
    const element = this.#world.table.container(map).elements.get(key);
    if (element?.verdict === undefined) return 'break';
    mark(
      `element of ${map}: ${element.verdict.kind} ${'chain' in element.verdict ? element.verdict.chain.replace(/-.*\/.*/, '') : ''}`.trimEnd(),
    );
    this.#by = { map, element };
    return { verdict: element.verdict };
  }

  #refusal(chain: string, rule: NftRule, outcome: number): Ruling {
    const { name, hook } = this.#base;
    // In v1.31 the filters of OUTPUT stand on both sides of DNAT; in v1.35 those that look at the translated packet are filter-output.
    if (name === 'filter-output' && hook.priority < 0) mark('refused in front of DNAT on OUTPUT');
    const where = name === 'filter-output-post-dnat' ? 'behind DNAT on OUTPUT' : `on ${hook.hook.toUpperCase()}`;
    const refuse = (reason: number, servicePortId: number): Ruling => {
      return { kind: 'refuse', outcome, reason, servicePortId };
    };
    if (chain.startsWith('firewall-') && rule.owner >= 0) {
      mark('source range refused');
      return refuse(REASON_SOURCE_RANGE, rule.owner);
    }
    if (this.#by !== undefined && REFUSING_MAPS.includes(this.#by.map)) {
      const reason = outcome === OUTCOME_REJECT ? REASON_NO_ENDPOINTS : REASON_NO_LOCAL_ENDPOINTS;
      return refuse(reason, this.#by.element.owner);
    }
    if (outcome === OUTCOME_REJECT) {
      mark(`unused port rejected ${where}`);
      return refuse(REASON_UNUSED_VIP_PORT, -1);
    }
    mark(`unallocated address dropped ${where}`);
    return refuse(REASON_UNALLOCATED_VIP, -1);
  }
}

/**
 * Follows a flow's first packet through the netfilter hooks and IPVS. Hooks of IPVS: ip_vs_core.c ip_vs_ops (LOCAL_IN after filter,
 * LOCAL_OUT between nat and filter); what is forwarded to a real server leaves through filter OUTPUT and nat POSTROUTING (ip_vs_nat_xmit).
 */
import { canonicalIp, cidrContainsIp, familyOf, isLoopbackIp } from '../../../model/ip-text.ts';
import type { ProxyConfig } from '../../../model/service-config.ts';
import { hostPort } from '../../../model/service-config.ts';
import { assert } from '../../../sim/assert.ts';
import type { Protocol, RealServer, VirtualServer } from './ipvs-table.ts';
import type { IpvsProgram } from './program.ts';
import { BUILT_IN_RULES } from './rule-writer.ts';
import type { Match, Rule, Target } from './rules.ts';
import { ruleText } from './rules.ts';
import { SetTests } from './set-tests.ts';

export interface Flow {
  /** The node's own packets to a VIP have, where the program did not bind, that VIP as their source. */
  readonly sourceIp: string;
  readonly protocol: Protocol;
  readonly destIp: string;
  readonly destPort: number;
  /** The node's own addresses; without it those of the configuration. Loopback addresses and those on kube-ipvs0 always count. */
  readonly localIps?: readonly string[];
  /** The interface by which the packet came in; leave it out for the node's own packets. */
  readonly inputInterface?: string;
  /** It came in through a port of a bridge, as a container's packets may (physdev). */
  readonly isFromBridge?: boolean;
}

interface TraceStep {
  readonly chain: string;
  /** The rule's text, or what IPVS did. */
  readonly text: string;
  readonly matched: boolean;
}

export interface FlowTrace {
  /** `outputs` joined by ", ". Empty when nothing matched: the packet goes where it would without kube-proxy. */
  readonly output: string;
  /** Whether some way that the packet may take masquerades it. */
  readonly masq: boolean;
  /** Every real server that may be picked, then ACCEPT, DROP or REJECT. No real server is REJECT: a port unreachable comes back. */
  readonly outputs: readonly string[];
  readonly endpoints: readonly string[];
  /** Those of `endpoints` that see the node's address instead of the client's. */
  readonly masqueraded: readonly string[];
  readonly steps: readonly TraceStep[];
  /** Rules looked at, and ipsets tested, on all ways together. */
  readonly rulesEvaluated: number;
  readonly setTests: number;
}

type Verdict = 'ACCEPT' | 'DROP' | 'REJECT';
type Hook = 'PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT' | 'POSTROUTING';

interface Packet {
  readonly src: string;
  readonly dst: string;
  readonly dstPort: number;
  isMarked: boolean;
  isMasqueraded: boolean;
  /** The virtual server whose connection it belongs to. */
  readonly virtual?: VirtualServer;
}

export function traceFlow(program: IpvsProgram, config: ProxyConfig, flow: Flow): FlowTrace {
  const src = canonicalIp(flow.sourceIp);
  const dst = canonicalIp(flow.destIp);
  assert(src !== undefined && dst !== undefined, `${flow.sourceIp} or ${flow.destIp} is no address`);
  const walk = new Walk(program, config, flow);
  if (familyOf(src) === config.ipFamily && familyOf(dst) === config.ipFamily) walk.run(src, dst);
  return walk.result();
}

class Walk {
  readonly #program: IpvsProgram;
  readonly #flow: Flow;
  readonly #local: ReadonlySet<string>;
  readonly #sets: SetTests;
  readonly #steps: TraceStep[] = [];
  readonly #endpoints: string[] = [];
  readonly #masqueraded: string[] = [];
  readonly #verdicts = new Set<Verdict>();
  #rulesEvaluated = 0;
  #isMasqueraded = false;

  constructor(program: IpvsProgram, config: ProxyConfig, flow: Flow) {
    this.#program = program;
    this.#flow = flow;
    const own = (flow.localIps ?? config.interfaceAddresses).map((address) => canonicalIp(address) ?? address);
    this.#local = new Set([...own, ...program.boundAddresses]);
    this.#sets = new SetTests(program.ipsets);
  }

  run(src: string, dst: string): void {
    const packet: Packet = { src, dst, dstPort: this.#flow.destPort, isMarked: false, isMasqueraded: false };
    if (this.#isLocal(src)) this.#leaveNode(packet);
    else this.#enterNode(packet);
  }

  result(): FlowTrace {
    const outputs = [...this.#endpoints, ...this.#verdicts];
    return {
      output: outputs.join(', '),
      masq: this.#isMasqueraded,
      outputs,
      endpoints: this.#endpoints,
      masqueraded: this.#masqueraded,
      steps: this.#steps,
      rulesEvaluated: this.#rulesEvaluated,
      setTests: this.#sets.count,
    };
  }

  #enterNode(packet: Packet): void {
    this.#runHook('nat', 'PREROUTING', packet);
    const isForNode = this.#isLocal(packet.dst);
    const verdict = this.#runHook('filter', isForNode ? 'INPUT' : 'FORWARD', packet);
    if (verdict === 'DROP' || verdict === 'REJECT') {
      this.#verdicts.add(verdict);
      return;
    }
    const virtual = isForNode ? this.#findVirtual(packet) : undefined;
    if (virtual !== undefined) {
      this.#schedule(virtual, packet);
      return;
    }
    if (verdict === 'ACCEPT') this.#verdicts.add('ACCEPT');
    if (!isForNode) this.#masquerade(packet);
  }

  #leaveNode(packet: Packet): void {
    this.#runHook('nat', 'OUTPUT', packet);
    const virtual = this.#findVirtual(packet);
    if (virtual !== undefined) {
      this.#schedule(virtual, packet);
      return;
    }
    const verdict = this.#runHook('filter', 'OUTPUT', packet);
    if (verdict === 'DROP' || verdict === 'REJECT') {
      this.#verdicts.add(verdict);
      return;
    }
    this.#masquerade(packet);
    if (!this.#isLocal(packet.dst)) return;
    // Over the loopback device the packet comes in again, still new to conntrack; nat is done with it.
    const atInput = this.#runHook('filter', 'INPUT', packet);
    if (atInput !== undefined) this.#verdicts.add(atInput);
  }

  #findVirtual({ dst, dstPort }: Packet): VirtualServer | undefined {
    const { protocol } = this.#flow;
    return this.#program.virtualServers.find(
      (virtual) => virtual.address === dst && virtual.port === dstPort && virtual.protocol === protocol,
    );
  }

  /** Every real server that a scheduler may pick, one after the other. */
  #schedule(virtual: VirtualServer, packet: Packet): void {
    const service = `${virtual.scheduler} ${hostPort(virtual.address, virtual.port)}/${virtual.protocol}`;
    const usable = virtual.realServers.filter(({ weight }) => weight > 0);
    if (usable.length === 0) {
      this.#steps.push({ chain: 'ipvs', text: `${service}: no real server`, matched: false });
      this.#verdicts.add('REJECT');
      return;
    }
    for (const real of usable) {
      this.#steps.push({ chain: 'ipvs', text: `${service} -> ${hostPort(real.address, real.port)}`, matched: true });
      this.#forward(virtual, real, packet);
    }
  }

  #forward(virtual: VirtualServer, real: RealServer, { src, isMarked }: Packet): void {
    const packet: Packet = {
      src,
      dst: real.address,
      dstPort: real.port,
      isMarked,
      isMasqueraded: false,
      virtual,
    };
    const verdict = this.#runHook('filter', 'OUTPUT', packet);
    if (verdict === 'DROP' || verdict === 'REJECT') {
      this.#verdicts.add(verdict);
      return;
    }
    this.#masquerade(packet);
    const text = hostPort(real.address, real.port);
    this.#endpoints.push(text);
    if (packet.isMasqueraded) this.#masqueraded.push(text);
  }

  #masquerade(packet: Packet): void {
    this.#runHook('nat', 'POSTROUTING', packet);
    if (packet.isMasqueraded) this.#isMasqueraded = true;
  }

  #runHook(table: string, hook: Hook, packet: Packet): Verdict | undefined {
    const verdict = this.#runChain(table, hook, BUILT_IN_RULES.get(`${table}/${hook}`) ?? [], packet);
    return verdict === 'RETURN' ? undefined : verdict;
  }

  #runChain(table: string, chain: string, rules: readonly Rule[], packet: Packet): Verdict | 'RETURN' | undefined {
    for (const rule of rules) {
      this.#rulesEvaluated++;
      const matched = this.#applies(rule, packet);
      this.#steps.push({ chain: `${table}/${chain}`, text: ruleText(chain, rule), matched });
      if (!matched) continue;
      const verdict = this.#runTarget(table, rule.target, packet);
      if (verdict !== undefined) return verdict;
    }
    return undefined;
  }

  #runTarget(table: string, target: Target, packet: Packet): Verdict | 'RETURN' | undefined {
    switch (target.kind) {
      case 'verdict':
        return target.verdict;
      case 'setMark':
        packet.isMarked = true;
        return undefined;
      case 'clearMark':
        packet.isMarked = false;
        return undefined;
      case 'masquerade':
        packet.isMasqueraded = true;
        return 'ACCEPT';
      case 'jump': {
        const rules = this.#program.rules.get(`${table}/${target.chain}`);
        assert(rules !== undefined, `no chain ${target.chain} in ${table}`);
        const verdict = this.#runChain(table, target.chain, rules, packet);
        return verdict === 'RETURN' ? undefined : verdict;
      }
    }
  }

  /** Addresses, interface and protocol are tested before the matches (ipt_do_table), whatever the order of the words. */
  #applies({ matches }: Rule, packet: Packet): boolean {
    const isOfHeader = ({ kind }: Match): boolean =>
      kind === 'source' || kind === 'inputInterface' || kind === 'protocol';
    const header = matches.filter(isOfHeader);
    const rest = matches.filter((match) => !isOfHeader(match));
    return [...header, ...rest].every((match) => this.#holds(match, packet));
  }

  #holds(match: Match, packet: Packet): boolean {
    switch (match.kind) {
      case 'source':
        return isWithin(match.cidr, packet.src) !== (match.negated ?? false);
      case 'inputInterface':
        return isInterface(match.pattern, this.#flow.inputInterface ?? '') !== (match.negated ?? false);
      case 'protocol':
        return match.protocol === this.#flow.protocol;
      case 'comment':
        return true;
      case 'set':
        return this.#sets.holds(match, { ...packet, protocol: this.#flow.protocol });
      case 'addressType':
        return this.#isLocal(match.end === 'src' ? packet.src : packet.dst) !== (match.negated ?? false);
      case 'notFromBridge':
        return this.#flow.isFromBridge !== true;
      case 'mark':
        return packet.isMarked !== (match.negated ?? false);
      case 'state':
        return match.states.split(',').includes('NEW');
      case 'ipvs': {
        const { virtual } = packet;
        if (virtual === undefined) return false;
        return virtual.address === match.address && virtual.protocol === match.protocol && virtual.port === match.port;
      }
    }
  }

  #isLocal(address: string): boolean {
    return this.#local.has(address) || isLoopbackIp(address);
  }
}

function isWithin(cidr: string, address: string): boolean {
  return cidr.includes('/') ? cidrContainsIp(cidr, address) : cidr === address;
}

function isInterface(pattern: string, name: string): boolean {
  return pattern.endsWith('+') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/**
 * What could become of a flow's first packet: not one walk but all of them, with the conventions of kube-proxy's own packet-flow
 * tests (pkg/proxy/iptables/proxier_test.go iptablesTracer).
 */
import { canonicalIp } from '../../../model/ip-text.ts';
import { assert } from '../../../sim/assert.ts';
import type { Packet, Surroundings } from './matching.ts';
import { ruleApplies } from './matching.ts';
import type { Protocol, RuleSet } from './rules.ts';
import { jumpProbability, ruleText } from './rules.ts';

export interface Flow {
  readonly sourceIp: string;
  readonly protocol: Protocol;
  readonly destIp: string;
  readonly destPort: number;
  /** The node's own addresses; without it those of the proxy's configuration. Loopback addresses are always taken for such. */
  readonly localIps?: readonly string[];
  /** The interface by which the packet came in; leave it out for the node's own packets. */
  readonly inputInterface?: string;
}

export interface FlowTrace {
  /** `outputs` joined by ", ". Empty when nothing matched. */
  readonly output: string;
  /** Whether some way through the rules marked the packet for masquerading. */
  readonly masq: boolean;
  /** Every endpoint that could be picked, in rule order, then ACCEPT, DROP and REJECT of the filter table. */
  readonly outputs: readonly string[];
  readonly endpoints: readonly string[];
  /** Text of the rules that applied, each once, in the order in which they were met. */
  readonly matched: readonly string[];
}

/** The interesting chains of the filter table: which of them a packet meets depends on its way, which a flow does not say. */
const FILTER_CHAINS = ['KUBE-SERVICES', 'KUBE-EXTERNAL-SERVICES', 'KUBE-NODEPORTS', 'KUBE-PROXY-FIREWALL'];

interface Tracer {
  readonly rules: RuleSet;
  readonly packet: Packet;
  readonly surroundings: Surroundings;
  readonly outputs: string[];
  readonly matched: Set<string>;
  masq: boolean;
}

/**
 * Begins in nat KUBE-SERVICES. A match on state never applies, a statistic match always does; a picked endpoint ends the walk unless
 * the jump to it was one of chance.
 */
export function traceFlow(rules: RuleSet, flow: Flow): FlowTrace {
  const local = new Set([...(flow.localIps ?? []).map(canonical), '127.0.0.1', '::1']);
  const tracer: Tracer = {
    rules,
    packet: packetOf(flow),
    surroundings: {
      isLocal: (address) => local.has(address),
      hasMark: () => false,
      hasState: () => false,
      isRemembered: () => false,
      mayPick: () => true,
    },
    outputs: [],
    matched: new Set(),
    masq: false,
  };
  runChain(tracer, 'nat', 'KUBE-SERVICES');
  const endpoints = [...tracer.outputs];
  if (endpoints.length > 0) redirect(tracer.packet, endpoints[0]);
  for (const chain of FILTER_CHAINS) runChain(tracer, 'filter', chain);
  return {
    output: tracer.outputs.join(', '),
    masq: tracer.masq,
    outputs: tracer.outputs,
    endpoints,
    matched: [...tracer.matched],
  };
}

/** The packet that begins a flow. */
export function packetOf(flow: Flow): Packet {
  return {
    protocol: flow.protocol,
    source: canonical(flow.sourceIp),
    inputInterface: flow.inputInterface,
    destination: canonical(flow.destIp),
    destinationPort: flow.destPort,
  };
}

/** Gives the packet its new destination, `ip:port` or `[ip]:port`. */
export function redirect(packet: Packet, endpoint: string): void {
  const colon = endpoint.lastIndexOf(':');
  packet.destination = endpoint.slice(0, colon).replace(/[[\]]/g, '');
  packet.destinationPort = Number(endpoint.slice(colon + 1));
}

export function canonical(address: string): string {
  const text = canonicalIp(address);
  assert(text !== undefined, `${address} is not an address`);
  return text;
}

/** Whether the walk ends here. */
function runChain(tracer: Tracer, table: string, chain: string): boolean {
  for (const rule of tracer.rules.get(`${table}/${chain}`) ?? []) {
    if (!ruleApplies(rule, tracer.packet, tracer.surroundings)) continue;
    tracer.matched.add(ruleText(chain, rule));
    const { target } = rule;
    switch (target.kind) {
      case 'ACCEPT':
      case 'DROP':
      case 'REJECT':
        tracer.outputs.push(target.kind);
        return true;
      case 'DNAT':
        tracer.outputs.push(target.endpoint);
        return true;
      case 'RETURN':
        return false;
      case 'jump':
        if (target.chain === 'KUBE-MARK-MASQ') tracer.masq = true;
        else if (runChain(tracer, table, target.chain) && jumpProbability(rule) === undefined) return true;
        break;
      default:
        break;
    }
  }
  return false;
}

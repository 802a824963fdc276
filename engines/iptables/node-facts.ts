/** What the rules take from the node and from kube-proxy's configuration, and the tests of an address that depend on it. */
import { parseIpv4 } from '../../model/address.ts';
import type { NodeSpec, ServiceExtras, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_SCTP } from '../../model/protocol.ts';
import type { ProxyConfig } from '../../model/service-config.ts';
import type { EngineOptions } from '../engine.ts';
import { proxyConfig } from '../proxy/configs.ts';
import type { PacketWalk } from './packet-walk.ts';
import { firewallRules, forwardRules } from './program/fixed-rules.ts';
import { hasLocalhostCounter, nodePortDispatch } from './program/node-ports.ts';
import { ruleBytes } from './sizes.ts';

/** Where the masquerade rule of a cluster IP stands. */
export const MARK_NOWHERE = 0;
/** At the head of KUBE-SVC or KUBE-SVL. */
export const MARK_IN_CHAIN = 1;
/** In KUBE-SERVICES, in front of the jump. */
export const MARK_IN_DISPATCH = 2;

export interface NodeFacts {
  readonly node: NodeSpec;
  readonly options: EngineOptions;
  /** The same as text, for the program's compilers. */
  readonly config: ProxyConfig;
  /** Signed 32-bit. */
  readonly addresses: Int32Array;
  readonly masqueradeAll: boolean;
  /** The local detector asks for the interface and not for the source address. */
  readonly detectsInterface: boolean;
  /** Value and mask of the block of pod addresses. */
  readonly detector: Int32Array;
  /** MARK_* */
  readonly clusterIpMark: number;
  /** A node port has more rules in KUBE-NODEPORTS than its jump. */
  readonly hasLongNodePorts: boolean;
  /** KUBE-FIREWALL has its rule. */
  readonly blocksLocalnet: boolean;
  /** Bytes of KUBE-FORWARD's rule that drops INVALID packets; 0: there is none. */
  readonly invalidRuleBytes: number;
  /** The last rules of nat KUBE-SERVICES: `-d` these addresses; absent: one rule for every local address. */
  readonly nodePortAddresses: Int32Array | undefined;
  /** That one rule leaves 127.0.0.0/8 out. */
  readonly exceptsLoopback: boolean;
}

export function nodeFacts(node: NodeSpec, options: EngineOptions): NodeFacts {
  const config = proxyConfig(node, options);
  const { masqueradeAll } = options;
  const dispatch = options.kubeProxy.masqueradeRules === 'dispatch';
  const cidr = node.podInterface === undefined ? node.clusterCidr : undefined;
  const hasMark = masqueradeAll || cidr !== undefined || node.podInterface !== undefined;
  const invalid = forwardRules(config).find(({ target }) => target.kind === 'DROP');
  const last = nodePortDispatch(config).map(({ matches }) => matches);
  const byAddress = last.filter((matches) => !matches.some(({ kind }) => kind === 'destinationIsLocal'));
  return {
    node,
    options,
    config,
    addresses: Int32Array.from(node.addresses, (address) => address | 0),
    masqueradeAll,
    detectsInterface: node.podInterface !== undefined,
    detector: Int32Array.of((cidr?.address ?? 0) | 0, (cidr?.mask ?? 0) | 0),
    clusterIpMark: !hasMark ? MARK_NOWHERE : dispatch ? MARK_IN_DISPATCH : MARK_IN_CHAIN,
    hasLongNodePorts: dispatch || hasLocalhostCounter(config),
    blocksLocalnet: firewallRules(config).length > 0,
    invalidRuleBytes: invalid === undefined ? 0 : ruleBytes(invalid),
    nodePortAddresses:
      last.length > 0 && byAddress.length === 0
        ? undefined
        : Int32Array.from(byAddress.flat().flatMap((match) => (match.kind === 'destination' ? [match.block] : [])).map(addressOf)), // prettier-ignore
    exceptsLoopback: last.some((matches) => matches.some((match) => match.kind === 'destination' && match.inverted)),
  };
}

function addressOf(text: string): number {
  return (parseIpv4(text) ?? 0) | 0;
}

/**
 * A service port whose rules have the shape and the sizes that nearly all have: no extras, one rule for its node port, TCP or UDP. Its
 * chains need no list of rules; all others are compiled by the program.
 */
export function isPlain(svc: ServicePort, facts: NodeFacts): boolean {
  if (svc.protocol === PROTOCOL_SCTP || (svc.nodePort !== 0 && facts.hasLongNodePorts)) return false;
  return svc.extras === undefined || hasNoEffect(svc.extras);
}

/** Source ranges are those of load-balancer addresses and mean nothing without one. */
function hasNoEffect(extras: ServiceExtras): boolean {
  return (
    extras.externalIps.length === 0 &&
    extras.loadBalancerVips.length === 0 &&
    !extras.externalPolicyLocal &&
    !extras.internalPolicyLocal &&
    extras.affinitySeconds === 0 &&
    extras.healthCheckNodePort === 0
  );
}

/** 127.0.0.0/8. */
export function isLoopback(address: number): boolean {
  return address >>> 24 === 127;
}

/** `addrtype --dst-type LOCAL`, and where routing delivers: a node address or 127.0.0.0/8. */
export function isLocal(addresses: Int32Array, address: number): boolean {
  for (let i = 0; i < addresses.length; i++) if (addresses[i] === address) return true;
  return isLoopback(address);
}

/** `-s` and `-d`: the block is a word for its value and behind it one for its mask; mask 0 fits all. */
export function fitsBlock(words: Int32Array, at: number, address: number): boolean {
  return (address & words[at + 1]) === words[at];
}

/** Whether the masquerade rule of a cluster IP takes the packet, which has come to that address. */
export function isMasqueraded(facts: NodeFacts, walk: PacketWalk): boolean {
  if (facts.masqueradeAll) return true;
  if (facts.detectsInterface) return !walk.fromPod;
  return !fitsBlock(facts.detector, 0, walk.src);
}

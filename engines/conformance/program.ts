/** A lockstep program as plain data: a node, its options, and steps in order of time. Steps may be left out: what remains is a program, too. */
import { formatCidr, formatIpv4 } from '../../model/address.ts';
import type {
  ClusterDelta,
  ClusterState,
  Endpoint,
  NodeSpec,
  ServiceExtras,
  ServicePort,
} from '../../model/cluster.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import type { EngineName, EngineOptions } from '../engine.ts';

export interface PacketStep {
  readonly kind: 'packet';
  readonly at: number;
  readonly protocol: number;
  readonly srcAddress: number;
  readonly srcPort: number;
  readonly dstAddress: number;
  readonly dstPort: number;
  readonly flags: number;
  readonly origin: number;
  /**
   * Answers the last packet with these addresses that was delivered: its verdict's destination sends to its verdict's
   * source. Left out when there is none.
   */
  readonly isReply: boolean;
}

export type Step =
  | PacketStep
  /** Ends a batch; the packets before it are handed over in one call. */
  | { readonly kind: 'flush'; readonly at: number }
  | { readonly kind: 'sync'; readonly at: number; readonly state: ClusterState }
  | { readonly kind: 'apply'; readonly at: number; readonly delta: ClusterDelta }
  | { readonly kind: 'advance'; readonly at: number }
  /** kube-proxy stops until the next sync; only engines whose data path is in its process take notice. */
  | { readonly kind: 'interrupt'; readonly at: number };

export interface Program {
  readonly mode: EngineName;
  readonly seed: number;
  readonly node: NodeSpec;
  readonly options: Omit<EngineOptions, 'evaluator'>;
  /** `ip:port` of endpoints that take no connection (World.answers); only userspace mode asks. */
  readonly deadEndpoints?: readonly string[];
  /** The first is a sync. */
  readonly steps: readonly Step[];
}

/** World.answers of that program. */
export function answersOf({ deadEndpoints = [] }: Program): (address: number, port: number) => boolean {
  const dead = new Set(deadEndpoints);
  return (address, port) => !dead.has(`${formatIpv4(address)}:${port}`);
}

function flagText(flags: number): string {
  const names: string[] = [];
  if ((flags & TCP_SYN) !== 0) names.push('SYN');
  if ((flags & TCP_FIN) !== 0) names.push('FIN');
  if ((flags & TCP_RST) !== 0) names.push('RST');
  if ((flags & TCP_ACK) !== 0) names.push('ACK');
  return names.length === 0 ? '-' : names.join('|');
}

/** What a service port has beyond the plain ones, in words. */
function extrasText(extras: ServiceExtras | undefined): string {
  if (extras === undefined) return '';
  const words = [
    ...extras.externalIps.map((ip) => ` externalIp ${formatIpv4(ip)}`),
    ...extras.loadBalancerVips.map((ip) => ` vip ${formatIpv4(ip)}`),
    ...extras.loadBalancerSourceRanges.map((range) => ` from ${formatCidr(range)}`),
  ];
  if (extras.externalPolicyLocal) words.push(' externalLocal');
  if (extras.internalPolicyLocal) words.push(' internalLocal');
  if (extras.affinitySeconds > 0) words.push(` affinity ${extras.affinitySeconds}s`);
  if (extras.healthCheckNodePort > 0) words.push(` health ${extras.healthCheckNodePort}`);
  return words.join('');
}

function endpointText({ address, port, nodeName, ready, serving, terminating, hints }: Endpoint): string {
  const conditions = `${ready ? 'r' : ''}${serving ? 's' : ''}${terminating ? 't' : ''}`;
  const hinted = hints === undefined ? '' : `{${[...hints.zones, ...hints.nodes].join(' ')}}`;
  return `${formatIpv4(address)}:${port}@${nodeName}[${conditions}]${hinted}`;
}

function serviceText(svc: ServicePort): string {
  const nodePort = svc.nodePort > 0 ? ` nodePort ${svc.nodePort}` : '';
  const endpoints = svc.endpoints.map(endpointText);
  const name = `${svc.namespace}/${svc.name}:${svc.portName}`;
  return `    #${svc.id} ${name} ${svc.protocol} ${formatIpv4(svc.clusterIp)}:${svc.port}${nodePort}${extrasText(svc.extras)} -> ${endpoints.join(' ')}`;
}

const ORIGIN_NAMES = ['host', 'pod', 'external'];

function stepText(step: Step): string {
  const at = `${step.at / 1e9}s ${step.kind}`;
  switch (step.kind) {
    case 'packet': {
      const src = `${formatIpv4(step.srcAddress)}:${step.srcPort}`;
      const dst = `${formatIpv4(step.dstAddress)}:${step.dstPort}`;
      const arrow = step.isReply ? '<-' : '->';
      return `${at} ${step.protocol} ${src} ${arrow} ${dst} ${flagText(step.flags)} ${ORIGIN_NAMES[step.origin]}`;
    }
    case 'sync':
      return [at, ...step.state.servicePorts.map(serviceText)].join('\n');
    case 'apply':
      return [`${at} removed [${step.delta.removedIds.join(' ')}]`, ...step.delta.upserted.map(serviceText)].join('\n');
    default:
      return at;
  }
}

/** The whole program, readable by an author who has to find the fault. */
export function programText(program: Program): string {
  const { node, options, deadEndpoints } = program;
  const cidr = node.clusterCidr === undefined ? 'none' : formatCidr(node.clusterCidr);
  const pods = node.podInterface === undefined ? '' : `, pods by ${node.podInterface.kind} ${node.podInterface.name}`;
  const zone = node.zone === undefined ? '' : `, zone ${node.zone}`;
  return [
    `mode ${program.mode}, rng seed ${program.seed}, node ${node.name} ${node.addresses.map(formatIpv4).join(' ')}, clusterCidr ${cidr}${pods}${zone}`,
    `options ${JSON.stringify(options)}`,
    ...(deadEndpoints === undefined ? [] : [`dead endpoints ${deadEndpoints.join(' ')}`]),
    ...program.steps.map((step, i) => `[${i}] ${stepText(step)}`),
  ].join('\n');
}

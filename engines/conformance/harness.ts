/** Makes worlds and packets from short text, and reads verdicts back as words: what the case rows are written in. */
import { formatIpv4, parseCidr, parseIpv4 } from '../../model/address.ts';
import type { Cidr } from '../../model/address.ts';
import type { Endpoint, NodeSpec, ServiceExtras, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { COUNTER_NAMES, COUNTER_STRIDE, Counters } from '../../model/counters.ts';
import {
  ORIGIN_EXTERNAL,
  ORIGIN_HOST,
  ORIGIN_POD,
  PacketBatch,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
} from '../../model/packet.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import { REASON_NAMES, VerdictBatch } from '../../model/verdict.ts';
import { Rng } from '../../sim/rng.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import type { Engine, EngineFactory, EngineOptions } from '../engine.ts';

const OUTCOME_NAMES = ['accept', 'endpoint', 'reply', 'reject', 'drop'] as const;
type OutcomeName = (typeof OUTCOME_NAMES)[number];
export type CounterName = (typeof COUNTER_NAMES)[number];
export type OriginName = 'host' | 'pod' | 'external';

export function ipv4(text: string): number {
  const address = parseIpv4(text);
  if (address === undefined) throw new Error(`Not an IPv4 address: ${text}`);
  return address;
}

export function cidr(text: string): Cidr {
  const block = parseCidr(text);
  if (block === undefined) throw new Error(`Not an IPv4 block: ${text}`);
  return block;
}

function party(text: string): { address: number; port: number } {
  const [address, port] = text.split(':');
  return { address: ipv4(address ?? ''), port: Number(port) };
}

function partyText(address: number, port: number): string {
  return `${formatIpv4(address)}:${port}`;
}

/**
 * `10.244.1.1:8080`, then words: `local` (on this node; else on another), `terminating` (still serving), `unready`, `dead`
 * (terminating, not serving), `zone=a` and `node=node-a` (hints).
 */
function endpoint(text: string): Endpoint {
  const [where = '', ...words] = text.split(' ');
  const has = (word: string): boolean => words.includes(word);
  const named = (key: string): string[] =>
    words.filter((word) => word.startsWith(`${key}=`)).map((word) => word.slice(key.length + 1));
  const hints = { zones: named('zone'), nodes: named('node') };
  return {
    ...party(where),
    nodeName: has('local') ? 'node-a' : 'node-b',
    ready: !has('terminating') && !has('unready') && !has('dead'),
    serving: !has('unready') && !has('dead'),
    terminating: has('terminating') || has('dead'),
    ...(hints.zones.length + hints.nodes.length > 0 ? { hints } : {}),
  };
}

export interface ServiceWords {
  readonly id?: number;
  readonly name: string;
  readonly udp?: boolean;
  readonly sctp?: boolean;
  /** `clusterIp:port` */
  readonly at: string;
  readonly nodePort?: number;
  readonly externalIps?: readonly string[];
  readonly vips?: readonly string[];
  readonly sourceRanges?: readonly string[];
  /** Traffic policies Local. */
  readonly externalLocal?: boolean;
  readonly internalLocal?: boolean;
  readonly affinitySeconds?: number;
  readonly healthPort?: number;
  readonly endpoints: readonly string[];
}

function protocolOf({
  udp = false,
  sctp = false,
}: {
  readonly udp?: boolean;
  readonly sctp?: boolean;
}): ServicePort['protocol'] {
  if (sctp) return PROTOCOL_SCTP;
  return udp ? PROTOCOL_UDP : PROTOCOL_TCP;
}

export function service(words: ServiceWords): ServicePort {
  const { id = 0, name, at, nodePort = 0, endpoints } = words;
  const { address, port } = party(at);
  const extras: ServiceExtras = {
    externalIps: (words.externalIps ?? []).map(ipv4),
    loadBalancerVips: (words.vips ?? []).map(ipv4),
    loadBalancerSourceRanges: (words.sourceRanges ?? []).map(cidr),
    externalPolicyLocal: words.externalLocal ?? false,
    internalPolicyLocal: words.internalLocal ?? false,
    affinitySeconds: words.affinitySeconds ?? 0,
    healthCheckNodePort: words.healthPort ?? 0,
  };
  const isPlain = (Object.keys(extras) as (keyof ServiceExtras)[]).every((key) =>
    Array.isArray(extras[key]) ? extras[key].length === 0 : extras[key] === NO_SERVICE_EXTRAS[key],
  );
  return {
    id,
    namespace: 'shop',
    name,
    portName: '',
    protocol: protocolOf(words),
    clusterIp: address,
    port,
    nodePort,
    ...(isPlain ? {} : { extras }),
    endpoints: endpoints.map(endpoint),
  };
}

export const CASE_NODE: NodeSpec = {
  name: 'node-a',
  addresses: [ipv4('192.168.0.1'), ipv4('192.168.0.2')],
  clusterCidr: cidr('10.244.0.0/16'),
};

/** The defaults, but that MASQUERADE keeps a source port where it can, so that a row may name it. */
const CASE_OPTIONS: EngineOptions = { ...DEFAULT_ENGINE_OPTIONS, masqueradeRandomFully: false };

export function makeEngine(
  factory: EngineFactory,
  options: Partial<EngineOptions> = {},
  node = CASE_NODE,
  seed = 1,
  deadEndpoints: readonly string[] = [],
): Engine {
  const answers = (address: number, port: number): boolean => !deadEndpoints.includes(partyText(address, port));
  return factory({ node, options: { ...CASE_OPTIONS, ...options }, rng: new Rng(seed), answers });
}

const FLAG_BITS: Readonly<Record<string, number>> = { SYN: TCP_SYN, ACK: TCP_ACK, FIN: TCP_FIN, RST: TCP_RST };

function flagBits(text: string): number {
  let bits = 0;
  for (const word of text.split('+')) bits |= FLAG_BITS[word] ?? 0;
  return bits;
}

export interface PacketWords {
  /** Seconds. */
  readonly at: number;
  /** Neither: TCP. */
  readonly udp?: boolean;
  readonly sctp?: boolean;
  readonly src: string;
  readonly dst: string;
  /** `SYN`, `SYN+ACK`, ... */
  readonly flags?: string;
  readonly origin: OriginName;
}

export interface VerdictWords {
  readonly outcome: OutcomeName;
  readonly reason: string;
  readonly first: boolean;
  readonly masqueraded: boolean;
  readonly src: string;
  readonly dst: string;
  readonly service: number;
  readonly work: Readonly<Record<CounterName, number>>;
}

function fillPacket(batch: PacketBatch, i: number, words: PacketWords): void {
  const src = party(words.src);
  const dst = party(words.dst);
  batch.time[i] = Math.round(words.at * NS_PER_S);
  batch.srcAddress[i] = src.address;
  batch.srcPort[i] = src.port;
  batch.dstAddress[i] = dst.address;
  batch.dstPort[i] = dst.port;
  batch.protocol[i] = protocolOf(words);
  batch.direction[i] = 0;
  batch.tcpFlags[i] = flagBits(words.flags ?? '');
  batch.origin[i] = { host: ORIGIN_HOST, pod: ORIGIN_POD, external: ORIGIN_EXTERNAL }[words.origin];
}

function readVerdict(verdicts: VerdictBatch, work: Counters, i: number): VerdictWords {
  const entries = COUNTER_NAMES.map((name, c) => [name, work.rows[i * COUNTER_STRIDE + c]] as const);
  return {
    outcome: OUTCOME_NAMES[verdicts.outcome[i]],
    reason: REASON_NAMES[verdicts.reason[i]],
    first: verdicts.first[i] === 1,
    masqueraded: verdicts.masqueraded[i] === 1,
    src: partyText(verdicts.srcAddress[i], verdicts.srcPort[i]),
    dst: partyText(verdicts.dstAddress[i], verdicts.dstPort[i]),
    service: verdicts.servicePortId[i],
    work: Object.fromEntries(entries) as Record<CounterName, number>,
  };
}

/** Sends packets in one batch. */
export function sendAll(engine: Engine, packets: readonly PacketWords[]): VerdictWords[] {
  const batch = new PacketBatch(packets.length);
  packets.forEach((words, i) => {
    fillPacket(batch, i, words);
  });
  batch.length = packets.length;
  const verdicts = new VerdictBatch(packets.length);
  const work = new Counters(packets.length);
  engine.process(batch, verdicts, work);
  return packets.map((_, i) => readVerdict(verdicts, work, i));
}

export function send(engine: Engine, packet: PacketWords): VerdictWords {
  return sendAll(engine, [packet])[0];
}

/** The packet that answers a delivered one. */
export function answer(to: VerdictWords, words: Omit<PacketWords, 'src' | 'dst'>): PacketWords {
  return { ...words, src: to.dst, dst: to.src };
}

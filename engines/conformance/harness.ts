/** Makes worlds and packets from short text, and reads verdicts back as words: what the case rows are written in. */
import { formatIpv4, parseCidr, parseIpv4 } from '../../model/address.ts';
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
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
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
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

function party(text: string): { address: number; port: number } {
  const [address, port] = text.split(':');
  return { address: ipv4(address ?? ''), port: Number(port) };
}

function partyText(address: number, port: number): string {
  return `${formatIpv4(address)}:${port}`;
}

/** `10.244.1.1:8080`, then words: `local` (on this node; else on another), `terminating` (still serving), `unready`, `dead` (terminating, not serving). */
function endpoint(text: string): Endpoint {
  const [where = '', ...words] = text.split(' ');
  const has = (word: string): boolean => words.includes(word);
  return {
    ...party(where),
    nodeName: has('local') ? 'node-a' : 'node-b',
    ready: !has('terminating') && !has('unready') && !has('dead'),
    serving: !has('unready') && !has('dead'),
    terminating: has('terminating') || has('dead'),
  };
}

export interface ServiceWords {
  readonly id?: number;
  readonly name: string;
  readonly udp?: boolean;
  /** `clusterIp:port` */
  readonly at: string;
  readonly nodePort?: number;
  readonly endpoints: readonly string[];
}

export function service({ id = 0, name, udp = false, at, nodePort = 0, endpoints }: ServiceWords): ServicePort {
  const { address, port } = party(at);
  return {
    id,
    namespace: 'shop',
    name,
    portName: '',
    protocol: udp ? PROTOCOL_UDP : PROTOCOL_TCP,
    clusterIp: address,
    port,
    nodePort,
    endpoints: endpoints.map(endpoint),
  };
}

export const CASE_NODE: NodeSpec = {
  name: 'node-a',
  addresses: [ipv4('192.168.0.1'), ipv4('192.168.0.2')],
  clusterCidr: parseCidr('10.244.0.0/16') as NonNullable<NodeSpec['clusterCidr']>,
};

export function makeEngine(
  factory: EngineFactory,
  options: Partial<EngineOptions> = {},
  node = CASE_NODE,
  seed = 1,
): Engine {
  // The rows are written with source ports that stay; one that wants --random-fully says so.
  const plain = { ...DEFAULT_ENGINE_OPTIONS, masqueradeRandomFully: false };
  return factory({ node, options: { ...plain, ...options }, rng: new Rng(seed) });
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
  readonly udp?: boolean;
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
  batch.protocol[i] = words.udp === true ? PROTOCOL_UDP : PROTOCOL_TCP;
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

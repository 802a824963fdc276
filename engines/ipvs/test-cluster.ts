/** Small clusters, packets and engines for the tests and the benchmark of this folder. */
import { parseCidr, parseIpv4 } from '../../model/address.ts';
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import { COUNTER_STRIDE, Counters } from '../../model/counters.ts';
import { ORIGIN_POD, PacketBatch } from '../../model/packet.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import type { SimTime } from '../../model/time.ts';
import { VerdictBatch } from '../../model/verdict.ts';
import { Rng } from '../../sim/rng.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import { createIpvsEngine } from './engine.ts';

export function ip(text: string): number {
  const address = parseIpv4(text);
  if (address === undefined) throw new Error(`Not an address: ${text}`);
  return address;
}

export const NODE_ADDRESS = ip('192.168.0.1');
const CLUSTER_CIDR = parseCidr('10.0.0.0/8');
if (CLUSTER_CIDR === undefined) throw new Error('The cluster CIDR does not parse');
const NODE: NodeSpec = { name: 'node-a', addresses: [NODE_ADDRESS], clusterCidr: CLUSTER_CIDR };

export function endpoint(address: string | number, port = 8080, changes: Partial<Endpoint> = {}): Endpoint {
  const number = typeof address === 'number' ? address : ip(address);
  const ready = { ready: true, serving: true, terminating: false };
  return { address: number, port, nodeName: 'node-b', ...ready, ...changes };
}

export function servicePort(id: number, changes: Partial<ServicePort> = {}): ServicePort {
  return {
    id,
    namespace: 'ns',
    name: `svc-${id}`,
    portName: '',
    protocol: PROTOCOL_TCP,
    clusterIp: ip('172.20.0.1') + id,
    port: 80,
    nodePort: 0,
    endpoints: [],
    ...changes,
  };
}

/** `services` service ports with ClusterIPs in a row and `endpoints` endpoints each. */
export function manyServicePorts(services: number, endpoints: number): ServicePort[] {
  return Array.from({ length: services }, (_, id) =>
    servicePort(id, {
      endpoints: Array.from({ length: endpoints }, (__, k) => endpoint(ip('10.1.0.0') + id * endpoints + k)),
    }),
  );
}

export function makeEngine(options: Partial<EngineOptions> = {}, seed = 1, node: NodeSpec = NODE): Engine {
  return createIpvsEngine({ node, options: { ...DEFAULT_ENGINE_OPTIONS, ...options }, rng: new Rng(seed) });
}

export interface TestPacket {
  readonly time?: SimTime;
  readonly src: number;
  readonly sport: number;
  readonly dst: number;
  readonly dport: number;
  readonly protocol?: number;
  readonly flags?: number;
  readonly origin?: number;
}

export interface TestVerdict {
  readonly outcome: number;
  readonly reason: number;
  readonly first: number;
  readonly masqueraded: number;
  readonly src: number;
  readonly sport: number;
  readonly dst: number;
  readonly dport: number;
  readonly servicePortId: number;
  /** By the indices of model/counters.ts. */
  readonly work: number[];
}

function fillPacket(batch: PacketBatch, i: number, packet: TestPacket): void {
  batch.time[i] = packet.time ?? 0;
  batch.srcAddress[i] = packet.src;
  batch.srcPort[i] = packet.sport;
  batch.dstAddress[i] = packet.dst;
  batch.dstPort[i] = packet.dport;
  batch.protocol[i] = packet.protocol ?? PROTOCOL_TCP;
  batch.tcpFlags[i] = packet.flags ?? 0;
  batch.origin[i] = packet.origin ?? ORIGIN_POD;
}

export function send(engine: Engine, packets: readonly TestPacket[]): TestVerdict[] {
  const batch = new PacketBatch(packets.length);
  const verdicts = new VerdictBatch(packets.length);
  const work = new Counters(packets.length);
  packets.forEach((packet, i) => fillPacket(batch, i, packet));
  batch.length = packets.length;
  engine.process(batch, verdicts, work);
  return packets.map((_, i) => ({
    outcome: verdicts.outcome[i],
    reason: verdicts.reason[i],
    first: verdicts.first[i],
    masqueraded: verdicts.masqueraded[i],
    src: verdicts.srcAddress[i],
    sport: verdicts.srcPort[i],
    dst: verdicts.dstAddress[i],
    dport: verdicts.dstPort[i],
    servicePortId: verdicts.servicePortId[i],
    work: [...work.rows.subarray(i * COUNTER_STRIDE, (i + 1) * COUNTER_STRIDE)],
  }));
}

export function sendOne(engine: Engine, packet: TestPacket): TestVerdict {
  return send(engine, [packet])[0];
}

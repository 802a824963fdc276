/** Random small worlds for the property tests: few addresses and ports, so that rare meetings happen often. */
import type { Cidr } from '../../model/address.ts';
import type { ClusterDelta, ClusterState, Endpoint, ServiceExtras, ServicePort } from '../../model/cluster.ts';
import type { PacketBatch } from '../../model/packet.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import type { VerdictBatch } from '../../model/verdict.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { NODE_ADDRESS, syntheticService } from '../synthetic.ts';

const CLUSTER_IP = 0xac1e0000;
const POD = 0x0a000001;
const LOOPBACK = 0x7f000001;
const OUTSIDE = 0xcb007100;
const OUTSIDE_PAIR: Cidr = { address: OUTSIDE, mask: 0xfffffffe, prefixLength: 31 };
const EXTERNAL_IP = 0xc6336400;
const VIP = 0xc6336480;
const ACK = TCP_ACK;
const FLAGS = [TCP_SYN, TCP_SYN, TCP_SYN, TCP_SYN | ACK, ACK, ACK, ACK, ACK, ACK, TCP_FIN | ACK, TCP_RST, 0];
const SERVICE_IDS = 12;
const PROTOCOLS = [PROTOCOL_UDP, PROTOCOL_TCP, PROTOCOL_TCP];
const ALL_PROTOCOLS = [...PROTOCOLS, ...PROTOCOLS, PROTOCOL_SCTP];

function pick<T>(stream: RandomStream, values: readonly T[]): T {
  return values[stream.below(values.length)];
}

function randomEndpoint(stream: RandomStream, isPlain: boolean): Endpoint {
  const ready = stream.below(4) > 0;
  return {
    address: stream.below(20) === 0 ? NODE_ADDRESS : POD + stream.below(6),
    port: 8080 + stream.below(2),
    nodeName: isPlain || stream.below(2) === 0 ? 'node-1' : 'node-2',
    ready,
    serving: ready || stream.below(2) === 0,
    terminating: !ready && stream.below(2) === 0,
  };
}

/** Destinations are distinct: id decides the addresses and the nodePort. A third of the ids have no nodePort. */
function randomService(id: number, stream: RandomStream, isPlain: boolean): ServicePort {
  const svc = plainService(id, stream, isPlain);
  if (isPlain || stream.below(2) === 0) return svc;
  const externalPolicyLocal = stream.below(3) === 0;
  const extras: ServiceExtras = {
    externalIps: stream.below(2) === 0 ? [EXTERNAL_IP + id] : [],
    loadBalancerVips: stream.below(2) === 0 ? [VIP + id] : [],
    loadBalancerSourceRanges: stream.below(2) === 0 ? [OUTSIDE_PAIR] : [],
    externalPolicyLocal,
    internalPolicyLocal: stream.below(4) === 0,
    affinitySeconds: stream.below(2) === 0 ? 0 : 20,
    healthCheckNodePort: externalPolicyLocal ? 31_000 + id : 0,
  };
  return { ...svc, extras };
}

function plainService(id: number, stream: RandomStream, isPlain: boolean): ServicePort {
  return syntheticService({
    id,
    protocol: id === 4 && !isPlain ? PROTOCOL_SCTP : id % 3 === 0 ? PROTOCOL_UDP : PROTOCOL_TCP,
    nodePort: id % 3 === 1 ? 0 : 30_000 + id,
    endpoints: Array.from({ length: stream.below(5) }, () => randomEndpoint(stream, isPlain)),
  });
}

/** `isPlain`: no service port has extras. */
export function randomState(stream: RandomStream, isPlain = false): ClusterState {
  const servicePorts: ServicePort[] = [];
  for (let id = 0; id < SERVICE_IDS; id++)
    if (stream.below(3) > 0) servicePorts.push(randomService(id, stream, isPlain));
  return { servicePorts };
}

export function randomDelta(stream: RandomStream, isPlain = false): ClusterDelta {
  const upserted: ServicePort[] = [];
  const removedIds: number[] = [];
  for (let id = 0; id < SERVICE_IDS; id++) {
    const draw = stream.below(6);
    if (draw === 0) upserted.push(randomService(id, stream, isPlain));
    else if (draw === 1) removedIds.push(id);
  }
  return { upserted, removedIds };
}

/** Fills the batch: new tuples, repeats, and answers to what `earlier` let through. Returns the time of the last packet. */
export function randomPackets(
  packets: PacketBatch,
  length: number,
  start: number,
  stream: RandomStream,
  earlier?: { readonly packets: PacketBatch; readonly verdicts: VerdictBatch },
  isPlain = false,
): number {
  let time = start;
  packets.length = length;
  for (let i = 0; i < length; i++) {
    const gap = stream.below(40);
    time += gap === 0 ? stream.below(200) * NS_PER_S : stream.below(1000);
    packets.time[i] = time;
    packets.direction[i] = stream.below(2);
    packets.tcpFlags[i] = pick(stream, FLAGS);
    packets.origin[i] = stream.below(3);
    const protocol = pick(stream, isPlain ? PROTOCOLS : ALL_PROTOCOLS);
    packets.protocol[i] = protocol;
    if (earlier !== undefined && earlier.packets.length > 0 && stream.below(2) === 0) {
      const j = stream.below(earlier.packets.length);
      packets.protocol[i] = earlier.packets.protocol[j];
      if (stream.below(3) === 0) {
        packets.srcAddress[i] = earlier.packets.srcAddress[j];
        packets.srcPort[i] = earlier.packets.srcPort[j];
        packets.dstAddress[i] = earlier.packets.dstAddress[j];
        packets.dstPort[i] = earlier.packets.dstPort[j];
      } else {
        packets.srcAddress[i] = earlier.verdicts.dstAddress[j];
        packets.srcPort[i] = earlier.verdicts.dstPort[j];
        packets.dstAddress[i] = earlier.verdicts.srcAddress[j];
        packets.dstPort[i] = earlier.verdicts.srcPort[j];
      }
      continue;
    }
    packets.srcAddress[i] = pick(stream, [POD + stream.below(6), OUTSIDE + stream.below(3), NODE_ADDRESS, LOOPBACK]);
    packets.srcPort[i] = pick(stream, [40_000, 40_001, 700, 80, 8080]);
    const kind = stream.below(8);
    const firstAddress = isPlain || stream.below(2) === 0 ? CLUSTER_IP : pick(stream, [EXTERNAL_IP, VIP]);
    packets.dstAddress[i] =
      kind < 4
        ? firstAddress + stream.below(SERVICE_IDS)
        : pick(stream, [NODE_ADDRESS, NODE_ADDRESS, LOOPBACK, POD + stream.below(6), OUTSIDE]);
    const nodePort = isPlain || stream.below(3) > 0 ? 30_000 : 31_000;
    packets.dstPort[i] =
      kind < 4 ? pick(stream, [80, 80, 80, 81]) : pick(stream, [nodePort + stream.below(SERVICE_IDS), 8080, 40_000]);
  }
  return time;
}

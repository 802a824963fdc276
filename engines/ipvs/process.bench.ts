/**
 * The job of bench/ipvs.c: packets from pods to the synthetic cluster, in batches. Every packet's verdict and counters go into the
 * checksum.
 */
import type { Counters } from '../../model/counters.ts';
import * as counters from '../../model/counters.ts';
import { Counters as CounterRows } from '../../model/counters.ts';
import * as packetModel from '../../model/packet.ts';
import { PacketBatch } from '../../model/packet.ts';
import * as protocols from '../../model/protocol.ts';
import * as timeModel from '../../model/time.ts';
import { VerdictBatch } from '../../model/verdict.ts';
import type { Contender } from '../../sim/contender.ts';
import { mixed } from '../../sim/contender.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { Rng } from '../../sim/rng.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import * as syntheticModel from '../synthetic.ts';
import { syntheticServices, syntheticWorld } from '../synthetic.ts';
import { createIpvsEngine } from './engine.ts';

/* A module's own constants are part of the compiled code; V8 loads an imported one anew at each use. */
const { COUNTER_STRIDE } = counters;
const { ORIGIN_EXTERNAL, ORIGIN_POD, TCP_ACK, TCP_SYN } = packetModel;
const { PROTOCOL_TCP } = protocols;
const { NS_PER_S } = timeModel;
const { CLUSTER_IP_BASE } = syntheticModel;

const BATCH = 256;
const BATCHES = 32;
/** Packets a round. */
export const IPVS_PACKETS = BATCH * BATCHES;
const ENDPOINTS = 10;
const CLIENT_BASE = 0x0ac80000;
const CLIENTS = 1024;
const FIRST_PORT = 1024;
const PORTS = 64_512;
/** Between first packets: an unanswered connection lives 60 s, so 4,000 are alive, about one for each bucket of the connection table. */
const NEW_FLOW_NS = 15_000_000;
const LATER_PACKET_NS = 1000;
const ESTABLISHED_FLOWS = 4096;

/** What the jobs have in common: an engine with its services, a batch, and the answers so far. */
class Traffic {
  readonly packets = new PacketBatch(BATCH);
  readonly verdicts = new VerdictBatch(BATCH);
  readonly work: Counters = new CounterRows(BATCH);
  checksum = 0;
  readonly #engine: Engine;
  readonly #services: number;
  readonly #stream: RandomStream;
  /** In an array: a number too large for a small integer is boxed anew when a field takes it. */
  readonly #now = Float64Array.of(NS_PER_S);
  #flows = 0;

  constructor(services: number, evaluator: EngineOptions['evaluator']) {
    this.#services = services;
    this.#stream = new Rng(1).stream('traffic');
    this.#engine = createIpvsEngine(syntheticWorld({ evaluator }));
    this.#engine.sync({ servicePorts: syntheticServices(services, ENDPOINTS) }, 0);
    this.packets.length = BATCH;
  }

  /** Random bits of the mask. */
  bits(mask: number): number {
    return this.#stream.nextUint32() & mask;
  }

  /** Fills the batch with the SYNs of new flows, `stepNs` apart. */
  fillNew(stepNs: number): void {
    const { time, srcAddress, srcPort, dstAddress, dstPort, protocol, tcpFlags, origin } = this.packets;
    for (let i = 0; i < BATCH; i++) {
      const flow = this.#flows++;
      time[i] = this.#now[0] += stepNs;
      srcAddress[i] = CLIENT_BASE + (flow & (CLIENTS - 1));
      srcPort[i] = FIRST_PORT + ((flow >>> 10) % PORTS);
      dstAddress[i] = CLUSTER_IP_BASE + Math.floor((this.#stream.nextUint32() * this.#services) / 4294967296);
      dstPort[i] = 80;
      protocol[i] = PROTOCOL_TCP;
      tcpFlags[i] = TCP_SYN;
      origin[i] = ORIGIN_POD;
    }
  }

  /** The next instant for packet `i`. */
  stamp(i: number, stepNs: number): void {
    this.packets.time[i] = this.#now[0] += stepNs;
  }

  process(): void {
    this.#engine.process(this.packets, this.verdicts, this.work);
  }

  mix(): void {
    const { outcome, reason, first, masqueraded, srcAddress, srcPort, dstAddress, dstPort, servicePortId } =
      this.verdicts;
    const rows = this.work.rows;
    let h = this.checksum;
    for (let i = 0, at = 0; i < BATCH; i++) {
      let row = 0;
      for (let k = 0, weight = 1; k < COUNTER_STRIDE; k++, at++, weight = (weight + 0x9e3779b2) | 0) {
        row = (row + Math.imul(rows[at], weight)) | 0;
      }
      h = mixed(h, row);
      h = mixed(h, outcome[i] | (reason[i] << 8) | (first[i] << 16) | (masqueraded[i] << 24));
      h = mixed(h, srcAddress[i]);
      h = mixed(h, dstAddress[i]);
      h = mixed(h, (srcPort[i] << 16) | dstPort[i]);
      h = mixed(h, servicePortId[i]);
    }
    this.checksum = h;
  }
}

/** First packets, each of a flow of its own to a random service. */
export function newConnections(services: number, evaluator: EngineOptions['evaluator']): Contender {
  const traffic = new Traffic(services, evaluator);
  return {
    name: `chainwalk, ${evaluator}`,
    round() {
      for (let batch = 0; batch < BATCHES; batch++) {
        traffic.fillNew(NEW_FLOW_NS);
        traffic.process();
        traffic.mix();
      }
    },
    checksum: () => traffic.checksum >>> 0,
  };
}

/** Packets of random established flows, in one direction or the other. */
export function establishedConnections(services: number, evaluator: EngineOptions['evaluator']): Contender {
  const traffic = new Traffic(services, evaluator);
  /** Places 2 * flow: the client's packet, 2 * flow + 1: the reply. */
  const kinds = new PacketBatch(2 * ESTABLISHED_FLOWS);
  for (let flow = 0; flow < ESTABLISHED_FLOWS; flow += BATCH) establish(traffic, kinds, flow);
  const { packets } = traffic;
  return {
    name: `chainwalk, ${evaluator}`,
    round() {
      for (let batch = 0; batch < BATCHES; batch++) {
        for (let i = 0; i < BATCH; i++) {
          copyPacket(packets, i, kinds, traffic.bits(2 * ESTABLISHED_FLOWS - 1));
          traffic.stamp(i, LATER_PACKET_NS);
        }
        traffic.process();
        traffic.mix();
      }
    },
    checksum: () => traffic.checksum >>> 0,
  };
}

/** SYN, SYN/ACK and ACK of a batch of new flows at one instant; `kinds` keeps their later packets. */
function establish(traffic: Traffic, kinds: PacketBatch, firstFlow: number): void {
  const { packets, verdicts } = traffic;
  traffic.fillNew(0);
  traffic.process();
  traffic.mix();
  for (let i = 0; i < BATCH; i++) {
    const request = 2 * (firstFlow + i);
    packets.tcpFlags[i] = TCP_ACK;
    copyPacket(kinds, request, packets, i);
    packets.srcAddress[i] = verdicts.dstAddress[i];
    packets.srcPort[i] = verdicts.dstPort[i];
    packets.dstAddress[i] = verdicts.srcAddress[i];
    packets.dstPort[i] = verdicts.srcPort[i];
    packets.origin[i] = ORIGIN_EXTERNAL;
    copyPacket(kinds, request + 1, packets, i);
    packets.tcpFlags[i] = TCP_SYN | TCP_ACK;
  }
  traffic.process();
  traffic.mix();
  for (let i = 0; i < BATCH; i++) copyPacket(packets, i, kinds, 2 * (firstFlow + i));
  traffic.process();
  traffic.mix();
}

/** All but the time. */
function copyPacket(to: PacketBatch, i: number, from: PacketBatch, k: number): void {
  to.srcAddress[i] = from.srcAddress[k];
  to.srcPort[i] = from.srcPort[k];
  to.dstAddress[i] = from.dstAddress[k];
  to.dstPort[i] = from.dstPort[k];
  to.protocol[i] = from.protocol[k];
  to.tcpFlags[i] = from.tcpFlags[k];
  to.origin[i] = from.origin[k];
}

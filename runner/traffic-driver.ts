/**
 * Plays connections on an engine: each packet is an event of the simulation, gathered into batches. A batch is handed to
 * the engine when it is full, when a packet depends on a verdict that is still open, and before anything changes the
 * rules or the pods, so that batching never shows in a result.
 */
import { PRIORITY_TRAFFIC } from '../control/priorities.ts';
import type { CostModel } from '../costs/cost-model.ts';
import type { Engine } from '../engines/engine.ts';
import { Counters } from '../model/counters.ts';
import {
  DIRECTION_ORIGINAL,
  DIRECTION_REPLY,
  ORIGIN_EXTERNAL,
  PacketBatch,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
} from '../model/packet.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import {
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REJECT,
  REASON_CONNTRACK_FULL,
  REASON_NO_ANSWER,
  REASON_NO_LOCAL_ENDPOINTS,
  REASON_SOURCE_RANGE,
  VerdictBatch,
} from '../model/verdict.ts';
import type { ConnectionSource } from '../scenarios/traffic.ts';
import type { EventKind, Simulation } from '../sim/simulation.ts';
import { ConnectionPool } from './connection-pool.ts';
import type { FailureKind, TrialMeter } from './trial-meter.ts';

const BATCH_CAPACITY = 256;

/** What the traffic needs to know of the pods behind the endpoints. */
interface PodView {
  podCondition(address: number): 'serving' | 'not_listening' | 'gone';
  isReady(address: number): boolean;
}

export type ConnectionOutcome = 'ok' | 'stale' | 'broken' | FailureKind;

export interface TrafficDriverOptions {
  readonly simulation: Simulation;
  readonly engine: Engine;
  /** The cost model; it exists once the first sync has installed rules, which is before any packet. */
  readonly costs: () => CostModel;
  readonly source: ConnectionSource;
  readonly pods: PodView;
  readonly meter: TrialMeter;
  /** Called once a connection when its fate is known, and again as `broken` if it is cut later. */
  readonly onOutcome?: (servicePortId: number, outcome: ConnectionOutcome) => void;
  /** Called for each new connection that reaches a process. */
  readonly onEndpoint?: (clientAddress: number, servicePortId: number, address: number, port: number) => void;
}

export class TrafficDriver {
  readonly #options: TrafficDriverOptions;
  readonly #pool = new ConnectionPool();
  readonly #packets = new PacketBatch(BATCH_CAPACITY);
  readonly #verdicts = new VerdictBatch(BATCH_CAPACITY);
  readonly #work = new Counters(BATCH_CAPACITY);
  readonly #costsNs = new Float64Array(BATCH_CAPACITY);
  readonly #slots = new Int32Array(BATCH_CAPACITY);
  readonly #arrival: EventKind;
  readonly #packet: EventKind;
  /** Arrivals and packets that are scheduled and have not come yet. */
  #scheduled = 0;

  constructor(options: TrafficDriverOptions) {
    this.#options = options;
    this.#arrival = options.simulation.on(() => this.#onArrival());
    this.#packet = options.simulation.on((slot) => {
      this.#scheduled--;
      this.#onPacket(slot);
    });
  }

  /** Schedules the first arrival; each arrival schedules the next. */
  start(): void {
    this.#scheduleArrival();
  }

  /** No arrival and no packet is to come. */
  get finished(): boolean {
    return this.#scheduled === 0;
  }

  /** Hands the waiting packets to the engine and settles their connections. */
  flush(): void {
    const packets = this.#packets;
    if (packets.length === 0) return;
    const { engine, meter } = this.#options;
    const costs = this.#options.costs();
    const verdicts = this.#verdicts;
    engine.process(packets, verdicts, this.#work);
    costs.costs(packets, verdicts, this.#work, this.#costsNs);
    meter.add(packets.length, verdicts, this.#work, this.#costsNs, costs.barePacketNs(true), costs.barePacketNs(false));
    const length = packets.length;
    packets.length = 0;
    for (let i = 0; i < length; i++) this.#settle(i);
  }

  #scheduleArrival(): void {
    const { source, simulation } = this.#options;
    if (!source.next()) return;
    simulation.schedule(source.startNs, PRIORITY_TRAFFIC, this.#arrival);
    this.#scheduled++;
  }

  #onArrival(): void {
    this.#scheduled--;
    const { source, meter } = this.#options;
    const pool = this.#pool;
    const slot = pool.open();
    pool.origin[slot] = source.origin;
    pool.protocol[slot] = source.protocol;
    pool.clientAddress[slot] = source.clientAddress;
    pool.clientPort[slot] = source.clientPort;
    pool.dstAddress[slot] = source.dstAddress;
    pool.dstPort[slot] = source.dstPort;
    pool.servicePortId[slot] = source.servicePortId;
    pool.packets[slot] = source.packets;
    pool.next[slot] = 0;
    pool.gapNs[slot] = source.gapNs();
    pool.pending[slot] = 0;
    meter.connections++;
    this.#onPacket(slot);
    this.#scheduleArrival();
  }

  #onPacket(slot: number): void {
    const pool = this.#pool;
    // A later packet needs the verdict of the one before: its addresses, and whether the connection still lives.
    if (pool.pending[slot] === 1) {
      this.flush();
      if (pool.next[slot] < 0) return this.#close(slot);
    }
    const number = pool.next[slot];
    if (number < 0) return this.#close(slot);
    this.#append(slot, number);
    pool.next[slot] = number + 1;
    if (number + 1 < pool.packets[slot]) {
      const { simulation } = this.#options;
      simulation.schedule(simulation.now + pool.gapNs[slot], PRIORITY_TRAFFIC, this.#packet, slot);
      this.#scheduled++;
    }
    if (this.#packets.length === BATCH_CAPACITY) this.flush();
  }

  #append(slot: number, number: number): void {
    const { pods, simulation } = this.#options;
    const pool = this.#pool;
    const packets = this.#packets;
    const i = packets.length++;
    const reply = (number & 1) === 1;
    packets.time[i] = simulation.now;
    packets.protocol[i] = pool.protocol[slot];
    packets.direction[i] = reply ? DIRECTION_REPLY : DIRECTION_ORIGINAL;
    if (reply) {
      packets.origin[i] = ORIGIN_EXTERNAL;
      packets.srcAddress[i] = pool.endpointAddress[slot];
      packets.srcPort[i] = pool.endpointPort[slot];
      packets.dstAddress[i] = pool.translatedAddress[slot];
      packets.dstPort[i] = pool.translatedPort[slot];
    } else {
      packets.origin[i] = pool.origin[slot];
      packets.srcAddress[i] = pool.clientAddress[slot];
      packets.srcPort[i] = pool.clientPort[slot];
      packets.dstAddress[i] = pool.dstAddress[slot];
      packets.dstPort[i] = pool.dstPort[slot];
    }
    let flags = 0;
    if (pool.protocol[slot] === PROTOCOL_TCP) {
      // A process that does not listen answers the SYN with a reset.
      const refused = number === 1 && pods.podCondition(pool.endpointAddress[slot]) !== 'serving';
      flags = refused ? TCP_RST | TCP_ACK : tcpFlags(number, pool.packets[slot]);
    }
    packets.tcpFlags[i] = flags;
    this.#slots[i] = slot;
    pool.pending[slot] = 1;
  }

  /** Reads packet i's verdict and moves its connection on. */
  #settle(i: number): void {
    const { pods, meter } = this.#options;
    const pool = this.#pool;
    const verdicts = this.#verdicts;
    const slot = this.#slots[i];
    const original = this.#packets.direction[i] === DIRECTION_ORIGINAL;
    const outcome = verdicts.outcome[i];
    pool.pending[slot] = 0;
    const opening = pool.next[slot] === 1 && original;
    if (opening) {
      pool.translatedAddress[slot] = verdicts.srcAddress[i];
      pool.translatedPort[slot] = verdicts.srcPort[i];
      pool.endpointAddress[slot] = verdicts.dstAddress[i];
      pool.endpointPort[slot] = verdicts.dstPort[i];
      const fate = this.#fate(i);
      if (fate === 'stale') meter.staleConnections++;
      else if (fate !== 'ok' && fate !== 'broken') meter.failures[fate]++;
      this.#options.onOutcome?.(pool.servicePortId[slot], fate);
      if (fate === 'ok' || fate === 'stale') {
        const { clientAddress, servicePortId, endpointAddress, endpointPort } = pool;
        this.#options.onEndpoint?.(clientAddress[slot], servicePortId[slot], endpointAddress[slot], endpointPort[slot]);
      }
      // A refused TCP connection has one more packet, the reset; the other failures have none.
      if (fate === 'refused' && pool.protocol[slot] === PROTOCOL_TCP)
        pool.packets[slot] = Math.min(pool.packets[slot], 2);
      else if (fate !== 'ok' && fate !== 'stale') return this.#end(slot);
    } else {
      const cut =
        outcome === OUTCOME_DROP ||
        outcome === OUTCOME_REJECT ||
        (original && pods.podCondition(pool.endpointAddress[slot]) !== 'serving');
      if (cut && pool.next[slot] > 2) {
        meter.brokenConnections++;
        this.#options.onOutcome?.(pool.servicePortId[slot], 'broken');
        return this.#end(slot);
      }
    }
    if (pool.next[slot] >= pool.packets[slot]) this.#end(slot);
  }

  #fate(i: number): ConnectionOutcome {
    const verdicts = this.#verdicts;
    const outcome = verdicts.outcome[i];
    if (outcome === OUTCOME_REJECT || outcome === OUTCOME_DROP) return refusal(outcome, verdicts.reason[i]);
    if (outcome !== OUTCOME_ENDPOINT) return 'no_answer';
    const address = verdicts.dstAddress[i];
    const condition = this.#options.pods.podCondition(address);
    if (condition === 'not_listening') return 'refused';
    if (condition === 'gone') return 'no_answer';
    return this.#options.pods.isReady(address) ? 'ok' : 'stale';
  }

  /** Marks the connection as over. The slot is freed by its next event if one is scheduled, else at once. */
  #end(slot: number): void {
    const pool = this.#pool;
    const scheduled = pool.next[slot] < pool.packets[slot];
    if (scheduled) pool.next[slot] = -1;
    else this.#close(slot);
  }

  #close(slot: number): void {
    this.#pool.close(slot);
  }
}

function refusal(outcome: number, reason: number): FailureKind {
  switch (reason) {
    case REASON_NO_LOCAL_ENDPOINTS:
      return 'no_local_endpoints';
    case REASON_SOURCE_RANGE:
      return 'source_range';
    case REASON_CONNTRACK_FULL:
      return 'conntrack_full';
    case REASON_NO_ANSWER:
      return 'no_answer';
    default:
      return outcome === OUTCOME_REJECT ? 'rejected' : 'dropped';
  }
}

/** Flags of packet `number` of `count`: SYN, SYN+ACK, ACK, data both ways, FIN both ways, last ACK where the count allows. */
export function tcpFlags(number: number, count: number): number {
  if (number === 0) return TCP_SYN;
  if (number === 1) return TCP_SYN | TCP_ACK;
  const finFrom = count >= 6 ? count - 3 : count - 2;
  if (count >= 5 && (number === finFrom || number === finFrom + 1)) return TCP_FIN | TCP_ACK;
  return TCP_ACK;
}

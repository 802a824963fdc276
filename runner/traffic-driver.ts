/**
 * Plays connections on an engine: each packet is an event of the simulation, gathered into batches. A batch is handed to
 * the engine when it is full, when a packet depends on a verdict that is still open, and before anything changes the
 * rules or the pods, so that batching never shows in a result.
 */
import { PRIORITY_TRAFFIC } from '../control/priorities.ts';
import type { CostModel } from '../costs/cost-model.ts';
import type { Engine } from '../engines/engine.ts';
import { Counters } from '../model/counters.ts';
import { DIRECTION_ORIGINAL, PacketBatch } from '../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../model/protocol.ts';
import type { SimTime } from '../model/time.ts';
import { OUTCOME_DROP, OUTCOME_ENDPOINT, OUTCOME_REJECT, VerdictBatch } from '../model/verdict.ts';
import type { ConnectionSource } from '../scenarios/traffic.ts';
import type { EventKind, Simulation } from '../sim/simulation.ts';
import type { ClientPolicy } from './client-policy.ts';
import { connectionFate, type ConnectionOutcome, type PodView } from './connection-fate.ts';
import { fillPacket } from './connection-packets.ts';
import { ConnectionPool, MARK_CLOSING, MARK_LOST, MARK_ON_REMOVED_POD, MARK_SILENT } from './connection-pool.ts';
import { PortUse } from './port-use.ts';
import { FAILURE_KINDS, type FailureKind, type TrialMeter } from './trial-meter.ts';

const BATCH_CAPACITY = 256;

export interface TrafficDriverOptions {
  readonly simulation: Simulation;
  readonly engine: Engine;
  /** The cost model; it exists once the first sync has installed rules, which is before any packet. */
  readonly costs: () => CostModel;
  readonly source: ConnectionSource;
  readonly pods: PodView;
  readonly meter: TrialMeter;
  /** TCP clients that wait for an answer and try again; absent: an attempt without answer has failed at its SYN, for good. */
  readonly policy?: ClientPolicy | undefined;
  /** Ports that a client has; it takes none that a live connection of its has. Absent: so many that none is met again. */
  readonly clientPorts?: number | undefined;
  /** Whether the rules have led to this endpoint before and do so no more. */
  readonly isRemoved?: (servicePortId: number, address: number, port: number) => boolean;
  /** Called once a connection when its fate is known, and again as `broken` if it is cut later. */
  readonly onOutcome?: (servicePortId: number, outcome: ConnectionOutcome) => void;
  /** Called for each new connection that reaches a process, with its place in the pool. */
  readonly onEndpoint?: (pool: ConnectionPool, slot: number) => void;
}

export class TrafficDriver {
  readonly #options: TrafficDriverOptions;
  readonly #pool = new ConnectionPool();
  readonly #packets = new PacketBatch(BATCH_CAPACITY);
  readonly #verdicts = new VerdictBatch(BATCH_CAPACITY);
  readonly #work = new Counters(BATCH_CAPACITY);
  readonly #costsNs = new Float64Array(BATCH_CAPACITY);
  readonly #slots = new Int32Array(BATCH_CAPACITY);
  readonly #portUse: PortUse | undefined;
  readonly #arrival: EventKind;
  readonly #packet: EventKind;
  /** A SYN is sent again; an attempt ends without an answer; the next one begins. */
  readonly #synAgain: EventKind;
  readonly #giveUp: EventKind;
  readonly #retry: EventKind;
  /** Events of this driver that are to come. */
  #scheduled = 0;

  constructor(options: TrafficDriverOptions) {
    this.#options = options;
    this.#portUse = options.clientPorts === undefined ? undefined : new PortUse();
    const on = (handler: (slot: number) => void): EventKind =>
      options.simulation.on((slot) => {
        this.#scheduled--;
        handler(slot);
      });
    this.#arrival = on(() => this.#onArrival());
    this.#packet = on((slot) => this.#onPacket(slot));
    this.#synAgain = on((slot) => {
      options.meter.clients.retransmittedSyns++;
      this.#sendSyn(slot);
    });
    this.#giveUp = on((slot) => this.#attemptFailed(slot));
    this.#retry = on((slot) => this.#onRetry(slot));
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

  #schedule(at: SimTime, kind: EventKind, slot = 0): void {
    this.#options.simulation.schedule(at, PRIORITY_TRAFFIC, kind, slot);
    this.#scheduled++;
  }

  #scheduleNextPacket(slot: number): void {
    this.#schedule(this.#options.simulation.now + this.#pool.gapNs[slot], this.#packet, slot);
  }

  #scheduleArrival(): void {
    const { source } = this.#options;
    if (source.next()) this.#schedule(source.startNs, this.#arrival);
  }

  #onArrival(): void {
    const { source, meter, simulation } = this.#options;
    const pool = this.#pool;
    const slot = pool.open();
    pool.origin[slot] = source.origin;
    pool.protocol[slot] = source.protocol;
    pool.client[slot] = source.client;
    pool.clientAddress[slot] = source.clientAddress;
    pool.dstAddress[slot] = source.dstAddress;
    pool.dstPort[slot] = source.dstPort;
    pool.servicePortId[slot] = source.servicePortId;
    pool.packets[slot] = source.packets;
    pool.gapNs[slot] = source.gapNs();
    pool.retries[slot] = 0;
    pool.wantedNs[slot] = simulation.now;
    meter.connections++;
    this.#attempt(slot, source.clientPort);
    this.#scheduleArrival();
  }

  /** The client opens a socket and sends its first packet. */
  #attempt(slot: number, wantedPort: number): void {
    const { meter, policy, simulation } = this.#options;
    const pool = this.#pool;
    const port = this.#freePort(slot, wantedPort);
    pool.next[slot] = 0;
    pool.pending[slot] = 0;
    pool.marks[slot] = 0;
    if (port === undefined) {
      this.#fail(slot, 'no_free_port');
      this.#pool.close(slot);
      return;
    }
    pool.clientPort[slot] = port;
    meter.clients.attempts++;
    if (policy === undefined || pool.protocol[slot] !== PROTOCOL_TCP) {
      this.#onPacket(slot);
      return;
    }
    pool.syns[slot] = 0;
    pool.attemptNs[slot] = simulation.now;
    this.#sendSyn(slot);
  }

  /** The wanted port, or the next one that no live connection of the client to that destination has. */
  #freePort(slot: number, wantedPort: number): number | undefined {
    const { clientPorts, source } = this.#options;
    if (this.#portUse === undefined || clientPorts === undefined) return wantedPort;
    const { clientAddress, dstAddress, dstPort } = this.#pool;
    let port = wantedPort;
    for (let tries = 0; tries < clientPorts; tries++, port = source.followingPort(port)) {
      if (this.#portUse.isUsed(clientAddress[slot], port, dstAddress[slot], dstPort[slot])) continue;
      this.#portUse.take(clientAddress[slot], port, dstAddress[slot], dstPort[slot]);
      return port;
    }
    return undefined;
  }

  /** Its verdict decides what the client does next, so it does not wait in the batch. */
  #sendSyn(slot: number): void {
    const pool = this.#pool;
    pool.syns[slot]++;
    this.#append(slot, 0);
    pool.next[slot] = 1;
    this.flush();
  }

  #onPacket(slot: number): void {
    const pool = this.#pool;
    // A later packet needs the verdict of the one before: its addresses, and whether the connection still lives.
    if (pool.pending[slot] === 1) this.flush();
    const number = pool.next[slot];
    if (number < 0) return this.#close(slot);
    pool.next[slot] = number + 1;
    const resetOfSyn = number === 1 && (pool.marks[slot] & MARK_CLOSING) !== 0;
    const more = !resetOfSyn && number + 1 < pool.packets[slot];
    // Nobody answers a datagram that met no process.
    const unsent = (pool.marks[slot] & MARK_LOST) !== 0 && (number & 1) === 1;
    if (!unsent) this.#append(slot, number);
    if (more) this.#scheduleNextPacket(slot);
    else if (unsent) this.#close(slot);
    if (resetOfSyn || this.#packets.length === BATCH_CAPACITY) this.flush();
  }

  #append(slot: number, number: number): void {
    const { pods, simulation } = this.#options;
    const pool = this.#pool;
    const i = this.#packets.length++;
    // A process that does not listen answers the SYN with a reset.
    const refused = number === 1 && pods.podCondition(pool.endpointAddress[slot]) !== 'serving';
    fillPacket(this.#packets, i, pool, slot, number, simulation.now, refused);
    this.#slots[i] = slot;
    pool.pending[slot] = 1;
  }

  /** Reads packet i's verdict and moves its connection on. */
  #settle(i: number): void {
    const pool = this.#pool;
    const slot = this.#slots[i];
    const original = this.#packets.direction[i] === DIRECTION_ORIGINAL;
    pool.pending[slot] = 0;
    if (original) this.#countAim(i, slot);
    if (pool.next[slot] === 1 && original) {
      if (!this.#settleFirst(i, slot)) return;
    } else if (pool.next[slot] === 2 && (pool.marks[slot] & MARK_CLOSING) !== 0) {
      // The reset that a waiting client has got in answer to its SYN.
      return this.#attemptFailed(slot);
    } else if (!this.#settleLater(i, slot, original)) return;
    if (pool.next[slot] >= pool.packets[slot]) this.#end(slot);
  }

  /** The verdict of a first packet, or of one sent again; false when the connection is over, waits or goes on by itself. */
  #settleFirst(i: number, slot: number): boolean {
    const { pods, meter, policy, simulation } = this.#options;
    const pool = this.#pool;
    const verdicts = this.#verdicts;
    this.#keepAddresses(i, slot);
    const fate = connectionFate(verdicts, i, pods);
    const isTcp = pool.protocol[slot] === PROTOCOL_TCP;
    const waits = policy !== undefined && isTcp;
    if (fate !== 'ok' && fate !== 'stale') {
      if (waits) {
        this.#unanswered(slot, fate, verdicts.outcome[i]);
        return false;
      }
      this.#fail(slot, fate, verdicts.outcome[i]);
      // A refused TCP connection has one more packet, the reset; a UDP client goes on; the other failures have none.
      if (fate === 'refused' && isTcp) pool.packets[slot] = Math.min(pool.packets[slot], 2);
      else if (pool.protocol[slot] === PROTOCOL_UDP && verdicts.outcome[i] === OUTCOME_ENDPOINT) {
        pool.marks[slot] |= MARK_LOST | MARK_SILENT;
      } else {
        this.#end(slot);
        return false;
      }
      return true;
    }
    meter.clients.established++;
    if (fate === 'stale') meter.staleConnections++;
    this.#options.onOutcome?.(pool.servicePortId[slot], fate);
    this.#options.onEndpoint?.(pool, slot);
    if (!waits) return true;
    meter.clients.answered(simulation.now - pool.wantedNs[slot]);
    if (pool.packets[slot] > 1) this.#scheduleNextPacket(slot);
    return true;
  }

  /** The verdict of any other packet; false when the connection is over. */
  #settleLater(i: number, slot: number, original: boolean): boolean {
    const { pods, meter, policy } = this.#options;
    const pool = this.#pool;
    const outcome = this.#verdicts.outcome[i];
    const isUdp = pool.protocol[slot] === PROTOCOL_UDP;
    const refused = outcome === OUTCOME_DROP || outcome === OUTCOME_REJECT;
    // Whom an ICMP error reaches stops; who hears nothing goes on.
    if (isUdp && original && outcome !== OUTCOME_REJECT) {
      this.#settleDatagram(i, slot);
      return true;
    }
    const condition = original ? pods.podCondition(pool.endpointAddress[slot]) : 'serving';
    if ((!refused && condition === 'serving') || pool.next[slot] <= 2) return true;
    // The reset itself.
    if ((pool.marks[slot] & MARK_CLOSING) !== 0) return true;
    if ((pool.marks[slot] & MARK_SILENT) === 0) {
      meter.brokenConnections++;
      // Userspace mode's process resets what it cannot carry on; a pod's kernel, what its process has left behind.
      const reset = refused ? outcome === OUTCOME_REJECT : condition === 'not_listening';
      if (reset) meter.clients.reset++;
      else meter.clients.silent++;
      this.#options.onOutcome?.(pool.servicePortId[slot], 'broken');
    }
    if (policy !== undefined && condition === 'not_listening' && pool.next[slot] < pool.packets[slot]) {
      pool.marks[slot] |= MARK_CLOSING;
      pool.packets[slot] = pool.next[slot] + 1;
      return true;
    }
    this.#end(slot);
    return false;
  }

  /** A UDP client knows nothing of its server: it goes on sending, and a flow whose entry was cleaned up may come to another pod. */
  #settleDatagram(i: number, slot: number): void {
    const { pods, meter } = this.#options;
    const pool = this.#pool;
    const outcome = this.#verdicts.outcome[i];
    if (outcome === OUTCOME_ENDPOINT) this.#keepAddresses(i, slot);
    if (outcome !== OUTCOME_DROP && pods.podCondition(pool.endpointAddress[slot]) === 'serving') {
      pool.marks[slot] &= ~MARK_LOST;
      return;
    }
    const known = (pool.marks[slot] & MARK_SILENT) !== 0;
    pool.marks[slot] |= MARK_LOST | MARK_SILENT;
    if (known) return;
    meter.brokenConnections++;
    meter.clients.silent++;
    this.#options.onOutcome?.(pool.servicePortId[slot], 'broken');
  }

  /** Where the data path sent a packet of the client: to a pod that is not ready, or past rules that no longer lead there? */
  #countAim(i: number, slot: number): void {
    const verdicts = this.#verdicts;
    if (verdicts.outcome[i] !== OUTCOME_ENDPOINT) return;
    const { pods, meter, isRemoved } = this.#options;
    const pool = this.#pool;
    const address = verdicts.dstAddress[i];
    if (!pods.isReady(address)) meter.clients.stalePackets++;
    if (isRemoved === undefined || pool.next[slot] === 1 || (pool.marks[slot] & MARK_ON_REMOVED_POD) !== 0) return;
    if (!isRemoved(pool.servicePortId[slot], address, verdicts.dstPort[i])) return;
    pool.marks[slot] |= MARK_ON_REMOVED_POD;
    meter.clients.onRemovedPods++;
  }

  #keepAddresses(i: number, slot: number): void {
    const pool = this.#pool;
    const verdicts = this.#verdicts;
    pool.translatedAddress[slot] = verdicts.srcAddress[i];
    pool.translatedPort[slot] = verdicts.srcPort[i];
    pool.endpointAddress[slot] = verdicts.dstAddress[i];
    pool.endpointPort[slot] = verdicts.dstPort[i];
  }

  /** A waiting client's SYN has not opened the connection: a refusal comes back at once, silence is waited out. */
  #unanswered(slot: number, fate: FailureKind, outcome: number): void {
    const policy = this.#options.policy as ClientPolicy;
    const pool = this.#pool;
    pool.fate[slot] = FAILURE_KINDS.indexOf(fate);
    if (fate === 'refused') {
      pool.marks[slot] |= MARK_CLOSING;
      this.#scheduleNextPacket(slot);
      return;
    }
    // An ICMP port unreachable ends a connection that is being opened [net/ipv4/tcp_ipv4.c tcp_v4_err], a reset, too.
    if (outcome === OUTCOME_REJECT) {
      pool.marks[slot] |= MARK_CLOSING;
      return this.#attemptFailed(slot);
    }
    const again = policy.againNs[pool.syns[slot] - 1];
    const begun = pool.attemptNs[slot];
    if (again !== undefined) this.#schedule(begun + again, this.#synAgain, slot);
    else if (policy.giveUpNs > 0) this.#schedule(begun + policy.giveUpNs, this.#giveUp, slot);
    else this.#attemptFailed(slot);
  }

  /** An attempt of a waiting client is over: MARK_CLOSING when it was refused, else nobody has answered. */
  #attemptFailed(slot: number): void {
    const { meter, simulation } = this.#options;
    const policy = this.#options.policy as ClientPolicy;
    const pool = this.#pool;
    this.#releasePort(slot);
    if (pool.retries[slot] < policy.retries) {
      const pause = policy.backoffNs * (1 << pool.retries[slot]++);
      this.#schedule(simulation.now + pause, this.#retry, slot);
      return;
    }
    const fate = FAILURE_KINDS[pool.fate[slot]];
    meter.failures[fate]++;
    if ((pool.marks[slot] & MARK_CLOSING) !== 0) meter.clients.refused++;
    else meter.clients.timedOut++;
    this.#options.onOutcome?.(pool.servicePortId[slot], fate);
    pool.close(slot);
  }

  #onRetry(slot: number): void {
    this.#attempt(slot, this.#options.source.retryPort(this.#pool.client[slot]));
  }

  /** A connection has failed for good; `outcome` is its first packet's. */
  #fail(slot: number, fate: FailureKind, outcome?: number): void {
    const { meter } = this.#options;
    meter.failures[fate]++;
    if (fate === 'refused' || outcome === OUTCOME_REJECT) meter.clients.refused++;
    else if (outcome !== undefined) meter.clients.timedOut++;
    this.#options.onOutcome?.(this.#pool.servicePortId[slot], fate);
  }

  /** Marks the connection as over. The slot is freed by its next event if one is scheduled, else at once. */
  #end(slot: number): void {
    const pool = this.#pool;
    const scheduled = pool.next[slot] < pool.packets[slot];
    if (scheduled) pool.next[slot] = -1;
    else this.#close(slot);
  }

  #close(slot: number): void {
    this.#releasePort(slot);
    this.#pool.close(slot);
  }

  #releasePort(slot: number): void {
    const { clientAddress, clientPort, dstAddress, dstPort } = this.#pool;
    this.#portUse?.release(clientAddress[slot], clientPort[slot], dstAddress[slot], dstPort[slot]);
  }
}

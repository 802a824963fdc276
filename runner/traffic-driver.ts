/**
 * Plays connections on an engine: each packet is an event of the simulation, gathered into batches. A batch is handed to
 * the engine when it is full, when a packet depends on a verdict that is still open, and before anything changes the
 * rules or the pods, so that batching never shows in a result.
 */
import { PRIORITY_TRAFFIC } from '../control/priorities.ts';
import type { ProcessEnd } from '../control/shutdown.ts';
import type { CostModel } from '../costs/cost-model.ts';
import type { Engine } from '../engines/engine.ts';
import { Counters } from '../model/counters.ts';
import { DIRECTION_ORIGINAL, PacketBatch } from '../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../model/protocol.ts';
import type { SimTime } from '../model/time.ts';
import { OUTCOME_DROP, OUTCOME_REJECT, VerdictBatch } from '../model/verdict.ts';
import type { ConnectionSource } from '../scenarios/traffic.ts';
import type { EventKind, Simulation } from '../sim/simulation.ts';
import type { ClientPolicy } from './client-policy.ts';
import { connectionFate, isAimed, type ConnectionOutcome, type PodView } from './connection-fate.ts';
import { fillPacket, firstFin, isReply } from './connection-packets.ts';
import {
  ConnectionPool,
  MARK_CLOSING,
  MARK_ESTABLISHED,
  MARK_LOST,
  MARK_ON_REMOVED_POD,
  MARK_SILENT,
} from './connection-pool.ts';
import type { FoundAddress } from './dns-resolver.ts';
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
  /** Looks up, before each attempt, where to connect to; absent: every client knows the address, as one does for whom it is `known`. */
  readonly lookUp?:
    ((query: NameQuery, found: (found: FoundAddress | 'known' | undefined) => void) => void) | undefined;
  /** Called once a connection when its fate is known, and again as `broken` if it is cut later. */
  readonly onOutcome?: (servicePortId: number, outcome: ConnectionOutcome) => void;
  /** Called for each new connection that reaches a process, with its place in the pool. */
  readonly onEndpoint?: (pool: ConnectionPool, slot: number) => void;
}

/** Whose look-up it is, and of which service port; `again`: of a retry. */
export interface NameQuery {
  readonly origin: number;
  readonly client: number;
  readonly servicePortId: number;
  readonly again: boolean;
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
  /** Look-ups under way. */
  #lookUps = 0;

  constructor(options: TrafficDriverOptions) {
    this.#options = options;
    this.#portUse = options.clientPorts === undefined ? undefined : new PortUse();
    const { simulation, meter } = options;
    // Each counts for itself: a handler within a handler would be a second call that cannot be foreseen, for every packet.
    this.#arrival = simulation.on(() => {
      this.#scheduled--;
      this.#onArrival();
    });
    this.#packet = simulation.on((slot) => {
      this.#scheduled--;
      this.#onPacket(slot);
    });
    this.#synAgain = simulation.on((slot) => {
      this.#scheduled--;
      meter.clients.retransmittedSyns++;
      this.#sendSyn(slot);
    });
    this.#giveUp = simulation.on((slot) => {
      this.#scheduled--;
      this.#attemptFailed(slot);
    });
    this.#retry = simulation.on((slot) => {
      this.#scheduled--;
      this.#onRetry(slot);
    });
  }

  /** Schedules the first arrival; each arrival schedules the next. */
  start(): void {
    this.#scheduleArrival();
  }

  /** No arrival and no packet is to come. */
  get finished(): boolean {
    return this.#scheduled === 0 && this.#lookUps === 0;
  }

  /** The process at this address is no more: its kernel has closed the connections that it had, or nobody has. */
  processEnded(address: number, how: ProcessEnd): void {
    this.flush();
    const pool = this.#pool;
    for (let slot = 0; slot < pool.used; slot++) {
      if (pool.endpointAddress[slot] !== address || (pool.marks[slot] & MARK_ESTABLISHED) === 0) continue;
      if (how === 'lost') pool.marks[slot] |= MARK_LOST;
      // Once one side has closed there is nothing left to lose.
      else if (pool.next[slot] <= firstFin(pool.packets[slot])) this.#closedByPeer(slot);
    }
    this.flush();
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
    meter.add(packets.length, verdicts, this.#work, this.#costsNs, costs);
    const length = packets.length;
    packets.length = 0;
    for (let i = 0; i < length; i++) this.#settle(i);
  }

  #schedule(at: SimTime, kind: EventKind, slot = 0): void {
    this.#options.simulation.schedule(at, PRIORITY_TRAFFIC, kind, slot);
    this.#scheduled++;
  }

  #scheduleNextPacket(slot: number): void {
    this.#options.simulation.after(this.#pool.gapNs[slot], PRIORITY_TRAFFIC, this.#packet, slot);
    this.#scheduled++;
  }

  #scheduleArrival(): void {
    const { source, simulation } = this.#options;
    if (!source.next()) return;
    simulation.after(source.startNs - simulation.now, PRIORITY_TRAFFIC, this.#arrival);
    this.#scheduled++;
  }

  #onArrival(): void {
    const { source, meter, simulation, lookUp } = this.#options;
    const pool = this.#pool;
    const slot = pool.open();
    pool.origin[slot] = source.origin;
    pool.protocol[slot] = source.protocol;
    pool.client[slot] = source.client;
    pool.clientAddress[slot] = source.clientAddress;
    pool.dstAddress[slot] = source.dstAddress;
    pool.dstPort[slot] = source.dstPort;
    pool.direct[slot] = 0;
    pool.servicePortId[slot] = source.servicePortId;
    pool.packets[slot] = source.packets;
    pool.gapNs[slot] = source.gapNs();
    pool.retries[slot] = 0;
    pool.wantedNs[slot] = lookUp === undefined ? simulation.now : -1;
    meter.connections++;
    this.#lookUp(slot, source.clientPort);
    this.#scheduleArrival();
  }

  /** Finds out where to connect to, and does. */
  #lookUp(slot: number, wantedPort: number): void {
    const { lookUp, simulation } = this.#options;
    const pool = this.#pool;
    if (lookUp === undefined) return this.#attempt(slot, wantedPort);
    const again = pool.retries[slot] > 0;
    const query = {
      origin: pool.origin[slot],
      client: pool.clientAddress[slot],
      servicePortId: pool.servicePortId[slot],
      again,
    };
    this.#lookUps++;
    lookUp(query, (found) => {
      this.#lookUps--;
      if (found === undefined) return this.#notResolved(slot);
      if (found !== 'known') {
        pool.dstAddress[slot] = found.address;
        pool.dstPort[slot] = found.port;
        pool.direct[slot] = found.direct ? 1 : 0;
      }
      // The first SYN is what the delay of an answer counts from.
      if (pool.wantedNs[slot] < 0) pool.wantedNs[slot] = simulation.now;
      this.#attempt(slot, wantedPort);
    });
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
    const following = (port: number): number => source.followingPort(port);
    const tuple = [clientAddress[slot], dstAddress[slot], dstPort[slot]] as const;
    return this.#portUse.takeFree(wantedPort, clientPorts, following, tuple);
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
    const closing = (pool.marks[slot] & MARK_CLOSING) !== 0;
    const resetOfSyn = number === 1 && closing;
    const more = !resetOfSyn && number + 1 < pool.packets[slot];
    const unsent = (pool.marks[slot] & MARK_LOST) !== 0 && !closing && isReply(number);
    if (!unsent) this.#append(slot, number);
    if (more) this.#scheduleNextPacket(slot);
    else if (unsent) {
      if (pool.protocol[slot] !== PROTOCOL_UDP) this.#cut(slot, false);
      this.#close(slot);
    }
    if (resetOfSyn || this.#packets.length === BATCH_CAPACITY) this.flush();
  }

  #append(slot: number, number: number): void {
    const pool = this.#pool;
    // Where no process took the connection, the pod's kernel answers the SYN with a reset.
    const refused = number === 1 && (pool.marks[slot] & MARK_ESTABLISHED) === 0;
    const i = this.#packets.length++;
    fillPacket(this.#packets, i, pool, slot, number, this.#options.simulation.now, refused);
    this.#slots[i] = slot;
    pool.pending[slot] = 1;
  }

  /** The pod's kernel resets the connection, whoever's turn it is; its next event frees the slot. */
  #closedByPeer(slot: number): void {
    const pool = this.#pool;
    this.#cut(slot, true);
    pool.marks[slot] = MARK_CLOSING;
    pool.next[slot] = -1;
    this.#append(slot, 1);
    if (this.#packets.length === BATCH_CAPACITY) this.flush();
  }

  /** An established connection is cut: its client gets a reset, or hears nothing any more. */
  #cut(slot: number, reset: boolean): void {
    const { meter } = this.#options;
    this.#pool.marks[slot] &= ~MARK_ESTABLISHED;
    meter.brokenConnections++;
    if (reset) meter.clients.reset++;
    else meter.clients.silent++;
    this.#options.onOutcome?.(this.#pool.servicePortId[slot], 'broken');
  }

  /** Reads packet i's verdict and moves its connection on. */
  #settle(i: number): void {
    const pool = this.#pool;
    const slot = this.#slots[i];
    const original = this.#packets.direction[i] === DIRECTION_ORIGINAL;
    pool.pending[slot] = 0;
    // Over already: this was its reset.
    if (pool.next[slot] < 0) return;
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
    const fate = connectionFate(verdicts, i, pods, pool.direct[slot] === 1);
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
      else if (pool.protocol[slot] === PROTOCOL_UDP && isAimed(verdicts, i, pool.direct[slot] === 1)) {
        pool.marks[slot] |= MARK_LOST | MARK_SILENT;
      } else {
        this.#end(slot);
        return false;
      }
      return true;
    }
    meter.clients.established++;
    if (pool.protocol[slot] !== PROTOCOL_UDP) pool.marks[slot] |= MARK_ESTABLISHED;
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
    const { pods } = this.#options;
    const pool = this.#pool;
    const outcome = this.#verdicts.outcome[i];
    const isUdp = pool.protocol[slot] === PROTOCOL_UDP;
    const refused = outcome === OUTCOME_DROP || outcome === OUTCOME_REJECT;
    // Whom an ICMP error reaches stops; who hears nothing goes on.
    if (isUdp && original && outcome !== OUTCOME_REJECT) {
      this.#settleDatagram(i, slot);
      return true;
    }
    const lost = original && (pool.marks[slot] & MARK_LOST) !== 0;
    if ((!refused && !lost) || pool.next[slot] <= 2) return true;
    // The reset itself.
    if ((pool.marks[slot] & MARK_CLOSING) !== 0) return true;
    // Userspace mode's process resets what it cannot carry on, and a pod whose machine is back, what it knows nothing of.
    const isBack = !refused && pods.podCondition(pool.endpointAddress[slot]) !== 'gone';
    if ((pool.marks[slot] & MARK_SILENT) === 0) this.#cut(slot, isBack || outcome === OUTCOME_REJECT);
    if (isBack && pool.next[slot] < pool.packets[slot]) {
      pool.marks[slot] |= MARK_CLOSING;
      pool.packets[slot] = pool.next[slot] + 1;
      return true;
    }
    this.#end(slot);
    return false;
  }

  /** A UDP client knows nothing of its server: it goes on sending, and a flow whose entry was cleaned up may come to another pod. */
  #settleDatagram(i: number, slot: number): void {
    const { pods } = this.#options;
    const pool = this.#pool;
    const outcome = this.#verdicts.outcome[i];
    if (isAimed(this.#verdicts, i, pool.direct[slot] === 1)) this.#keepAddresses(i, slot);
    if (outcome !== OUTCOME_DROP && pods.podCondition(pool.endpointAddress[slot]) === 'serving') {
      pool.marks[slot] &= ~MARK_LOST;
      return;
    }
    const known = (pool.marks[slot] & MARK_SILENT) !== 0;
    pool.marks[slot] |= MARK_LOST | MARK_SILENT;
    if (known) return;
    this.#cut(slot, false);
  }

  /** Where the data path sent a packet of the client: to a pod that is not ready, or past rules that no longer lead there? */
  #countAim(i: number, slot: number): void {
    const verdicts = this.#verdicts;
    const { pods, meter, isRemoved } = this.#options;
    const pool = this.#pool;
    if (!isAimed(verdicts, i, pool.direct[slot] === 1)) return;
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
    const { meter } = this.#options;
    const pool = this.#pool;
    this.#releasePort(slot);
    if (this.#triesAgain(slot)) return;
    const fate = FAILURE_KINDS[pool.fate[slot]];
    meter.failures[fate]++;
    if ((pool.marks[slot] & MARK_CLOSING) !== 0) meter.clients.refused++;
    else meter.clients.timedOut++;
    this.#options.onOutcome?.(pool.servicePortId[slot], fate);
    pool.close(slot);
  }

  /** Whether the client has a retry left, which then follows after a pause. */
  #triesAgain(slot: number): boolean {
    const { policy, simulation } = this.#options;
    const pool = this.#pool;
    if (policy === undefined || pool.protocol[slot] !== PROTOCOL_TCP || pool.retries[slot] >= policy.retries)
      return false;
    const pause = policy.backoffNs * (1 << pool.retries[slot]++);
    this.#schedule(simulation.now + pause, this.#retry, slot);
    return true;
  }

  #notResolved(slot: number): void {
    if (this.#triesAgain(slot)) return;
    this.#fail(slot, 'not_resolved');
    this.#pool.close(slot);
  }

  #onRetry(slot: number): void {
    this.#lookUp(slot, this.#options.source.retryPort(this.#pool.client[slot]));
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
    pool.marks[slot] &= ~MARK_ESTABLISHED;
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

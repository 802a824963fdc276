/** A world for tests of clients: connections at given times, an engine that does as told, pods that come and go. */
import type { ProcessEnd } from '../control/shutdown.ts';
import type { CostModel } from '../costs/cost-model.ts';
import type { Engine } from '../engines/engine.ts';
import { DIRECTION_REPLY, type PacketBatch } from '../model/packet.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { NS_PER_S } from '../model/time.ts';
import { OUTCOME_ENDPOINT, OUTCOME_REPLY, type VerdictBatch } from '../model/verdict.ts';
import type { ConnectionSource } from '../scenarios/traffic.ts';
import { Simulation } from '../sim/simulation.ts';
import type { ClientPolicy } from './client-policy.ts';
import type { ConnectionOutcome, PodView } from './connection-fate.ts';
import { TrafficDriver, type TrafficDriverOptions } from './traffic-driver.ts';
import { TrialMeter } from './trial-meter.ts';

/** The endpoint that everything goes to unless a world says otherwise. */
export const POD = 0x0a000001;
const CLIENT = 0x0a000101;
export const VIP = 0x0a600001;
export const SERVICE = 3;
export const FIRST_PORT = 32_768;

interface Arrival {
  readonly at_s: number;
  readonly packets?: number;
  readonly port?: number;
  readonly protocol?: number;
}

export interface WorldOptions {
  readonly arrivals: readonly Arrival[];
  /** Between the packets of a connection; 0.1 s unless given. */
  readonly gap_s?: number;
  readonly condition?: (address: number, at_s: number) => ReturnType<PodView['podCondition']>;
  readonly isReady?: (address: number, at_s: number) => boolean;
  /** Outcome and endpoint of a packet of a client. */
  readonly aim?: (at_s: number) => { readonly outcome?: number; readonly reason?: number; readonly endpoint?: number };
  /** A real engine in place of the one that does as told. */
  readonly engine?: Engine;
  readonly policy?: ClientPolicy;
  readonly clientPorts?: number;
  readonly isRemoved?: (address: number, at_s: number) => boolean;
  readonly lookUp?: (simulation: Simulation) => NonNullable<TrafficDriverOptions['lookUp']>;
  /** What else happens, by its time. */
  readonly acts?: readonly { readonly at_s: number; readonly act: () => void }[];
  /** The ends of POD's processes. */
  readonly ends?: readonly { readonly at_s: number; readonly how: ProcessEnd }[];
  readonly until_s?: number;
}

export interface SentPacket {
  readonly at_s: number;
  readonly reply: boolean;
  readonly flags: number;
  readonly clientPort: number;
  /** Where it went, or came from. */
  readonly endpoint: number;
}

export interface Played {
  readonly meter: TrialMeter;
  readonly metrics: ReturnType<TrialMeter['metrics']>;
  readonly packets: readonly SentPacket[];
  readonly outcomes: readonly ConnectionOutcome[];
  readonly driver: TrafficDriver;
}

export function playWorld(options: WorldOptions): Played {
  const { arrivals, gap_s = 0.1, condition = () => 'serving', isReady = () => true, policy, until_s = 1000 } = options;
  const simulation = new Simulation();
  let podsAt_s = 0;
  const meter = new TrialMeter();
  const packets: SentPacket[] = [];
  const outcomes: ConnectionOutcome[] = [];
  const told = engineAsTold(options);
  const engine = {
    process(batch: PacketBatch, verdicts: VerdictBatch, work: never) {
      (options.engine ?? told).process(batch, verdicts, work);
      for (let i = 0; i < batch.length; i++) {
        const reply = batch.direction[i] === DIRECTION_REPLY;
        packets.push({
          at_s: batch.time[i] / NS_PER_S,
          reply,
          flags: batch.tcpFlags[i],
          clientPort: reply ? batch.dstPort[i] : batch.srcPort[i],
          endpoint: reply ? batch.srcAddress[i] : verdicts.dstAddress[i],
        });
      }
    },
  } as unknown as Engine;
  const driver = new TrafficDriver({
    simulation,
    engine,
    costs: () => ({ costs: () => undefined, barePacket: () => 0 }) as unknown as CostModel,
    source: sourceOf(arrivals, gap_s, options.clientPorts ?? 1000),
    pods: {
      podCondition: (address) => condition(address, podsAt_s),
      isReady: (address) => isReady(address, podsAt_s),
    },
    meter,
    policy,
    clientPorts: options.clientPorts,
    lookUp: options.lookUp?.(simulation),
    isRemoved: (_, address) => options.isRemoved?.(address, podsAt_s) === true,
    onOutcome: (_, outcome) => outcomes.push(outcome),
  });
  // Pods change at whole tenths of a second: what waits is settled before each, as in a trial.
  for (let tenth = 0; tenth < until_s * 10; tenth++) {
    simulation.at(Math.round((tenth * NS_PER_S) / 10), -1, () => {
      driver.flush();
      podsAt_s = tenth / 10;
    });
  }
  for (const { at_s, act } of options.acts ?? []) {
    simulation.at(Math.round(at_s * NS_PER_S), 0, () => {
      driver.flush();
      act();
    });
  }
  for (const { at_s, how } of options.ends ?? []) {
    simulation.at(Math.round(at_s * NS_PER_S), 0, () => driver.processEnded(POD, how));
  }
  driver.start();
  simulation.runUntil(Math.round(until_s * NS_PER_S));
  driver.flush();
  return { meter, metrics: meter.metrics(policy !== undefined), packets, outcomes, driver };
}

function engineAsTold({ aim = () => ({}) }: WorldOptions): { process(b: PacketBatch, v: VerdictBatch): void } {
  return {
    process(batch, verdicts) {
      for (let i = 0; i < batch.length; i++) {
        if (batch.direction[i] === DIRECTION_REPLY) {
          verdicts.outcome[i] = OUTCOME_REPLY;
          verdicts.reason[i] = 0;
          continue;
        }
        const { outcome = OUTCOME_ENDPOINT, reason = 0, endpoint = POD } = aim(batch.time[i] / NS_PER_S);
        verdicts.outcome[i] = outcome;
        verdicts.reason[i] = reason;
        verdicts.srcAddress[i] = batch.srcAddress[i];
        verdicts.srcPort[i] = batch.srcPort[i];
        verdicts.dstAddress[i] = endpoint;
        verdicts.dstPort[i] = 8080;
      }
    },
  };
}

function sourceOf(arrivals: readonly Arrival[], gap_s: number, ports: number): ConnectionSource {
  let made = 0;
  let retries = 0;
  const source = {
    startNs: 0,
    clientAddress: CLIENT,
    clientPort: FIRST_PORT,
    origin: 1,
    protocol: PROTOCOL_TCP as number,
    dstAddress: VIP,
    dstPort: 80,
    servicePortId: SERVICE,
    packets: 1,
    client: 0,
    gapNs: () => Math.round(gap_s * NS_PER_S),
    followingPort: (port: number) => FIRST_PORT + ((port - FIRST_PORT + 1) % ports),
    retryPort: () => FIRST_PORT + ports - ++retries,
    next() {
      if (made === arrivals.length) return false;
      const { at_s, packets = 6, port = FIRST_PORT + (made % ports), protocol = PROTOCOL_TCP } = arrivals[made];
      made++;
      this.startNs = Math.round(at_s * NS_PER_S);
      this.packets = packets;
      this.clientPort = port;
      this.protocol = protocol;
      return true;
    },
  };
  return source as unknown as ConnectionSource;
}

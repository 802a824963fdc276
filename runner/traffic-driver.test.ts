/** What becomes of connections for each reason that an engine can give, and clients that come back: with an engine that does as told. */
import { describe, expect, it } from 'vitest';
import type { CostModel } from '../costs/cost-model.ts';
import type { Engine } from '../engines/engine.ts';
import type { PacketBatch } from '../model/packet.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REJECT,
  REASON_CONNTRACK_FULL,
  REASON_INVALID,
  REASON_NO_ANSWER,
  REASON_NO_ENDPOINTS,
  REASON_NO_LOCAL_ENDPOINTS,
  REASON_NONE,
  REASON_SOURCE_RANGE,
  REASON_UNALLOCATED_VIP,
} from '../model/verdict.ts';
import type { VerdictBatch } from '../model/verdict.ts';
import type { ConnectionSource } from '../scenarios/traffic.ts';
import { Simulation } from '../sim/simulation.ts';
import { AffinityMeter } from './affinity-meter.ts';
import { TrafficDriver } from './traffic-driver.ts';
import { TrialMeter } from './trial-meter.ts';

interface Fate {
  readonly outcome: number;
  readonly reason?: number;
  /** Address of the endpoint. */
  readonly endpoint?: number;
  readonly client?: number;
}

/** One connection of one packet for each fate, in order. */
function play(fates: readonly Fate[]): { meter: TrialMeter; affinity: AffinityMeter } {
  const simulation = new Simulation();
  const meter = new TrialMeter();
  const affinity = new AffinityMeter();
  let connection = 0;
  let processed = 0;
  const source = {
    startNs: 0,
    clientAddress: 0,
    clientPort: 40_000,
    origin: 1,
    protocol: PROTOCOL_TCP,
    dstAddress: 1,
    dstPort: 80,
    servicePortId: 3,
    packets: 1,
    gapNs: () => 1,
    next() {
      if (connection === fates.length) return false;
      this.startNs = connection;
      this.clientAddress = fates[connection++].client ?? 7;
      return true;
    },
  };
  const engine = {
    process(packets: PacketBatch, verdicts: VerdictBatch) {
      for (let i = 0; i < packets.length; i++) {
        const { outcome, reason = REASON_NONE, endpoint = 0 } = fates[processed++];
        verdicts.outcome[i] = outcome;
        verdicts.reason[i] = reason;
        verdicts.dstAddress[i] = endpoint;
        verdicts.dstPort[i] = 8080;
      }
    },
  };
  const driver = new TrafficDriver({
    simulation,
    engine: engine as unknown as Engine,
    costs: () => ({ costs: () => undefined, barePacket: () => 0 }) as unknown as CostModel,
    source: source as unknown as ConnectionSource,
    pods: { podCondition: () => 'serving', isReady: () => true },
    meter,
    onEndpoint: ({ clientAddress, servicePortId, endpointAddress, endpointPort }, slot) => {
      affinity.add(clientAddress[slot], servicePortId[slot], endpointAddress[slot], endpointPort[slot]);
    },
  });
  driver.start();
  simulation.runUntil(fates.length + 10);
  driver.flush();
  return { meter, affinity };
}

describe('TrafficDriver', () => {
  it.each([
    [OUTCOME_REJECT, REASON_NO_ENDPOINTS, 'rejected'],
    [OUTCOME_DROP, REASON_INVALID, 'dropped'],
    [OUTCOME_DROP, REASON_UNALLOCATED_VIP, 'dropped'],
    [OUTCOME_DROP, REASON_NO_LOCAL_ENDPOINTS, 'no_local_endpoints'],
    [OUTCOME_DROP, REASON_SOURCE_RANGE, 'source_range'],
    [OUTCOME_DROP, REASON_CONNTRACK_FULL, 'conntrack_full'],
    [OUTCOME_DROP, REASON_NO_ANSWER, 'no_answer'],
    [OUTCOME_ACCEPT, REASON_NONE, 'no_answer'],
  ] as const)('counts outcome %i for reason %i as %s', (outcome, reason, kind) => {
    const { meter } = play([
      { outcome, reason },
      { outcome: OUTCOME_ENDPOINT, endpoint: 1 },
    ]);
    expect(meter.failures[kind]).toBe(1);
    expect(meter.failedConnections).toBe(1);
    expect(meter.metrics()).toMatchObject({ connections: 2, [`failed_connections_${kind}`]: 1 });
  });

  it('tells which clients that come back reach the endpoint that they reached before', () => {
    const to = (client: number, endpoint: number) => ({ outcome: OUTCOME_ENDPOINT, client, endpoint });
    const dropped = { outcome: OUTCOME_DROP, client: 1 };
    const { affinity } = play([to(1, 10), to(2, 20), to(1, 10), dropped, to(2, 21), to(2, 21), to(3, 10), to(1, 11)]);
    // Client 1 comes back twice and moves once, client 2 twice and moves once; a connection that fails does not count.
    expect(affinity.metrics()).toEqual({ returning_connections: 4, returning_connections_same_endpoint: 2 });
  });
});

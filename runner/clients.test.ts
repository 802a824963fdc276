/** What clients do and what is counted of it, in worlds small enough to know the answer by hand. */
import { describe, expect, it } from 'vitest';
import { TCP_ACK, TCP_RST, TCP_SYN } from '../model/packet.ts';
import { PROTOCOL_UDP } from '../model/protocol.ts';
import { NS_PER_S } from '../model/time.ts';
import { OUTCOME_DROP, OUTCOME_REJECT } from '../model/verdict.ts';
import { synSchedule, type ClientPolicy } from './client-policy.ts';
import { FIRST_PORT, playWorld, POD, type Played, type SentPacket } from './traffic-fixtures.ts';

const OTHER = POD + 1;
const once = [{ at_s: 0 }];

const NEVER = { againNs: [], giveUpNs: 0, retries: 0, backoffNs: 0 };
function policy(changes: Partial<ClientPolicy>, version?: readonly [number, number]): ClientPolicy {
  const schedule = version === undefined ? {} : synSchedule(version);
  return { ...NEVER, ...schedule, ...changes };
}

const times = (packets: readonly SentPacket[]): number[] => packets.map((packet) => packet.at_s);
const syns = (packets: readonly SentPacket[]): SentPacket[] => packets.filter((packet) => packet.flags === TCP_SYN);

describe('SYN retransmission', () => {
  it.each([
    [
      [6, 1],
      [0, 1, 3, 7, 15, 31, 63],
    ],
    [
      [6, 8],
      [0, 1, 2, 3, 4, 5, 7, 11, 19, 35, 67],
    ],
  ] as const)('Linux %j sends %j to a pod that is gone, then times out', (version, at) => {
    const { packets, metrics, outcomes } = playWorld({
      arrivals: once,
      condition: () => 'gone',
      policy: policy({}, version),
    });
    expect(times(packets)).toEqual(at);
    expect(outcomes).toEqual(['no_answer']);
    expect(metrics).toMatchObject({
      failed_connections: 1,
      failed_connections_no_answer: 1,
      refused_connections: 0,
      timed_out_connections: 1,
      waiting_connections: 0,
      retransmitted_syns: at.length - 1,
      stale_packets: 0,
      availability_ratio: 0,
      first_byte_delay_mean_ms: null,
    });
  });

  it('is still waiting when the trial ends before the kernel gives up: not failed, not available', () => {
    const world = { arrivals: once, condition: () => 'gone' as const, policy: policy({}, [6, 8]) };
    expect(playWorld({ ...world, until_s: 130.9 }).metrics).toMatchObject({
      failed_connections: 0,
      waiting_connections: 1,
      availability_ratio: 0,
    });
    expect(playWorld({ ...world, until_s: 131 }).metrics).toMatchObject({
      failed_connections: 1,
      waiting_connections: 0,
    });
  });

  it('gets through once somebody listens, as late as the next SYN', () => {
    const { metrics, packets } = playWorld({
      arrivals: [{ at_s: 0 }, { at_s: 10 }],
      condition: (_, at_s) => (at_s < 2.5 ? 'gone' : 'serving'),
      policy: policy({}, [6, 1]),
    });
    // The first connection waits for its SYN at 3 s, the second for none: 3000 and 0 ms.
    expect(times(syns(packets))).toEqual([0, 1, 3, 10]);
    expect(metrics).toMatchObject({
      failed_connections: 0,
      first_byte_delay_mean_ms: 1500,
      first_byte_delay_p99_ms: 2970,
      retransmitted_syns: 2,
      availability_ratio: 1,
    });
    // Six packets each, and the two repeated SYNs.
    expect(metrics['packets']).toBe(14);
  });

  it('comes for drops of every kind, and not for a refusal', () => {
    const drop = {
      arrivals: once,
      aim: () => ({ outcome: OUTCOME_DROP }),
      policy: policy({ giveUpNs: 2.5e9 }, [6, 8]),
    };
    const dropped = playWorld({ ...drop, policy: policy({ againNs: [1e9, 2e9], giveUpNs: 2.5e9 }) });
    expect(times(dropped.packets)).toEqual([0, 1, 2]);
    expect(dropped.metrics).toMatchObject({ failed_connections_dropped: 1, timed_out_connections: 1 });
    const rejected = playWorld({
      arrivals: once,
      aim: () => ({ outcome: OUTCOME_REJECT }),
      policy: policy({}, [6, 8]),
    });
    expect(times(rejected.packets)).toEqual([0]);
    expect(rejected.metrics).toMatchObject({ failed_connections_rejected: 1, refused_connections: 1 });
    const refused = playWorld({ arrivals: once, condition: () => 'not_listening', policy: policy({}, [6, 8]) });
    expect(refused.packets.map(({ at_s, flags }) => [at_s, flags])).toEqual([
      [0, TCP_SYN],
      [0.1, TCP_RST | TCP_ACK],
    ]);
    expect(refused.metrics).toMatchObject({ failed_connections_refused: 1, refused_connections: 1, packets: 2 });
  });
});

describe('retries', () => {
  it('come after pauses that double, each from another port', () => {
    const { metrics, packets, outcomes } = playWorld({
      arrivals: once,
      condition: (_, at_s) => (at_s < 1 ? 'not_listening' : 'serving'),
      policy: policy({ retries: 5, backoffNs: 0.2 * NS_PER_S }),
    });
    // The reset comes a gap of 0.1 s after its SYN: 0, 0.1 + 0.2, 0.4 + 0.4, 0.9 + 0.8.
    expect(syns(packets).map((packet) => Math.round(packet.at_s * 10))).toEqual([0, 3, 8, 17]);
    expect(new Set(syns(packets).map((packet) => packet.clientPort)).size).toBe(4);
    expect(outcomes).toEqual(['ok']);
    expect(metrics).toMatchObject({
      connections: 1,
      connection_attempts: 4,
      failed_connections: 0,
      refused_connections: 0,
      availability_ratio: 1,
      retransmitted_syns: 0,
    });
    expect(metrics['first_byte_delay_mean_ms']).toBeCloseTo(1700, 6);
  });

  it('end, and the last attempt says how', () => {
    const { metrics, packets } = playWorld({
      arrivals: once,
      condition: () => 'gone',
      policy: policy({ retries: 2, backoffNs: NS_PER_S, giveUpNs: 3 * NS_PER_S }),
    });
    // Three seconds of waiting, then pauses of 1 and 2 s.
    expect(times(packets)).toEqual([0, 4, 9]);
    expect(metrics).toMatchObject({ connection_attempts: 3, failed_connections: 1, timed_out_connections: 1 });
  });
});

describe('clients that do not wait', () => {
  it('fail at their first packet; what they could see adds up', () => {
    const { metrics, packets } = playWorld({
      arrivals: [{ at_s: 0 }, { at_s: 1 }, { at_s: 2 }, { at_s: 3 }],
      condition: (_, at_s) => (at_s < 1 ? 'gone' : at_s < 2 ? 'not_listening' : 'serving'),
      aim: (at_s) => (at_s === 2 ? { outcome: OUTCOME_REJECT } : {}),
    });
    expect(metrics).toMatchObject({
      connections: 4,
      connection_attempts: 4,
      failed_connections: 3,
      refused_connections: 2,
      timed_out_connections: 1,
      waiting_connections: null,
      retransmitted_syns: null,
      first_byte_delay_mean_ms: null,
      first_byte_delay_p99_ms: null,
      availability_ratio: 0.25,
    });
    // One SYN, a SYN and its reset, one SYN, and a whole connection.
    expect(packets).toHaveLength(1 + 2 + 1 + 6);
  });
});

describe('established connections', () => {
  const long = [{ at_s: 0, packets: 20 }];

  const acts = ({ packets }: Played): number[][] =>
    packets.map(({ at_s, reply, flags }) => [Math.round(at_s * 100), reply ? 1 : 0, flags]);

  it.each([{}, { policy: policy({}, [6, 8]) }])(
    'hear at once that their process has ended, whoever was to send next',
    (waits) => {
      const client = playWorld({ arrivals: long, ends: [{ at_s: 0.35, how: 'closed' }], ...waits });
      const server = playWorld({ arrivals: long, ends: [{ at_s: 0.45, how: 'closed' }], ...waits });
      for (const played of [client, server]) {
        expect(played.metrics).toMatchObject({ broken_connections: 1, reset_connections: 1, silent_connections: 0 });
        expect(played.metrics).toMatchObject({ failed_connections: 0 });
        expect(played.outcomes).toEqual(['ok', 'broken']);
        expect(played.driver.finished).toBe(true);
      }
      // The fourth packet was the server's, the fifth would have been the client's; and the other way round.
      expect(acts(client).slice(3)).toEqual([
        [30, 1, TCP_ACK],
        [35, 1, TCP_RST | TCP_ACK],
      ]);
      expect(acts(server).slice(4)).toEqual([
        [40, 0, TCP_ACK],
        [45, 1, TCP_RST | TCP_ACK],
      ]);
    },
  );

  it('live on while their process does, whether it still listens or not', () => {
    const { metrics, packets } = playWorld({
      arrivals: [...long, { at_s: 0.5 }],
      condition: (_, at_s) => (at_s < 0.35 ? 'serving' : 'not_listening'),
      ends: [{ at_s: 2, how: 'closed' }],
    });
    expect(metrics).toMatchObject({ broken_connections: 0, failed_connections_refused: 1 });
    // Twenty packets, a SYN and its reset.
    expect(packets).toHaveLength(22);
  });

  it('have lost nothing once one side has closed', () => {
    // Packets 17 and 18 are the FINs: the first at 1.7 s.
    const broken = (at_s: number) =>
      playWorld({ arrivals: long, ends: [{ at_s, how: 'closed' }] }).meter.brokenConnections;
    expect([1.65, 1.75, 1.85, 1.95].map(broken)).toEqual([1, 0, 0, 0]);
  });

  it('are counted once, and those of other pods not at all', () => {
    const ends = [0.35, 0.36].map((at_s) => ({ at_s, how: 'closed' as const }));
    const world = {
      arrivals: [
        { at_s: 0, packets: 20 },
        { at_s: 0.1, packets: 20 },
      ],
      ends,
    };
    const aim = (at_s: number) => ({ endpoint: Math.round(at_s * 10) % 2 === 0 ? POD : OTHER });
    expect(playWorld(world).metrics).toMatchObject({ broken_connections: 2, packets: 4 + 3 + 2 });
    expect(playWorld({ ...world, aim }).metrics).toMatchObject({ broken_connections: 1, packets: 4 + 1 + 20 });
  });

  it('hear nothing of a machine that fails: their next packet is the last, and nobody answers', () => {
    const gone = playWorld({
      arrivals: long,
      condition: (_, at_s) => (at_s < 0.35 ? 'serving' : 'gone'),
      ends: [{ at_s: 0.35, how: 'lost' }],
    });
    expect(gone.metrics).toMatchObject({ broken_connections: 1, reset_connections: 0, silent_connections: 1 });
    expect(gone.packets).toHaveLength(5);
    expect(gone.metrics['failed_connections']).toBe(0);
    // The last packet was to be the server's: it never comes.
    const last = playWorld({ arrivals: [{ at_s: 0, packets: 4 }], ends: [{ at_s: 0.25, how: 'lost' }] });
    expect(last.metrics).toMatchObject({ broken_connections: 1, silent_connections: 1, packets: 3 });
    expect(last.driver.finished).toBe(true);
  });

  it('are reset by a machine that is back and knows nothing of them', () => {
    const back = playWorld({ arrivals: long, ends: [{ at_s: 0.35, how: 'lost' }] });
    expect(back.metrics).toMatchObject({ broken_connections: 1, reset_connections: 1, silent_connections: 0 });
    expect(acts(back).slice(4)).toEqual([
      [40, 0, TCP_ACK],
      [50, 1, TCP_RST | TCP_ACK],
    ]);
  });

  it('count once as on a removed pod, however many packets follow; each counts as stale while the pod is not ready', () => {
    const { metrics } = playWorld({
      arrivals: [...long, { at_s: 5, packets: 2 }],
      isRemoved: (_, at_s) => at_s >= 1,
      isReady: (_, at_s) => at_s < 0.9,
    });
    // Packets of the client at 0, 0.2, ... 1.8 s: those at 1 s and later are stale. The second connection is new, and stale with its first.
    expect(metrics).toMatchObject({ removed_pod_connections: 1, stale_packets: 5 + 1, stale_connections: 1 });
  });
});

describe('UDP flows', () => {
  it('stick to a pod that is gone until the entry is cleaned up, then go on to another', () => {
    const { metrics, packets, outcomes } = playWorld({
      arrivals: [{ at_s: 0, packets: 20, protocol: PROTOCOL_UDP }],
      condition: (address, at_s) => (address === POD && at_s >= 0.35 ? 'gone' : 'serving'),
      isReady: (address, at_s) => address !== POD || at_s < 0.35,
      aim: (at_s) => ({ endpoint: at_s < 1.1 ? POD : OTHER }),
    });
    const tenths = (endpoint: number, reply: boolean): number[] =>
      packets.filter((p) => p.endpoint === endpoint && p.reply === reply).map((p) => Math.round(p.at_s * 10));
    expect(tenths(POD, false)).toEqual([0, 2, 4, 6, 8, 10]);
    expect(tenths(POD, true)).toEqual([1, 3]);
    expect(tenths(OTHER, false)).toEqual([12, 14, 16, 18]);
    expect(tenths(OTHER, true)).toEqual([13, 15, 17, 19]);
    expect(outcomes).toEqual(['ok', 'broken']);
    expect(metrics).toMatchObject({
      broken_connections: 1,
      silent_connections: 1,
      reset_connections: 0,
      failed_connections: 0,
      stale_packets: 4,
    });
  });

  it('that begin at a pod that is gone have failed and go on all the same', () => {
    const { metrics, packets } = playWorld({
      arrivals: [{ at_s: 0, packets: 6, protocol: PROTOCOL_UDP }],
      condition: (_, at_s) => (at_s < 0.3 ? 'gone' : 'serving'),
    });
    // The answer to the first datagram and to the second is missing.
    expect(packets.map((packet) => Math.round(packet.at_s * 10))).toEqual([0, 2, 4, 5]);
    expect(metrics).toMatchObject({ failed_connections_no_answer: 1, timed_out_connections: 1, broken_connections: 0 });
  });
});

describe('few source ports', () => {
  it('are taken again when their connection is over, and not before', () => {
    const { packets, metrics } = playWorld({
      arrivals: [{ at_s: 0, packets: 20 }, { at_s: 0.05 }, { at_s: 1 }, { at_s: 1.05 }, { at_s: 3 }],
      clientPorts: 2,
    });
    // The third connection finds the first port in use and takes the second, whose connection has ended; the fourth finds none.
    expect(syns(packets).map(({ at_s, clientPort }) => [at_s, clientPort - FIRST_PORT])).toEqual([
      [0, 0],
      [0.05, 1],
      [1, 1],
      [3, 0],
    ]);
    expect(metrics).toMatchObject({
      connections: 5,
      connection_attempts: 4,
      failed_connections: 1,
      failed_connections_no_free_port: 1,
      refused_connections: 0,
      timed_out_connections: 0,
    });
  });

  it('are free for the next attempt of the same client', () => {
    const { packets } = playWorld({
      arrivals: once,
      condition: () => 'gone',
      clientPorts: 1,
      policy: policy({ retries: 1, giveUpNs: NS_PER_S }),
    });
    expect(packets.map((packet) => packet.clientPort)).toEqual([FIRST_PORT, FIRST_PORT]);
  });
});

/** Connections that begin with a look-up: what is counted of them, in worlds small enough to know the answer by hand. */
import { describe, expect, it } from 'vitest';
import { TCP_SYN } from '../model/packet.ts';
import { PROTOCOL_UDP } from '../model/protocol.ts';
import { NS_PER_S } from '../model/time.ts';
import { OUTCOME_ACCEPT } from '../model/verdict.ts';
import type { Simulation } from '../sim/simulation.ts';
import type { FoundAddress } from './dns-resolver.ts';
import type { NameQuery } from './traffic-driver.ts';
import { playWorld, POD, type WorldOptions } from './traffic-fixtures.ts';

type Found = FoundAddress | 'known' | undefined;

/** A look-up ends after `seconds` with what `answers` says for its number. */
function after(seconds: number, answers: (n: number, query: NameQuery) => Found): NonNullable<WorldOptions['lookUp']> {
  let n = 0;
  return (simulation: Simulation) => (query, found) => {
    const answer = answers(n++, query);
    if (seconds === 0) found(answer);
    else simulation.at(simulation.now + Math.round(seconds * NS_PER_S), 100, () => found(answer));
  };
}

const straight: Found = { address: POD + 7, port: 8080, direct: true };
const once = [{ at_s: 0 }];
const retries = { againNs: [], giveUpNs: 0, retries: 2, backoffNs: 0.2 * NS_PER_S };

describe('a look-up before a connection', () => {
  it('delays its first packet, and not the delay of its answer', () => {
    const { packets, metrics, driver } = playWorld({
      arrivals: once,
      lookUp: after(0.35, () => 'known'),
      policy: retries,
    });
    expect(packets[0]).toMatchObject({ at_s: 0.35, flags: TCP_SYN });
    expect(metrics).toMatchObject({ packets: 6, failed_connections: 0, first_byte_delay_mean_ms: 0 });
    expect(driver.finished).toBe(true);
  });

  it('keeps the trial from ending while it is under way', () => {
    const { driver, metrics } = playWorld({ arrivals: once, lookUp: after(20, () => 'known'), until_s: 10 });
    expect(driver.finished).toBe(false);
    expect(metrics).toMatchObject({ connections: 1, connection_attempts: 0, packets: 0, availability_ratio: 0 });
  });

  it('without an address fails the connection, which was neither refused nor timed out', () => {
    const { metrics, outcomes, packets } = playWorld({
      arrivals: [{ at_s: 0 }, { at_s: 1 }],
      lookUp: after(0, (n) => (n === 0 ? undefined : 'known')),
    });
    expect(outcomes).toEqual(['not_resolved', 'ok']);
    expect(packets).toHaveLength(6);
    expect(metrics).toMatchObject({
      connections: 2,
      connection_attempts: 1,
      failed_connections: 1,
      failed_connections_not_resolved: 1,
      refused_connections: 0,
      timed_out_connections: 0,
      availability_ratio: 0.5,
    });
  });

  it('is made anew by each retry, whatever failed', () => {
    const asked: boolean[] = [];
    const lookUp = after(0.1, (n, query) => {
      asked.push(query.again);
      return n === 0 ? undefined : { address: POD + n, port: 80, direct: false };
    });
    const { metrics, packets } = playWorld({
      arrivals: once,
      lookUp,
      policy: retries,
      aim: (at_s) => ({ endpoint: at_s < 0.5 ? POD : POD + 2 }),
      condition: (address) => (address === POD ? 'gone' : 'serving'),
    });
    // 0.1 s, 0.2 s of pause, 0.1 s; a SYN that nobody answers; 0.4 s, 0.1 s.
    const syns = packets.filter((packet) => packet.flags === TCP_SYN);
    expect(syns.map((packet) => Math.round(packet.at_s * 10))).toEqual([4, 9]);
    expect(asked).toEqual([false, true, true]);
    expect(metrics).toMatchObject({ failed_connections: 0, connection_attempts: 2 });
    // From the first SYN to the one that was answered.
    expect(metrics['first_byte_delay_mean_ms']).toBeCloseTo(500, 6);
  });

  it('fails for good when the retries are used up', () => {
    const { metrics } = playWorld({ arrivals: once, lookUp: after(0.1, () => undefined), policy: retries });
    expect(metrics).toMatchObject({
      failed_connections_not_resolved: 1,
      connection_attempts: 0,
      timed_out_connections: 0,
    });
  });
});

describe('a client that has the address of a pod', () => {
  const accept = () => ({ outcome: OUTCOME_ACCEPT, endpoint: POD + 7 });
  const world = { arrivals: once, lookUp: after(0, () => straight), aim: accept };

  it('is connected when its packet passes the node as it is', () => {
    expect(playWorld(world).metrics).toMatchObject({ failed_connections: 0, packets: 6, stale_packets: 0 });
    // Not so where the address was a Service's, and no rule knew it.
    expect(playWorld({ ...world, lookUp: after(0, () => 'known') }).metrics).toMatchObject({
      failed_connections_no_answer: 1,
    });
  });

  it.each([
    ['gone', 'no_answer'],
    ['not_listening', 'refused'],
  ] as const)('meets the pod as it is: %s', (condition, fate) => {
    const { outcomes, metrics } = playWorld({ ...world, condition: () => condition, isReady: () => false });
    expect(outcomes).toEqual([fate]);
    expect(metrics).toMatchObject({ stale_packets: 1 });
  });

  it('goes on sending datagrams to it', () => {
    const { metrics, packets } = playWorld({
      ...world,
      arrivals: [{ at_s: 0, packets: 8, protocol: PROTOCOL_UDP }],
      condition: (_, at_s) => (at_s < 0.3 ? 'serving' : 'gone'),
    });
    // Answers at 0.1 and 0.3 s, when the pod is just gone: its last datagram was sent before.
    expect(packets.filter((packet) => !packet.reply)).toHaveLength(4);
    expect(metrics).toMatchObject({ broken_connections: 1, silent_connections: 1 });
  });
});

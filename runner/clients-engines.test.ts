/** Clients on real data paths: what a SYN meets that is sent again, or comes from a port that has been used before. */
import { describe, expect, it } from 'vitest';
import { DEFAULT_ENGINE_OPTIONS, type Engine, type EngineName } from '../engines/engine.ts';
import { ENGINES } from '../engines/registry.ts';
import type { ServicePort } from '../model/cluster.ts';
import type { Counters } from '../model/counters.ts';
import { CONNTRACK_INSERTS, COUNTER_STRIDE, RULES_EVALUATED } from '../model/counters.ts';
import { TCP_SYN } from '../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP, type Protocol } from '../model/protocol.ts';
import { NS_PER_S } from '../model/time.ts';
import { Rng } from '../sim/rng.ts';
import { synSchedule } from './client-policy.ts';
import { playWorld, POD, SERVICE, VIP, type Played, type WorldOptions } from './traffic-fixtures.ts';

const OTHER = POD + 1;
const CLUSTER_BLOCK = { address: 0x0a000000, mask: 0xff000000, prefixLength: 8 };
const kernel = { ...synSchedule([6, 8]), retries: 0, backoffNs: 0 };

function state(protocol: Protocol, ...addresses: number[]): { servicePorts: ServicePort[] } {
  const endpoint = { port: 8080, nodeName: 'node-2', ready: true, serving: true, terminating: false };
  const endpoints = addresses.map((address) => ({ ...endpoint, address }));
  const names = { namespace: 'default', name: 'web', portName: '' };
  return { servicePorts: [{ id: SERVICE, ...names, protocol, clusterIp: VIP, port: 80, nodePort: 0, endpoints }] };
}

interface Rerouted extends Played {
  /** Rules evaluated for each packet, and whether it made an entry. */
  readonly rules: readonly number[];
  readonly inserts: readonly number[];
}

/** The rules lead to POD until `at_s`, to OTHER from then on. */
function reroute(
  mode: EngineName,
  at_s: number,
  world: Omit<WorldOptions, 'engine' | 'acts'>,
  protocol: Protocol = PROTOCOL_TCP,
) {
  const node = { name: 'node-1', addresses: [0xc0a80001], clusterCidr: CLUSTER_BLOCK };
  const engine = ENGINES[mode]({ node, options: DEFAULT_ENGINE_OPTIONS, rng: new Rng(1) });
  engine.sync(state(protocol, POD), 0);
  const rules: number[] = [];
  const inserts: number[] = [];
  const watched: Pick<Engine, 'process'> = {
    process(packets, verdicts, work: Counters) {
      engine.process(packets, verdicts, work);
      for (let i = 0; i < packets.length; i++) {
        rules.push(work.rows[i * COUNTER_STRIDE + RULES_EVALUATED]);
        inserts.push(work.rows[i * COUNTER_STRIDE + CONNTRACK_INSERTS]);
      }
    },
  };
  const delta = { upserted: state(protocol, OTHER).servicePorts, removedIds: [] };
  const act = (): void => void engine.apply(delta, Math.round(at_s * NS_PER_S));
  const played = playWorld({ ...world, engine: watched as Engine, acts: [{ at_s, act }] });
  return { ...played, rules, inserts } satisfies Rerouted;
}

const endpoints = ({ packets }: Played): number[] =>
  packets.filter((packet) => packet.flags === TCP_SYN).map((packet) => packet.endpoint);

describe('a SYN that is sent again after the rules have changed', () => {
  const world = {
    arrivals: [{ at_s: 0 }],
    condition: (address: number) => (address === POD ? ('gone' as const) : ('serving' as const)),
    until_s: 200,
  };

  it.each(['iptables', 'nftables'] as const)(
    '%s: keeps to the old endpoint by its entry, and walks no nat rule',
    (mode) => {
      const played = reroute(mode, 1.5, { ...world, policy: kernel });
      expect(endpoints(played)).toEqual(Array.from({ length: 11 }, () => POD));
      expect(played.metrics).toMatchObject({ timed_out_connections: 1, first_packets: 1, retransmitted_syns: 10 });
      expect(played.inserts).toEqual([1, ...Array.from({ length: 10 }, () => 0)]);
      expect(Math.max(...played.rules.slice(1))).toBeLessThan(played.rules[0]);
    },
  );

  it('ipvs: ends the connection once the old endpoint has weight 0, and goes on to another when it is sent again', () => {
    const played = reroute('ipvs', 1.5, { ...world, policy: kernel });
    // After 0, 1, 2 and 3 s; the one of 2 s is dropped.
    expect(endpoints(played)).toEqual([POD, POD, VIP, OTHER]);
    expect(played.metrics).toMatchObject({ failed_connections: 0, first_byte_delay_mean_ms: 3000 });
  });

  it.each(['iptables', 'ipvs', 'nftables'] as const)('%s: a retry from another port is a new connection', (mode) => {
    const played = reroute(mode, 0.5, { ...world, policy: { ...kernel, againNs: [], giveUpNs: NS_PER_S, retries: 1 } });
    expect(endpoints(played)).toEqual([POD, OTHER]);
    expect(played.metrics).toMatchObject({ failed_connections: 0, connection_attempts: 2 });
  });
});

describe('a SYN from a port whose last connection is in TIME_WAIT', () => {
  it.each(['iptables', 'ipvs', 'nftables'] as const)('%s: opens a connection to what the rules lead to now', (mode) => {
    const arrivals = [
      { at_s: 0, packets: 9 },
      { at_s: 5, packets: 9 },
    ];
    const played = reroute(mode, 3, { arrivals, clientPorts: 1 });
    expect(new Set(played.packets.map((packet) => packet.clientPort)).size).toBe(1);
    expect(endpoints(played)).toEqual([POD, OTHER]);
    expect(played.metrics).toMatchObject({ failed_connections: 0, first_packets: 2 });
  });

  it('ipvs: one that was never closed holds its port to the old real server while that has weight (conn_reuse_mode 1)', () => {
    const arrivals = [
      { at_s: 0, packets: 4 },
      { at_s: 5, packets: 4 },
    ];
    // The rules change after the second SYN: its IPVS connection is still established, and is taken for the same one.
    const played = reroute('ipvs', 8, { arrivals, clientPorts: 1 });
    expect(endpoints(played)).toEqual([POD, POD]);
    // At weight 0 the SYN is dropped, since its flow is not closed either; a client that waits sends it again.
    const quiesced = reroute('ipvs', 3, { arrivals, clientPorts: 1, policy: kernel });
    expect(endpoints(quiesced)).toEqual([POD, VIP, OTHER]);
    expect(quiesced.metrics).toMatchObject({ failed_connections: 0, first_byte_delay_mean_ms: 500 });
  });
});

describe('a UDP flow whose pod goes', () => {
  const world = {
    arrivals: [{ at_s: 0, packets: 40, protocol: PROTOCOL_UDP }],
    condition: (address: number, at_s: number) =>
      address === POD && at_s >= 1 ? ('gone' as const) : ('serving' as const),
  };

  const count = (played: Played, endpoint: number, reply: boolean): number =>
    played.packets.filter((packet) => packet.endpoint === endpoint && packet.reply === reply).length;

  // A datagram every 0.2 s: ten before the clean-up, five of them to nobody.
  it.each(['iptables', 'nftables', 'ipvs'] as const)(
    '%s: loses datagrams until its entry is cleaned up with the rules',
    (mode) => {
      const played = reroute(mode, 2, world, PROTOCOL_UDP);
      expect(count(played, POD, false)).toBe(10);
      expect(count(played, POD, true)).toBe(5);
      expect(count(played, OTHER, false)).toBe(10);
      expect(count(played, OTHER, true)).toBe(10);
      expect(played.packets.filter((packet) => !packet.reply)).toHaveLength(20);
      expect(played.metrics).toMatchObject({ silent_connections: 1, broken_connections: 1, failed_connections: 0 });
    },
  );
});

import { describe, expect, it } from 'vitest';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import { Rng } from '../../sim/rng.ts';
import { ConnectionTable } from './connection-table.ts';
import { RealServers } from './real-servers.ts';
import { NONE, ServiceTable } from './service-table.ts';
import {
  nextTcpState,
  STATE_CLOSE_WAIT,
  STATE_ESTABLISHED,
  STATE_FIN_WAIT,
  STATE_LAST_ACK,
  STATE_NONE,
  STATE_SYN_RECV,
  STATE_SYN_SENT,
  STATE_TIME_WAIT,
  STATE_TIMEOUTS_NS,
  STATE_UDP,
  TOWARDS_CLIENT,
  TOWARDS_SERVER,
} from './tcp-states.ts';

const CLIENT = 0x0a090001;
const VIP = 0xac140001;
const POD = 0x0a000001;

function lab(bits = 8): { table: ConnectionTable; servers: RealServers; server: number } {
  const services = new ServiceTable();
  const servers = new RealServers(services);
  const server = servers.append(services.add(PROTOCOL_TCP, VIP, 80, 0), POD, 8080, 1);
  return { table: new ConnectionTable(servers, bits, 12345), servers, server };
}

describe('TCP states', () => {
  it('follow a whole connection', () => {
    let state = STATE_NONE;
    const seen = [
      [TOWARDS_SERVER, TCP_SYN],
      [TOWARDS_CLIENT, TCP_SYN | TCP_ACK],
      [TOWARDS_SERVER, TCP_ACK],
      [TOWARDS_SERVER, TCP_FIN | TCP_ACK],
      [TOWARDS_CLIENT, TCP_FIN | TCP_ACK],
      [TOWARDS_SERVER, 0],
    ].map(([direction, flags]) => (state = nextTcpState(state, direction, flags)));
    expect(seen).toEqual([
      STATE_SYN_RECV,
      STATE_SYN_RECV,
      STATE_ESTABLISHED,
      STATE_CLOSE_WAIT,
      STATE_TIME_WAIT,
      STATE_TIME_WAIT,
    ]);
  });

  it('put RST before SYN, and tell the directions apart', () => {
    expect(nextTcpState(STATE_SYN_RECV, TOWARDS_SERVER, TCP_RST | TCP_SYN)).toBe(STATE_SYN_RECV);
    expect(nextTcpState(STATE_ESTABLISHED, TOWARDS_CLIENT, TCP_FIN)).toBe(STATE_FIN_WAIT);
    expect(nextTcpState(STATE_LAST_ACK, TOWARDS_SERVER, TCP_ACK)).not.toBe(STATE_LAST_ACK);
    expect(nextTcpState(STATE_NONE, TOWARDS_CLIENT, TCP_SYN)).toBe(STATE_SYN_SENT);
  });

  it('have the timeouts of tcp_timeouts, udp_timeouts and of an established SCTP connection', () => {
    expect([...STATE_TIMEOUTS_NS].map((ns) => ns / NS_PER_S)).toEqual([
      2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120, 300, 900,
    ]);
  });
});

describe('ConnectionTable', () => {
  it('walks from the newest of a bucket', () => {
    const { table, server } = lab();
    // One client port, several virtual ports: one bucket.
    const slots = [80, 81, 82].map((port) => table.add(PROTOCOL_TCP, CLIENT, 999, VIP, port, server, 0, NONE, 0));
    expect(table.findRequest(PROTOCOL_TCP, CLIENT, 999, VIP, 80)).toBe(slots[0]);
    expect(table.entriesPassed).toBe(3);
    expect(table.findRequest(PROTOCOL_TCP, CLIENT, 999, VIP, 82)).toBe(slots[2]);
    expect(table.entriesPassed).toBe(1);
    expect(table.findReply(PROTOCOL_TCP, POD, 8080, CLIENT, 999)).toBe(slots[2]);
    expect(table.findRequest(PROTOCOL_UDP, CLIENT, 999, VIP, 82)).toBe(NONE);
    table.remove(slots[1]);
    expect(table.findRequest(PROTOCOL_TCP, CLIENT, 999, VIP, 83)).toBe(NONE);
    expect(table.entriesPassed).toBe(2);
  });

  it('counts active and inactive by state', () => {
    const { table, servers, server } = lab();
    const counts = (): [number, number] => [servers.active[server], servers.inactive[server]];
    const slot = table.add(PROTOCOL_TCP, CLIENT, 1, VIP, 80, server, 0, NONE, 0);
    expect(counts()).toEqual([0, 1]);
    table.packet(slot, TOWARDS_SERVER, TCP_SYN);
    expect(counts()).toEqual([1, 0]);
    table.packet(slot, TOWARDS_SERVER, TCP_FIN);
    expect(counts()).toEqual([0, 1]);
    const udp = table.add(PROTOCOL_UDP, CLIENT, 2, VIP, 80, server, 0, NONE, 0);
    table.packet(udp, TOWARDS_CLIENT, 0);
    expect(table.state[udp]).toBe(STATE_UDP);
    expect(counts()).toEqual([0, 2]);
    table.remove(slot);
    table.remove(udp);
    expect(counts()).toEqual([0, 0]);
  });

  it('removes a connection at the instant its timeout runs out, not before, and a packet renews it', () => {
    const { table, server } = lab();
    const slot = table.add(PROTOCOL_TCP, CLIENT, 1, VIP, 80, server, 0, NONE, 0);
    table.packet(slot, TOWARDS_SERVER, TCP_SYN);
    table.expireUntil(60 * NS_PER_S - 1);
    expect(table.size).toBe(1);
    table.packet(slot, TOWARDS_SERVER, TCP_SYN);
    table.expireUntil(60 * NS_PER_S);
    expect(table.size).toBe(1);
    table.expireUntil(120 * NS_PER_S - 1);
    expect(table.size).toBe(0);
  });

  it('agrees with a plain map through random traffic, past its first capacity', () => {
    const { table, servers, server } = lab(4);
    const random = new Rng(9).stream('connections');
    const expiries = new Map<number, number>();
    let now = 0;
    let largest = 0;
    for (let step = 0; step < 5000; step++) {
      now += random.below(NS_PER_S / 20);
      table.expireUntil(now);
      const port = 1 + random.below(60000);
      const protocol = port % 3 === 0 ? PROTOCOL_UDP : PROTOCOL_TCP;
      const found = table.findRequest(protocol, CLIENT, port, VIP, 80);
      expect(found !== NONE).toBe((expiries.get(port) ?? 0) > now);
      const slot = found === NONE ? table.add(protocol, CLIENT, port, VIP, 80, server, 0, NONE, 0) : found;
      table.packet(slot, TOWARDS_SERVER, TCP_SYN);
      expiries.set(port, now + (protocol === PROTOCOL_UDP ? 300 : 60) * NS_PER_S);
      if (step % 250 !== 0) continue;
      const live = [...expiries.values()].filter((expires) => expires > now).length;
      largest = Math.max(largest, live);
      expect(table.size).toBe(live);
      expect(servers.active[server] + servers.inactive[server]).toBe(live);
    }
    expect(largest).toBeGreaterThan(1024);
    table.expireUntil(now + 300 * NS_PER_S);
    expect(table.size).toBe(0);
    expect([servers.active[server], servers.inactive[server]]).toEqual([0, 0]);
  });
});

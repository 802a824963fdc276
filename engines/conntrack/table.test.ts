import { describe, expect, it } from 'vitest';
import { CONNTRACK_INSERTS, CONNTRACK_LOOKUPS, COUNTER_STRIDE, PORT_TRIES } from '../../model/counters.ts';
import { PacketBatch, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import { Rng } from '../../sim/rng.ts';
import type { TrackStatus } from './table.ts';
import { CT_ESTABLISHED, CT_FULL, CT_INVALID, CT_NEW, CT_NEW_REPEAT, ConntrackTable, FLOW_DNAT } from './table.ts';
import { TCP_STATES } from './tcp-states.ts';

interface Tuple {
  readonly src: number;
  readonly sport: number;
  readonly dst: number;
  readonly dport: number;
}

const CLIENT = { src: 0x0a000001, sport: 40_000, dst: 0xac1e0001, dport: 80 };
const ENDPOINT = { address: 0x0a000105, port: 8080 };
const REPLY = { src: ENDPOINT.address, sport: ENDPOINT.port, dst: CLIENT.src, dport: CLIENT.sport };

class Bench {
  readonly table: ConntrackTable;
  readonly row = new Uint32Array(COUNTER_STRIDE);
  readonly packets = new PacketBatch(1);
  readonly stream = new Rng(1).stream('source-port');

  constructor(capacity?: number, maxEntries?: number) {
    this.table = new ConntrackTable({
      ...(capacity === undefined ? {} : { capacity }),
      ...(maxEntries === undefined ? {} : { maxEntries }),
    });
    this.packets.length = 1;
  }

  track(tuple: Tuple, flags: number, seconds: number, protocol = PROTOCOL_TCP): TrackStatus {
    const packets = this.packets;
    packets.time[0] = seconds * NS_PER_S;
    packets.srcAddress[0] = tuple.src;
    packets.srcPort[0] = tuple.sport;
    packets.dstAddress[0] = tuple.dst;
    packets.dstPort[0] = tuple.dport;
    packets.protocol[0] = protocol;
    packets.tcpFlags[0] = flags;
    return this.table.track(packets, 0, this.row, 0);
  }

  /** A flow DNATed to ENDPOINT. */
  open(flags: number, seconds: number, protocol = PROTOCOL_TCP): number {
    expect(this.track(CLIENT, flags, seconds, protocol)).toBe(CT_NEW);
    const { address, port } = ENDPOINT;
    return this.table.confirm(address, port, CLIENT.src, CLIENT.sport, FLOW_DNAT, 7, this.row, 0);
  }

  state(entry: number): string {
    return TCP_STATES[this.table.tcpState(entry)];
  }
}

describe('TCP', () => {
  it('goes through a connection from SYN to TIME_WAIT, with the timeouts of each state', () => {
    const bench = new Bench();
    const entry = bench.open(TCP_SYN, 1);
    const steps: [Tuple, number, TrackStatus, string, number][] = [
      [CLIENT, TCP_SYN, CT_NEW_REPEAT, 'syn_sent', 120],
      [REPLY, TCP_SYN | TCP_ACK, CT_ESTABLISHED, 'syn_recv', 60],
      [CLIENT, TCP_ACK, CT_ESTABLISHED, 'established', 86400],
      [REPLY, TCP_ACK, CT_ESTABLISHED, 'established', 86400],
      [CLIENT, TCP_FIN | TCP_ACK, CT_ESTABLISHED, 'fin_wait', 120],
      [REPLY, TCP_ACK, CT_ESTABLISHED, 'close_wait', 3600],
      [REPLY, TCP_FIN | TCP_ACK, CT_ESTABLISHED, 'last_ack', 30],
      [CLIENT, TCP_ACK, CT_ESTABLISHED, 'time_wait', 120],
    ];
    for (const [tuple, flags, status, state, timeout] of steps) {
      expect(bench.track(tuple, flags, 2)).toBe(status);
      expect([bench.table.entry, bench.table.isReply]).toEqual([entry, tuple === REPLY]);
      expect([bench.state(entry), bench.table.expiry(entry)]).toEqual([state, (2 + timeout) * NS_PER_S]);
    }
    expect(bench.row[CONNTRACK_LOOKUPS]).toBe(9);
    expect(bench.row[CONNTRACK_INSERTS]).toBe(1);
  });

  it('opens a closed connection again, and counts one look-up for it', () => {
    const bench = new Bench();
    bench.open(TCP_SYN, 0);
    expect(bench.track(REPLY, TCP_RST, 0)).toBe(CT_ESTABLISHED);
    bench.row.fill(0);
    expect(bench.track(CLIENT, TCP_SYN, 1)).toBe(CT_NEW);
    expect(bench.row[CONNTRACK_LOOKUPS]).toBe(1);
    expect(bench.table.size(NS_PER_S)).toBe(0);
  });

  it('finds what fits no flow INVALID', () => {
    const bench = new Bench();
    for (const flags of [TCP_SYN | TCP_ACK, TCP_FIN, TCP_RST, 0])
      expect(bench.track(CLIENT, flags, 0)).toBe(CT_INVALID);
    bench.open(TCP_SYN, 0);
    expect(bench.track(REPLY, TCP_FIN, 0)).toBe(CT_INVALID);
    expect(bench.table.entry).toBe(-1);
  });

  it('counts an ignored reply as a reply seen, and leaves state and expiry', () => {
    const bench = new Bench();
    const entry = bench.open(TCP_SYN, 0);
    expect(bench.track(REPLY, TCP_ACK, 5)).toBe(CT_ESTABLISHED);
    expect([bench.state(entry), bench.table.expiry(entry)]).toEqual(['syn_sent', 120 * NS_PER_S]);
    expect(bench.track(CLIENT, TCP_SYN, 6)).toBe(CT_ESTABLISHED);
  });

  it('takes a connection up in the middle', () => {
    const bench = new Bench();
    expect(bench.state(bench.open(TCP_ACK, 0))).toBe('established');
  });
});

describe('expiry', () => {
  it('is the instant at which the entry is absent', () => {
    for (const [seconds, status] of [
      [29.999, CT_NEW_REPEAT],
      [30, CT_NEW],
    ] as const) {
      const bench = new Bench();
      bench.open(0, 0, PROTOCOL_UDP);
      expect(bench.track(CLIENT, 0, seconds, PROTOCOL_UDP)).toBe(status);
    }
  });

  it('of UDP is 120 s from the first reply on', () => {
    const bench = new Bench();
    const entry = bench.open(0, 0, PROTOCOL_UDP);
    bench.track(REPLY, 0, 10, PROTOCOL_UDP);
    expect(bench.table.expiry(entry)).toBe(130 * NS_PER_S);
    expect(bench.track(CLIENT, 0, 20, PROTOCOL_UDP)).toBe(CT_ESTABLISHED);
    expect(bench.table.expiry(entry)).toBe(140 * NS_PER_S);
  });

  it('lets slots be used again: memory follows the live flows, not all flows', () => {
    const bench = new Bench(64);
    for (let i = 0; i < 5000; i++) {
      bench.track({ ...CLIENT, sport: 1024 + (i % 60_000), src: CLIENT.src + i }, 0, i, PROTOCOL_UDP);
      bench.table.confirm(ENDPOINT.address, ENDPOINT.port, CLIENT.src + i, 1024 + i, FLOW_DNAT, 1, bench.row, 0);
    }
    expect(bench.table.size(4999 * NS_PER_S)).toBe(30);
    expect(bench.table.capacity).toBe(64);
  });
});

describe('source ports', () => {
  function take(bench: Bench, sport: number): void {
    bench.track({ ...CLIENT, src: 0x0a0000ff, sport }, TCP_SYN, 0);
    bench.table.confirm(ENDPOINT.address, ENDPOINT.port, 99, sport, FLOW_DNAT, 1, bench.row, 0);
  }

  it('stay when the reply tuple is free', () => {
    const bench = new Bench();
    bench.track(CLIENT, TCP_SYN, 0);
    bench.row.fill(0);
    expect(bench.table.chooseSource(99, ENDPOINT.address, ENDPOINT.port, bench.stream, bench.row, 0)).toBe(true);
    expect([bench.table.chosenPort, bench.row[CONNTRACK_LOOKUPS], bench.row[PORT_TRIES]]).toEqual([40_000, 1, 0]);
  });

  it('are searched from a random offset in the range of the original port', () => {
    const bench = new Bench();
    take(bench, 700);
    const offset = new Rng(1).stream('source-port').nextUint32() & 0xffff;
    take(bench, 600 + (offset % 424));
    bench.track({ ...CLIENT, sport: 700 }, TCP_SYN, 0);
    bench.row.fill(0);
    expect(bench.table.chooseSource(99, ENDPOINT.address, ENDPOINT.port, bench.stream, bench.row, 0)).toBe(true);
    expect(bench.table.chosenPort).toBe(600 + ((offset + 1) % 424));
    expect([bench.row[CONNTRACK_LOOKUPS], bench.row[PORT_TRIES]]).toEqual([3, 2]);
  });

  it('run out after 128, 64, 32, 16 and 8 tries', () => {
    const bench = new Bench();
    for (let port = 600; port < 1024; port++) take(bench, port);
    bench.track({ ...CLIENT, sport: 700 }, TCP_SYN, 0);
    bench.row.fill(0);
    expect(bench.table.chooseSource(99, ENDPOINT.address, ENDPOINT.port, bench.stream, bench.row, 0)).toBe(false);
    expect(bench.row[PORT_TRIES]).toBe(248);
    expect(bench.row[CONNTRACK_LOOKUPS]).toBe(249);
  });
});

describe('a flow whose two tuples are the same', () => {
  it('is met in its original direction, also after the table has grown', () => {
    const bench = new Bench(16);
    const self = { src: 5, sport: 6, dst: 5, dport: 6 };
    bench.track(self, TCP_ACK, 0);
    expect(bench.table.isInverseFree(5, 6)).toBe(true);
    const entry = bench.table.confirm(5, 6, 5, 6, 0, -1, bench.row, 0);
    for (let i = 0; i < 200; i++) {
      expect(bench.track({ ...CLIENT, src: i }, TCP_SYN, 0)).toBe(CT_NEW);
      bench.table.confirm(ENDPOINT.address, 80, i, 1, FLOW_DNAT, 1, bench.row, 0);
    }
    expect(bench.track(self, TCP_ACK, 0)).toBe(CT_NEW_REPEAT);
    expect([bench.table.entry, bench.table.isReply]).toEqual([entry, false]);
    bench.table.deleteEntry(entry);
    expect(bench.track(self, TCP_ACK, 0)).toBe(CT_NEW);
  });
});

describe('against a map', () => {
  it('finds and forgets the same entries over random packets', () => {
    const stream = new Rng(3).stream('test');
    const bench = new Bench(16);
    const expiryOf = new Map<string, number>();
    const key = (t: Tuple): string => `${t.src} ${t.sport} ${t.dst} ${t.dport}`;
    let seconds = 0;
    for (let i = 0; i < 20_000; i++) {
      seconds += stream.below(20) === 0 ? stream.below(20) : 0;
      const tuple = { src: stream.below(40), sport: stream.below(4), dst: 1000 + stream.below(3), dport: 5 };
      const live = (expiryOf.get(key(tuple)) ?? 0) > seconds;
      expect(bench.track(tuple, 0, seconds, PROTOCOL_UDP)).toBe(live ? CT_NEW_REPEAT : CT_NEW);
      if (!live) bench.table.confirm(tuple.dst, 5, tuple.src, tuple.sport, 0, -1, bench.row, 0);
      expiryOf.set(key(tuple), seconds + 30);
      if (stream.below(50) === 0) {
        const doomed = stream.below(40);
        const wanted = [...expiryOf].filter(([k, expiry]) => k.startsWith(`${doomed} `) && expiry > seconds);
        for (const [k] of wanted) expiryOf.delete(k);
        const { table } = bench;
        const before = table.size(seconds * NS_PER_S);
        for (let e = 0; e < table.capacity; e++) {
          if (table.expiry(e) > seconds * NS_PER_S && table.originalSrcAddress(e) === doomed) table.deleteEntry(e);
        }
        expect(before - table.size(seconds * NS_PER_S)).toBe(wanted.length);
      }
    }
    const live = [...expiryOf.values()].filter((expiry) => expiry > seconds).length;
    expect(bench.table.size(seconds * NS_PER_S)).toBe(live);
  });
});

describe('stale UDP flows', () => {
  it('are deleted when the callback says so; TCP flows and expired ones are not looked at', () => {
    const bench = new Bench();
    bench.open(TCP_SYN, 0);
    bench.open(0, 0, PROTOCOL_UDP);
    const seen: number[][] = [];
    const stale = (...flow: [number, number, number]): boolean => seen.push(flow) > 0;
    expect(bench.table.deleteStaleUdp(29 * NS_PER_S, stale)).toBe(1);
    expect(seen).toEqual([[CLIENT.dst, CLIENT.dport, ENDPOINT.address]]);
    expect(bench.table.deleteStaleUdp(29 * NS_PER_S, stale)).toBe(0);
    expect(bench.table.size(29 * NS_PER_S)).toBe(1);
  });
});

describe('SCTP', () => {
  it('expires after 3 s without a reply, after 210 s with one', () => {
    const bench = new Bench();
    const entry = bench.open(0, 1, PROTOCOL_SCTP);
    expect(bench.table.expiry(entry)).toBe(4 * NS_PER_S);
    expect(bench.track(REPLY, 0, 2, PROTOCOL_SCTP)).toBe(CT_ESTABLISHED);
    expect(bench.table.expiry(entry)).toBe(212 * NS_PER_S);
    expect(bench.track(CLIENT, 0, 211.5, PROTOCOL_SCTP)).toBe(CT_ESTABLISHED);
    expect(bench.track(CLIENT, 0, 421.5, PROTOCOL_SCTP)).toBe(CT_NEW);
  });
});

describe('a full table', () => {
  const client = (number: number): Tuple => ({ ...CLIENT, src: CLIENT.src + number });

  /** A flow of its own for each number; true when there was room. */
  function add(bench: Bench, number: number, seconds: number): boolean {
    const tuple = client(number);
    const status = bench.track(tuple, 0, seconds, PROTOCOL_UDP);
    if (status === CT_NEW) bench.table.confirm(tuple.dst, tuple.dport, tuple.src, tuple.sport, 0, -1, bench.row, 0);
    return status === CT_NEW;
  }

  it('refuses one more flow until one has expired, and knows its own', () => {
    const bench = new Bench(16, 3);
    expect([0, 1, 2].map((number) => add(bench, number, number))).toEqual([true, true, true]);
    expect(bench.track(client(3), 0, 29, PROTOCOL_UDP)).toBe(CT_FULL);
    expect(bench.track(client(0), 0, 29.5, PROTOCOL_UDP)).toBe(CT_NEW_REPEAT);
    expect(bench.track(client(3), 0, 30.9, PROTOCOL_UDP)).toBe(CT_FULL);
    expect(add(bench, 3, 31)).toBe(true);
    expect(add(bench, 4, 31.9)).toBe(false);
    expect(bench.table.size(31.9 * NS_PER_S)).toBe(3);
  });

  it('refuses what would be INVALID, too, unless it belongs to a flow', () => {
    const bench = new Bench(16, 1);
    bench.open(TCP_SYN, 1);
    expect(bench.track(client(1), TCP_RST, 2)).toBe(CT_FULL);
    expect(bench.track(client(1), 0, 2)).toBe(CT_FULL);
    expect(bench.track(CLIENT, 0, 2)).toBe(CT_INVALID);
    expect(bench.track(client(1), TCP_RST, 200)).toBe(CT_INVALID);
  });

  it('has room again when a closed connection is opened anew', () => {
    const bench = new Bench(16, 1);
    bench.open(TCP_SYN, 1);
    bench.track(CLIENT, TCP_RST, 2);
    expect(bench.track(CLIENT, TCP_SYN, 3)).toBe(CT_NEW);
  });

  it('counts live flows exactly, whatever expires in which order', () => {
    const stream = new Rng(7).stream('full table');
    const bench = new Bench(16, 900);
    const expiry = new Map<number, number>();
    let refused = 0;
    for (let step = 0; step < 30_000; step++) {
      // Sixty-fourths are exact, so that both sides see the same instants.
      const seconds = step / 64;
      const tuple = client(stream.below(2500));
      for (const [key, at] of expiry) if (at <= seconds) expiry.delete(key);
      const expected = expiry.has(tuple.src) ? CT_NEW_REPEAT : expiry.size >= 900 ? CT_FULL : CT_NEW;
      expect(bench.track(tuple, 0, seconds, PROTOCOL_UDP)).toBe(expected);
      if (expected === CT_FULL) refused++;
      else expiry.set(tuple.src, seconds + 30);
      if (expected === CT_NEW) {
        bench.table.confirm(tuple.dst, tuple.dport, tuple.src, tuple.sport, 0, -1, bench.row, 0);
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });
});

describe('MASQUERADE --random-fully', () => {
  it('searches at once, and only a taken port is passed over', () => {
    const bench = new Bench();
    const { address, port } = ENDPOINT;
    bench.track(CLIENT, TCP_SYN, 1);
    const drawn = new Rng(1).stream('source-port').nextUint32() & 0xffff;
    expect(bench.table.chooseSource(0xc0a80001, address, port, bench.stream, bench.row, 0, true)).toBe(true);
    expect(bench.table.chosenPort).toBe(1024 + (drawn % 64512));
    expect([bench.row[CONNTRACK_LOOKUPS], bench.row[PORT_TRIES]]).toEqual([2, 1]);
  });
});

/** Session affinity: templates in the connection table (ip_vs_core.c ip_vs_sched_persist, ip_vs_conn.c ip_vs_conn_expire). */
import { describe, expect, it } from 'vitest';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import type { ServicePort } from '../../model/cluster.ts';
import {
  CONNECTION_CHAIN_ENTRIES,
  DESTINATIONS_EXAMINED,
  HASH_PROBES,
  IPVS_CONNECTION_INSERTS,
  NAT_SETUPS,
} from '../../model/counters.ts';
import { TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_UDP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import { OUTCOME_ENDPOINT, OUTCOME_REJECT } from '../../model/verdict.ts';
import type { Engine } from '../engine.ts';
import { endpoint, ip, makeEngine, sendOne, servicePort } from './test-cluster.ts';
import type { TestVerdict } from './test-cluster.ts';

const VIP = ip('172.20.0.1');
const CLIENT = ip('10.9.0.1');
const E1 = ip('10.0.0.1');
const E2 = ip('10.0.0.2');

function sticky(affinitySeconds: number, changes: Partial<ServicePort> = {}): ServicePort {
  return servicePort(0, {
    endpoints: [endpoint(E1), endpoint(E2)],
    ...changes,
    extras: { ...NO_SERVICE_EXTRAS, affinitySeconds },
  });
}

function lab(svc: ServicePort, ipvsConnTabBits = 12): Engine {
  const engine = makeEngine({ ipvsConnTabBits });
  engine.sync({ servicePorts: [svc] }, 0);
  return engine;
}

/** A connection is opened from that port, `seconds` after the start. */
function open(
  engine: Engine,
  sport: number,
  seconds = 0,
  changes: { src?: number; protocol?: number } = {},
): TestVerdict {
  const time = seconds * NS_PER_S;
  return sendOne(engine, { src: CLIENT, sport, dst: VIP, dport: 80, flags: TCP_SYN, time, ...changes });
}

describe('session affinity', () => {
  it('makes a template with the first connection, and counts it', () => {
    const engine = lab(sticky(600), 1);
    const first = open(engine, 1);
    expect(first).toMatchObject({ outcome: OUTCOME_ENDPOINT, dst: E1 });
    // Reply, request and template look-up in the connection table, and the service table.
    expect(first.work[HASH_PROBES]).toBe(4);
    expect(first.work[CONNECTION_CHAIN_ENTRIES]).toBe(0);
    expect(first.work[DESTINATIONS_EXAMINED]).toBe(1);
    expect(first.work[IPVS_CONNECTION_INSERTS]).toBe(2);
    expect(first.work[NAT_SETUPS]).toBe(1);
    const second = open(engine, 2);
    expect(second.dst).toBe(E1);
    expect(second.work[DESTINATIONS_EXAMINED]).toBe(0);
    expect(second.work[IPVS_CONNECTION_INSERTS]).toBe(1);
    expect(second.work[CONNECTION_CHAIN_ENTRIES]).toBeGreaterThan(0);
    expect(open(engine, 3, 0, { src: CLIENT + 1 }).dst).toBe(E2);
  });

  it('ends the time-out after the last connection that was made from the template', () => {
    const engine = lab(sticky(100));
    expect(open(engine, 1, 0).dst).toBe(E1);
    expect(open(engine, 2, 90).dst).toBe(E1);
    // 100 s after the connection of second 90, not after the first.
    expect(open(engine, 3, 189).dst).toBe(E1);
    expect(open(engine, 4, 289).dst).toBe(E2);
  });

  it('keeps the template while a connection lives, looking each 60 s', () => {
    const engine = lab(sticky(10, { protocol: PROTOCOL_UDP }));
    const udp = { protocol: PROTOCOL_UDP };
    expect(open(engine, 1, 0, udp).dst).toBe(E1);
    // The connection lives until 300 s; looks at 10, 70, ..., 250 and 310 s.
    expect(open(engine, 2, 305, udp).dst).toBe(E1);
    // Its time-out is 60 s now; at 605 s the second connection ends, and it is looked at in that same instant.
    expect(open(engine, 3, 605, udp).dst).toBe(E2);
    const other = lab(sticky(10, { protocol: PROTOCOL_UDP }));
    open(other, 1, 0, udp);
    // 310 s: nothing controlled any more.
    expect(open(other, 2, 310, udp).dst).toBe(E2);
  });

  it('chooses anew when the server drains or is gone, and finds it again when it comes back', () => {
    const engine = lab(sticky(600));
    expect(open(engine, 1).dst).toBe(E1);
    const drained = sticky(600, { endpoints: [endpoint(E1, 8080, { ready: false, serving: false }), endpoint(E2)] });
    engine.apply({ upserted: [drained], removedIds: [] }, NS_PER_S);
    expect(engine.dump('kernel')).toContain('-r 10.0.0.1:8080 -m -w 0');
    const next = open(engine, 2, 2);
    expect(next.dst).toBe(E2);
    expect(next.work[IPVS_CONNECTION_INSERTS]).toBe(2);
    engine.apply({ upserted: [sticky(600)], removedIds: [] }, 3 * NS_PER_S);
    expect(open(engine, 3, 4).dst).toBe(E2);

    const unasked = lab(sticky(600, { protocol: PROTOCOL_UDP }));
    const udp = { protocol: PROTOCOL_UDP };
    expect(open(unasked, 1, 0, udp).dst).toBe(E1);
    unasked.apply(
      { upserted: [sticky(600, { protocol: PROTOCOL_UDP, endpoints: [endpoint(E2)] })], removedIds: [] },
      1,
    );
    unasked.apply({ upserted: [sticky(600, { protocol: PROTOCOL_UDP })], removedIds: [] }, 2);
    expect(open(unasked, 2, 1, udp).dst).toBe(E1);
  });

  it('makes no template without a server', () => {
    const engine = lab(sticky(600, { endpoints: [] }));
    const refused = open(engine, 1);
    expect(refused.outcome).toBe(OUTCOME_REJECT);
    expect(refused.work[IPVS_CONNECTION_INSERTS]).toBe(0);
  });

  it('is an update of the virtual server when it changes, and new templates have the new time-out', () => {
    const engine = lab(sticky(600));
    const report = engine.apply({ upserted: [sticky(100)], removedIds: [] }, 0);
    expect(report.netlinkRequests).toBe(1);
    expect(engine.dump('kernel')).toContain('-A -t 172.20.0.1:80 -s rr -p 100\n');
    expect(open(engine, 1).dst).toBe(E1);
    // The SYN's connection ends after 60 s.
    expect(open(engine, 2, 100).dst).toBe(E2);
  });
});

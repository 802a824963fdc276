/** The IPVS engine as a whole: packet by packet against engines/README.md, and the two evaluators against each other. */
import { NO_SYNC_WORK } from '../../model/sync-report.ts';
import { describe, expect, it } from 'vitest';
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import {
  CONNTRACK_INSERTS,
  CONNTRACK_LOOKUPS,
  CONNECTION_CHAIN_ENTRIES,
  DESTINATIONS_EXAMINED,
  HASH_PROBES,
  IPSET_TESTS,
  IPVS_CONNECTION_INSERTS,
  JUMPS,
  NAT_SETUPS,
  RULES_EVALUATED,
  RULES_MATCHED,
  RULE_BYTES,
  SERVICE_CHAIN_ENTRIES,
} from '../../model/counters.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, ORIGIN_POD, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import {
  OUTCOME_ACCEPT,
  OUTCOME_DROP,
  OUTCOME_ENDPOINT,
  OUTCOME_REJECT,
  OUTCOME_REPLY,
  REASON_INVALID,
  REASON_NO_ENDPOINTS,
  REASON_SERVER_UNAVAILABLE,
  REASON_UNUSED_VIP_PORT,
} from '../../model/verdict.ts';
import { Rng } from '../../sim/rng.ts';
import type { RandomStream } from '../../sim/rng.ts';
import { IPVS_SCHEDULERS } from '../engine.ts';
import type { Engine } from '../engine.ts';
import {
  endpoint,
  ip,
  makeEngine,
  manyServicePorts,
  NODE_ADDRESS,
  send,
  sendOne,
  servicePort,
} from './test-cluster.ts';
import type { TestPacket } from './test-cluster.ts';

const VIP = ip('172.20.0.1');
const POD = ip('10.9.0.1');
const E1 = ip('10.0.0.1');
const E2 = ip('10.0.0.2');

function syn(changes: Partial<TestPacket> = {}): TestPacket {
  return { src: POD, sport: 40000, dst: VIP, dport: 80, flags: TCP_SYN, ...changes };
}

/** One service port at VIP:80 with two endpoints, node port 30080. */
function twoEndpoints(): ServicePort[] {
  return [servicePort(0, { nodePort: 30080, endpoints: [endpoint(E1), endpoint(E2)] })];
}

describe('a connection from a pod to a ClusterIP', () => {
  it('counts the work of the first packet rule by rule', () => {
    const engine = makeEngine();
    engine.sync({ servicePorts: twoEndpoints() }, 0);
    const first = sendOne(engine, syn());
    expect(first).toMatchObject({
      outcome: OUTCOME_ENDPOINT,
      first: 1,
      masqueraded: 0,
      src: POD,
      sport: 40000,
      dst: E1,
      dport: 8080,
    });
    // PREROUTING 1; KUBE-SERVICES 4 (its CLUSTER-IP mark rule fails on `! -s`); KUBE-NODE-PORT 1; INPUT 3; KUBE-IPVS-FILTER 2;
    // KUBE-NODE-PORT 1; OUTPUT 1; POSTROUTING 1; KUBE-POSTROUTING 1 (no local endpoint, so no LOOP-BACK rule).
    expect(first.work[RULES_EVALUATED]).toBe(1 + 4 + 1 + 3 + 2 + 1 + 1 + 1 + 1);
    expect(first.work[RULES_MATCHED]).toBe(1 + 2 + 0 + 3 + 1 + 0 + 1 + 1 + 1);
    expect(first.work[JUMPS]).toBe(1 + 1 + 3 + 1 + 1);
    const nat = 440 + 152 + 480 + 192 + 192 + 480;
    const filter = 3 * 440 + 2 * 192 + 480;
    expect(first.work[RULE_BYTES]).toBe(nat + filter + 440 + 440 + 200);
    // nat: NODE-PORT-TCP and CLUSTER-IP; filter: LOAD-BALANCER, CLUSTER-IP, HEALTH-CHECK.
    expect(first.work[IPSET_TESTS]).toBe(5);
    expect(first.work[CONNTRACK_LOOKUPS]).toBe(2);
    expect(first.work[CONNTRACK_INSERTS]).toBe(1);
    expect(first.work[HASH_PROBES]).toBe(3);
    expect(first.work[SERVICE_CHAIN_ENTRIES]).toBe(1);
    expect(first.work[DESTINATIONS_EXAMINED]).toBe(1);
    expect(first.work[IPVS_CONNECTION_INSERTS]).toBe(1);
    expect(first.work[NAT_SETUPS]).toBe(1);
  });

  it('is translated back and forth until it ends', () => {
    const engine = makeEngine();
    engine.sync({ servicePorts: twoEndpoints() }, 0);
    const reply = { src: E1, sport: 8080, dst: POD, dport: 40000 };
    const verdicts = send(engine, [
      syn(),
      { ...reply, flags: TCP_SYN | TCP_ACK },
      syn({ flags: TCP_ACK }),
      { ...reply, flags: TCP_ACK },
      syn({ flags: TCP_FIN | TCP_ACK }),
    ]);
    expect(verdicts.map((v) => v.outcome)).toEqual([
      OUTCOME_ENDPOINT,
      OUTCOME_REPLY,
      OUTCOME_ENDPOINT,
      OUTCOME_REPLY,
      OUTCOME_ENDPOINT,
    ]);
    expect(verdicts.map((v) => v.first)).toEqual([1, 0, 0, 0, 0]);
    expect(verdicts[1]).toMatchObject({ src: VIP, sport: 80, dst: POD, dport: 40000, servicePortId: 0 });
    // The reply: FORWARD 2, KUBE-FORWARD 2, and one look-up that finds the connection.
    expect(verdicts[1]?.work[RULES_EVALUATED]).toBe(4);
    expect(verdicts[1]?.work[HASH_PROBES]).toBe(1);
    expect(verdicts[1]?.work[CONNECTION_CHAIN_ENTRIES]).toBe(1);
    expect(verdicts[2]?.work[HASH_PROBES]).toBe(2);
  });

  it('goes round the endpoints', () => {
    const engine = makeEngine();
    engine.sync({ servicePorts: twoEndpoints() }, 0);
    const verdicts = send(
      engine,
      [1, 2, 3].map((sport) => syn({ sport })),
    );
    expect(verdicts.map((v) => v.dst)).toEqual([E1, E2, E1]);
  });
});

describe('masquerade', () => {
  it('marks what comes from outside the cluster and through a node port, and hairpins by LOOP-BACK', () => {
    const engine = makeEngine();
    const local = endpoint(E1, 8080, { nodeName: 'node-a' });
    engine.sync({ servicePorts: [servicePort(0, { nodePort: 30080, endpoints: [local] })] }, 0);
    const client = ip('203.0.113.9');
    const throughNodePort = sendOne(
      engine,
      syn({ src: client, dst: NODE_ADDRESS, dport: 30080, origin: ORIGIN_EXTERNAL }),
    );
    expect(throughNodePort).toMatchObject({ outcome: OUTCOME_ENDPOINT, masqueraded: 1, src: NODE_ADDRESS, dst: E1 });
    expect(throughNodePort.work[NAT_SETUPS]).toBe(2);
    expect(sendOne(engine, syn({ src: client, origin: ORIGIN_EXTERNAL }))).toMatchObject({ masqueraded: 1 });
    const hairpin = sendOne(engine, syn({ src: E1, sport: 50000 }));
    expect(hairpin).toMatchObject({ masqueraded: 1, src: NODE_ADDRESS, sport: 50000, dst: E1 });
    const back = sendOne(engine, { src: E1, sport: 8080, dst: NODE_ADDRESS, dport: 50000, flags: TCP_SYN | TCP_ACK });
    expect(back).toMatchObject({ outcome: OUTCOME_REPLY, src: VIP, sport: 80, dst: E1, dport: 50000, masqueraded: 1 });
  });
});

describe('refusals', () => {
  it('rejects a VIP without endpoints, a quiet port of a VIP, and lets other local traffic pass', () => {
    const engine = makeEngine();
    engine.sync({ servicePorts: [servicePort(7)] }, 0);
    const dst = VIP + 7;
    expect(sendOne(engine, syn({ dst }))).toMatchObject({
      outcome: OUTCOME_REJECT,
      reason: REASON_NO_ENDPOINTS,
      servicePortId: 7,
      dst,
    });
    expect(sendOne(engine, syn({ dst, dport: 81 }))).toMatchObject({
      outcome: OUTCOME_REJECT,
      reason: REASON_UNUSED_VIP_PORT,
      servicePortId: -1,
    });
    expect(sendOne(engine, syn({ dst: NODE_ADDRESS, dport: 22 }))).toMatchObject({ outcome: OUTCOME_ACCEPT, first: 1 });
    // The node's own process reaches the quiet port: KUBE-IPVS-FILTER is in INPUT only.
    expect(sendOne(engine, syn({ src: NODE_ADDRESS, dst, dport: 81, origin: ORIGIN_HOST }))).toMatchObject({
      outcome: OUTCOME_ACCEPT,
    });
  });

  it('passes an INVALID packet on, and forwards one that IPVS knows', () => {
    const engine = makeEngine();
    engine.sync({ servicePorts: twoEndpoints() }, 0);
    expect(sendOne(engine, syn({ flags: TCP_RST }))).toMatchObject({
      outcome: OUTCOME_ACCEPT,
      reason: REASON_INVALID,
      first: 0,
    });
    sendOne(engine, syn());
    // A SYN+ACK by the client is INVALID in syn_sent, but its IPVS connection takes it.
    const odd = sendOne(engine, syn({ flags: TCP_SYN | TCP_ACK }));
    expect(odd).toMatchObject({ outcome: OUTCOME_ENDPOINT, reason: 0, servicePortId: 0 });
  });
});

describe('graceful termination', () => {
  it('drains at weight 0 until the connections end, then deletes at a full minute', () => {
    const engine = makeEngine();
    engine.sync({ servicePorts: twoEndpoints() }, 0);
    sendOne(engine, syn());
    expect(engine.nextTimer()).toBe(Infinity);
    const onlyE2 = servicePort(0, { nodePort: 30080, endpoints: [endpoint(E2)] });
    const report = engine.apply({ upserted: [onlyE2], removedIds: [] }, NS_PER_S);
    // Weight 0 at the VIP, where the connection is; deleted at the node port, where there is none.
    expect(report.netlinkRequests).toBe(2);
    expect(engine.dump('kernel')).toContain('-a -t 172.20.0.1:80 -r 10.0.0.1:8080 -m -w 0');
    expect(engine.nextTimer()).toBe(60 * NS_PER_S);
    expect(sendOne(engine, syn({ time: 2 * NS_PER_S, flags: TCP_ACK }))).toMatchObject({
      outcome: OUTCOME_ENDPOINT,
      dst: E1,
    });
    expect(sendOne(engine, syn({ time: 2 * NS_PER_S, sport: 41000 })).dst).toBe(E2);
    engine.advance(60 * NS_PER_S);
    expect(engine.dump('kernel')).toContain('10.0.0.1:8080');
    expect(engine.nextTimer()).toBe(120 * NS_PER_S);
    // ACK made it established: 900 s from 2 s on.
    engine.advance(901 * NS_PER_S);
    expect(engine.dump('kernel')).toContain('10.0.0.1:8080');
    engine.advance(960 * NS_PER_S);
    expect(engine.dump('kernel')).not.toContain('10.0.0.1:8080');
    expect(engine.nextTimer()).toBe(Infinity);
  });

  it('keeps the connections of an endpoint that comes back', () => {
    const engine = makeEngine();
    engine.sync({ servicePorts: twoEndpoints() }, 0);
    sendOne(engine, syn());
    engine.apply({ upserted: [servicePort(0, { nodePort: 30080, endpoints: [endpoint(E2)] })], removedIds: [] }, 1);
    const report = engine.apply({ upserted: twoEndpoints(), removedIds: [] }, 2);
    // Delete and add at the VIP, add at the node port.
    expect(report.netlinkRequests).toBe(3);
    expect(engine.dump('kernel')).toContain(
      '-a -t 172.20.0.1:80 -r 10.0.0.2:8080 -m -w 1\n-a -t 172.20.0.1:80 -r 10.0.0.1:8080 -m -w 1\n',
    );
    expect(sendOne(engine, syn({ time: 3 }))).toMatchObject({ outcome: OUTCOME_ENDPOINT, dst: E1 });
  });

  // kube-proxy has deleted the flow's entry of conntrack, so the packet belongs to a new one.
  it.each([
    ['6.18', [6, 18], false],
    ['5.9', [5, 9], false],
    ['5.8', [5, 8], true],
  ] as const)('Linux %s: schedules a packet whose UDP server is gone anew, or drops it first', (_, kernel, drops) => {
    const engine = makeEngine({ kernel });
    const udp = { protocol: PROTOCOL_UDP } as const;
    engine.sync({ servicePorts: [servicePort(0, { ...udp, endpoints: [endpoint(E1)] })] }, 0);
    const packet = syn({ ...udp, flags: 0 });
    expect(sendOne(engine, packet)).toMatchObject({ outcome: OUTCOME_ENDPOINT, dst: E1 });
    const report = engine.apply(
      { upserted: [servicePort(0, { ...udp, endpoints: [endpoint(E2)] })], removedIds: [] },
      1,
    );
    expect(report.conntrackDeletes).toBe(1);
    if (drops) {
      expect(sendOne(engine, { ...packet, time: 2 })).toMatchObject({
        outcome: OUTCOME_DROP,
        reason: REASON_SERVER_UNAVAILABLE,
        servicePortId: 0,
      });
    }
    expect(sendOne(engine, { ...packet, time: 3 })).toMatchObject({ outcome: OUTCOME_ENDPOINT, dst: E2 });
  });
});

describe('SyncReport', () => {
  it('counts rules, requests, entries and addresses', () => {
    const engine = makeEngine();
    const first = engine.sync({ servicePorts: twoEndpoints() }, 0);
    expect(first).toEqual({
      ...NO_SYNC_WORK,
      kind: 'full',
      servicePorts: 1,
      changedServicePorts: 1,
      // nat: 3 jumps, SERVICES 4, NODE-PORT 1, MARK-MASQ 1, POSTROUTING 3, LOAD-BALANCER 1; filter: 6 jumps, 6 + 1 + 2 + 1.
      tableRules: 13 + 16,
      rules: 29 + 2 + 4,
      restoreLines: 15 + 29 - 9,
      savedLines: 0,
      netlinkRequests: 2 + 4,
      netlinkReads: 5,
      ipsetChanges: 3,
      addressChanges: 1,
      addressesBound: 1,
      conntrackDeletes: 0,
    });
    const again = engine.apply({ upserted: [], removedIds: [] }, 1);
    expect(again).toMatchObject({ netlinkRequests: 0, ipsetChanges: 0, addressChanges: 0, netlinkReads: 5 });
    const gone = engine.apply({ upserted: [], removedIds: [0] }, 2);
    expect(gone).toMatchObject({
      servicePorts: 0,
      netlinkRequests: 2,
      netlinkReads: 1,
      ipsetChanges: 3,
      addressChanges: 1,
      addressesBound: 0,
    });
    // Without sets: nat SERVICES keeps 2 rules, NODE-PORT none.
    expect(gone.tableRules).toBe(26);
  });

  it('refuses apply before sync', () => {
    expect(() => makeEngine().apply({ upserted: [], removedIds: [] }, 0)).toThrow('must be sync');
  });
});

/** A random small cluster on few addresses, so that everything meets everything. */
function randomCluster(random: RandomStream): ServicePort[] {
  return Array.from({ length: 4 }, (_, id) => {
    const endpoints: Endpoint[] = Array.from({ length: random.below(5) }, () => {
      const kind = random.below(8);
      return endpoint(ip('10.0.0.0') + random.below(6), 8080, {
        nodeName: random.below(2) === 0 ? 'node-a' : 'node-b',
        ready: kind > 1,
        serving: kind > 0,
        terminating: kind <= 1,
      });
    });
    const protocol = id % 2 === 0 ? PROTOCOL_TCP : PROTOCOL_UDP;
    return servicePort(id, { protocol, clusterIp: VIP + (id >> 1), nodePort: id < 2 ? 30080 + id : 0, endpoints });
  });
}

const FLAGS = [TCP_SYN, TCP_SYN, TCP_SYN | TCP_ACK, TCP_ACK, TCP_ACK, TCP_FIN | TCP_ACK, TCP_RST, 0];

function randomPacket(random: RandomStream, time: number): TestPacket {
  const origin = [ORIGIN_POD, ORIGIN_POD, ORIGIN_EXTERNAL, ORIGIN_HOST][random.below(4)];
  const pods = ip('10.0.0.0') + random.below(6);
  const client = origin === ORIGIN_HOST ? NODE_ADDRESS : origin === ORIGIN_EXTERNAL ? ip('203.0.113.1') : pods;
  const protocol = random.below(3) === 0 ? PROTOCOL_UDP : PROTOCOL_TCP;
  const flags = protocol === PROTOCOL_TCP ? FLAGS[random.below(FLAGS.length)] : 0;
  const sport = 1000 + random.below(4);
  if (random.below(3) === 0) {
    const dst = [pods, NODE_ADDRESS, ip('203.0.113.1')][random.below(3)];
    return {
      time,
      src: ip('10.0.0.0') + random.below(6),
      sport: 8080,
      dst,
      dport: sport,
      protocol,
      flags,
      origin: ORIGIN_POD,
    };
  }
  const targets: [number, number][] = [
    [VIP, 80],
    [VIP + 1, 80],
    [VIP, 81],
    [NODE_ADDRESS, 30080 + random.below(2)],
    [ip('10.0.0.3'), 8080],
    [NODE_ADDRESS, 22],
  ];
  const [dst, dport] = targets[random.below(targets.length)];
  return { time, src: client, sport, dst, dport, protocol, flags, origin };
}

describe('literal and indexed evaluators', () => {
  for (const ipvsScheduler of IPVS_SCHEDULERS) {
    it(`agree in every verdict, counter and report with ${ipvsScheduler}, and batches do not matter`, () => {
      const random = new Rng(7).stream(ipvsScheduler);
      for (let round = 0; round < 6; round++) {
        const options = { ipvsScheduler, ipvsConnTabBits: 8, masqueradeAll: round % 3 === 0 };
        const literal = makeEngine({ ...options, evaluator: 'literal' }, round);
        const indexed = makeEngine({ ...options, evaluator: 'indexed' }, round);
        const engines: Engine[] = [literal, indexed];
        let time = 0;
        for (let step = 0; step < 12; step++) {
          const cluster = { servicePorts: randomCluster(random) };
          const reports = engines.map((engine) => engine.sync(cluster, time));
          expect(reports[1]).toEqual(reports[0]);
          const packets: TestPacket[] = [];
          for (let k = 0; k < 60; k++) {
            time += [0, 1, NS_PER_S, 20 * NS_PER_S][random.below(4)];
            packets.push(randomPacket(random, time));
          }
          const whole = send(literal, packets);
          const single = packets.flatMap((packet) => send(indexed, [packet]));
          expect(single).toEqual(whole);
          expect(indexed.dump('kernel')).toBe(literal.dump('kernel'));
          expect(indexed.nextTimer()).toBe(literal.nextTimer());
        }
      }
    });
  }
});

describe('size', () => {
  it('keeps a sync of many service ports cheap in places: one slot a real server, shuffled chains', () => {
    const engine = makeEngine();
    const report = engine.sync({ servicePorts: manyServicePorts(2000, 5) }, 0);
    expect(report.rules - report.tableRules).toBe(2000 * 6);
    const verdicts = send(
      engine,
      Array.from({ length: 2000 }, (_, id) => syn({ dst: VIP + id, sport: 1024 + id })),
    );
    const entries = verdicts.reduce((sum, v) => sum + v.work[SERVICE_CHAIN_ENTRIES], 0);
    // 2000 consecutive addresses over 256 buckets: 7 or 8 a bucket, and each place in a chain is met once.
    const chains = Array.from({ length: 256 }, (_, b) => Math.floor(2000 / 256) + (b < 2000 % 256 ? 1 : 0));
    expect(entries).toBe(chains.reduce((sum, n) => sum + (n * (n + 1)) / 2, 0));
  });
});

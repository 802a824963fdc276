import { describe, expect, it } from 'vitest';
import type { ServicePort } from '../../model/cluster.ts';
import { COUNTER_NAMES, COUNTER_STRIDE, Counters } from '../../model/counters.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, ORIGIN_POD, PacketBatch, TCP_ACK, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { NS_PER_S } from '../../model/time.ts';
import * as verdict from '../../model/verdict.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import { NODE_ADDRESS, readyEndpoint, syntheticService, syntheticServices, syntheticWorld } from '../synthetic.ts';
import { createIptablesEngine } from './engine.ts';
import { send } from './send.ts';

const POD = 0x0a000001;
const OUTSIDE = 0xcb007101;
const ENDPOINT = 0x0a000105;
const CLUSTER_IP = 0xac1e0001;

function engineWith(servicePorts: readonly ServicePort[], options: Partial<EngineOptions> = {}): Engine {
  const engine = createIptablesEngine(syntheticWorld({ masqueradeRandomFully: false, ...options }));
  engine.sync({ servicePorts }, 0);
  return engine;
}

const one = syntheticService({ id: 1, nodePort: 30_001, endpoints: [readyEndpoint(ENDPOINT, 8080)] });
const none = syntheticService({ id: 1, nodePort: 30_001, endpoints: [] });

describe.each(['literal', 'indexed'] as const)('iptables engine, %s', (evaluator) => {
  it('translates the first packet of a pod, and counts each rule of its walk', () => {
    const engine = engineWith([one], { evaluator });
    const first = send(engine, { dst: CLUSTER_IP, dport: 80 });
    expect(first.verdict).toEqual({
      outcome: verdict.OUTCOME_ENDPOINT,
      reason: verdict.REASON_NONE,
      first: 1,
      masqueraded: 0,
      srcAddress: POD,
      srcPort: 40_000,
      dstAddress: ENDPOINT,
      dstPort: 8080,
      servicePortId: 1,
    });
    // nat PREROUTING 1, KUBE-SERVICES 1, KUBE-SVC 2, KUBE-SEP 2; filter FORWARD 4, KUBE-FORWARD 3, no rejects;
    // nat POSTROUTING 1, KUBE-POSTROUTING 1.
    expect(first.work).toEqual({
      rules_evaluated: 6 + 7 + 2,
      rules_matched: 4 + 4 + 2,
      service_rules_scanned: 1,
      jumps: 3 + 4 + 1,
      rule_bytes: 440 + 488 + 488 + 440 + 440 + 504 + (640 + 440 + 352 + 488 + 640 + 640 + 640) + (440 + 200),
      conntrack_lookups: 2,
      conntrack_inserts: 1,
      nat_setups: 1,
    });
    const reply = send(engine, { src: ENDPOINT, sport: 8080, dst: POD, dport: 40_000, flags: TCP_SYN | TCP_ACK });
    expect(reply.verdict).toMatchObject({
      outcome: verdict.OUTCOME_REPLY,
      srcAddress: CLUSTER_IP,
      srcPort: 80,
      dstAddress: POD,
      servicePortId: 1,
      first: 0,
    });
    expect(reply.work).toEqual({
      rules_evaluated: 5,
      rules_matched: 2,
      jumps: 1,
      rule_bytes: 640 + 440 + 352 + 488 + 640,
      conntrack_lookups: 1,
    });
    const later = send(engine, { dst: CLUSTER_IP, dport: 80, flags: TCP_ACK });
    expect(later.verdict).toMatchObject({ outcome: verdict.OUTCOME_ENDPOINT, dstAddress: ENDPOINT, first: 0 });
    expect(later.work).toEqual(reply.work);
  });

  it('masquerades what comes through a nodePort, and translates the reply back', () => {
    const engine = engineWith([one], { evaluator });
    const first = send(engine, { src: OUTSIDE, dst: NODE_ADDRESS, dport: 30_001, origin: ORIGIN_EXTERNAL });
    expect(first.verdict).toMatchObject({
      outcome: verdict.OUTCOME_ENDPOINT,
      masqueraded: 1,
      srcAddress: NODE_ADDRESS,
      dstAddress: ENDPOINT,
    });
    expect(first.work).toMatchObject({ nat_setups: 2, service_rules_scanned: 3 });
    const reply = send(engine, {
      src: ENDPOINT,
      sport: 8080,
      dst: NODE_ADDRESS,
      dport: 40_000,
      flags: TCP_SYN | TCP_ACK,
    });
    expect(reply.verdict).toMatchObject({
      outcome: verdict.OUTCOME_REPLY,
      masqueraded: 1,
      srcAddress: NODE_ADDRESS,
      srcPort: 30_001,
      dstAddress: OUTSIDE,
      dstPort: 40_000,
    });
  });

  it('masquerades a pod that meets itself, and a host process outside the pods', () => {
    const engine = engineWith([one], { evaluator });
    expect(send(engine, { src: ENDPOINT, dst: CLUSTER_IP, dport: 80 }).verdict).toMatchObject({
      masqueraded: 1,
      srcAddress: NODE_ADDRESS,
      dstAddress: ENDPOINT,
    });
    const host = send(engine, { src: NODE_ADDRESS, sport: 41_000, dst: CLUSTER_IP, dport: 80, origin: ORIGIN_HOST });
    expect(host.verdict).toMatchObject({ masqueraded: 1, srcAddress: NODE_ADDRESS, srcPort: 41_000 });
  });

  it('gives the second of two clashing flows another source port', () => {
    const two = syntheticService({ id: 2, endpoints: [readyEndpoint(ENDPOINT, 8080)] });
    const engine = engineWith([one, two], { evaluator });
    send(engine, { dst: CLUSTER_IP, dport: 80 });
    const second = send(engine, { dst: CLUSTER_IP + 1, dport: 80 });
    expect(second.verdict).toMatchObject({ outcome: verdict.OUTCOME_ENDPOINT, masqueraded: 0, srcAddress: POD });
    expect(second.verdict.srcPort).not.toBe(40_000);
    expect(second.work).toMatchObject({ nat_setups: 2, port_tries: 1, conntrack_lookups: 3 });
    // A change of port alone is no masquerade, but the DNAT makes its reply a reply.
    const dport = second.verdict.srcPort;
    const reply = send(engine, { src: ENDPOINT, sport: 8080, dst: POD, dport, flags: TCP_SYN | TCP_ACK });
    expect(reply.verdict).toMatchObject({
      outcome: verdict.OUTCOME_REPLY,
      srcAddress: CLUSTER_IP + 1,
      dstPort: 40_000,
    });
  });

  it('rejects where there is no endpoint, at the ClusterIP and at the nodePort', () => {
    const engine = engineWith([none], { evaluator });
    const rejected = {
      outcome: verdict.OUTCOME_REJECT,
      reason: verdict.REASON_NO_ENDPOINTS,
      servicePortId: 1,
      first: 1,
    };
    expect(send(engine, { dst: CLUSTER_IP, dport: 80 }).verdict).toMatchObject(rejected);
    expect(send(engine, { dst: CLUSTER_IP, dport: 80, origin: ORIGIN_HOST }).verdict).toMatchObject(rejected);
    const nodePort = { src: OUTSIDE, dst: NODE_ADDRESS, dport: 30_001, origin: ORIGIN_EXTERNAL };
    expect(send(engine, nodePort).verdict).toMatchObject(rejected);
    expect(send(engine, nodePort).work).not.toHaveProperty('conntrack_inserts');
  });

  it('drops an INVALID packet that would be forwarded, and no other', () => {
    const engine = engineWith([one], { evaluator });
    const flags = TCP_SYN | TCP_ACK;
    const invalid = { reason: verdict.REASON_INVALID, first: 0, servicePortId: -1 };
    const forwarded = send(engine, { dst: CLUSTER_IP, dport: 80, flags });
    expect(forwarded.verdict).toMatchObject({ ...invalid, outcome: verdict.OUTCOME_DROP, dstAddress: CLUSTER_IP });
    const local = send(engine, { dst: NODE_ADDRESS, dport: 22, flags });
    expect(local.verdict).toMatchObject({ ...invalid, outcome: verdict.OUTCOME_ACCEPT });
  });

  it('drops what the wire brings for localhost', () => {
    const engine = engineWith([one], { evaluator });
    const packet = { dst: 0x7f000001, dport: 22, origin: ORIGIN_EXTERNAL };
    expect(send(engine, packet).verdict).toMatchObject({ outcome: verdict.OUTCOME_DROP, reason: verdict.REASON_NONE });
  });

  it('passes what no Service wants, at the price of the whole KUBE-SERVICES chain', () => {
    const engine = engineWith(syntheticServices(100, 1), { evaluator });
    const { verdict: passed, work } = send(engine, { dst: OUTSIDE, dport: 443 });
    expect(passed).toMatchObject({ outcome: verdict.OUTCOME_ACCEPT, first: 1, servicePortId: -1, dstAddress: OUTSIDE });
    expect(work).toMatchObject({ service_rules_scanned: 101, conntrack_inserts: 1 });
  });

  it('spreads flows over the endpoints, and walks on average half of KUBE-SERVICES', () => {
    const engine = engineWith(syntheticServices(200, 4), { evaluator });
    const packets = new PacketBatch(4000);
    const verdicts = new verdict.VerdictBatch(4000);
    const work = new Counters(4000);
    packets.length = 4000;
    const hits = new Map<number, number>();
    let scanned = 0;
    for (let i = 0; i < 4000; i++) {
      packets.srcAddress[i] = POD;
      packets.srcPort[i] = 10_000 + i;
      packets.dstAddress[i] = 0xac1e0000 + (i % 200);
      packets.dstPort[i] = 80;
      packets.protocol[i] = PROTOCOL_TCP;
      packets.tcpFlags[i] = TCP_SYN;
      packets.origin[i] = ORIGIN_POD;
    }
    engine.process(packets, verdicts, work);
    for (let i = 0; i < 4000; i++) {
      const endpoint = verdicts.dstAddress[i] % 4;
      hits.set(endpoint, (hits.get(endpoint) ?? 0) + 1);
      scanned += work.rows[i * COUNTER_STRIDE + COUNTER_NAMES.indexOf('service_rules_scanned')];
    }
    expect(scanned / 4000).toBe(100.5);
    for (const count of hits.values()) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });

  it('forgets UDP flows to endpoints that are gone, and leaves TCP flows', () => {
    const endpoints = [readyEndpoint(ENDPOINT, 53)];
    const dns = syntheticService({ id: 1, protocol: PROTOCOL_UDP, endpoints });
    const web = syntheticService({ id: 2, endpoints });
    const engine = engineWith([dns, web], { evaluator });
    send(engine, { dst: CLUSTER_IP, dport: 80, protocol: PROTOCOL_UDP });
    send(engine, { dst: CLUSTER_IP + 1, dport: 80 });
    const moved = [readyEndpoint(ENDPOINT + 1, 53)];
    const unserved = engine.apply({ upserted: [{ ...dns, endpoints: [] }], removedIds: [] }, NS_PER_S);
    expect(unserved.conntrackDeletes).toBe(0);
    const webMoved = engine.apply({ upserted: [{ ...web, endpoints: moved }], removedIds: [] }, NS_PER_S);
    expect(webMoved.conntrackDeletes).toBe(0);
    const report = engine.apply({ upserted: [{ ...dns, endpoints: moved }], removedIds: [] }, NS_PER_S);
    expect(report.conntrackDeletes).toBe(1);
    const again = send(engine, { dst: CLUSTER_IP, dport: 80, protocol: PROTOCOL_UDP, seconds: 2 });
    expect(again.verdict).toMatchObject({ first: 1, dstAddress: ENDPOINT + 1 });
    const tcp = send(engine, { dst: CLUSTER_IP + 1, dport: 80, seconds: 2 });
    expect(tcp.verdict).toMatchObject({ first: 0, dstAddress: ENDPOINT });
  });

  it('gives one answer whether packets come in one batch or one by one', () => {
    const engines = [
      engineWith(syntheticServices(20, 3), { evaluator }),
      engineWith(syntheticServices(20, 3), { evaluator }),
    ];
    const packets = new PacketBatch(50);
    packets.length = 50;
    const together = new verdict.VerdictBatch(50);
    for (let i = 0; i < 50; i++) {
      packets.srcAddress[i] = POD + (i % 5);
      packets.srcPort[i] = 40_000;
      packets.dstAddress[i] = 0xac1e0000 + (i % 25);
      packets.dstPort[i] = 80;
      packets.protocol[i] = PROTOCOL_TCP;
      packets.tcpFlags[i] = TCP_SYN;
      packets.origin[i] = ORIGIN_POD;
    }
    engines[0].process(packets, together, new Counters(50));
    for (let i = 0; i < 50; i++) {
      const single = send(engines[1], {
        src: packets.srcAddress[i],
        dst: packets.dstAddress[i],
        dport: 80,
      });
      expect(single.verdict.dstAddress).toBe(together.dstAddress[i]);
    }
  });
});

describe('sync', () => {
  it('must come before apply', () => {
    const engine = createIptablesEngine(syntheticWorld());
    expect(() => engine.apply({ upserted: [], removedIds: [] }, 0)).toThrow('must be sync');
  });

  it('refuses two service ports of one id', () => {
    expect(() => engineWith([one, one])).toThrow('id 1');
  });
});

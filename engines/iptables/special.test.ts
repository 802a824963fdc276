/** What a service port may have beyond cluster IP and node port, and what kube-proxy may be told: packet by packet, rule by rule. */
import { describe, expect, it } from 'vitest';
import { parseCidr, parseIpv4 } from '../../model/address.ts';
import type { Cidr } from '../../model/address.ts';
import type { NodeSpec, ServiceExtras, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { CURRENT_KUBE_PROXY } from '../../model/kube-proxy.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, TCP_ACK, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_SCTP, PROTOCOL_UDP } from '../../model/protocol.ts';
import * as verdict from '../../model/verdict.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import type { ServiceShape } from '../synthetic.ts';
import { NODE_ADDRESS, readyEndpoint, syntheticService, syntheticWorld } from '../synthetic.ts';
import { createIptablesEngine } from './engine.ts';
import { POD, send } from './send.ts';
import type { Sent } from './send.ts';

const CLUSTER_IP = 0xac1e0001;
const VIP = ip('198.51.100.1');
const EXTERNAL = ip('203.0.113.200');
const OUTSIDE = ip('203.0.113.1');
const STRANGER = ip('192.0.2.1');
const HERE = { ...readyEndpoint(0x0a000105, 8080), nodeName: 'node-1' };
const THERE = readyEndpoint(0x0a000205, 8080);

function ip(text: string): number {
  return parseIpv4(text) as number;
}

function cidr(text: string): Cidr {
  return parseCidr(text) as Cidr;
}

function withExtras(extras: Partial<ServiceExtras>, shape: Partial<ServiceShape> = {}): ServicePort {
  return {
    ...syntheticService({ id: 1, endpoints: [THERE], ...shape }),
    extras: { ...NO_SERVICE_EXTRAS, ...extras },
  };
}

const outside = (sent: Partial<Sent> & { readonly dst: number }): Sent => ({
  src: OUTSIDE,
  dport: 80,
  origin: ORIGIN_EXTERNAL,
  ...sent,
});

describe.each(['literal', 'indexed'] as const)('iptables engine, %s: special service ports', (evaluator) => {
  function engineWith(svc: ServicePort, options: Partial<EngineOptions> = {}, node: Partial<NodeSpec> = {}): Engine {
    const world = syntheticWorld({ evaluator, masqueradeRandomFully: false, ...options });
    const engine = createIptablesEngine({ ...world, node: { ...world.node, ...node } });
    engine.sync({ servicePorts: [svc] }, 0);
    return engine;
  }

  it('lets in who is in a source range, and drops the rest in the filter table', () => {
    const svc = withExtras({ loadBalancerVips: [VIP], loadBalancerSourceRanges: [cidr('203.0.113.0/24')] });
    const engine = engineWith(svc);
    const inside = send(engine, outside({ dst: VIP }));
    expect(inside.verdict).toMatchObject({
      outcome: verdict.OUTCOME_ENDPOINT,
      masqueraded: 1,
      dstAddress: THERE.address,
    });
    // nat: PREROUTING 1, KUBE-SERVICES 2, KUBE-FW 1, KUBE-EXT 2 and KUBE-MARK-MASQ 1, KUBE-SVC 2, KUBE-SEP 2;
    // filter: FORWARD 2, KUBE-PROXY-FIREWALL 1, KUBE-FORWARD 2; nat: POSTROUTING 1, KUBE-POSTROUTING 3.
    expect(inside.work).toMatchObject({ rules_evaluated: 11 + 5 + 4, service_rules_scanned: 2 + 1 });
    const stranger = send(engine, outside({ src: STRANGER, dst: VIP }));
    expect(stranger.verdict).toMatchObject({
      outcome: verdict.OUTCOME_DROP,
      reason: verdict.REASON_SOURCE_RANGE,
      servicePortId: 1,
      first: 1,
      dstAddress: VIP,
    });
    // KUBE-FW's last rule, which has no target, matches; then the walk of KUBE-SERVICES goes on to its last rule.
    expect(stranger.work).toEqual({
      rules_evaluated: 1 + 2 + 2 + 1 + 2,
      rules_matched: 5,
      service_rules_scanned: 2 + 1 + 1,
      jumps: 3,
      rule_bytes: 440 + 2 * 488 + 2 * 440 + 480 + 640 + 488,
      conntrack_lookups: 1,
    });
  });

  it('lets the node in by the address of the load balancer when a range holds the node', () => {
    const ranges = { loadBalancerVips: [VIP], loadBalancerSourceRanges: [cidr('192.168.0.0/24')] };
    const engine = engineWith(withExtras(ranges));
    expect(send(engine, { src: VIP, dst: VIP, dport: 80, origin: ORIGIN_HOST }).verdict.outcome).toBe(
      verdict.OUTCOME_ENDPOINT,
    );
    expect(send(engine, outside({ dst: VIP })).verdict.reason).toBe(verdict.REASON_SOURCE_RANGE);
  });

  it('under external Local: outside packets find local endpoints alone and keep their source, pods and the node find all', () => {
    const svc = withExtras(
      { externalIps: [EXTERNAL], externalPolicyLocal: true },
      { endpoints: [HERE, THERE], nodePort: 30_001 },
    );
    const engine = engineWith(svc);
    for (let sport = 1000; sport < 1020; sport++) {
      const through = send(engine, outside({ dst: EXTERNAL, sport })).verdict;
      expect(through).toMatchObject({ masqueraded: 0, srcAddress: OUTSIDE, dstAddress: HERE.address });
      const nodePort = send(engine, outside({ dst: NODE_ADDRESS, dport: 30_001, sport })).verdict;
      expect(nodePort).toMatchObject({ masqueraded: 0, dstAddress: HERE.address });
    }
    const seen = (sent: Sent): Set<number> => {
      const flows = Array.from({ length: 20 }, (_, k) => send(engine, { ...sent, sport: 2000 + k }).verdict);
      return new Set(flows.map((flow) => flow.dstAddress));
    };
    expect(seen({ dst: EXTERNAL, dport: 80 }).size).toBe(2);
    expect(seen({ src: NODE_ADDRESS, dst: EXTERNAL, dport: 80, origin: ORIGIN_HOST }).size).toBe(2);
    const host = send(engine, { src: NODE_ADDRESS, sport: 3000, dst: EXTERNAL, dport: 80, origin: ORIGIN_HOST });
    expect(host.verdict.masqueraded).toBe(1);
  });

  it('drops where a Local policy has endpoints elsewhere only, and rejects where there are none', () => {
    const local = { externalIps: [EXTERNAL], externalPolicyLocal: true, internalPolicyLocal: true };
    const engine = engineWith(withExtras(local));
    const dropped = { outcome: verdict.OUTCOME_DROP, reason: verdict.REASON_NO_LOCAL_ENDPOINTS, servicePortId: 1 };
    expect(send(engine, outside({ dst: EXTERNAL })).verdict).toMatchObject(dropped);
    expect(send(engine, { dst: CLUSTER_IP, dport: 80 }).verdict).toMatchObject(dropped);
    expect(send(engine, { dst: EXTERNAL, dport: 80 }).verdict.outcome).toBe(verdict.OUTCOME_ENDPOINT);
    engine.apply({ upserted: [withExtras(local, { endpoints: [] })], removedIds: [] }, 0);
    const rejected = { outcome: verdict.OUTCOME_REJECT, reason: verdict.REASON_NO_ENDPOINTS, servicePortId: 1 };
    expect(send(engine, outside({ dst: EXTERNAL, sport: 2 })).verdict).toMatchObject(rejected);
  });

  it('keeps a client with its endpoint until the time-out is over', () => {
    const svc = withExtras({ affinitySeconds: 10 }, { endpoints: [HERE, THERE, readyEndpoint(0x0a000305, 8080)] });
    const engine = engineWith(svc);
    const first = send(engine, { dst: CLUSTER_IP, dport: 80 });
    // Three checks at places 1 to 3 in some order, and the endpoint's own set.
    expect(first.work).toMatchObject({ recent_tests: 4 });
    const { dstAddress } = first.verdict;
    for (let k = 1; k <= 20; k++) {
      const later = send(engine, { dst: CLUSTER_IP, dport: 80, sport: 1000 + k, seconds: k * 10 });
      expect(later.verdict.dstAddress).toBe(dstAddress);
      expect(later.work).not.toHaveProperty('statistic_rules');
    }
    const forgotten = send(engine, { dst: CLUSTER_IP, dport: 80, sport: 5000, seconds: 210.000000001 });
    expect(forgotten.work).toHaveProperty('statistic_rules');
    const clients = Array.from({ length: 30 }, (_, k) => send(engine, { src: POD + 1 + k, dst: CLUSTER_IP, dport: 80, seconds: 300 })); // prettier-ignore
    expect(new Set(clients.map((client) => client.verdict.dstAddress)).size).toBe(3);
  });

  it('keeps its lists through partial syncs, and forgets those of endpoints that are gone', () => {
    const svc = withExtras({ affinitySeconds: 1000 }, { endpoints: [HERE, THERE] });
    const engine = engineWith(svc);
    const { dstAddress } = send(engine, { dst: CLUSTER_IP, dport: 80 }).verdict;
    engine.apply({ upserted: [withExtras({ affinitySeconds: 1000 }, { endpoints: [HERE, THERE, readyEndpoint(0x0a000305, 8080)] })], removedIds: [] }, 0); // prettier-ignore
    const later = send(engine, { dst: CLUSTER_IP, dport: 80, sport: 2 });
    expect(later.verdict.dstAddress).toBe(dstAddress);
    const other = dstAddress === HERE.address ? THERE : HERE;
    engine.apply({ upserted: [withExtras({ affinitySeconds: 1000 }, { endpoints: [other] })], removedIds: [] }, 0);
    engine.apply({ upserted: [svc], removedIds: [] }, 0);
    const anew = send(engine, { dst: CLUSTER_IP, dport: 80, sport: 3 });
    expect(anew.work).toMatchObject({ recent_tests: 3, statistic_rules: 1 });
  });

  it('accepts the health check of a Service with local traffic', () => {
    const svc = withExtras(
      { loadBalancerVips: [VIP], externalPolicyLocal: true, healthCheckNodePort: 31_000 },
      { endpoints: [] },
    );
    const { verdict: accepted, work } = send(engineWith(svc), outside({ dst: NODE_ADDRESS, dport: 31_000 }));
    expect(accepted).toMatchObject({ outcome: verdict.OUTCOME_ACCEPT, servicePortId: -1 });
    expect(work).toMatchObject({
      rules_evaluated: 2 + 5,
      rules_matched: 2 + 4,
      service_rules_scanned: 1 + 1,
      jumps: 5,
    });
  });

  it('knows that the match of SCTP is larger', () => {
    const engine = engineWith(syntheticService({ id: 1, protocol: PROTOCOL_SCTP, endpoints: [THERE] }));
    const { verdict: translated, work } = send(engine, { dst: CLUSTER_IP, dport: 80, protocol: PROTOCOL_SCTP });
    expect(translated).toMatchObject({ outcome: verdict.OUTCOME_ENDPOINT, dstAddress: THERE.address });
    const filter = 640 + 440 + 352 + 488 + 640 + 640 + 640;
    expect(work).toMatchObject({ rule_bytes: 440 + 768 + 768 + 440 + 440 + 784 + filter + (440 + 200) });
    expect(send(engine, { dst: CLUSTER_IP, dport: 80, protocol: PROTOCOL_UDP }).verdict.outcome).toBe(
      verdict.OUTCOME_ACCEPT,
    );
  });

  it('writes masquerade rules of old in front of the jumps: the verdicts are the same, the walks longer', () => {
    const kubeProxy = { ...CURRENT_KUBE_PROXY, masqueradeRules: 'dispatch' as const };
    const svc = { ...withExtras({ externalIps: [EXTERNAL] }), nodePort: 30_001 };
    const plain = syntheticService({ id: 1, nodePort: 30_001, endpoints: [THERE] });
    for (const each of [svc, plain]) {
      const engines = [engineWith(each), engineWith(each, { kubeProxy })];
      const packets = [
        outside({ dst: CLUSTER_IP }),
        { dst: CLUSTER_IP, dport: 80 },
        outside({ dst: NODE_ADDRESS, dport: 30_001 }),
      ];
      const scanned = packets.map((sent) => {
        const [now, before] = engines.map((engine) => send(engine, sent));
        expect(before.verdict).toEqual(now.verdict);
        return [now, before].map(({ work }) => (work as Record<string, number>).service_rules_scanned);
      });
      expect(scanned[0]).toEqual([1, 2]);
      expect(scanned[1]).toEqual([1, 2]);
      expect(scanned[2][1]).toBeGreaterThan(scanned[2][0] + 1);
    }
  });

  describe('options', () => {
    const plain = syntheticService({ id: 1, nodePort: 30_001, endpoints: [THERE] });
    const throughNodePort = (dst: number): Sent => outside({ dst, dport: 30_001 });

    it('masqueradeRandomFully: draws a source port at once', () => {
      const { verdict: masqueraded, work } = send(
        engineWith(plain, { masqueradeRandomFully: true }),
        throughNodePort(NODE_ADDRESS),
      );
      expect(masqueraded.srcPort).not.toBe(40_000);
      expect(work).toMatchObject({ port_tries: 1, conntrack_lookups: 2, nat_setups: 2 });
    });

    it('conntrackMax: drops what the table has no room for', () => {
      const engine = engineWith(plain, { conntrackMax: 1 });
      send(engine, { dst: CLUSTER_IP, dport: 80 });
      const full = send(engine, { dst: CLUSTER_IP, dport: 80, sport: 2 });
      expect(full.verdict).toMatchObject({
        outcome: verdict.OUTCOME_DROP,
        reason: verdict.REASON_CONNTRACK_FULL,
        first: 0,
        dstAddress: CLUSTER_IP,
      });
      expect(full.work).toEqual({ conntrack_lookups: 1 });
      expect(send(engine, { dst: CLUSTER_IP, dport: 80, sport: 2, seconds: 120 }).verdict.first).toBe(1);
    });

    it('conntrackTcpLiberal: forwards what is INVALID', () => {
      const engine = engineWith(plain, { conntrackTcpLiberal: true });
      const { verdict: passed, work } = send(engine, { dst: CLUSTER_IP, dport: 80, flags: TCP_SYN | TCP_ACK });
      expect(passed).toMatchObject({ outcome: verdict.OUTCOME_ACCEPT, reason: verdict.REASON_INVALID });
      expect(work).toMatchObject({ rules_evaluated: 6, rules_matched: 1 });
    });

    it('nodePortAddresses: node ports answer there alone', () => {
      const addresses = [NODE_ADDRESS, NODE_ADDRESS + 1, NODE_ADDRESS + 2];
      const nodePortAddresses = [cidr('192.168.0.4/32'), cidr('192.168.0.2/31')];
      const engine = engineWith(plain, { nodePortAddresses }, { addresses: [...addresses, NODE_ADDRESS + 7] });
      for (const address of addresses) {
        expect(send(engine, throughNodePort(address)).verdict.outcome).toBe(verdict.OUTCOME_ENDPOINT);
      }
      const elsewhere = send(engine, throughNodePort(NODE_ADDRESS + 7));
      expect(elsewhere.verdict.outcome).toBe(verdict.OUTCOME_ACCEPT);
      // The cluster IP, and three last rules of which none fits.
      expect(elsewhere.work).toMatchObject({ service_rules_scanned: 1 + 3 });
      const atLoopback: Sent = { src: 0x7f000001, dst: 0x7f000001, dport: 30_001, origin: ORIGIN_HOST };
      expect(send(engine, atLoopback).verdict.outcome).toBe(verdict.OUTCOME_ACCEPT);
    });

    it('localhostNodePorts and its counter', () => {
      const sent: Sent = { src: 0x7f000001, dst: 0x7f000001, dport: 30_001, origin: ORIGIN_HOST };
      const nfacct = { ctStateInvalid: false, localhostNodePorts: true };
      const bytes = (options: Partial<EngineOptions>): number => {
        const { verdict: translated, work } = send(engineWith(plain, options), sent);
        expect(translated.outcome).toBe(verdict.OUTCOME_ENDPOINT);
        return (work as Record<string, number>).rule_bytes;
      };
      expect(bytes({ nfacct }) - bytes({})).toBe(72);
      expect(send(engineWith(plain, { localhostNodePorts: false }), sent).verdict.outcome).toBe(verdict.OUTCOME_ACCEPT);
      // From elsewhere the counting rule is passed.
      const [counting, silent] = [{ nfacct }, {}].map((options) => send(engineWith(plain, options), throughNodePort(NODE_ADDRESS)).work as Record<string, number>); // prettier-ignore
      expect(counting.service_rules_scanned - silent.service_rules_scanned).toBe(1);
      expect(counting.rule_bytes - silent.rule_bytes).toBe(560);
    });

    it('detects pods by their interface', () => {
      const podInterface = { kind: 'bridge', name: 'cni0' } as const;
      const engine = engineWith(plain, {}, { podInterface });
      expect(send(engine, { src: OUTSIDE, dst: CLUSTER_IP, dport: 80 }).verdict.masqueraded).toBe(0);
      expect(send(engine, outside({ src: POD, sport: 2, dst: CLUSTER_IP })).verdict.masqueraded).toBe(1);
      const host: Sent = { src: POD, sport: 3, dst: CLUSTER_IP, dport: 80, origin: ORIGIN_HOST };
      expect(send(engine, host).verdict.masqueraded).toBe(1);
    });
  });
});

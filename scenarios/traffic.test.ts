import { describe, expect, it } from 'vitest';
import { cidrContains, parseCidr } from '../model/address.ts';
import type { Cidr } from '../model/address.ts';
import { NO_SERVICE_EXTRAS } from '../model/cluster.ts';
import { ORIGIN_EXTERNAL, ORIGIN_HOST, ORIGIN_POD } from '../model/packet.ts';
import { Rng } from '../sim/rng.ts';
import { buildCluster, PLAIN_SERVICES } from './cluster-builder.ts';
import { InputError } from './errors.ts';
import type { SyntheticCluster, TrafficSpec } from './spec.ts';
import { planTraffic } from './traffic.ts';

const synthetic: SyntheticCluster = {
  kind: 'synthetic',
  services: 10,
  endpointsPerService: 2,
  nodes: 3,
  deployments: false,
  observedNodes: 1,
  ...PLAIN_SERVICES,
  nodePortRatio: 0.2,
};
const cluster = buildCluster(synthetic);

const base: TrafficSpec = {
  connections: 2000,
  connectionsPerSecond: 1000,
  packetsPerConnection: { kind: 'constant', value: 5 },
  packetGapSeconds: { kind: 'constant', value: 0.001 },
  popularity: { kind: 'uniform' },
  nodePortRatio: 0,
  loadBalancerRatio: 0,
  externalIpRatio: 0,
  externalClients: 508,
  hostClientRatio: 0,
  clientPods: 4,
  onlyManifestServices: false,
  payloadBytes: 1000,
  retries: 0,
  retryBackoffSeconds: 0.1,
};

interface Connection {
  readonly startNs: number;
  readonly client: string;
  readonly origin: number;
  readonly dst: string;
  readonly servicePortId: number;
  readonly packets: number;
}

function all(spec: TrafficSpec, seed = 1, on = cluster): Connection[] {
  const source = planTraffic(spec, on, new Rng(seed));
  const list: Connection[] = [];
  while (source.next()) {
    const { startNs, origin, servicePortId, packets } = source;
    const client = `${source.clientAddress}:${source.clientPort}`;
    list.push({
      startNs,
      client,
      origin,
      dst: `${source.protocol}/${source.dstAddress}:${source.dstPort}`,
      servicePortId,
      packets,
    });
  }
  return list;
}

const share = (list: readonly Connection[], wanted: (each: Connection) => boolean) =>
  list.filter(wanted).length / list.length;

describe('ports of clients', () => {
  const ports = (spec: TrafficSpec): number[] => all(spec).map(({ client }) => Number(client.split(':')[1]));

  it('go round in a ring as large as asked for', () => {
    const few = ports({ ...base, clientPods: 1, clientPorts: 3, connections: 7 });
    expect([...new Set(few)].sort()).toEqual([32_768, 32_769, 32_770]);
    few.forEach((port, i) => expect(port).toBe(32_768 + ((few[0] - 32_768 + i) % 3)));
  });

  it('are those of the whole range unless asked for, and retries take none of them', () => {
    const source = planTraffic({ ...base, clientPods: 1, connections: 5 }, cluster, new Rng(1));
    const taken: number[] = [];
    const retried: number[] = [];
    while (source.next()) {
      taken.push(source.clientPort);
      retried.push(source.retryPort(source.client));
    }
    taken.forEach((port, i) => expect(port).toBe(taken[0] + i));
    retried.forEach((port, i) => expect(port).toBe(taken[0] - 1 - i));
    expect(taken).toEqual(ports({ ...base, clientPods: 1, connections: 5 }));
    expect(source.followingPort(60_999)).toBe(32_768);
    expect(source.followingPort(40_000)).toBe(40_001);
  });
});

describe('planTraffic', () => {
  it('gives as many connections as asked for, in order of integer times, at the rate asked for', () => {
    const list = all({ ...base, connections: 20_000 });
    expect(list.length).toBe(20_000);
    for (let i = 1; i < list.length; i++) {
      expect(Number.isSafeInteger(list[i].startNs)).toBe(true);
      expect(list[i].startNs).toBeGreaterThanOrEqual(list[i - 1].startNs);
    }
    // 20,000 exponential gaps: the sum's standard deviation is 0.7 % of its mean.
    expect(list[list.length - 1].startNs / 20e9).toBeGreaterThan(0.97);
    expect(list[list.length - 1].startNs / 20e9).toBeLessThan(1.03);
  });

  it('is the same for a seed and another for another', () => {
    expect(all(base)).toEqual(all(base));
    expect(all(base, 2)).not.toEqual(all(base));
  });

  it('keeps one aspect apart from another', () => {
    const plain = all(base);
    const changed = all({
      ...base,
      packetsPerConnection: { kind: 'lognormal', median: 4, sigma: 1 },
      popularity: { kind: 'zipf', exponent: 1 },
    });
    expect(changed.map((each) => [each.startNs, each.client])).toEqual(
      plain.map((each) => [each.startNs, each.client]),
    );
    const mixed = all({ ...base, hostClientRatio: 0.5 });
    expect(mixed.map((each) => each.servicePortId)).toEqual(plain.map((each) => each.servicePortId));
  });

  it('spreads uniformly, by Zipf, or to one service', () => {
    const uniform = all({ ...base, connections: 10_000 });
    for (let id = 0; id < 10; id++) expect(share(uniform, (each) => each.servicePortId === id)).toBeCloseTo(0.1, 1);
    const zipf = all({ ...base, connections: 10_000, popularity: { kind: 'zipf', exponent: 1 } });
    // H(10) = 2.929.
    expect(share(zipf, (each) => each.servicePortId === 0)).toBeGreaterThan(0.31);
    expect(share(zipf, (each) => each.servicePortId === 0)).toBeLessThan(0.37);
    expect(share(zipf, (each) => each.servicePortId === 9)).toBeGreaterThan(0.02);
    expect(
      new Set(all({ ...base, popularity: { kind: 'one', service: '7' } }).map((each) => each.servicePortId)),
    ).toEqual(new Set([6]));
    expect(() => all({ ...base, popularity: { kind: 'one', service: 'svc-11' } })).toThrow(InputError);
  });

  it('sends pods, the host and the outside in their shares, with addresses of their own', () => {
    const list = all({ ...base, connections: 10_000, nodePortRatio: 0.3, hostClientRatio: 0.2 });
    expect(share(list, (each) => each.origin === ORIGIN_EXTERNAL)).toBeCloseTo(0.3, 1);
    expect(share(list, (each) => each.origin === ORIGIN_HOST)).toBeCloseTo(0.2, 1);
    const outside = ['203.0.113.0/24', '198.51.100.0/24'].map((text) => parseCidr(text) as Cidr);
    for (const each of list) {
      const [address, port] = each.client.split(':').map(Number) as [number, number];
      expect(port).toBeGreaterThanOrEqual(32768);
      expect(port).toBeLessThanOrEqual(60999);
      const target = cluster.state.servicePorts[each.servicePortId];
      if (each.origin === ORIGIN_EXTERNAL) {
        expect(outside.some((block) => cidrContains(block, address))).toBe(true);
        expect(each.dst).toBe(`6/${cluster.node.addresses[0]}:${target.nodePort}`);
        expect(target.nodePort).toBeGreaterThan(0);
      } else {
        expect(each.dst).toBe(`6/${target.clusterIp}:80`);
        if (each.origin === ORIGIN_HOST) expect(address).toBe(cluster.node.addresses[0]);
        else expect(cidrContains(cluster.podBlock, address)).toBe(true);
      }
    }
    expect(
      new Set(list.filter((each) => each.origin === ORIGIN_POD).map((each) => each.client.split(':')[0])).size,
    ).toBe(4);
  });

  it('uses a client port again only after all others', () => {
    const list = all({ ...base, connections: 28_232, clientPods: 1 });
    expect(new Set(list.map((each) => each.client)).size).toBe(28_232);
  });

  it('rounds packets to at least one and gaps to whole nanoseconds', () => {
    const list = all({ ...base, packetsPerConnection: { kind: 'exponential', mean: 2 } });
    expect(Math.min(...list.map((each) => each.packets))).toBe(1);
    expect(list.every((each) => Number.isInteger(each.packets))).toBe(true);
    const source = planTraffic(
      { ...base, packetGapSeconds: { kind: 'exponential', mean: 0.001 } },
      cluster,
      new Rng(1),
    );
    let sum = 0;
    for (let i = 0; i < 10_000; i++) {
      const gap = source.gapNs();
      expect(Number.isInteger(gap)).toBe(true);
      sum += gap;
    }
    expect(sum / 10_000 / 1e6).toBeCloseTo(1, 1);
    expect(planTraffic(base, cluster, new Rng(1)).gapNs()).toBe(1e6);
  });

  it('sends what would come through a node port from pods when no service has one', () => {
    const plain = buildCluster({ ...synthetic, nodePortRatio: 0 });
    expect(new Set(all({ ...base, nodePortRatio: 1 }, 1, plain).map((each) => each.origin))).toEqual(
      new Set([ORIGIN_POD]),
    );
  });

  it('refuses more client pods than the block of the node can hold', () => {
    const small = { ...cluster, podBlock: parseCidr('10.9.0.0/29') as Cidr };
    expect(() => planTraffic({ ...base, clientPods: 6 }, small, new Rng(1))).toThrow(/has room for 5 client pods/);
    expect(() => planTraffic({ ...base, clientPods: 5 }, small, new Rng(1))).not.toThrow();
  });

  it('comes from outside by every way in, in the shares asked for', () => {
    const on = buildCluster({ ...synthetic, loadBalancerRatio: 0.3, externalIpRatio: 0.1 });
    const spec = { ...base, connections: 20_000, nodePortRatio: 0.1, loadBalancerRatio: 0.2, externalIpRatio: 0.3 };
    const list = all({ ...spec, hostClientRatio: 0.1 }, 1, on);
    const to = (block: string) => (each: Connection) =>
      cidrContains(parseCidr(block) as Cidr, Number(/\/(\d+):/.exec(each.dst)?.[1]));
    const outside = list.filter((each) => each.origin === ORIGIN_EXTERNAL);
    expect(share(list, (each) => each.origin === ORIGIN_EXTERNAL)).toBeCloseTo(0.6, 1);
    expect(share(list, to('100.64.0.0/11'))).toBeCloseTo(0.2, 1);
    expect(share(list, to('100.96.0.0/11'))).toBeCloseTo(0.3, 1);
    expect(share(list, to('192.168.0.11/32'))).toBeCloseTo(0.1, 1);
    expect(share(list, (each) => each.origin === ORIGIN_HOST)).toBeCloseTo(0.1, 1);
    // Three services have a load balancer, one an external IP; the port is the service's own.
    expect(new Set(outside.filter(to('100.64.0.0/11')).map((each) => each.servicePortId))).toEqual(new Set([0, 1, 2]));
    expect(new Set(outside.filter(to('100.96.0.0/11')).map((each) => each.servicePortId))).toEqual(new Set([0]));
    expect(outside.filter(to('100.64.0.0/11')).every((each) => each.dst.endsWith(':80'))).toBe(true);
  });

  it('comes back from the same few clients outside where there are few', () => {
    const spec = { ...base, nodePortRatio: 1, externalClients: 3 };
    const clients = new Set(all(spec).map((each) => Number(each.client.split(':')[0])));
    expect([...clients].sort((a, b) => a - b)).toEqual([0xcb007101, 0xcb007102, 0xcb007103]);
    // More clients move the connections to other addresses and change nothing else.
    const many = all({ ...spec, externalClients: 508 });
    expect(many.map((each) => [each.startNs, each.servicePortId, each.dst])).toEqual(
      all(spec).map((each) => [each.startNs, each.servicePortId, each.dst]),
    );
  });

  it('lets a client keep to one of several addresses', () => {
    const [first, ...rest] = cluster.state.servicePorts;
    const extras = { ...NO_SERVICE_EXTRAS, loadBalancerVips: [1, 2, 3] };
    const on = { ...cluster, state: { servicePorts: [{ ...first, extras }, ...rest] } };
    const list = all({ ...base, loadBalancerRatio: 1, externalClients: 5 }, 1, on);
    const pairs = new Set(list.map((each) => `${each.client.split(':')[0]} ${each.dst}`));
    expect(new Set(list.map((each) => each.dst)).size).toBe(3);
    expect(pairs.size).toBe(5);
  });
});

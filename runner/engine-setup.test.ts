import { describe, expect, it } from 'vitest';
import { DEFAULT_ENGINE_OPTIONS } from '../engines/engine.ts';
import { parseCidr } from '../model/address.ts';
import type { Cidr } from '../model/address.ts';
import type { NodeSpec } from '../model/cluster.ts';
import { kubeProxyBehaviour } from '../model/kube-proxy-versions.ts';
import { NS_PER_S } from '../model/time.ts';
import { CLUSTER, HEAD, load } from '../scenarios/load-fixtures.ts';
import { engineFactory, engineOptions, observedNode, proxierTiming } from './engine-setup.ts';

const proxy = (lines = '') => load(`${HEAD}${CLUSTER}${lines}`).resolvePoint({}).proxy;
const NODE: NodeSpec = {
  name: 'n',
  addresses: [0xc0a80002, 0xc0a80003],
  clusterCidr: parseCidr('10.0.0.0/8') as Cidr,
  zone: 'a',
};

describe('engineOptions', () => {
  it('are the defaults of the engines where an experiment says nothing', () => {
    expect(engineOptions(proxy(), 'iptables', NODE)).toEqual(DEFAULT_ENGINE_OPTIONS);
    expect(engineOptions(proxy(), 'ipvs', NODE)).toEqual(DEFAULT_ENGINE_OPTIONS);
  });

  it('leave conn_reuse_mode to kube-proxy, which sets it to 0 before Linux 5.9, unless told otherwise', () => {
    const mode = (lines: string) => engineOptions(proxy(`proxy: { ${lines} }\n`), 'ipvs', NODE);
    expect(mode('node_kernel: "5.8"')).toMatchObject({ kernel: [5, 8], ipvsConnReuseMode: 0 });
    expect(mode('node_kernel: "5.9"')).toMatchObject({ kernel: [5, 9], ipvsConnReuseMode: 1 });
    expect(mode('node_kernel: "5.8", ipvs_conn_reuse_mode: 1').ipvsConnReuseMode).toBe(1);
    expect(mode('ipvs_conn_reuse_mode: 0').ipvsConnReuseMode).toBe(0);
  });

  it('open node ports on the primary address in nftables mode, unless told otherwise', () => {
    const primary = [{ address: 0xc0a80002, mask: 0xffffffff, prefixLength: 32 }];
    expect(engineOptions(proxy(), 'nftables', NODE)).toEqual({ ...DEFAULT_ENGINE_OPTIONS, nodePortAddresses: primary });
    const all = proxy('proxy: { node_port_addresses: [0.0.0.0/0] }\n');
    expect(engineOptions(all, 'nftables', NODE).nodePortAddresses).toEqual([parseCidr('0.0.0.0/0')]);
    const asked = proxy('proxy: { node_port_addresses: [primary] }\n');
    expect(engineOptions(asked, 'iptables', NODE).nodePortAddresses).toEqual(primary);
  });

  it('carry every setting and the behaviour of the version', () => {
    const lines =
      'kubeProxy: v1.26\nproxy: { masquerade_random_fully: false, localhost_node_ports: false, nfacct: true, conntrack_tcp_liberal: true, conntrack_max: 77, service_cidrs: [10.96.0.0/12] }\n';
    expect(engineOptions(proxy(lines), 'iptables', NODE)).toEqual({
      ...DEFAULT_ENGINE_OPTIONS,
      kubeProxy: kubeProxyBehaviour(26),
      masqueradeRandomFully: false,
      localhostNodePorts: false,
      nfacct: { ctStateInvalid: true, localhostNodePorts: true },
      conntrackTcpLiberal: true,
      conntrackMax: 77,
      serviceCidrs: [parseCidr('10.96.0.0/12')],
    });
  });
});

describe('observedNode', () => {
  const node = (detect: string) => observedNode(NODE, proxy(`proxy: { detect_local: ${detect} }\n`));

  it('has the local detector that is asked for and no other', () => {
    expect(node('cidr')).toBe(NODE);
    const bare = { name: NODE.name, addresses: NODE.addresses, zone: 'a' };
    expect(node('none')).toEqual(bare);
    expect(node('{ cidr: 10.1.0.0/16 }')).toEqual({ ...bare, clusterCidr: parseCidr('10.1.0.0/16') });
    expect(node('{ bridge: cni0 }')).toEqual({ ...bare, podInterface: { kind: 'bridge', name: 'cni0' } });
    expect(node('{ prefix: veth }')).toEqual({ ...bare, podInterface: { kind: 'prefix', name: 'veth' } });
  });
});

describe('proxierTiming', () => {
  it('resyncs by the hour or by the syncPeriod, as the mode does', () => {
    const hours = (['iptables', 'nftables', 'ipvs', 'userspace'] as const).map(
      (mode) => proxierTiming(proxy(), mode).maxIntervalNs / NS_PER_S,
    );
    expect(hours).toEqual([3600, 3600, 30, 30]);
  });

  it.each([
    ['v1.19', 'token-bucket', 0, 0],
    ['v1.30', 'token-bucket', 1, 0],
    ['v1.33', 'token-bucket', 1, 1],
    ['v1.35', 'from-completion', 1, 1],
  ])('of %s has the %s runner and its default of minSyncPeriod', (version, runner, iptables, ipvs) => {
    const spec = proxy(`kubeProxy: ${version}\n`);
    expect(proxierTiming(spec, 'iptables')).toMatchObject({ syncRunner: runner, minSyncPeriodNs: iptables * NS_PER_S });
    expect(proxierTiming(spec, 'ipvs').minSyncPeriodNs).toBe(ipvs * NS_PER_S);
  });

  it('takes a given minSyncPeriod, 0 included', () => {
    expect(proxierTiming(proxy('proxy: { min_sync_period_s: 0 }\n'), 'iptables').minSyncPeriodNs).toBe(0);
    expect(proxierTiming(proxy('proxy: { min_sync_period_s: 5 }\n'), 'ipvs').minSyncPeriodNs).toBe(5 * NS_PER_S);
  });
});

describe('engineFactory', () => {
  it('says which engines there are', () => {
    expect(() => engineFactory('nothing' as 'iptables')).toThrow(/no engine of nothing mode; there are iptables, ipvs/);
    expect(engineFactory('iptables')).toBeTypeOf('function');
  });
});

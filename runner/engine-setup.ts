/** What an engine and the control plane get of a point: kube-proxy's options, the observed node, its timing, the factory. */
import type { EndpointsApi } from '../control/endpoint-slices.ts';
import type { ProxierTiming } from '../control/proxier.ts';
import { DEFAULT_ENGINE_OPTIONS, IPVS_SCHEDULERS } from '../engines/engine.ts';
import type { EngineFactory, EngineName, EngineOptions, IpvsScheduler } from '../engines/engine.ts';
import { ipvsSysctls } from '../engines/ipvs/program/node-settings.ts';
import { ENGINES } from '../engines/registry.ts';
import type { Cidr } from '../model/address.ts';
import type { NodeSpec } from '../model/cluster.ts';
import { NS_PER_S } from '../model/time.ts';
import type { EndpointsSpec, ProxySpec } from '../scenarios/spec.ts';
import { assert } from '../sim/assert.ts';

/** Throws where no engine of this mode is there: the trial fails with that for its reason. */
export function engineFactory(name: EngineName): EngineFactory {
  if (Object.hasOwn(ENGINES, name)) return ENGINES[name];
  throw new Error(`There is no engine of ${name} mode; there are ${Object.keys(ENGINES).join(', ')}`);
}

/** The engine's options as the scenario's `proxy` section has them. */
export function engineOptions(proxy: ProxySpec, engine: EngineName, node: NodeSpec): EngineOptions {
  assert(isScheduler(proxy.ipvsScheduler), `Unknown IPVS scheduler ${proxy.ipvsScheduler}`);
  return {
    ...DEFAULT_ENGINE_OPTIONS,
    evaluator: proxy.evaluator,
    masqueradeAll: proxy.masqueradeAll,
    largeClusterEndpoints: proxy.largeClusterEndpoints,
    ipvsScheduler: proxy.ipvsScheduler,
    ipvsConnTabBits: proxy.ipvsConnTabBits,
    kernel: proxy.nodeKernel,
    ipvsConnReuseMode: proxy.ipvsConnReuseMode ?? connReuseMode(proxy.nodeKernel),
    kubeProxy: proxy.kubeProxy,
    masqueradeRandomFully: proxy.masqueradeRandomFully,
    localhostNodePorts: proxy.localhostNodePorts,
    nodePortAddresses: nodePortAddresses(proxy, engine, node),
    nfacct: { ctStateInvalid: proxy.nfacct, localhostNodePorts: proxy.nfacct },
    conntrackTcpLiberal: proxy.conntrackTcpLiberal,
    conntrackMax: proxy.conntrackMax,
    serviceCidrs: proxy.serviceCidrs,
  };
}

/** What kube-proxy leaves on a kernel whose own default is 1. */
function connReuseMode(kernel: readonly [number, number]): 0 | 1 {
  return ipvsSysctls(false, kernel).some(({ name, value }) => name.endsWith('/conn_reuse_mode') && value === 0) ? 0 : 1;
}

/** nftables mode opens node ports on the primary address unless told otherwise (pkg/proxy/util/nodeport_addresses.go), the others everywhere. */
function nodePortAddresses(
  { nodePortAddresses: given }: ProxySpec,
  engine: EngineName,
  node: NodeSpec,
): readonly Cidr[] {
  const wanted = given ?? (engine === 'nftables' ? 'primary' : []);
  if (wanted !== 'primary') return wanted;
  return node.addresses.slice(0, 1).map((address) => ({ address, mask: 0xffffffff, prefixLength: 32 }));
}

function isScheduler(name: string): name is IpvsScheduler {
  return (IPVS_SCHEDULERS as readonly string[]).includes(name);
}

/** The node with the local detector that `proxy.detect_local` asks for. */
export function observedNode(node: NodeSpec, { localDetection }: ProxySpec): NodeSpec {
  if (localDetection.kind === 'cluster') return node;
  const { name, addresses, zone } = node;
  const bare = { name, addresses, ...(zone === undefined ? {} : { zone }) };
  switch (localDetection.kind) {
    case 'none':
      return bare;
    case 'cidr':
      return { ...bare, clusterCidr: localDetection.cidr };
    case 'bridge':
    case 'prefix':
      return { ...bare, podInterface: { kind: localDetection.kind, name: localDetection.name } };
  }
}

/**
 * iptables and nftables resync unasked each hour, IPVS and userspace each syncPeriod (kube-proxy's NewProxier of each mode). nftables
 * and userspace mode have iptables' default of minSyncPeriod.
 */
export function proxierTiming(proxy: ProxySpec, engine: EngineName): ProxierTiming {
  const syncPeriodNs = proxy.syncPeriodSeconds * NS_PER_S;
  const defaults = proxy.kubeProxy.minSyncPeriodSeconds;
  const minSyncPeriodSeconds = proxy.minSyncPeriodSeconds ?? (engine === 'ipvs' ? defaults.ipvs : defaults.iptables);
  return {
    syncRunner: proxy.kubeProxy.syncRunner,
    minSyncPeriodNs: minSyncPeriodSeconds * NS_PER_S,
    syncPeriodNs,
    maxIntervalNs: engine === 'ipvs' || engine === 'userspace' ? syncPeriodNs : 3600 * NS_PER_S,
    carriesTraffic: engine === 'userspace',
  };
}

/** How kube-controller-manager writes endpoints. */
export function endpointsApi({ api, truncation, maxPerSlice, batchSeconds }: EndpointsSpec): EndpointsApi {
  return {
    kind: api,
    truncation,
    maxEndpointsPerSlice: maxPerSlice,
    batchNs: Math.round(batchSeconds * NS_PER_S),
  };
}

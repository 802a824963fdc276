/** What an engine simulates, as kube-proxy reads it from the API: typed service ports and options as the text that programs compile. */
import { formatCidr, formatIpv4 } from '../../model/address.ts';
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { protocolName } from '../../model/protocol.ts';
import type { ProxyConfig, ServicePortConfig } from '../../model/service-config.ts';
import type { EngineOptions } from '../engine.ts';
import { seenEndpoints } from './endpoints.ts';

/** kube-proxy's syncPeriod in seconds, which no engine option changes. */
const SYNC_PERIOD_SECONDS = 30;

export function servicePortConfig(svc: ServicePort, node: NodeSpec): ServicePortConfig {
  const extras = svc.extras ?? NO_SERVICE_EXTRAS;
  return {
    namespace: svc.namespace,
    name: svc.name,
    portName: svc.portName,
    protocol: protocolName(svc.protocol),
    clusterIp: formatIpv4(svc.clusterIp),
    port: svc.port,
    nodePort: svc.nodePort,
    externalIps: extras.externalIps.map(formatIpv4),
    loadBalancerVips: extras.loadBalancerVips.map(formatIpv4),
    loadBalancerSourceRanges: extras.loadBalancerSourceRanges.map(formatCidr),
    externalPolicyLocal: extras.externalPolicyLocal,
    internalPolicyLocal: extras.internalPolicyLocal,
    affinitySeconds: extras.affinitySeconds,
    healthCheckNodePort: extras.healthCheckNodePort,
    endpoints: seenEndpoints(svc, node).map((endpoint) => ({ ...endpoint, address: formatIpv4(endpoint.address) })),
  };
}

/** The configuration of kube-proxy on `node` that an engine with these options models. */
export function proxyConfig(node: NodeSpec, options: EngineOptions): ProxyConfig {
  const addresses = node.addresses.map(formatIpv4);
  return {
    ipFamily: 'IPv4',
    nodeName: node.name,
    nodeIp: addresses[0] ?? '',
    zone: node.zone ?? '',
    localDetector: localDetector(node),
    masqueradeAll: options.masqueradeAll,
    masqueradeMark: `0x${((1 << options.masqueradeBit) >>> 0).toString(16).padStart(8, '0')}`,
    masqueradeRandomFully: options.masqueradeRandomFully,
    localhostNodePorts: options.localhostNodePorts,
    nodePortAddresses: options.nodePortAddresses.map(formatCidr),
    interfaceAddresses: ['127.0.0.1', ...addresses],
    nfacct: options.nfacct,
    conntrackTcpLiberal: options.conntrackTcpLiberal,
    serviceCidrs: options.serviceCidrs.map(formatCidr),
    ipvsScheduler: options.ipvsScheduler,
    strictArp: false,
    excludeCidrs: [],
    largeClusterEndpoints: options.largeClusterEndpoints,
    syncPeriodSeconds: SYNC_PERIOD_SECONDS,
    kubeProxy: options.kubeProxy,
  };
}

function localDetector(node: NodeSpec): ProxyConfig['localDetector'] {
  if (node.podInterface !== undefined) return node.podInterface;
  return node.clusterCidr === undefined ? { kind: 'none' } : { kind: 'cidr', cidr: formatCidr(node.clusterCidr) };
}

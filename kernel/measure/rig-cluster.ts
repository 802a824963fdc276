/** The cluster that is measured: plain UDP Services whose every address is one of loopback, in the order of their names. */
import { formatIpv4 } from '../../model/address.ts';
import { CURRENT_KUBE_PROXY } from '../../model/kube-proxy.ts';
import { NO_EXTRAS } from '../../model/service-config.ts';
import type { EndpointConfig, ProxyConfig, ServicePortConfig } from '../../model/service-config.ts';

/**
 * The first octet of all addresses: 127 on a machine, where packets must never leave loopback; 10 in a guest, which has no network and
 * where IPVS binds its addresses.
 */
export type RigNetwork = 127 | 10;

export const SERVICE_PORT = 80;
export const ENDPOINT_PORT = 8080;

/** Endpoints, VIPs and senders have a /10, a /12 and a /11 of the network each. */
const ENDPOINT_OCTET = 16;
const VIP_OCTET = 96;
const SOURCE_OCTET = 200;
const ENDPOINT_ADDRESSES = 0x400000;

function address(network: RigNetwork, second: number, index: number): string {
  return formatIpv4(((network << 24) | (second << 16)) + index);
}

export function vip(network: RigNetwork, index: number): string {
  return address(network, VIP_OCTET, index);
}

/** The sender of flow 0; flow k comes from the address k further. Inside the detected local range: never masqueraded. */
export function firstSource(network: RigNetwork): string {
  return address(network, SOURCE_OCTET, 0);
}

/** Where a packet to no Service goes: an endpoint itself, where the load program listens. */
export function directTarget(network: RigNetwork): string {
  return address(network, ENDPOINT_OCTET, 0);
}

function endpoint(network: RigNetwork, index: number): EndpointConfig {
  return {
    address: address(network, ENDPOINT_OCTET, index % ENDPOINT_ADDRESSES),
    port: ENDPOINT_PORT,
    isLocal: false,
    ready: true,
    serving: true,
    terminating: false,
    zoneHints: [],
    nodeHints: [],
  };
}

/** Names have leading zeros: the canonical order of a dump is that of the numbers. `generation` moves every endpoint to other addresses. */
export function rigService(network: RigNetwork, index: number, endpoints: number, generation = 0): ServicePortConfig {
  const first = index * endpoints + generation * 0x100000;
  return {
    namespace: 'ns',
    name: `svc-${String(index).padStart(5, '0')}`,
    portName: 'p80',
    protocol: 'udp',
    clusterIp: vip(network, index),
    port: SERVICE_PORT,
    nodePort: 0,
    ...NO_EXTRAS,
    endpoints: Array.from({ length: endpoints }, (_, at) => endpoint(network, first + at)),
  };
}

export function rigServices(network: RigNetwork, services: number, endpoints: number): ServicePortConfig[] {
  return Array.from({ length: services }, (_, index) => rigService(network, index, endpoints));
}

/**
 * kube-proxy's defaults. Node ports are on one address that no packet of the rig goes to: the last rule of KUBE-SERVICES never matches. (By
 * default it asks whether the destination is the machine's own, which on loopback all are.)
 */
export function rigConfig(network: RigNetwork, ipvsScheduler = 'rr'): ProxyConfig {
  return {
    ipFamily: 'IPv4',
    nodeName: 'here',
    nodeIp: '127.0.0.1',
    zone: '',
    localDetector: { kind: 'cidr', cidr: `${network}.0.0.0/8` },
    masqueradeAll: false,
    masqueradeMark: '0x00004000',
    masqueradeRandomFully: true,
    localhostNodePorts: true,
    nodePortAddresses: ['127.0.0.1/32'],
    interfaceAddresses: ['127.0.0.1'],
    nfacct: { ctStateInvalid: false, localhostNodePorts: false },
    conntrackTcpLiberal: false,
    serviceCidrs: [],
    ipvsScheduler,
    strictArp: false,
    excludeCidrs: [],
    largeClusterEndpoints: 1000,
    syncPeriodSeconds: 30,
    kubeProxy: CURRENT_KUBE_PROXY,
  };
}

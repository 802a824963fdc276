/** Upstream's own expectations for IPVS mode, where the shared folder is present: the cases that the engine's manifest covers. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseIpv4 } from '../../model/address.ts';
import type { Endpoint, ServiceExtras, ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import type { Engine } from '../engine.ts';
import { ip, makeEngine } from './test-cluster.ts';

const goldens = join(process.env.CHAINWALK_SHARED ?? '../shared', 'goldens', 'ipvs');
const present = existsSync(goldens);

interface Port {
  readonly name: string;
  readonly protocol: string;
  readonly port?: number;
  readonly nodePort?: number;
}

interface ServiceSpec {
  readonly type: 'ClusterIP' | 'NodePort' | 'LoadBalancer';
  readonly clusterIP: string;
  readonly ports: readonly Port[];
  readonly externalIPs?: readonly string[];
  readonly externalTrafficPolicy?: string;
  readonly internalTrafficPolicy?: string;
  readonly healthCheckNodePort?: number;
}

interface KubernetesObject {
  readonly kind: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly metadata?: { readonly namespace: string; readonly name: string; readonly labels?: Record<string, string> };
  readonly spec?: ServiceSpec;
  readonly status?: { readonly loadBalancer?: { readonly ingress?: readonly { readonly ip: string }[] } };
  readonly ports?: readonly Port[];
  readonly endpoints?: readonly {
    readonly addresses: readonly string[];
    readonly nodeName?: string;
    readonly conditions?: { readonly ready?: boolean; readonly serving?: boolean; readonly terminating?: boolean };
  }[];
}

interface Step {
  readonly apply?: readonly KubernetesObject[];
  readonly delete?: readonly KubernetesObject[];
}

interface Golden {
  readonly proxy: { readonly nodeName: string; readonly nodeAddresses: readonly string[] };
  readonly objects?: readonly KubernetesObject[];
  readonly steps?: readonly Step[];
}

interface Expected {
  readonly virtualServerCount?: number;
  readonly realServers?: readonly string[];
  readonly realServersInOrder?: readonly string[];
  readonly ipsets?: Record<string, readonly string[]>;
  readonly iptablesChains?: Record<string, readonly { readonly jump: string; readonly matchSet: string }[]>;
  readonly 'kube-ipvs0 addresses'?: readonly string[];
  readonly 'KUBE-HEALTH-CHECK-NODE-PORT'?: readonly string[];
}

function protocolOf(port: Port): ServicePort['protocol'] {
  if (port.protocol === 'SCTP') return PROTOCOL_SCTP;
  return port.protocol === 'UDP' ? PROTOCOL_UDP : PROTOCOL_TCP;
}

/** serviceport.go newBaseServiceInfo, for what these cases use. */
function extrasOf(spec: ServiceSpec, status: KubernetesObject['status']): ServiceExtras {
  const { type, externalIPs = [], externalTrafficPolicy, internalTrafficPolicy, healthCheckNodePort = 0 } = spec;
  const externalPolicyLocal = externalTrafficPolicy === 'Local' && (type !== 'ClusterIP' || externalIPs.length > 0);
  return {
    ...NO_SERVICE_EXTRAS,
    externalIps: externalIPs.map(ip),
    loadBalancerVips: (status?.loadBalancer?.ingress ?? []).map((ingress) => ip(ingress.ip)),
    externalPolicyLocal,
    internalPolicyLocal: internalTrafficPolicy === 'Local',
    healthCheckNodePort: type === 'LoadBalancer' && externalPolicyLocal ? healthCheckNodePort : 0,
  };
}

/** Joins Services and IPv4 EndpointSlices as kube-proxy does, for the little that these cases use. */
function toServicePorts(objects: readonly KubernetesObject[]): ServicePort[] {
  const servicePorts: ServicePort[] = [];
  for (const { kind, metadata, spec, status } of objects) {
    if (kind !== 'Service' || metadata === undefined || spec === undefined) continue;
    const clusterIp = parseIpv4(spec.clusterIP);
    if (clusterIp === undefined) continue;
    for (const port of spec.ports) {
      servicePorts.push({
        id: servicePorts.length,
        namespace: metadata.namespace,
        name: metadata.name,
        portName: port.name,
        protocol: protocolOf(port),
        clusterIp,
        port: port.port ?? 0,
        nodePort: port.nodePort ?? 0,
        extras: extrasOf(spec, status),
        endpoints: objects.flatMap((slice) => endpointsOf(slice, metadata.name, port)),
      });
    }
  }
  return servicePorts;
}

function endpointsOf(slice: KubernetesObject, service: string, port: Port): Endpoint[] {
  if (slice.kind !== 'EndpointSlice' || slice.metadata?.labels?.['kubernetes.io/service-name'] !== service) return [];
  const target = slice.ports?.find((other) => other.name === port.name && other.protocol === port.protocol);
  if (target === undefined) return [];
  return (slice.endpoints ?? []).flatMap(({ addresses, nodeName = '', conditions = {} }) => {
    const address = parseIpv4(addresses[0] ?? '');
    if (address === undefined) return [];
    const { ready = true, serving = true, terminating = false } = conditions;
    return [{ address, port: target.port ?? 0, nodeName, ready, serving, terminating }];
  });
}

function nameOf(object: KubernetesObject): string {
  const { namespace, name } = object.metadata ?? object;
  return `${object.kind} ${namespace}/${name}`;
}

function check(engine: Engine, expected: Expected): void {
  // Upstream's test reads chains of both tables together, nat first, without the rule for loopback sources.
  const [filter = '', nat = ''] = engine.dump('restore').split('*nat\n');
  const lines = `${nat}${filter}`.split('\n');
  const servers = lines.filter((line) => line.startsWith('-a ')).map((line) => line.split(' ')[4] ?? '');
  const entries = (set: string): string[] =>
    lines.filter((line) => line.startsWith(`add ${set} `)).map((line) => line.split(' ')[2] ?? '');
  if (expected.virtualServerCount !== undefined) {
    expect(lines.filter((line) => /^-A -(t|u|-sctp-service) /.test(line))).toHaveLength(expected.virtualServerCount);
  }
  if (expected.realServers !== undefined) expect(new Set(servers)).toEqual(new Set(expected.realServers));
  if (expected.realServersInOrder !== undefined) expect(servers).toEqual(expected.realServersInOrder);
  for (const [set, wanted] of Object.entries(expected.ipsets ?? {})) expect(entries(set)).toEqual(wanted);
  const health = expected['KUBE-HEALTH-CHECK-NODE-PORT'];
  if (health !== undefined) expect(entries('KUBE-HEALTH-CHECK-NODE-PORT')).toEqual(health);
  const bound = expected['kube-ipvs0 addresses'];
  if (bound !== undefined) expect(entries('KUBE-IPVS-IPS')).toEqual(bound);
  for (const [chain, wanted] of Object.entries(expected.iptablesChains ?? {})) {
    const rules = lines.filter((line) => line.startsWith(`-A ${chain} `) && !line.includes(' -s 127.0.0.0/8 '));
    const found = rules.map((line) => ({
      jump: /-j (\S+)/.exec(line)?.[1] ?? '',
      matchSet: /--match-set (\S+)/.exec(line)?.[1] ?? '',
    }));
    expect(found).toEqual(wanted);
  }
}

const NO_ADDRESSES = [{ address: 0, mask: 0xffffffff, prefixLength: 32 }];

/** The others are about IPv6, or about a kernel that was not empty at the start: the engine begins with an empty one. */
const CASES = [
  'clusterip-no-endpoints',
  'clusterip-v4-ignores-v6',
  'endpointslice-lifecycle',
  'external-ip-no-endpoints',
  'healthcheck-nodeport',
  'healthcheck-nodeport-lifecycle',
  'internal-traffic-policy-cluster-with-local',
  'internal-traffic-policy-cluster-without-local',
  'internal-traffic-policy-local-with-local',
  'loadbalancer',
  'multi-port-bind-address',
  'nodeport-etp-local',
  'nodeport-no-endpoints',
  'nodeport-sctp-many-node-ips',
  'nodeport-tcp-dual-slices',
  'nodeport-udp',
];

describe.skipIf(!present)(`upstream goldens of IPVS mode${present ? '' : ' (skipped: not present)'}`, () => {
  it.each(CASES)('%s', (name) => {
    const read = (file: string): string => readFileSync(join(goldens, name, file), 'utf8');
    const input = parse(read('input.yaml')) as Golden;
    const expected = JSON.parse(read('expected.json')) as Expected & { readonly steps?: readonly Expected[] };
    const own = input.proxy.nodeAddresses.map(parseIpv4).filter((address) => address !== undefined);
    // The engine wants an address to masquerade with; where the case gives none, it takes no node ports.
    const addresses = own.length > 0 ? own : [ip('192.0.2.1')];
    const nodePortAddresses = own.length > 0 ? [] : NO_ADDRESSES;
    const engine = makeEngine({ nodePortAddresses }, 1, { name: input.proxy.nodeName, addresses });
    const known = new Map<string, KubernetesObject>();
    const steps = input.steps ?? [{ apply: input.objects ?? [] }];
    steps.forEach((step, at) => {
      for (const object of step.apply ?? []) known.set(nameOf(object), object);
      for (const object of step.delete ?? []) known.delete(nameOf(object));
      engine.sync({ servicePorts: toServicePorts([...known.values()]) }, at);
      check(engine, expected.steps?.[at] ?? expected);
    });
    if (!existsSync(join(goldens, name, 'expected.txt'))) return;
    const virtualServers = engine.dump('restore').split('# ipset save')[0] ?? '';
    expect(
      virtualServers
        .split('\n')
        .slice(1)
        .sort((a, b) => (a < b ? -1 : 1)),
    ).toEqual(
      read('expected.txt')
        .split('\n')
        .sort((a, b) => (a < b ? -1 : 1)),
    );
  });
});

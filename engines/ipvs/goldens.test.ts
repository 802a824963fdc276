/** Upstream's own expectations for IPVS mode, where the shared folder is present: the cases that the engine's manifest covers. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseIpv4 } from '../../model/address.ts';
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
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

interface KubernetesObject {
  readonly kind: string;
  readonly namespace?: string;
  readonly name?: string;
  readonly metadata?: { readonly namespace: string; readonly name: string; readonly labels?: Record<string, string> };
  readonly spec?: { readonly clusterIP: string; readonly ports: readonly Port[] };
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
}

function protocolOf(port: Port): typeof PROTOCOL_TCP | typeof PROTOCOL_UDP {
  return port.protocol === 'UDP' ? PROTOCOL_UDP : PROTOCOL_TCP;
}

/** Joins Services and IPv4 EndpointSlices as kube-proxy does, for the little that these cases use. */
function toServicePorts(objects: readonly KubernetesObject[]): ServicePort[] {
  const servicePorts: ServicePort[] = [];
  for (const { kind, metadata, spec } of objects) {
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
  // Upstream's test reads chains of both tables together, nat first, and leaves out rules without a comparable jump.
  const [filter = '', nat = ''] = engine.dump('restore').split('*nat\n');
  const lines = `${nat}${filter}`.split('\n');
  const servers = lines.filter((line) => line.startsWith('-a ')).map((line) => line.split(' ')[4] ?? '');
  const entries = (set: string): string[] =>
    lines.filter((line) => line.startsWith(`add ${set} `)).map((line) => line.split(' ')[2] ?? '');
  if (expected.virtualServerCount !== undefined) {
    expect(lines.filter((line) => /^-A -[tu] /.test(line))).toHaveLength(expected.virtualServerCount);
  }
  if (expected.realServers !== undefined) expect(new Set(servers)).toEqual(new Set(expected.realServers));
  if (expected.realServersInOrder !== undefined) expect(servers).toEqual(expected.realServersInOrder);
  for (const [set, wanted] of Object.entries(expected.ipsets ?? {})) expect(entries(set)).toEqual(wanted);
  const bound = expected['kube-ipvs0 addresses'];
  if (bound !== undefined) expect(entries('KUBE-IPVS-IPS')).toEqual(bound);
  for (const [chain, wanted] of Object.entries(expected.iptablesChains ?? {})) {
    const rules = lines.filter((line) => line.startsWith(`-A ${chain} `) && !line.endsWith('-j RETURN'));
    const found = rules.map((line) => ({
      jump: /-j (\S+)/.exec(line)?.[1] ?? '',
      matchSet: /--match-set (\S+)/.exec(line)?.[1] ?? '',
    }));
    expect(found).toEqual(wanted);
  }
}

const CASES = [
  'clusterip-no-endpoints',
  'clusterip-v4-ignores-v6',
  'endpointslice-lifecycle',
  'internal-traffic-policy-cluster-with-local',
  'internal-traffic-policy-cluster-without-local',
  'multi-port-bind-address',
  'nodeport-no-endpoints',
  'nodeport-tcp-dual-slices',
  'nodeport-udp',
];

describe.skipIf(!present)(`upstream goldens of IPVS mode${present ? '' : ' (skipped: not present)'}`, () => {
  it.each(CASES)('%s', (name) => {
    const read = (file: string): string => readFileSync(join(goldens, name, file), 'utf8');
    const input = parse(read('input.yaml')) as Golden;
    const expected = JSON.parse(read('expected.json')) as Expected & { readonly steps?: readonly Expected[] };
    const own = input.proxy.nodeAddresses.map(parseIpv4).filter((address) => address !== undefined);
    // The engine wants an address to masquerade with; without node ports no other use is made of it.
    const addresses = own.length > 0 ? own : [ip('192.0.2.1')];
    const engine = makeEngine({}, 1, { name: input.proxy.nodeName, addresses });
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

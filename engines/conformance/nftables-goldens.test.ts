/**
 * kube-proxy's own golden cases of nftables mode, through the packet path of the engines: each flow is sent many times, and where it
 * goes and whether it is masqueraded is what upstream's tests say. IPv4; the program compiler has the whole set.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseCidr, parseIpv4 } from '../../model/address.ts';
import type { Cidr } from '../../model/address.ts';
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { kubeProxyBehaviour, kubeProxyMinor } from '../../model/kube-proxy-versions.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import type { ServicePortConfig } from '../../model/service-config.ts';
import type { Engine, EngineFactory, EngineOptions } from '../engine.ts';
import { createNftablesEngine } from '../nftables/engine.ts';
import type { GoldenObject, GoldenProxy } from '../nftables/program/test-objects.ts';
import { goldenServicePorts } from '../nftables/program/test-objects.ts';
import { referenceNftables } from '../reference/nftables.ts';
import { ipv4, makeEngine, sendAll } from './harness.ts';

interface GoldenFlow {
  readonly name: string;
  readonly sourceIP: string;
  readonly protocol: string;
  readonly destIP: string;
  readonly destPort: number;
  readonly output: string;
  readonly masq: boolean;
}

/** Our own cases may name kube-proxy's version. */
type Proxy = GoldenProxy & { readonly kubeProxy?: string };

interface Golden {
  readonly name: string;
  readonly proxy: Proxy;
  readonly services: readonly ServicePort[];
  readonly flows: readonly GoldenFlow[];
  readonly dump: string | undefined;
}

const ROOTS = [
  join(process.env['CHAINWALK_SHARED'] ?? '../shared', 'goldens', 'nftables'),
  new URL('goldens/nftables', import.meta.url).pathname,
];
/** A draw among three endpoints leaves one out with a chance of 3 in 10^11. */
const TRIES = 60;
const PROTOCOLS = { tcp: PROTOCOL_TCP, udp: PROTOCOL_UDP, sctp: PROTOCOL_SCTP } as const;

function isPresent<T>(value: T | undefined): value is T {
  return value !== undefined;
}

function goldens(root: string): Golden[] {
  if (!existsSync(root)) return [];
  return readdirSync(root).flatMap((name) => {
    const read = (file: string): string | undefined => {
      const path = join(root, name, file);
      return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
    };
    const {
      proxy: told,
      objects,
      kernelBefore,
    } = parse(read('input.yaml') ?? '') as {
      proxy: Omit<Proxy, 'masqueradeAll'>;
      objects?: readonly GoldenObject[];
      kernelBefore?: string;
    };
    const proxy = { masqueradeAll: false, ...told };
    const dump = kernelBefore === undefined ? read('expected.txt') : undefined;
    const cases = read('cases.json');
    if (objects === undefined || proxy.ipFamily !== 'IPv4' || (dump ?? cases) === undefined) return [];
    const { flows } = JSON.parse(cases ?? '{"flows":[]}') as { flows: readonly GoldenFlow[] };
    const services = goldenServicePorts(objects, proxy).map((svc, id) => typed(svc, id, proxy.nodeName));
    return [{ name, proxy, services, flows, dump }];
  });
}

function typed(svc: ServicePortConfig, id: number, nodeName: string): ServicePort {
  return {
    id,
    namespace: svc.namespace,
    name: svc.name,
    portName: svc.portName,
    protocol: PROTOCOLS[svc.protocol],
    clusterIp: ipv4(svc.clusterIp),
    port: svc.port,
    nodePort: svc.nodePort,
    extras: {
      ...svc,
      externalIps: svc.externalIps.map(ipv4),
      loadBalancerVips: svc.loadBalancerVips.map(ipv4),
      loadBalancerSourceRanges: svc.loadBalancerSourceRanges.map((range) => parseCidr(range) as Cidr),
    },
    endpoints: svc.endpoints.map((endpoint) => ({
      ...endpoint,
      address: ipv4(endpoint.address),
      nodeName: endpoint.isLocal ? nodeName : 'elsewhere',
    })),
  };
}

function blocks(texts: readonly string[] = []): Cidr[] {
  return texts.map(parseCidr).filter(isPresent);
}

function nodeOf(proxy: GoldenProxy): NodeSpec {
  const others = proxy.interfaceAddresses.map(parseIpv4).filter(isPresent);
  const own = others.filter((address) => address >>> 24 !== 127);
  const clusterCidr = parseCidr(proxy.detectLocalCIDR);
  return {
    name: proxy.nodeName,
    addresses: [...new Set([ipv4(proxy.nodeIP), ...own])],
    ...(clusterCidr === undefined ? {} : { clusterCidr }),
  };
}

function engineOf(factory: EngineFactory, { proxy, services }: Golden): Engine {
  const options: Partial<EngineOptions> = {
    masqueradeAll: proxy.masqueradeAll,
    nodePortAddresses: blocks(proxy.nodePortAddresses),
    serviceCidrs: blocks(proxy.serviceCIDRs),
    kubeProxy: kubeProxyBehaviour(kubeProxyMinor(proxy.kubeProxy ?? 'v1.35') ?? 0),
  };
  const engine = makeEngine(factory, options, nodeOf(proxy));
  engine.sync({ servicePorts: services }, 0);
  return engine;
}

/** The places a flow comes to, sorted, and whether it was masqueraded on some way. */
function observe(engine: Engine, flow: GoldenFlow, localAddresses: readonly string[]): [string[], boolean] {
  const origin = localAddresses.includes(flow.sourceIP) ? 'host' : flow.sourceIP.startsWith('10.') ? 'pod' : 'external';
  const verdicts = sendAll(
    engine,
    Array.from({ length: TRIES }, (_, i) => ({
      at: 0,
      src: `${flow.sourceIP}:${20000 + i}`,
      dst: `${flow.destIP}:${flow.destPort}`,
      udp: flow.protocol === 'udp',
      sctp: flow.protocol === 'sctp',
      flags: 'SYN',
      origin,
    })),
  );
  const places = verdicts.map(({ outcome, dst }) => {
    if (outcome === 'drop' || outcome === 'reject') return outcome.toUpperCase();
    return outcome === 'endpoint' ? dst : '';
  });
  return [[...new Set(places)].sort(), verdicts.some(({ masqueraded }) => masqueraded)];
}

function byLine(text: string): string[] {
  return text.split('\n').sort();
}

const all = ROOTS.flatMap(goldens);
const present = existsSync(ROOTS[0] ?? '');
const note = present ? '' : ' (upstream cases skipped: not present in shared material)';

describe(`golden cases of nftables mode${note}`, () => {
  it('are there', () => {
    const flows = all.flatMap((golden) => golden.flows);
    expect(flows.length).toBeGreaterThanOrEqual(present ? 40 : 10);
  });

  for (const [engineName, factory] of [
    ['oracle', referenceNftables],
    ['engine', createNftablesEngine],
  ] as const) {
    for (const golden of all) {
      it(`${golden.name}, ${engineName}`, () => {
        const engine = engineOf(factory, golden);
        // Upstream's tests print the mark in the short form.
        const text = engine.dump('restore').replaceAll('0x00004000', '0x4000');
        if (golden.dump !== undefined) expect(byLine(text)).toEqual(byLine(golden.dump));
        for (const flow of golden.flows) {
          // A table of its own for each, so that no flow finds another's entries.
          const [places, masqueraded] = observe(engineOf(factory, golden), flow, golden.proxy.interfaceAddresses);
          const expected = flow.output.split(', ').sort();
          expect({ flow: flow.name, places, masqueraded }).toEqual({
            flow: flow.name,
            places: expected,
            masqueraded: flow.masq,
          });
        }
      });
    }
  }
});

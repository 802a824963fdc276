/** A world for tests of look-ups: a real engine, CoreDNS pods that come and go, one Service and one headless Service. Delays are constant. */
import { DnsZone, type DnsEndpoint } from '../control/dns-zone.ts';
import type { CostModel } from '../costs/cost-model.ts';
import { DEFAULT_ENGINE_OPTIONS, type Engine, type EngineName } from '../engines/engine.ts';
import { ENGINES } from '../engines/registry.ts';
import type { ServicePort } from '../model/cluster.ts';
import { DIRECTION_REPLY, type PacketBatch } from '../model/packet.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../model/protocol.ts';
import { NS_PER_MS, NS_PER_S } from '../model/time.ts';
import type { VerdictBatch } from '../model/verdict.ts';
import { FIRST_HEADLESS_ID } from '../model/workload.ts';
import type { DnsSpec } from '../scenarios/spec.ts';
import { Rng } from '../sim/rng.ts';
import { Simulation } from '../sim/simulation.ts';
import type { PodView } from './connection-fate.ts';
import { DnsMeter } from './dns-meter.ts';
import { OUTSIDE_HOST } from './dns-names.ts';
import { QueryPath } from './dns-query-path.ts';
import { DnsResolver, type FoundAddress } from './dns-resolver.ts';
import { TrialMeter } from './trial-meter.ts';

/** Pods of CoreDNS, and of the Services. */
export const DNS_POD = 0x0a000001;
export const POD = 0x0a000011;
export const VIP = 0x0a600001;
const NAMESERVER_IP = 0x0a60000a;
const CLIENT = 0x0a000101;

const constant = (value: number) => ({ kind: 'constant', value }) as const;

/** glibc's and the plugin's defaults; answers take 1 ms, those from outside 10 ms more. */
const SPEC: DnsSpec = {
  service: 'kube-system/kube-dns',
  name: 'service',
  externalName: 'api.example.com',
  clusterDomain: 'cluster.local',
  ndots: 5,
  search: [],
  aaaa: true,
  timeoutSeconds: 5,
  attempts: 2,
  cache: 'none',
  ttlSeconds: 5,
  externalTtlSeconds: 30,
  serverDelaySeconds: constant(0.001),
  upstreamDelaySeconds: constant(0.01),
};

function servicePort(changes: Partial<ServicePort> & Pick<ServicePort, 'id' | 'name'>, ...pods: number[]): ServicePort {
  const common = { nodeName: 'node-2', ready: true, serving: true, terminating: false };
  return {
    namespace: 'shop',
    portName: 'http',
    protocol: PROTOCOL_TCP,
    clusterIp: VIP,
    port: 80,
    nodePort: 0,
    endpoints: pods.map((address) => ({ ...common, address, port: 8080 })),
    ...changes,
  };
}

export const CART = servicePort({ id: 1, name: 'cart' }, POD);
export const DB = servicePort({ id: FIRST_HEADLESS_ID, name: 'db', clusterIp: 0 }, POD, POD + 1);
const nameserverOver = (...pods: number[]): ServicePort =>
  servicePort(
    {
      id: 0,
      namespace: 'kube-system',
      name: 'kube-dns',
      portName: 'dns',
      protocol: PROTOCOL_UDP,
      clusterIp: NAMESERVER_IP,
      port: 53,
    },
    ...pods,
  );

export interface DnsWorld {
  readonly engine?: EngineName;
  readonly spec?: Partial<DnsSpec>;
  /** Look-ups: when, of what, by which client. */
  readonly lookups: readonly { readonly at_s: number; readonly target?: ServicePort; readonly client?: number }[];
  /** Pods of CoreDNS that the rules lead to, from a time on; the clean-up of conntrack comes along. */
  readonly servers?: readonly { readonly at_s: number; readonly pods: readonly number[] }[];
  readonly condition?: (address: number, at_s: number) => ReturnType<PodView['podCondition']>;
  /** Ready endpoints as CoreDNS has them. */
  readonly endpoints?: (at_s: number) => readonly number[];
  readonly until_s?: number;
}

export interface DnsPacket {
  readonly at_s: number;
  readonly reply: boolean;
  readonly port: number;
  readonly server: number;
}

export interface PlayedDns {
  readonly meter: DnsMeter;
  readonly metrics: ReturnType<DnsMeter['metrics']>;
  readonly trial: TrialMeter;
  readonly packets: readonly DnsPacket[];
  /** In the order of their ends. */
  readonly ends: readonly { readonly at_s: number; readonly found: FoundAddress | undefined }[];
}

export function playDns(world: DnsWorld): PlayedDns {
  const { servers = [{ at_s: 0, pods: [DNS_POD] }], condition = () => 'serving', until_s = 1000 } = world;
  const spec = { ...SPEC, ...world.spec };
  const simulation = new Simulation();
  const seconds = (): number => simulation.now / NS_PER_S;
  const node = {
    name: 'node-1',
    addresses: [0xc0a80001],
    clusterCidr: { address: 0x0a000000, mask: 0xff000000, prefixLength: 8 },
  };
  const real = ENGINES[world.engine ?? 'iptables']({ node, options: DEFAULT_ENGINE_OPTIONS, rng: new Rng(1) });
  const trial = new TrialMeter();
  const meter = new DnsMeter();
  const packets: DnsPacket[] = [];
  const ends: { at_s: number; found: FoundAddress | undefined }[] = [];
  const pods: PodView = { podCondition: (address) => condition(address, seconds()), isReady: () => true };
  const endpointsOf = (id: number): DnsEndpoint[] =>
    id === DB.id ? (world.endpoints?.(seconds()) ?? [POD, POD + 1]).map((address) => ({ address, port: 8080 })) : [];
  const path = new QueryPath({
    engine: watched(real, packets),
    costs: () => ({ costs: () => undefined, barePacket: () => 0 }) as unknown as CostModel,
    meter: trial,
    pods,
    nameserver: nameserverOver(),
    now: () => simulation.now,
    settle: () => undefined,
  });
  const outside = new Map([['api.example.com', OUTSIDE_HOST]]);
  const zone = new DnsZone({ clusterDomain: 'cluster.local', servicePorts: [CART, DB], outside, endpointsOf });
  const resolver = new DnsResolver({ simulation, rng: new Rng(1), spec, zone, endpointsOf, path, pods, meter });
  servers.forEach(({ at_s, pods: addresses }, i) => {
    const servicePorts = [nameserverOver(...addresses)];
    if (i === 0) real.sync({ servicePorts }, 0);
    else {
      simulation.at(Math.round(at_s * NS_PER_S), 0, () => {
        real.apply({ upserted: servicePorts, removedIds: [] }, simulation.now);
      });
    }
  });
  for (const { at_s, target = CART, client = CLIENT } of world.lookups) {
    simulation.at(Math.round(at_s * NS_PER_S), 100, () => {
      resolver.resolve({ client, target, again: false }, (found) => ends.push({ at_s: seconds(), found }));
    });
  }
  simulation.runUntil(Math.round((until_s * NS_PER_S) / NS_PER_MS) * NS_PER_MS);
  return { meter, metrics: meter.metrics(), trial, packets, ends };
}

function watched(engine: Engine, packets: DnsPacket[]): Engine {
  const process = (batch: PacketBatch, verdicts: VerdictBatch, work: never): void => {
    engine.process(batch, verdicts, work);
    for (let i = 0; i < batch.length; i++) {
      const reply = batch.direction[i] === DIRECTION_REPLY;
      packets.push({
        at_s: batch.time[i] / NS_PER_S,
        reply,
        port: reply ? batch.dstPort[i] : batch.srcPort[i],
        server: reply ? batch.srcAddress[i] : verdicts.dstAddress[i],
      });
    }
  };
  return { process } as unknown as Engine;
}

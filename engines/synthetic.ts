/** Small synthetic clusters for the engines' own tests and benchmarks. */
import { parseCidr } from '../model/address.ts';
import type { Endpoint, ServiceExtras, ServicePort } from '../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../model/cluster.ts';
import type { Protocol } from '../model/protocol.ts';
import { PROTOCOL_TCP } from '../model/protocol.ts';
import { Rng } from '../sim/rng.ts';
import type { EngineOptions, World } from './engine.ts';
import { DEFAULT_ENGINE_OPTIONS } from './engine.ts';

export const NODE_ADDRESS = 0xc0a80002;
export const CLUSTER_IP_BASE = 0xac1e0000;
const POD_BASE = 0x0a010000;

export function syntheticWorld(options: Partial<EngineOptions> = {}, seed = 1): World {
  const clusterCidr = parseCidr('10.0.0.0/8');
  if (clusterCidr === undefined) throw new Error('10.0.0.0/8 is a CIDR');
  return {
    node: { name: 'node-1', addresses: [NODE_ADDRESS], clusterCidr },
    options: { ...DEFAULT_ENGINE_OPTIONS, ...options },
    rng: new Rng(seed),
  };
}

export function readyEndpoint(address: number, port: number): Endpoint {
  return { address, port, nodeName: 'node-2', ready: true, serving: true, terminating: false };
}

export interface ServiceShape {
  readonly id: number;
  readonly endpoints: readonly Endpoint[];
  readonly protocol?: Protocol;
  readonly nodePort?: number;
  readonly extras?: Partial<ServiceExtras>;
}

/** ClusterIP 172.30.0.0 + id, port 80, named ns/svc<id>:p80. */
export function syntheticService({
  id,
  endpoints,
  protocol = PROTOCOL_TCP,
  nodePort = 0,
  extras,
}: ServiceShape): ServicePort {
  return {
    id,
    namespace: 'ns',
    name: `svc${id}`,
    portName: 'p80',
    protocol,
    clusterIp: CLUSTER_IP_BASE + id,
    port: 80,
    nodePort,
    ...(extras === undefined ? {} : { extras: { ...NO_SERVICE_EXTRAS, ...extras } }),
    endpoints,
  };
}

/** `services` TCP service ports with `endpoints` ready endpoints each; every tenth has a nodePort, as far as the range goes. */
export function syntheticServices(services: number, endpoints: number, extras?: Partial<ServiceExtras>): ServicePort[] {
  return Array.from({ length: services }, (_, id) =>
    syntheticService({
      id,
      nodePort: id % 10 === 0 && id < 25_000 ? 30_000 + id / 10 : 0,
      ...(extras === undefined ? {} : { extras }),
      endpoints: Array.from({ length: endpoints }, (_unused, k) =>
        readyEndpoint(POD_BASE + ((id * endpoints + k) % 1_000_000), 8080),
      ),
    }),
  );
}

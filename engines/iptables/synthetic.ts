/** Small synthetic clusters and packets for the tests and the micro-benchmark of this folder. */
import { parseCidr } from '../../model/address.ts';
import type { Endpoint, NodeSpec, ServicePort } from '../../model/cluster.ts';
import type { Protocol } from '../../model/protocol.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import type { EngineOptions, World } from '../engine.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import { Rng } from '../../sim/rng.ts';

export const NODE_ADDRESS = 0xc0a80002;
const POD_BASE = 0x0a000000;
export const CLUSTER_IP_BASE = 0xac1e0000;

function syntheticNode(): NodeSpec {
  const clusterCidr = parseCidr('10.0.0.0/8');
  if (clusterCidr === undefined) throw new Error('10.0.0.0/8 is a CIDR');
  return { name: 'node-1', addresses: [NODE_ADDRESS], clusterCidr };
}

export function syntheticWorld(options: Partial<EngineOptions> = {}, seed = 1): World {
  return { node: syntheticNode(), options: { ...DEFAULT_ENGINE_OPTIONS, ...options }, rng: new Rng(seed) };
}

export function readyEndpoint(address: number, port: number): Endpoint {
  return { address, port, nodeName: 'node-2', ready: true, serving: true, terminating: false };
}

export interface ServiceShape {
  readonly id: number;
  readonly endpoints: readonly Endpoint[];
  readonly protocol?: Protocol;
  readonly nodePort?: number;
}

/** ClusterIP 172.30.0.0 + id, port 80, named ns/svc<id>:p80. */
export function syntheticService(shape: ServiceShape): ServicePort {
  return {
    id: shape.id,
    namespace: 'ns',
    name: `svc${shape.id}`,
    portName: 'p80',
    protocol: shape.protocol ?? PROTOCOL_TCP,
    clusterIp: CLUSTER_IP_BASE + shape.id,
    port: 80,
    nodePort: shape.nodePort ?? 0,
    endpoints: shape.endpoints,
  };
}

/** `services` TCP service ports with `endpoints` ready endpoints each; every tenth has a nodePort, as far as the range goes. */
export function syntheticServices(services: number, endpoints: number): ServicePort[] {
  return Array.from({ length: services }, (_, id) =>
    syntheticService({
      id,
      nodePort: id % 10 === 0 && id < 25_000 ? 30_000 + id / 10 : 0,
      endpoints: Array.from({ length: endpoints }, (_unused, k) =>
        readyEndpoint(POD_BASE + 65_536 + ((id * endpoints + k) % 1_000_000), 8080),
      ),
    }),
  );
}

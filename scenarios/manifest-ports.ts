/** The ports of Services: names, numbers and node ports, given or assigned as the API server would, clashes refused. */
import { allocate } from './allocate.ts';
import { quote } from './errors.ts';
import { objectName } from './manifest-objects.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import type { ServiceObject } from './manifest-schema.ts';
import type { Path } from './source.ts';

export type ProtocolName = 'TCP' | 'UDP' | 'SCTP';

export interface GivenPort {
  /** Index in `spec.ports`. */
  readonly index: number;
  /** Empty when unnamed. */
  readonly name: string;
  readonly protocol: ProtocolName;
  readonly port: number;
  readonly targetPort: number | string;
  /** 0 when there is none. */
  readonly nodePort: number;
}

type Service = KubernetesObject<ServiceObject>;
type PortObject = NonNullable<ServiceObject['spec']['ports']>[number];

// Assigned from above the first 86 while they last: the lower band is kept for ports that people choose.
const FIRST_NODE_PORT = 30000;
const LAST_NODE_PORT = 32767;
const NODE_PORT_STATIC_BAND = 86;

/** The ports of a Service that must have some, checked as the API server checks them. */
export function completePorts(service: Service, nodePorts: NodePorts): GivenPort[] {
  const ports = service.data.spec.ports ?? [];
  const name = objectName(service);
  if (ports.length === 0)
    throw service.error(`Service ${name} has no "ports"; the API server wants at least one.`, ['spec']);
  const names = new Set<string>();
  const numbers = new Set<string>();
  const complete: GivenPort[] = [];
  for (let index = 0; index < ports.length; index++) {
    const port = ports[index];
    const path = ['spec', 'ports', index];
    const portName = port.name ?? '';
    if (portName === '' && ports.length > 1)
      throw service.error(`A port of Service ${name} has no name; with several ports each needs one.`, path);
    if (names.has(portName))
      throw service.error(`The port name ${quote(portName)} stands twice in Service ${name}.`, [...path, 'name']);
    names.add(portName);
    const protocol = port.protocol ?? 'TCP';
    const key = `${protocol} ${port.port}`;
    if (numbers.has(key))
      throw service.error(`The port ${port.port}/${protocol} stands twice in Service ${name}.`, [...path, 'port']);
    numbers.add(key);
    complete.push({
      index,
      name: portName,
      protocol,
      port: port.port,
      // 0 and "" are the API server's words for absent.
      targetPort: port.targetPort || port.port,
      nodePort: nodePorts.of(service, index),
    });
  }
  return complete;
}

function hasNodePorts(service: Service): boolean {
  const { type, allocateLoadBalancerNodePorts } = service.data.spec;
  return type === 'NodePort' || (type === 'LoadBalancer' && allocateLoadBalancerNodePorts !== false);
}

/** Node ports of all services: the given ones first, so that an assigned one never takes a given one's place. */
export class NodePorts {
  readonly #owners = new Map<string, Service>();
  readonly #taken = { TCP: new Set<number>(), UDP: new Set<number>(), SCTP: new Set<number>() };

  constructor(services: readonly Service[], warnings: string[]) {
    for (const service of services) {
      (service.data.spec.ports ?? []).forEach((port, index) => this.#reserve(service, port, index, warnings));
    }
  }

  #reserve(service: Service, port: PortObject, index: number, warnings: string[]): void {
    const nodePort = port.nodePort ?? 0;
    if (nodePort === 0) return;
    const path = ['spec', 'ports', index, 'nodePort'];
    const name = objectName(service);
    const { type } = service.data.spec;
    if (type !== 'NodePort' && type !== 'LoadBalancer') {
      throw service.error(
        `Service ${name} has a nodePort and is of type ${type ?? 'ClusterIP'}; expected type NodePort or LoadBalancer.`,
        path,
      );
    }
    const protocol = port.protocol ?? 'TCP';
    const key = `${nodePort}/${protocol}`;
    const owner = this.#owners.get(key);
    if (owner !== undefined) {
      throw service.error(
        `The nodePort ${key} of Service ${name} is already that of ${objectName(owner)} (${owner.place}).`,
        path,
      );
    }
    if (nodePort < FIRST_NODE_PORT || nodePort > LAST_NODE_PORT) {
      warnings.push(
        `The nodePort ${nodePort} of Service ${name} is outside 30000-32767, the API server's default range; it is taken as it is.`,
      );
    }
    this.#owners.set(key, service);
    this.#taken[protocol].add(nodePort);
  }

  of(service: Service, index: number): number {
    const port = (service.data.spec.ports ?? [])[index];
    const given = port.nodePort ?? 0;
    if (given !== 0 || !hasNodePorts(service)) return given;
    const key = `${objectName(service)}:${port.name ?? ''}`;
    return this.#assign(service, key, port.protocol ?? 'TCP', ['spec', 'ports', index]);
  }

  /** The health-check node port of a Service that must have one; a node port of TCP like any other. */
  healthCheckOf(service: Service): number {
    const given = service.data.spec.healthCheckNodePort ?? 0;
    const path = ['spec', 'healthCheckNodePort'];
    if (given === 0) return this.#assign(service, `${objectName(service)}#health-check`, 'TCP', path);
    const owner = this.#owners.get(`${given}/TCP`);
    if (owner !== undefined) {
      throw service.error(
        `The healthCheckNodePort ${given} of Service ${objectName(service)} is already a node port of ${objectName(owner)} (${owner.place}).`,
        path,
      );
    }
    this.#owners.set(`${given}/TCP`, service);
    this.#taken.TCP.add(given);
    return given;
  }

  #assign(service: Service, key: string, protocol: ProtocolName, path: Path): number {
    const taken = this.#taken[protocol];
    const first = FIRST_NODE_PORT + NODE_PORT_STATIC_BAND;
    const chosen =
      allocate(key, first, LAST_NODE_PORT - first + 1, taken) ??
      allocate(key, FIRST_NODE_PORT, NODE_PORT_STATIC_BAND, taken);
    if (chosen === undefined) throw service.error('No node port of 30000-32767 is left.', path);
    taken.add(chosen);
    return chosen;
  }
}

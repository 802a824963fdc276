/** Services whose endpoints are pods of Deployments, and which of their ports lead to which numbers on which pods. */
import type { EndpointHints, ServicePort } from '../model/cluster.ts';
import { protocolName } from '../model/protocol.ts';
import type { TrafficDistribution } from '../model/topology-hints.ts';
import type { ServiceBinding, WorkloadPlan } from '../model/workload.ts';
import { assert } from '../sim/assert.ts';
import type { ObjectPort, OwnerName } from './object-size.ts';

/** A port of a slice: the service port that it feeds, and the number on the pods. */
export interface SlicePort {
  readonly servicePortId: number;
  readonly targetPort: number;
}

/** Pods whose ports have the same numbers share slices; a named port may have another number in another Deployment. */
export interface PortMap {
  readonly key: string;
  readonly ports: readonly SlicePort[];
  /** The same as the API shows them. */
  readonly objectPorts: readonly ObjectPort[];
  readonly deployments: readonly number[];
}

export interface BoundService {
  /** `namespace/name` */
  readonly key: string;
  readonly owner: OwnerName;
  /** Ascending. */
  readonly servicePortIds: readonly number[];
  readonly portMaps: readonly PortMap[];
  readonly trafficDistribution: TrafficDistribution | undefined;
  readonly publishNotReadyAddresses: boolean;
  /** Hints that pods of the start have, by address; they keep them. */
  readonly givenHints: ReadonlyMap<number, EndpointHints>;
}

/** In order of their first service port's id. */
export function boundServices(workload: WorkloadPlan, servicePorts: readonly ServicePort[]): BoundService[] {
  const portOf = new Map(servicePorts.map((port) => [port.id, port]));
  const ofService = new Map<string, ServiceBinding[]>();
  const bindings = [...workload.bindings].sort(
    (a, b) => a.servicePortId - b.servicePortId || a.deployment - b.deployment,
  );
  for (const binding of bindings) {
    const port = portOf.get(binding.servicePortId);
    assert(port !== undefined, `a binding names service port ${binding.servicePortId}, which does not exist`);
    const key = `${port.namespace}/${port.name}`;
    const known = ofService.get(key);
    if (known === undefined) ofService.set(key, [binding]);
    else known.push(binding);
  }
  return [...ofService].map(([key, ofKey]) => boundService(key, ofKey, portOf));
}

function boundService(
  key: string,
  bindings: readonly ServiceBinding[],
  portOf: ReadonlyMap<number, ServicePort>,
): BoundService {
  const ids = [...new Set(bindings.map((binding) => binding.servicePortId))];
  const ports = ids.map((id) => portOf.get(id) as ServicePort);
  const { namespace, name } = ports[0];
  return {
    key,
    owner: { namespace, name },
    servicePortIds: ids,
    portMaps: portMapsOf(bindings, portOf),
    trafficDistribution: bindings.findLast((each) => each.trafficDistribution !== undefined)?.trafficDistribution,
    publishNotReadyAddresses: bindings.some((each) => each.publishNotReadyAddresses === true),
    givenHints: hintsOfPorts(ports),
  };
}

function portMapsOf(bindings: readonly ServiceBinding[], portOf: ReadonlyMap<number, ServicePort>): PortMap[] {
  const ofDeployment = new Map<number, SlicePort[]>();
  for (const { servicePortId, deployment, targetPort } of bindings) {
    const ports = ofDeployment.get(deployment) ?? [];
    ports.push({ servicePortId, targetPort });
    ofDeployment.set(deployment, ports);
  }
  const byKey = new Map<string, { ports: readonly SlicePort[]; deployments: number[] }>();
  for (const [deployment, ports] of ofDeployment) {
    const key = ports.map((port) => `${port.servicePortId}=${port.targetPort}`).join(',');
    const known = byKey.get(key);
    if (known === undefined) byKey.set(key, { ports, deployments: [deployment] });
    else known.deployments.push(deployment);
  }
  return [...byKey].map(([key, { ports, deployments }]) => ({
    key,
    ports,
    objectPorts: ports.map(({ servicePortId, targetPort }) => {
      const { portName, protocol } = portOf.get(servicePortId) as ServicePort;
      return { name: portName, protocol: protocolName(protocol), port: targetPort };
    }),
    deployments,
  }));
}

function hintsOfPorts(servicePorts: readonly ServicePort[]): Map<number, EndpointHints> {
  const hints = new Map<number, EndpointHints>();
  for (const { endpoints } of servicePorts) {
    for (const endpoint of endpoints) if (endpoint.hints !== undefined) hints.set(endpoint.address, endpoint.hints);
  }
  return hints;
}

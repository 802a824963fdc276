/**
 * Services without a cluster IP: headless ones, whose endpoints only DNS names, and those of type ExternalName, which are names for hosts.
 * kube-proxy leaves both out.
 */
import type { ServiceAlias } from '../model/workload.ts';
import { quote } from './errors.ts';
import { objectName } from './manifest-objects.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import { completePorts, NodePorts } from './manifest-ports.ts';
import type { ServiceObject } from './manifest-schema.ts';
import { isHeadless, PROTOCOLS } from './manifest-services.ts';
import type { CompletePort, CompleteService } from './manifest-services.ts';

type Service = KubernetesObject<ServiceObject>;

/** A headless Service may do without ports; DNS then has its addresses all the same. */
const NO_PORT: CompletePort = { index: 0, name: '', protocol: PROTOCOLS.TCP, port: 0, targetPort: 0, nodePort: 0 };

/** In byte order of (namespace, name), with 0 for a cluster IP. */
export function completeHeadless(services: readonly Service[]): CompleteService[] {
  const headless = services.filter((service) => isHeadless(service) && service.data.spec.type !== 'ExternalName');
  const nodePorts = new NodePorts(headless, []);
  return headless.map((object) => {
    const given = object.data.spec.ports ?? [];
    const ports = given.length === 0 ? [] : completePorts(object, nodePorts);
    const complete = ports.map((port) => ({ ...port, protocol: PROTOCOLS[port.protocol] }));
    return { object, clusterIp: 0, extras: undefined, ports: complete.length === 0 ? [NO_PORT] : complete };
  });
}

export function serviceAliases(services: readonly Service[]): ServiceAlias[] {
  return services.flatMap((service) => {
    const { type, externalName } = service.data.spec;
    // A manifest that leaves the host out was never of use to anybody; the API server refuses it.
    if (type !== 'ExternalName' || typeof externalName !== 'string' || externalName === '') return [];
    if (!/^[a-zA-Z0-9]([-a-zA-Z0-9._]*[a-zA-Z0-9])?\.?$/.test(externalName)) {
      throw service.error(
        `The externalName of Service ${objectName(service)} must be the name of a host, got ${quote(externalName)}.`,
        ['spec', 'externalName'],
      );
    }
    return [{ namespace: service.namespace, name: service.name, target: externalName }];
  });
}

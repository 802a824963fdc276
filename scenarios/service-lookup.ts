/** Finds the service ports that a person means by a name. */
import { servicePortName } from '../model/cluster.ts';
import type { ServicePort } from '../model/cluster.ts';
import { didYouMean, InputError, quote } from './errors.ts';

/**
 * Indices into `servicePorts` of those called `ns/name:port`, `ns/name` (all its ports) or a bare Service name; a number
 * k stands for `svc-k` of a synthetic cluster. Throws an InputError when there is none, or in two namespaces.
 */
export function findServicePorts(name: string, servicePorts: readonly ServicePort[]): number[] {
  const wanted = /^\d+$/.test(name) ? `svc-${name}` : name;
  const found: number[] = [];
  const namespaces = new Set<string>();
  for (let i = 0; i < servicePorts.length; i++) {
    const svc = servicePorts[i];
    const service = `${svc.namespace}/${svc.name}`;
    const bare = svc.name === wanted || `${svc.name}:${svc.portName}` === wanted;
    if (!bare && service !== wanted && servicePortName(svc) !== wanted) continue;
    found.push(i);
    namespaces.add(svc.namespace);
  }
  if (namespaces.size > 1) {
    throw new InputError(
      `There is a Service ${quote(name)} in the namespaces ${[...namespaces].join(' and ')}; write namespace/name.`,
    );
  }
  if (found.length === 0) {
    const known = new Set<string>();
    for (const svc of servicePorts.slice(0, 2000)) {
      known.add(svc.name);
      known.add(`${svc.namespace}/${svc.name}`);
      known.add(servicePortName(svc));
    }
    throw new InputError(`There is no Service ${quote(name)} in the cluster.${didYouMean(name, [...known])}`);
  }
  return found;
}

/**
 * What Services of manifests have beside cluster IPs: node ports, health-check ports, addresses from outside, source ranges, policies,
 * affinity; checked with the place of a mistake, and completed as the API server would. Sweeps and dumps read them alike.
 */
import { parseCidr, parseIpv4 } from '../model/address.ts';
import type { ServiceExtras } from '../model/cluster.ts';
import { canonicalCidr, canonicalIp } from '../model/ip-text.ts';
import { assert } from '../sim/assert.ts';
import { quote } from './errors.ts';
import { objectName } from './manifest-objects.ts';
import type { KubernetesObject } from './manifest-objects.ts';
import { completePorts, NodePorts } from './manifest-ports.ts';
import type { GivenPort } from './manifest-ports.ts';
import type { ServiceObject } from './manifest-schema.ts';
import { serviceExtras } from './service-config.ts';
import type { Path } from './source.ts';

type Service = KubernetesObject<ServiceObject>;

export interface AssignedPorts {
  readonly ports: readonly GivenPort[];
  /** 0 when the API server keeps none. */
  readonly healthCheckNodePort: number;
}

/** Ports of all Services: the given numbers first, so that an assigned one never takes a given one's place. */
export function assignPorts(services: readonly Service[], warnings: string[]): Map<Service, AssignedPorts> {
  const nodePorts = new NodePorts(services, warnings);
  const healthChecks = new Map<Service, number>();
  for (const service of services) {
    if (hasHealthCheck(service) && (service.data.spec.healthCheckNodePort ?? 0) !== 0) {
      healthChecks.set(service, nodePorts.healthCheckOf(service));
    }
  }
  const withPorts = services.map((service) => ({ service, ports: completePorts(service, nodePorts) }));
  return new Map(
    withPorts.map(({ service, ports }) => {
      const assigned = () => (hasHealthCheck(service) ? nodePorts.healthCheckOf(service) : 0);
      return [service, { ports, healthCheckNodePort: healthChecks.get(service) ?? assigned() }];
    }),
  );
}

/** The API server keeps a health-check port for these alone. */
function hasHealthCheck(service: Service): boolean {
  const { type, externalTrafficPolicy } = service.data.spec;
  return type === 'LoadBalancer' && externalTrafficPolicy === 'Local';
}

/** Refuses what is no address or block, where it stands. */
export function checkAddresses(service: Service): void {
  const { spec, status } = service.data;
  const check = (text: string, field: string, path: Path): void => {
    if (canonicalIp(text) !== undefined) return;
    throw service.error(
      `"${field}" of Service ${objectName(service)} must be an IP address, got ${quote(text)}.`,
      path,
    );
  };
  (spec.externalIPs ?? []).forEach((text, i) => check(text, 'spec.externalIPs', ['spec', 'externalIPs', i]));
  (status?.loadBalancer?.ingress ?? []).forEach(({ ip }, i) => {
    if (typeof ip !== 'string' || ip === '') return;
    check(ip, 'status.loadBalancer.ingress.ip', ['status', 'loadBalancer', 'ingress', i, 'ip']);
  });
  (spec.loadBalancerSourceRanges ?? []).forEach((text, i) => {
    if (canonicalCidr(text.trim()) !== undefined) return;
    throw service.error(
      `"spec.loadBalancerSourceRanges" of Service ${objectName(service)} must be blocks such as "10.0.0.0/8", got ${quote(text)}.`,
      ['spec', 'loadBalancerSourceRanges', i],
    );
  });
}

/** What kube-proxy of IPv4 makes of a Service that `checkAddresses` has seen; `undefined` for a plain one. */
export function typedExtras(service: Service, healthCheckNodePort: number): ServiceExtras | undefined {
  const { spec, status } = service.data;
  const object = {
    metadata: { name: service.name, namespace: service.namespace },
    spec: { ...spec, healthCheckNodePort },
    status,
  };
  const text = serviceExtras(object, 'IPv4');
  const extras: ServiceExtras = {
    ...text,
    externalIps: text.externalIps.map((ip) => known(parseIpv4(ip))),
    loadBalancerVips: text.loadBalancerVips.map((ip) => known(parseIpv4(ip))),
    loadBalancerSourceRanges: text.loadBalancerSourceRanges.map((block) => known(parseCidr(block))),
  };
  return isPlain(extras) ? undefined : extras;
}

/** A policy or a source range makes a Service special even where no address is subject to it: the rules tell. */
function isPlain(extras: ServiceExtras): boolean {
  return (
    extras.externalIps.length + extras.loadBalancerVips.length + extras.loadBalancerSourceRanges.length === 0 &&
    !extras.externalPolicyLocal &&
    !extras.internalPolicyLocal &&
    extras.affinitySeconds === 0 &&
    extras.healthCheckNodePort === 0
  );
}

function known<T>(value: T | undefined): T {
  assert(value !== undefined, 'canonical text of IPv4 is readable');
  return value;
}

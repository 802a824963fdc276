/** `traffic.dns` in its typed form, and what of it only shows when it meets the cluster. */
import { servicePortName, type ServicePort } from '../model/cluster.ts';
import { PROTOCOL_UDP } from '../model/protocol.ts';
import type { BuiltCluster } from './cluster-builder.ts';
import { InputError, quote } from './errors.ts';
import type { DistributionInput, ExperimentInput } from './schema.ts';
import { findServicePorts } from './service-lookup.ts';
import type { DistributionSpec, DnsSpec, TrafficSpec } from './spec.ts';

type DnsInput = NonNullable<ExperimentInput['traffic']['dns']>;

export function toDns(
  input: DnsInput,
  toDistribution: (input: DistributionInput, key: string) => DistributionSpec,
): DnsSpec {
  return {
    service: input.service,
    name: input.name,
    externalName: input.external_name,
    ...(input.client_namespace === undefined ? {} : { clientNamespace: input.client_namespace }),
    clusterDomain: input.cluster_domain,
    ndots: input.ndots,
    search: input.search,
    aaaa: input.aaaa,
    timeoutSeconds: input.timeout_s,
    attempts: input.attempts,
    cache: input.cache,
    ttlSeconds: input.ttl_s,
    externalTtlSeconds: input.external_ttl_s,
    serverDelaySeconds: toDistribution(input.server_delay_s, 'server_delay_s'),
    upstreamDelaySeconds: toDistribution(input.upstream_delay_s, 'upstream_delay_s'),
  };
}

const DNS_PORT = 53;
const EXAMPLE = 'clusters/alpaca-dns.yaml has one';

/** The service port that takes the queries: port 53 of UDP, else the first of UDP. InputErrors carry the path `traffic.dns.service`. */
export function nameserver(spec: DnsSpec, servicePorts: readonly ServicePort[]): ServicePort {
  const path = ['traffic', 'dns', 'service'];
  let found: ServicePort[];
  try {
    found = findServicePorts(spec.service, servicePorts).map((i) => servicePorts[i]);
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    const hint = error.message.includes('Did you mean')
      ? ''
      : ` "traffic.dns" needs a Service in front of CoreDNS; ${EXAMPLE}.`;
    throw new InputError(`${error.message}${hint}`, { path });
  }
  const ofUdp = found.filter((svc) => svc.protocol === PROTOCOL_UDP);
  const chosen = ofUdp.find((svc) => svc.port === DNS_PORT) ?? ofUdp[0];
  if (chosen !== undefined) return chosen;
  throw new InputError(
    `The Service ${quote(spec.service)} has no port of UDP, which queries are sent to; ${EXAMPLE}.`,
    { path },
  );
}

/** Refuses look-ups that could not be made in this cluster; `targets` are what traffic goes to. */
export function checkDns(spec: DnsSpec, cluster: BuiltCluster, targets: readonly ServicePort[]): void {
  nameserver(spec, cluster.state.servicePorts);
  if (spec.name !== 'srv') return;
  const unnamed = targets.find((svc) => svc.portName === '');
  if (unnamed === undefined) return;
  throw new InputError(
    `The port of Service ${quote(servicePortName(unnamed))} has no name, so that it has no SRV record of its own; give it one, or take another "name".`,
    { path: ['traffic', 'dns', 'name'] },
  );
}

/** Traffic with look-ups may go to headless Services as well, and goes to the Service that answers them only when that is named. */
export function dnsTargets(
  { popularity }: Pick<TrafficSpec, 'popularity'>,
  dns: DnsSpec,
  cluster: BuiltCluster,
  own: readonly ServicePort[],
): readonly ServicePort[] {
  const headless = (cluster.workload.headlessPorts ?? []).filter((svc) => svc.port > 0);
  if (popularity.kind === 'one') return [...own, ...headless];
  const server = nameserver(dns, cluster.state.servicePorts);
  return [...own.filter((svc) => svc.namespace !== server.namespace || svc.name !== server.name), ...headless];
}

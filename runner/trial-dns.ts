/** Look-ups of names in a trial: CoreDNS' zone over the control plane's view, and the clients' resolvers on the trial's engine. */
import type { ControlPlane } from '../control/control-plane.ts';
import { DnsZone } from '../control/dns-zone.ts';
import { ORIGIN_POD } from '../model/packet.ts';
import type { BuiltCluster } from '../scenarios/cluster-builder.ts';
import type { DnsSpec } from '../scenarios/spec.ts';
import { nameserver } from '../scenarios/to-dns.ts';
import type { Rng } from '../sim/rng.ts';
import type { Simulation } from '../sim/simulation.ts';
import { DnsMeter } from './dns-meter.ts';
import { OUTSIDE_HOST } from './dns-names.ts';
import { QueryPath, type QueryPathOptions } from './dns-query-path.ts';
import { DnsResolver } from './dns-resolver.ts';
import type { TrafficDriverOptions } from './traffic-driver.ts';

export interface TrialDns {
  readonly meter: DnsMeter;
  readonly lookUp: NonNullable<TrafficDriverOptions['lookUp']>;
}

export interface TrialDnsOptions extends Pick<QueryPathOptions, 'engine' | 'costs' | 'meter' | 'settle'> {
  readonly spec: DnsSpec;
  readonly simulation: Simulation;
  readonly rng: Rng;
  readonly cluster: BuiltCluster;
  readonly control: ControlPlane;
}

export function trialDns({ spec, simulation, rng, cluster, control, ...path }: TrialDnsOptions): TrialDns {
  const { state, workload } = cluster;
  const servicePorts = [...state.servicePorts, ...(workload.headlessPorts ?? [])];
  const portOf = new Map(servicePorts.map((svc) => [svc.id, svc]));
  const endpointsOf = control.dnsEndpoints.bind(control);
  const meter = new DnsMeter();
  const resolver = new DnsResolver({
    simulation,
    rng,
    spec,
    zone: new DnsZone({
      clusterDomain: spec.clusterDomain,
      servicePorts,
      aliases: workload.aliases ?? [],
      outside: new Map([[spec.externalName, OUTSIDE_HOST]]),
      endpointsOf,
    }),
    endpointsOf,
    path: new QueryPath({
      ...path,
      pods: control,
      nameserver: nameserver(spec, state.servicePorts),
      now: () => simulation.now,
    }),
    pods: control,
    meter,
  });
  return {
    meter,
    lookUp: ({ origin, client, servicePortId, again }, found) => {
      const target = portOf.get(servicePortId);
      if (target === undefined) throw new Error(`Service port ${servicePortId} gets traffic and does not exist`);
      if (origin === ORIGIN_POD) return resolver.resolve({ client, target, again }, found);
      // Processes of the node and hosts outside do not ask the cluster's DNS; they have addresses, where there are any.
      if (target.clusterIp === 0) return found(undefined);
      found('known');
    },
  };
}

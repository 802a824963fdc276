/** What a client writes to reach a service port, and what it makes of the answer. */
import { plainName } from '../control/dns-zone.ts';
import type { ServicePort } from '../model/cluster.ts';
import { protocolName } from '../model/protocol.ts';
import type { DnsSpec } from '../scenarios/spec.ts';

/** A host outside the cluster: the first of TEST-NET-1 (RFC 5737). It always answers. */
export const OUTSIDE_HOST = 0xc0000201;

/** The name as it is written; for `srv` that of the record, which a client builds whole. */
export function writtenName(svc: ServicePort, spec: DnsSpec): string {
  const whole = `${svc.name}.${svc.namespace}.svc.${plainName(spec.clusterDomain)}`;
  switch (spec.name) {
    case 'service':
      return svc.name;
    case 'namespace':
      return `${svc.name}.${svc.namespace}`;
    case 'fqdn':
      return whole;
    case 'absolute':
      return `${whole}.`;
    case 'srv':
      return `_${svc.portName}._${protocolName(svc.protocol)}.${whole}.`;
    case 'external':
      return spec.externalName;
  }
}

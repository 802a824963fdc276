/** Names of a service port's own chains (proxier.go portProtoHash, servicePortEndpointChainName). */
import { createHash } from 'node:crypto';
import { servicePortName } from '../../model/cluster.ts';
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import { protocolName } from '../../model/protocol.ts';
import { partyText } from './endpoints.ts';

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const hashes = new Map<string, string>();

/** First 16 letters of the base-32 SHA-256. */
function hash16(text: string): string {
  const known = hashes.get(text);
  if (known !== undefined) return known;
  const digest = createHash('sha256').update(text).digest();
  let letters = '';
  for (let letter = 0; letter < 16; letter++) {
    let value = 0;
    for (let bit = letter * 5; bit < letter * 5 + 5; bit++) {
      value = value * 2 + ((digest[bit >> 3] >> (7 - (bit & 7))) & 1);
    }
    letters += BASE32[value];
  }
  hashes.set(text, letters);
  return letters;
}

function chainKey(svc: ServicePort): string {
  return servicePortName(svc) + protocolName(svc.protocol);
}

/** Endpoints of the Cluster policy. */
export function serviceChain(svc: ServicePort): string {
  return `KUBE-SVC-${hash16(chainKey(svc))}`;
}

/** Endpoints of the Local policy. */
export function localChain(svc: ServicePort): string {
  return `KUBE-SVL-${hash16(chainKey(svc))}`;
}

export function externalChain(svc: ServicePort): string {
  return `KUBE-EXT-${hash16(chainKey(svc))}`;
}

export function firewallChain(svc: ServicePort): string {
  return `KUBE-FW-${hash16(chainKey(svc))}`;
}

export function endpointChain(svc: ServicePort, endpoint: Endpoint): string {
  return `KUBE-SEP-${hash16(chainKey(svc) + partyText(endpoint))}`;
}

/** Chain names as kube-proxy hashes them (pkg/proxy/iptables/proxier.go portProtoHash, servicePortEndpointChainName). */
import { hash } from 'node:crypto';
import { formatIpv4 } from '../../model/address.ts';

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** The first 16 characters of the standard base32 of sha256. */
export function hash16(text: string): string {
  const digest = hash('sha256', text, 'buffer');
  let name = '';
  let bits = 0;
  let held = 0;
  for (let i = 0; name.length < 16; i++) {
    held = (held << 8) | digest[i];
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      name += BASE32[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return name;
}

/** `name` is that of servicePortName (ns/name:port), `protocol` in lower case. */
export function serviceChainName(name: string, protocol: string): string {
  return `KUBE-SVC-${hash16(name + protocol)}`;
}

export function externalChainName(name: string, protocol: string): string {
  return `KUBE-EXT-${hash16(name + protocol)}`;
}

/** `ip:port`. */
export function endpointText(address: number, port: number): string {
  return `${formatIpv4(address)}:${port}`;
}

/** `endpoint` is `ip:port`. */
export function endpointChainName(name: string, protocol: string, endpoint: string): string {
  return `KUBE-SEP-${hash16(name + protocol + endpoint)}`;
}

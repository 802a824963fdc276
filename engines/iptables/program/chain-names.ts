/** The hashes in chain names (kube-proxy pkg/proxy/iptables/proxier.go portProtoHash, servicePortEndpointChainName). */
import { hash16 } from '../names.ts';

/** Of KUBE-SVC-, KUBE-SVL-, KUBE-EXT- and KUBE-FW- chains. `name` is `ns/name:port` or `ns/name`, `protocol` in lower case. */
export function portProtoHash(name: string, protocol: string): string {
  return hash16(name + protocol);
}

/** Of KUBE-SEP- chains. `endpoint` is `ip:port` or `[ip]:port`. */
export function servicePortEndpointHash(name: string, protocol: string, endpoint: string): string {
  return hash16(name + protocol + endpoint);
}

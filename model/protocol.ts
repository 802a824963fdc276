/** Transport protocols by their IANA numbers, as the kernel's tables hold them. */

export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_SCTP = 132;

export type Protocol = typeof PROTOCOL_TCP | typeof PROTOCOL_UDP | typeof PROTOCOL_SCTP;

/** The lower-case name that iptables and kube-proxy's hashes use. */
export function protocolName(protocol: Protocol): 'tcp' | 'udp' | 'sctp' {
  return protocol === PROTOCOL_TCP ? 'tcp' : protocol === PROTOCOL_UDP ? 'udp' : 'sctp';
}

/** What a campaign of userspace mode over random worlds must have gone through: every kind of rule, and the rare branches of the process. */
import { EVERY_PLAIN_MARKS, EVERY_WHOLE_MARKS } from './common-marks.ts';

/** Plain worlds: cluster IPs and node ports of TCP and UDP. */
export const PLAIN_USERSPACE_MARKS: readonly string[] = [
  ...EVERY_PLAIN_MARKS,
  'KUBE-NODEPORT-CONTAINER: -> REDIRECT',
  'KUBE-NODEPORT-CONTAINER: end',
  'KUBE-NODEPORT-HOST: -> DNAT',
  'KUBE-NODEPORT-HOST: end',
  'KUBE-NODEPORT-NON-LOCAL: end',
  'KUBE-NODEPORT-NON-LOCAL: state new -> ACCEPT',
  'KUBE-PORTALS-CONTAINER: -d address -> REDIRECT',
  'KUBE-PORTALS-CONTAINER: end',
  'KUBE-PORTALS-HOST: -d address -> DNAT',
  'KUBE-PORTALS-HOST: end',
  'closed proxy port',
  'connection outlives its proxy port',
  'dial passed an endpoint',
  'endpoint does not answer',
  'first packet is no SYN',
  'four dials failed',
  'leg 2 from outside',
  'leg of an earlier process',
  'leg without its partner',
  'no pass for endpoints alone',
  'packet from the proxy port itself',
  'reply to a closed socket',
  'service port reopened',
  "service port reopened at the chains' end",
  'source port of a dial passed over',
  'source port of a leg 1 changed',
  'udp client dialled for again',
  'udp client not dialled for again',
  'udp flow of a removed service port deleted',
  'udp leg of a closed proxy port',
  'udp socket idle',
];

/** Whole worlds: external addresses, affinity, SCTP, a full connection-tracking table. */
export const WHOLE_USERSPACE_MARKS: readonly string[] = [
  ...PLAIN_USERSPACE_MARKS,
  ...EVERY_WHOLE_MARKS,
  'KUBE-PORTALS-CONTAINER: -d address physdev -> REDIRECT',
  'KUBE-PORTALS-HOST: -d address dst-local -> DNAT',
  'affinity expired',
  'affinity hit',
  'affinity reset',
  'affinity time-out is not followed',
  'client of an endpoint that left',
  'no socket for sctp',
  'service changed in what this mode does not know',
  'table full at a dial',
];

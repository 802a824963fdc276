/** What a campaign over random worlds must have gone through in more than one mode; the lists of a mode begin with these. */

/** Plain worlds, every mode: branches of conntrack and of NAT, and one of the choice of endpoints. */
export const EVERY_PLAIN_MARKS: readonly string[] = [
  'a local endpoint wins over its duplicate',
  'closed flow reopened',
  'closed flow reopened by the server',
  'ignored original',
  'ignored reply',
  'invalid in a flow',
  'inverse tuple in use',
  'source port found',
  'tcp flow expired in CL',
  'tcp flow expired in CW',
  'tcp flow expired in ES',
  'tcp flow expired in FW',
  'tcp flow expired in LA',
  'tcp flow expired in S2',
  'tcp flow expired in SR',
  'tcp flow expired in SS',
  'tcp flow expired in TW',
  'udp flow expired',
];

/** What whole worlds add to them. */
export const EVERY_WHOLE_MARKS: readonly string[] = [
  'answered sctp flow expired',
  'table full',
  'table full but for expired entries',
  'table full for an invalid packet',
  'unanswered sctp flow expired',
];

/** Plain worlds, the modes whose data path is the kernel alone. */
export const KERNEL_PLAIN_MARKS: readonly string[] = [
  ...EVERY_PLAIN_MARKS,
  'source port found in a later round',
  'source port search gave up',
  'stale udp flow deleted',
  'stale udp flow, reconcile: address and port',
  'stale udp flow, reconcile: node port',
];

/** What whole worlds add to them. */
export const KERNEL_WHOLE_MARKS: readonly string[] = [
  ...EVERY_WHOLE_MARKS,
  'hints for the node followed',
  'hints for the zone followed',
  'stale udp flow found by two filters',
  'stale udp flow, events: endpoint gone, address',
  'stale udp flow, events: endpoint gone, node port',
  'stale udp flow, events: endpoint moved, address',
  'stale udp flow, events: endpoint moved, node port',
  'stale udp flow, events: first endpoint, address',
  'stale udp flow, events: first endpoint, node port',
  'stale udp flow, events: service port removed',
  'terminating local endpoints used',
];

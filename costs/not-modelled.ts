/** What stands behind a profile's numbers without a measurement of its own, as phrases for people. */
import type { CostProfile } from '../model/profile.ts';
import { instructionsOf } from './ipvs-cost-model.ts';

export function notModelled(profile: CostProfile): string[] {
  const estimated = Object.entries(instructionsOf(profile).ipvs.schedulers)
    .filter(([, costs]) => costs.estimated)
    .map(([name]) => name)
    .sort((a, b) => (a < b ? -1 : 1));
  const common = [
    'forwarding and veth: the rig sends over loopback, so packets of pods and from outside are composed of measured parts',
    'TCP and IPv6: the rig sends UDP over IPv4, whose rules and look-ups are the same',
    'payload size, except for the copies of userspace mode',
    `IPVS schedulers ${estimated.join(', ')}, and nq where every server is busy: estimated from their algorithms`,
    'session affinity by recent, refused packets, the search for a free port: assumed, with wide ranges',
    "kube-proxy's own process: its time is assumed, its memory taken from two published figures",
  ];
  return profile.unit === 'ns'
    ? [
        ...common,
        `IPVS in nanoseconds: ${profile.kernel} was measured without it; its time is derived from instructions of ${profile.ipvsBridge.from.kernel}`,
        'userspace mode: rough figures of its time',
      ]
    : [...common, 'distance of memory: an instruction takes as long in a cold cache as in a hot one', 'userspace mode'];
}

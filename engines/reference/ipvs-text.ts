/** Text of the IPVS oracle's state: ipvsadm-save -n, ipset save and iptables-restore, each sorted. */
import { formatIpv4 } from '../../model/address.ts';
import type { World } from '../engine.ts';
import { partyText } from './endpoints.ts';
import type { ReferenceIpvsProxy } from './ipvs-proxy.ts';
import { isBuiltIn, tablesText } from './restore-text.ts';

function byText(a: string, b: string): number {
  return a < b ? -1 : 1;
}

/** `10.0.0.1,tcp:80` of `167772161,6:80`; bare ports stay. */
function setEntryText(entry: string): string {
  return entry
    .split(',')
    .map((word, _, words) => {
      if (word.includes(':')) return word.replace(/^6:/, 'tcp:').replace(/^17:/, 'udp:');
      return words.length === 1 && Number(word) < 65536 ? word : formatIpv4(Number(word));
    })
    .join(',');
}

export function ipvsText(proxy: ReferenceIpvsProxy, world: World, form: 'kernel' | 'restore'): string {
  const { options } = world;
  const lines: string[] = [];
  const virtuals = proxy.table.all().map((virtual) => {
    const service = `-${virtual.protocol === 6 ? 't' : 'u'} ${partyText(virtual)}`;
    const servers = virtual.servers.map((server) => `-a ${service} -r ${partyText(server)} -m -w ${server.weight}`);
    // kube-proxy's FlagSourceHash is what ipvsadm calls mh-port.
    const flags = options.ipvsScheduler === 'mh' ? ' -b mh-port' : '';
    return [`-A ${service} -s ${options.ipvsScheduler}${flags}`, ...servers].join('\n');
  });
  lines.push(...virtuals.sort(byText));
  for (const [name, entries] of [...proxy.sets].sort((a, b) => byText(a[0], b[0]))) {
    lines.push(...[...entries].map((entry) => `add ${name} ${setEntryText(entry)}`).sort(byText));
  }
  const mark = (1 << options.masqueradeBit) >>> 0;
  const tables = tablesText(proxy.nat, proxy.filter, mark, (chain) => form === 'kernel' || !isBuiltIn(chain));
  return `${lines.join('\n')}\n${tables}`;
}

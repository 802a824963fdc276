/** Native text of what a sync has programmed: ipvsadm-save, ipset save and iptables-restore input. Canonical: it does not depend on the service order. */
import { formatIpv4 } from '../../model/address.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import type { IpvsScheduler } from '../engine.ts';
import type { IpSets } from './ipsets.ts';
import type { RealServers } from './real-servers.ts';
import { CHAINS } from './rules.ts';
import type { Rule } from './rules.ts';
import { NONE } from './service-table.ts';

/** `ipvsadm-save -n`: TCP before UDP, then by address and port; real servers in the order of their list. */
function dumpVirtualServers(servers: RealServers, scheduler: IpvsScheduler): string[] {
  const services = servers.services;
  const slots: number[] = [];
  for (let slot = 0; slot < services.slotLimit; slot++) if (services.protocol[slot] !== 0) slots.push(slot);
  slots.sort(
    (a, b) =>
      services.protocol[a] - services.protocol[b] ||
      services.address[a] - services.address[b] ||
      services.port[a] - services.port[b],
  );
  // kube-proxy sets flag 0x10 with mh, which ipvsadm calls mh-port.
  const flags = scheduler === 'mh' ? ' -b mh-port' : '';
  const lines: string[] = [];
  for (const slot of slots) {
    const letter = services.protocol[slot] === PROTOCOL_TCP ? 't' : 'u';
    const name = `-${letter} ${formatIpv4(services.address[slot])}:${services.port[slot]}`;
    lines.push(`-A ${name} -s ${scheduler}${flags}`);
    for (let at = services.firstServer[slot]; at !== NONE; at = servers.next[at]) {
      const server = `${formatIpv4(servers.address[at])}:${servers.port[at]}`;
      lines.push(`-a ${name} -r ${server} -m -w ${servers.weight[at]}`);
    }
  }
  return lines;
}

/**
 * Input of iptables-restore. kube-proxy's own (`restore`) starts with nat and has no jumps from built-in chains, which
 * it ensures one by one; `kernel` adds them.
 */
function dumpRules(rules: readonly Rule[], withJumps: boolean): string[] {
  const lines: string[] = [];
  for (const table of ['nat', 'filter'] as const) {
    lines.push(`*${table}`);
    for (const chain of CHAINS) {
      if (chain.table !== table) continue;
      if (!chain.builtIn) lines.push(`:${chain.name} - [0:0]`);
      else if (withJumps) lines.push(`:${chain.name} ACCEPT [0:0]`);
    }
    for (const rule of rules) {
      const chain = CHAINS[rule.chain];
      if (chain.table === table && (withJumps || !chain.builtIn)) lines.push(`-A ${chain.name} ${rule.text}`);
    }
    lines.push('COMMIT');
  }
  return lines;
}

/** The three parts, each under a comment line that says which tool reads it. */
export function dumpEngine(
  form: 'kernel' | 'restore',
  servers: RealServers,
  scheduler: IpvsScheduler,
  sets: IpSets,
  rules: readonly Rule[],
): string {
  const lines = [
    '# ipvsadm-save -n',
    ...dumpVirtualServers(servers, scheduler),
    '# ipset save',
    ...sets.dump(),
    form === 'kernel' ? '# iptables-save' : '# iptables-restore',
    ...dumpRules(rules, form === 'kernel'),
  ];
  return `${lines.join('\n')}\n`;
}

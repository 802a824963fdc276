/**
 * Native text of what a sync has programmed: ipvsadm-save, ipset save and iptables-restore input. Sets and rules are those of
 * kube-proxy's program (program/), virtual and real servers those of the engine's own tables. Canonical: it does not depend on the
 * service order.
 */
import { formatIpv4 } from '../../model/address.ts';
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP } from '../../model/protocol.ts';
import type { EngineOptions, IpvsScheduler } from '../engine.ts';
import { proxyConfig, servicePortConfig } from '../proxy/configs.ts';
import { IpvsProgrammer } from './program/programmer.ts';
import { FIRST_RECORD } from './grow.ts';
import type { RealServers } from './real-servers.ts';
import { NONE, SERVICE_STRIDE } from './service-table.ts';

/** `ipvsadm-save -n`, virtual servers in byte order of their text, real servers in the order of their list. */
function dumpVirtualServers(servers: RealServers, scheduler: IpvsScheduler): string[] {
  const services = servers.services;
  // kube-proxy sets flag 0x10 with mh, which ipvsadm calls mh-port.
  const flags = scheduler === 'mh' ? ' -b mh-port' : '';
  const blocks: { name: string; lines: string[] }[] = [];
  for (let slot = FIRST_RECORD; slot < services.slotLimit; slot += SERVICE_STRIDE) {
    if (!services.isUsed(slot)) continue;
    const protocol = serviceOption(services.protocolOf(slot));
    const name = `${protocol} ${formatIpv4(services.address[slot] >>> 0)}:${services.portOf(slot)}`;
    const affinitySeconds = services.affinitySeconds[slot];
    const persistence = affinitySeconds === 0 ? '' : ` -p ${affinitySeconds}`;
    const lines = [`-A ${name} -s ${scheduler}${persistence}${flags}`];
    for (let at = services.firstServer[slot]; at !== NONE; at = servers.next[at]) {
      const server = `${formatIpv4(servers.address[at] >>> 0)}:${servers.port[at]}`;
      lines.push(`-a ${name} -r ${server} -m -w ${servers.weight[at]}`);
    }
    blocks.push({ name, lines });
  }
  blocks.sort((a, b) => (a.name < b.name ? -1 : 1));
  return blocks.flatMap(({ lines }) => lines);
}

function serviceOption(protocol: number): string {
  if (protocol === PROTOCOL_TCP) return '-t';
  return protocol === PROTOCOL_SCTP ? '--sctp-service' : '-u';
}

/** The three parts, each under a comment line that says which tool reads it. `kernel` has the jumps from built-in chains, too. */
export function dumpEngine(
  form: 'kernel' | 'restore',
  servers: RealServers,
  servicePorts: ReadonlyMap<number, ServicePort>,
  node: NodeSpec,
  options: EngineOptions,
): string {
  const ordered = [...servicePorts.values()].sort((a, b) => a.id - b.id);
  const configs = ordered.map((servicePort) => servicePortConfig(servicePort, node));
  const everything = { full: true, changed: new Set<string>(), nowSeconds: 0 };
  const program = new IpvsProgrammer(proxyConfig(node, options)).sync(configs, everything);
  return [
    '# ipvsadm-save -n\n',
    ...dumpVirtualServers(servers, options.ipvsScheduler).map((line) => `${line}\n`),
    '# ipset save\n',
    program.ipsetText(),
    form === 'kernel' ? '# iptables-save\n' : '# iptables-restore\n',
    form === 'kernel' ? program.kernelText() : program.restoreText(),
  ].join('');
}

/** Text of the IPVS oracle's state in canonical order: `ipvsadm -S -n`, `ipset save` and iptables-restore. */
import { PROTOCOL_TCP, PROTOCOL_UDP, protocolName } from '../../model/protocol.ts';
import type { Protocol } from '../../model/protocol.ts';
import type { World } from '../engine.ts';
import { partyText } from './endpoints.ts';
import type { ReferenceIpvsProxy } from './ipvs-proxy.ts';
import type { VirtualServer } from './ipvs-servers.ts';
import type { Match, Rule, Table } from './netfilter.ts';
import { blockText, isBuiltIn, matchText, not, targetText } from './restore-text.ts';

function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function serviceText(virtual: VirtualServer): string {
  const { protocol } = virtual;
  const option = protocol === PROTOCOL_TCP ? '-t' : protocol === PROTOCOL_UDP ? '-u' : '--sctp-service';
  return `${option} ${partyText(virtual)}`;
}

function virtualServerLines(virtual: VirtualServer, scheduler: string): string[] {
  const service = serviceText(virtual);
  const words = [`-A ${service} -s ${scheduler}`];
  if (virtual.affinitySeconds > 0) words.push(`-p ${virtual.affinitySeconds}`);
  // kube-proxy's FlagSourceHash is what ipvsadm calls mh-port.
  if (scheduler === 'mh') words.push('-b mh-port');
  const servers = virtual.servers.map((server) => `-a ${service} -r ${partyText(server)} -m -w ${server.weight}`);
  return [words.join(' '), ...servers];
}

/** Word order of proxier.go: protocol, source, matches, and the detector last. */
function ruleText(chain: string, rule: Rule, mark: number): string {
  const { protocol, src, notSrc, fromPod } = rule;
  const name = protocol === undefined ? '' : protocolName(protocol as Protocol);
  const match = (m: Match): string => matchText(m, name, mark);
  const words = [`-A ${chain}`];
  if (name !== '') words.push(`-p ${name}`);
  if (src !== undefined && notSrc !== true) words.push(`-s ${blockText(src)}`);
  words.push(...rule.matches.map(match));
  if (src !== undefined && notSrc === true) words.push(`! -s ${blockText(src)}`);
  if (fromPod !== undefined) words.push(`${not(fromPod.not)}-i ${fromPod.name}`);
  words.push(targetText(rule, mark));
  return words.join(' ');
}

/** Built-in chains, KUBE-SERVICES, the others by name. */
function chainRank(chain: string): string {
  if (isBuiltIn(chain)) return `0${chain}`;
  return chain === 'KUBE-SERVICES' ? '1' : `2${chain}`;
}

/** By service port, instead of by the order that a sync happened to draw. */
function inDumpOrder(rules: readonly Rule[]): readonly Rule[] {
  return [...rules].sort((a, b) => a.servicePortId - b.servicePortId);
}

function tableLines(name: string, table: Table, mark: number, wanted: (chain: string) => boolean): string[] {
  const chains = [...table.keys()].filter(wanted).sort((a, b) => byText(chainRank(a), chainRank(b)));
  return [
    `*${name}`,
    ...chains.map((chain) => `:${chain} ${isBuiltIn(chain) ? 'ACCEPT' : '-'} [0:0]`),
    ...chains.flatMap((chain) => inDumpOrder(table.get(chain) ?? []).map((rule) => ruleText(chain, rule, mark))),
    'COMMIT',
  ];
}

export function ipvsText(proxy: ReferenceIpvsProxy, world: World, form: 'kernel' | 'restore'): string {
  const { ipvsScheduler, masqueradeBit } = world.options;
  const virtuals = proxy.table.all().sort((a, b) => byText(serviceText(a), serviceText(b)));
  const mark = (1 << masqueradeBit) >>> 0;
  const wanted = (chain: string): boolean => form === 'kernel' || !isBuiltIn(chain);
  const lines = [
    ...virtuals.flatMap((virtual) => virtualServerLines(virtual, ipvsScheduler)),
    ...proxy.sets.saveLines(),
    ...tableLines('filter', proxy.filter, mark, wanted),
    ...tableLines('nat', proxy.nat, mark, wanted),
  ];
  return `${lines.join('\n')}\n`;
}

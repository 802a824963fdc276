/** What is loaded for a measurement: the rules of our own dump for the rig's cluster, and where in them a packet's Service stands. */
import { IptablesProgrammer } from '../../engines/iptables/program/programmer.ts';
import { IpvsProgrammer } from '../../engines/ipvs/program/programmer.ts';
import { NftablesProgrammer } from '../../engines/nftables/program/programmer.ts';
import { parseIpv4 } from '../../model/address.ts';
import { rigConfig, rigServices } from './rig-cluster.ts';
import type { RigNetwork } from './rig-cluster.ts';

export const FIRST_SYNC = { full: true, changed: new Set<string>(), nowSeconds: 0 };

/** Kinds of rules that take the packets of a Service. `ipt-legacy` and `ipt-nft` have the same text. */
export const PACKET_ENGINES = ['ipt-legacy', 'ipt-nft', 'nft'] as const;
export type PacketEngine = (typeof PACKET_ENGINES)[number];

export interface Ruleset {
  readonly engine: PacketEngine;
  readonly services: number;
  readonly endpoints: number;
  readonly comments: boolean;
  /** Loadable into an empty namespace. */
  readonly text: string;
  /** Addresses of the Services, in the order in which a packet meets them; in nftables mode, where it has no meaning, of their numbers. */
  readonly vips: readonly string[];
  /** Rules of KUBE-SERVICES that a packet to no Service passes; in nftables mode one look-up stands for them all. */
  readonly missRules: number;
}

export interface RulesetSize {
  readonly engine: PacketEngine;
  readonly services: number;
  readonly endpoints: number;
  /** False: without any `-m comment`, which kube-proxy never writes; tells the effect of the rules' size in memory. */
  readonly comments: boolean;
}

export function ruleset(network: RigNetwork, size: RulesetSize): Ruleset {
  return size.engine === 'nft' ? nftablesRuleset(network, size) : iptablesRuleset(network, size);
}

function iptablesRuleset(network: RigNetwork, size: RulesetSize): Ruleset {
  const services = rigServices(network, size.services, size.endpoints);
  const text = new IptablesProgrammer(rigConfig(network)).sync(services, FIRST_SYNC).kernelText();
  const rules = text.split('\n').filter((line) => line.startsWith('-A KUBE-SERVICES '));
  const vips = rules.flatMap((line) => /-d (\S+) --dport \d+ -j KUBE-SVC-/.exec(line)?.[1] ?? []);
  return { ...size, text: size.comments ? text : withoutComments(text), vips, missRules: rules.length };
}

function nftablesRuleset(network: RigNetwork, size: RulesetSize): Ruleset {
  const services = rigServices(network, size.services, size.endpoints);
  const text = new NftablesProgrammer(rigConfig(network)).sync(services, FIRST_SYNC).kernelText();
  const vips = [...text.matchAll(/^add element \S+ \S+ service-ips \{ (\S+) \. /gm)].map((match) => match[1]);
  // The dump has them in the order of their text.
  const byNumber = vips.sort((a, b) => (parseIpv4(a) ?? 0) - (parseIpv4(b) ?? 0));
  return { ...size, text, vips: byNumber, missRules: 1 };
}

export function withoutComments(text: string): string {
  return text.replace(/ -m comment --comment (?:"[^"]*"|\S+)/g, '');
}

/** KUBE-SERVICES rules that a packet to the Service at `index` passes; `missRules` behind the last. */
export function rulesPassed(rules: Ruleset, index: number): number {
  return rules.engine === 'nft' ? 1 : index + 1;
}

/** The parts of an IPVS ruleset, each for its own tool. */
export interface IpvsRuleset {
  /** `ipvsadm -S -n`. */
  readonly servers: string;
  /** `ipset restore`. */
  readonly sets: string;
  /** `iptables-restore`. */
  readonly rules: string;
  /** `ip -batch`: the addresses of kube-ipvs0. */
  readonly addresses: string;
}

export function ipvsRuleset(network: RigNetwork, services: number, endpoints: number, scheduler = 'rr'): IpvsRuleset {
  const programmer = new IpvsProgrammer(rigConfig(network, scheduler));
  const program = programmer.sync(rigServices(network, services, endpoints), FIRST_SYNC);
  return {
    servers: program.ipvsText(),
    sets: program.ipsetText(),
    rules: program.kernelText(),
    addresses: program.boundAddresses.map((address) => `addr add ${address}/32 dev kube-ipvs0\n`).join(''),
  };
}

/** The rules of iptables mode that belong to no service port, as objects, and the words that all rules are made of (README 5). */
import type { Cidr } from '../../model/address.ts';
import { cidrContains } from '../../model/address.ts';
import type { NodeSpec } from '../../model/cluster.ts';
import type { EngineOptions } from '../engine.ts';
import type { Block, Match, Rule, Table, Target } from './netfilter.ts';

export const LOOPBACK: Cidr = { address: 0x7f000000, mask: 0xff000000, prefixLength: 8 };
const LOCALHOST = 0x7f000001;

export function host(address: number): Block {
  return { address, mask: 0xffffffff, prefixLength: 32, isAddress: true };
}

export function comment(text: string): Match {
  return { kind: 'comment', text };
}

export function jump(chain: string): Target {
  return { kind: 'jump', chain };
}

/** A rule that belongs to no service port. */
export function plainRule(matches: readonly Match[], target: Target): Rule {
  return { matches, target, servicePortId: -1 };
}

export interface RestoreInput {
  readonly nat: Map<string, Rule[]>;
  readonly filter: Map<string, Rule[]>;
}

export interface WriteOptions {
  readonly node: NodeSpec;
  readonly options: EngineOptions;
  readonly largeCluster: boolean;
}

/** kube-proxy's jumps from the built-in chains, which a restore does not contain. */
export function builtInJumps(): { nat: Table; filter: Table } {
  const whenNew: Match = { kind: 'ctstate', states: ['NEW'] };
  const portals = comment('kubernetes service portals');
  const firewall = plainRule([whenNew, comment('kubernetes load balancer firewall')], jump('KUBE-PROXY-FIREWALL'));
  const external = plainRule(
    [whenNew, comment('kubernetes externally-visible service portals')],
    jump('KUBE-EXTERNAL-SERVICES'),
  );
  const services = plainRule([whenNew, portals], jump('KUBE-SERVICES'));
  const localnet = plainRule([], jump('KUBE-FIREWALL'));
  const health = plainRule([comment('kubernetes health check service ports')], jump('KUBE-NODEPORTS'));
  const forward = plainRule([comment('kubernetes forwarding rules')], jump('KUBE-FORWARD'));
  return {
    nat: new Map([
      ['PREROUTING', [plainRule([portals], jump('KUBE-SERVICES'))]],
      ['OUTPUT', [plainRule([portals], jump('KUBE-SERVICES'))]],
      ['POSTROUTING', [plainRule([comment('kubernetes postrouting rules')], jump('KUBE-POSTROUTING'))]],
    ]),
    filter: new Map([
      ['INPUT', [localnet, firewall, health, external]],
      ['FORWARD', [firewall, forward, services, external]],
      ['OUTPUT', [localnet, firewall, services]],
    ]),
  };
}

/** Rules common to both modes: nat KUBE-MARK-MASQ, and the last three of nat KUBE-POSTROUTING. */
export function markRules(randomFully: boolean): { markMasq: Rule[]; postrouting: Rule[] } {
  return {
    markMasq: [plainRule([], { kind: 'MARK or' })],
    postrouting: [
      plainRule([{ kind: 'mark', not: true }], { kind: 'RETURN' }),
      plainRule([], { kind: 'MARK xor' }),
      plainRule([comment('kubernetes service traffic requiring SNAT')], { kind: 'MASQUERADE', randomFully }),
    ],
  };
}

/** Whether node ports answer on 127.0.0.0/8 [NewProxier, ContainsIPv4Loopback]. */
export function hasLocalhostNodePorts({ localhostNodePorts, nodePortAddresses }: EngineOptions): boolean {
  if (!localhostNodePorts) return false;
  const holdsLoopback = (block: Cidr): boolean =>
    cidrContains(block, LOOPBACK.address) || cidrContains(LOOPBACK, block.address);
  return nodePortAddresses.length === 0 || nodePortAddresses.some(holdsLoopback);
}

/** The chains that every sync writes, without rules of service ports. */
export function fixedChains(options: EngineOptions): RestoreInput {
  const { markMasq, postrouting } = markRules(options.masqueradeRandomFully);
  const localnet: Rule = {
    src: LOOPBACK,
    notSrc: true,
    dst: LOOPBACK,
    matches: [
      comment('block incoming localnet connections'),
      { kind: 'ctstate', states: ['RELATED', 'ESTABLISHED', 'DNAT'], not: true },
    ],
    target: { kind: 'DROP' },
    servicePortId: -1,
  };
  return {
    nat: new Map([
      ['KUBE-SERVICES', []],
      ['KUBE-NODEPORTS', []],
      ['KUBE-POSTROUTING', postrouting],
      ['KUBE-MARK-MASQ', markMasq],
    ]),
    filter: new Map([
      ['KUBE-SERVICES', []],
      ['KUBE-EXTERNAL-SERVICES', []],
      ['KUBE-FORWARD', forwardRules(options)],
      ['KUBE-NODEPORTS', []],
      ['KUBE-PROXY-FIREWALL', []],
      ['KUBE-FIREWALL', hasLocalhostNodePorts(options) ? [localnet] : []],
    ]),
  };
}

function forwardRules({ conntrackTcpLiberal, nfacct }: EngineOptions): Rule[] {
  const rules: Rule[] = [];
  if (!conntrackTcpLiberal) {
    const matches: Match[] = [{ kind: 'ctstate', states: ['INVALID'] }];
    if (nfacct.ctStateInvalid) matches.push({ kind: 'nfacct', name: 'ct_state_invalid_dropped_pkts' });
    rules.push(plainRule(matches, { kind: 'DROP' }));
  }
  const known: Match = { kind: 'ctstate', states: ['RELATED', 'ESTABLISHED'] };
  rules.push(
    plainRule([comment('kubernetes forwarding rules'), { kind: 'mark' }], { kind: 'ACCEPT' }),
    plainRule([comment('kubernetes forwarding conntrack rule'), known], { kind: 'ACCEPT' }),
  );
  return rules;
}

/** The last rules of nat KUBE-SERVICES. */
export function nodePortJumps(node: NodeSpec, options: EngineOptions): Rule[] {
  const says = comment('kubernetes service nodeports; NOTE: this must be the last rule in this chain');
  const target = jump('KUBE-NODEPORTS');
  const localhost = hasLocalhostNodePorts(options);
  const blocks = options.nodePortAddresses;
  if (blocks.length === 0 || blocks.some((block) => block.prefixLength === 0)) {
    const rule = plainRule([says, { kind: 'dst-local' }], target);
    return [localhost ? rule : { ...rule, dst: LOOPBACK, notDst: true }];
  }
  const addresses = new Set<number>();
  for (const block of blocks) {
    for (const address of [LOCALHOST, ...node.addresses]) if (cidrContains(block, address)) addresses.add(address);
  }
  if (!localhost) addresses.delete(LOCALHOST);
  return [...addresses].map((address) => ({ ...plainRule([says], target), dst: host(address) }));
}

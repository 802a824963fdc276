/**
 * The rules that do not depend on Services (kube-proxy pkg/proxy/iptables/proxier.go iptablesJumpChains, syncProxyRules), and the
 * names of the chains that every sync rewrites.
 */
import type { ProxyConfig } from '../../../model/service-config.ts';
import { hasLocalhostNodePorts } from './node-ports.ts';
import type { Match, Rule } from './rules.ts';
import { comment, destination, jump, rule, source } from './rules.ts';

export const ALWAYS_REWRITTEN_CHAINS: readonly string[] = [
  'filter/KUBE-NODEPORTS',
  'filter/KUBE-SERVICES',
  'filter/KUBE-EXTERNAL-SERVICES',
  'filter/KUBE-FIREWALL',
  'filter/KUBE-FORWARD',
  'filter/KUBE-PROXY-FIREWALL',
  'nat/KUBE-NODEPORTS',
  'nat/KUBE-SERVICES',
  'nat/KUBE-MARK-MASQ',
  'nat/KUBE-POSTROUTING',
];

const NEW: Match = { kind: 'conntrack', states: ['NEW'], inverted: false };
const PORTALS = comment('kubernetes service portals');
const NAT_SERVICES = rule(jump('KUBE-SERVICES'), PORTALS);
const FILTER_SERVICES = rule(jump('KUBE-SERVICES'), NEW, PORTALS);
const LOAD_BALANCER_FIREWALL = rule(jump('KUBE-PROXY-FIREWALL'), NEW, comment('kubernetes load balancer firewall'));
const EXTERNAL_SERVICES = rule(
  jump('KUBE-EXTERNAL-SERVICES'),
  NEW,
  comment('kubernetes externally-visible service portals'),
);

/**
 * The built-in chains with the jumps that kube-proxy put there. It inserts each at the top (`iptables -I`), and only in full
 * syncs, so these orders are the reverse of the lists in the source.
 */
export const BUILT_IN_CHAINS: readonly (readonly [string, readonly Rule[]])[] = [
  [
    'filter/INPUT',
    [
      rule(jump('KUBE-FIREWALL')),
      LOAD_BALANCER_FIREWALL,
      rule(jump('KUBE-NODEPORTS'), comment('kubernetes health check service ports')),
      EXTERNAL_SERVICES,
    ],
  ],
  [
    'filter/FORWARD',
    [
      LOAD_BALANCER_FIREWALL,
      rule(jump('KUBE-FORWARD'), comment('kubernetes forwarding rules')),
      FILTER_SERVICES,
      EXTERNAL_SERVICES,
    ],
  ],
  ['filter/OUTPUT', [rule(jump('KUBE-FIREWALL')), LOAD_BALANCER_FIREWALL, FILTER_SERVICES]],
  ['nat/PREROUTING', [NAT_SERVICES]],
  ['nat/INPUT', []],
  ['nat/OUTPUT', [NAT_SERVICES]],
  ['nat/POSTROUTING', [rule(jump('KUBE-POSTROUTING'), comment('kubernetes postrouting rules'))]],
];

/** KUBE-FIREWALL: route_localnet, which localhost NodePorts need, would let neighbours reach 127.0.0.0/8. */
export function firewallRules(config: ProxyConfig): readonly Rule[] {
  if (!hasLocalhostNodePorts(config)) return [];
  return [
    rule(
      { kind: 'DROP' },
      comment('block incoming localnet connections'),
      destination('127.0.0.0/8'),
      source('127.0.0.0/8', true),
      { kind: 'conntrack', states: ['RELATED', 'ESTABLISHED', 'DNAT'], inverted: true },
    ),
  ];
}

export function forwardRules(config: ProxyConfig): readonly Rule[] {
  const rules: Rule[] = [];
  if (!config.conntrackTcpLiberal) {
    const matches: Match[] = [{ kind: 'conntrack', states: ['INVALID'], inverted: false }];
    if (config.nfacct.ctStateInvalid) matches.push({ kind: 'nfacct', name: 'ct_state_invalid_dropped_pkts' });
    rules.push(rule({ kind: 'DROP' }, ...matches));
  }
  rules.push(
    rule({ kind: 'ACCEPT' }, comment('kubernetes forwarding rules'), {
      kind: 'mark',
      mark: config.masqueradeMark,
      inverted: false,
    }),
    rule({ kind: 'ACCEPT' }, comment('kubernetes forwarding conntrack rule'), {
      kind: 'conntrack',
      states: ['RELATED', 'ESTABLISHED'],
      inverted: false,
    }),
  );
  return rules;
}

/** The mark is taken off again so that it does not outlive the packet's way through a tunnel device. */
export function postroutingRules(config: ProxyConfig): readonly Rule[] {
  const mark = config.masqueradeMark;
  return [
    rule({ kind: 'RETURN' }, { kind: 'mark', mark, inverted: true }),
    rule({ kind: 'MARK', operation: 'xor', mark }),
    rule(
      { kind: 'MASQUERADE', randomFully: config.masqueradeRandomFully },
      comment('kubernetes service traffic requiring SNAT'),
    ),
  ];
}

export function markMasqRules(config: ProxyConfig): readonly Rule[] {
  return [rule({ kind: 'MARK', operation: 'or', mark: config.masqueradeMark })];
}

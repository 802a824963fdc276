/** The constant iptables rules and the ipsets of IPVS mode (README 6; pkg/proxy/ipvs/proxier.go writeIptablesRules, ipset.go). */
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import { distinctEndpoints } from './endpoints.ts';
import { comment, jump, markRules, plainRule } from './iptables-rules.ts';
import type { RestoreInput } from './iptables-rules.ts';
import type { Match, Rule, SetKey, Table } from './netfilter.ts';

const SET_NAMES = [
  'KUBE-CLUSTER-IP',
  'KUBE-NODE-PORT-TCP',
  'KUBE-NODE-PORT-UDP',
  'KUBE-LOOP-BACK',
  'KUBE-IPVS-IPS',
  'KUBE-LOAD-BALANCER',
  'KUBE-EXTERNAL-IP',
  'KUBE-EXTERNAL-IP-LOCAL',
  'KUBE-HEALTH-CHECK-NODE-PORT',
] as const;

export type Sets = Map<string, Set<string>>;

/** What the sets hold for these services; entry texts are those of netfilter.ts setEntry. */
export function wantedSets(services: readonly ServicePort[], node: NodeSpec): Sets {
  const sets: Sets = new Map(SET_NAMES.map((name) => [name, new Set<string>()]));
  for (const svc of services) {
    sets.get('KUBE-CLUSTER-IP')?.add(`${svc.clusterIp},${svc.protocol}:${svc.port}`);
    sets.get('KUBE-IPVS-IPS')?.add(`${svc.clusterIp}`);
    if (svc.nodePort > 0) {
      sets.get(svc.protocol === PROTOCOL_TCP ? 'KUBE-NODE-PORT-TCP' : 'KUBE-NODE-PORT-UDP')?.add(`${svc.nodePort}`);
    }
    for (const endpoint of distinctEndpoints(svc, node)) {
      if (endpoint.nodeName !== node.name) continue;
      const entry = `${endpoint.address},${svc.protocol}:${endpoint.port},${endpoint.address}`;
      sets.get('KUBE-LOOP-BACK')?.add(entry);
    }
  }
  return sets;
}

/** Entries in one but not in the other. */
export function setChanges(before: Sets, after: Sets): number {
  let changes = 0;
  for (const name of SET_NAMES) {
    const old = before.get(name) ?? new Set<string>();
    const young = after.get(name) ?? new Set<string>();
    for (const entry of old) if (!young.has(entry)) changes++;
    for (const entry of young) if (!old.has(entry)) changes++;
  }
  return changes;
}

function inSet(set: (typeof SET_NAMES)[number], key: SetKey): Match {
  return { kind: 'set', set, key };
}

export function ipvsJumps(): { nat: Table; filter: Table } {
  const portals = plainRule([comment('kubernetes service portals')], jump('KUBE-SERVICES'));
  const firewall = plainRule([comment('kube-proxy firewall rules')], jump('KUBE-PROXY-FIREWALL'));
  return {
    nat: new Map([
      ['PREROUTING', [portals]],
      ['OUTPUT', [portals]],
      ['POSTROUTING', [plainRule([comment('kubernetes postrouting rules')], jump('KUBE-POSTROUTING'))]],
    ]),
    filter: new Map([
      [
        'INPUT',
        [
          plainRule([comment('kubernetes ipvs access filter')], jump('KUBE-IPVS-FILTER')),
          firewall,
          plainRule([comment('kubernetes health check rules')], jump('KUBE-NODE-PORT')),
        ],
      ],
      ['FORWARD', [firewall, plainRule([comment('kubernetes forwarding rules')], jump('KUBE-FORWARD'))]],
      ['OUTPUT', [plainRule([comment('kubernetes ipvs access filter')], jump('KUBE-IPVS-OUT-FILTER'))]],
    ]),
  };
}

function natServices(sets: Sets, node: NodeSpec, masqueradeAll: boolean): Rule[] {
  const rules: Rule[] = [
    {
      src: { address: 0x7f000000, mask: 0xff000000, prefixLength: 8 },
      matches: [],
      target: { kind: 'RETURN' },
      servicePortId: -1,
    },
  ];
  const hasClusterIps = sets.get('KUBE-CLUSTER-IP')?.size !== 0;
  const masq = (key: SetKey): Rule =>
    plainRule(
      [comment('Kubernetes service cluster ip + port for masquerade purpose'), inSet('KUBE-CLUSTER-IP', key)],
      jump('KUBE-MARK-MASQ'),
    );
  if (hasClusterIps) {
    if (masqueradeAll) rules.push(masq('dst,dst'));
    else if (node.clusterCidr !== undefined) rules.push({ ...masq('dst,dst'), src: node.clusterCidr, notSrc: true });
    else rules.push(masq('src,dst'));
  }
  rules.push(plainRule([{ kind: 'dst-local' }], jump('KUBE-NODE-PORT')));
  if (hasClusterIps) rules.push(plainRule([inSet('KUBE-CLUSTER-IP', 'dst,dst')], { kind: 'ACCEPT' }));
  return rules;
}

function natNodePort(sets: Sets): Rule[] {
  const rules: Rule[] = [];
  for (const [protocol, set] of [
    [PROTOCOL_TCP, 'KUBE-NODE-PORT-TCP'],
    [PROTOCOL_UDP, 'KUBE-NODE-PORT-UDP'],
  ] as const) {
    if (sets.get(set)?.size === 0) continue;
    const says = comment(
      `Kubernetes nodeport ${protocol === PROTOCOL_TCP ? 'TCP' : 'UDP'} port for masquerade purpose`,
    );
    rules.push({ ...plainRule([says, inSet(set, 'dst-port')], jump('KUBE-MARK-MASQ')), protocol });
  }
  return rules;
}

/** The chains that each sync writes anew. */
export function ipvsChains(sets: Sets, node: NodeSpec, masqueradeAll: boolean): RestoreInput {
  const { markMasq, postrouting } = markRules(false);
  if (sets.get('KUBE-LOOP-BACK')?.size !== 0) {
    const says = comment('Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose');
    postrouting.unshift(plainRule([says, inSet('KUBE-LOOP-BACK', 'dst,dst,src')], { kind: 'MASQUERADE' }));
  }
  const isNew: Match = { kind: 'ctstate', states: ['NEW'] };
  const toIpvs = (
    [
      ['KUBE-LOAD-BALANCER', 'dst,dst'],
      ['KUBE-CLUSTER-IP', 'dst,dst'],
      ['KUBE-EXTERNAL-IP', 'dst,dst'],
      ['KUBE-EXTERNAL-IP-LOCAL', 'dst,dst'],
      ['KUBE-HEALTH-CHECK-NODE-PORT', 'dst-port'],
    ] as const
  ).map(([set, key]) => plainRule([inSet(set, key)], { kind: 'RETURN' }));
  const known: Match = { kind: 'ctstate', states: ['RELATED', 'ESTABLISHED'] };
  return {
    nat: new Map([
      ['KUBE-SERVICES', natServices(sets, node, masqueradeAll)],
      ['KUBE-NODE-PORT', natNodePort(sets)],
      ['KUBE-LOAD-BALANCER', [plainRule([], jump('KUBE-MARK-MASQ'))]],
      ['KUBE-MARK-MASQ', markMasq],
      ['KUBE-POSTROUTING', postrouting],
    ]),
    filter: new Map([
      ['KUBE-IPVS-FILTER', [...toIpvs, plainRule([isNew, inSet('KUBE-IPVS-IPS', 'dst-address')], { kind: 'REJECT' })]],
      ['KUBE-PROXY-FIREWALL', []],
      ['KUBE-SOURCE-RANGES-FIREWALL', [plainRule([], { kind: 'DROP' })]],
      ['KUBE-IPVS-OUT-FILTER', []],
      [
        'KUBE-NODE-PORT',
        [
          plainRule([comment('Kubernetes health check node port'), inSet('KUBE-HEALTH-CHECK-NODE-PORT', 'dst-port')], {
            kind: 'ACCEPT',
          }),
        ],
      ],
      [
        'KUBE-FORWARD',
        [
          plainRule([comment('kubernetes forwarding rules'), { kind: 'mark' }], { kind: 'ACCEPT' }),
          plainRule([comment('kubernetes forwarding conntrack rule'), known], { kind: 'ACCEPT' }),
        ],
      ],
    ]),
  };
}

/** The iptables rules of IPVS mode, of which only those of closed load balancers grow in number (README 6; pkg/proxy/ipvs/proxier.go writeIptablesRules). */
import type { NodeSpec, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_SCTP, PROTOCOL_TCP, PROTOCOL_UDP } from '../../model/protocol.ts';
import type { EngineOptions } from '../engine.ts';
import { comment, jump, markRules, plainRule } from './iptables-rules.ts';
import type { RestoreInput } from './iptables-rules.ts';
import type { IpSets, SetName } from './ipvs-sets.ts';
import type { Match, Rule, SetKey, Table, Target } from './netfilter.ts';

/** A VIP whose source ranges leave the node out. */
export interface ClosedVip {
  readonly svc: ServicePort;
  readonly address: number;
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

const ACCEPT: Target = { kind: 'ACCEPT' };
const RETURN: Target = { kind: 'RETURN' };
const MARK_MASQ = jump('KUBE-MARK-MASQ');
const DST_LOCAL: Match = { kind: 'dst-local' };

function inSet(set: SetName, key: SetKey): Match {
  return { kind: 'set', set, key };
}

/** The chains that each sync writes anew. */
export function ipvsChains(
  sets: IpSets,
  closedVips: readonly ClosedVip[],
  node: NodeSpec,
  options: EngineOptions,
): RestoreInput {
  const writer = new RuleWriter(sets, node, options);
  return {
    nat: new Map([
      ['KUBE-SERVICES', writer.natServices()],
      ['KUBE-NODE-PORT', writer.natNodePort()],
      ['KUBE-LOAD-BALANCER', writer.natLoadBalancer()],
      ['KUBE-MARK-MASQ', markRules(false).markMasq],
      ['KUBE-POSTROUTING', writer.natPostrouting()],
    ]),
    filter: new Map([
      ['KUBE-IPVS-FILTER', writer.ipvsFilter()],
      ['KUBE-PROXY-FIREWALL', writer.proxyFirewall()],
      ['KUBE-SOURCE-RANGES-FIREWALL', writer.sourceRangesFirewall()],
      ['KUBE-IPVS-OUT-FILTER', closedVips.map(outFilterRule)],
      ['KUBE-NODE-PORT', writer.nodePort()],
      ['KUBE-FORWARD', writer.forward()],
    ]),
  };
}

function outFilterRule({ svc, address }: ClosedVip): Rule {
  const { id, protocol, port } = svc;
  return {
    src: { address, mask: 0xffffffff, prefixLength: 32, isAddress: true },
    matches: [{ kind: 'ipvs', virtual: { address, port }, protocol }],
    target: { kind: 'DROP' },
    servicePortId: id,
  };
}

class RuleWriter {
  readonly #sets: IpSets;
  readonly #node: NodeSpec;
  readonly #options: EngineOptions;

  constructor(sets: IpSets, node: NodeSpec, options: EngineOptions) {
    this.#sets = sets;
    this.#node = node;
    this.#options = options;
  }

  /** No rule at all for a set that is not used. */
  #ifUsed(set: SetName, rules: (says: Match) => Rule | readonly Rule[]): Rule[] {
    const { isUsed, comment: text } = this.#sets.get(set);
    return isUsed ? [rules(comment(text))].flat() : [];
  }

  #setRule(set: SetName, key: SetKey, target: Target, more: Partial<Rule> = {}): Rule[] {
    return this.#ifUsed(set, (says) => ({ ...plainRule([says, inSet(set, key)], target), ...more }));
  }

  natServices(): Rule[] {
    return [
      {
        ...plainRule([], RETURN),
        src: { address: 0x7f000000, mask: 0xff000000, prefixLength: 8 },
      },
      ...this.#setRule('KUBE-LOAD-BALANCER', 'dst,dst', jump('KUBE-LOAD-BALANCER')),
      ...this.#clusterIpMasquerade(),
      ...this.#setRule('KUBE-EXTERNAL-IP', 'dst,dst', MARK_MASQ),
      ...this.#externalIp('KUBE-EXTERNAL-IP'),
      ...this.#externalIp('KUBE-EXTERNAL-IP-LOCAL'),
      plainRule([DST_LOCAL], jump('KUBE-NODE-PORT')),
      ...this.#ifUsed('KUBE-CLUSTER-IP', () => plainRule([inSet('KUBE-CLUSTER-IP', 'dst,dst')], ACCEPT)),
      ...this.#ifUsed('KUBE-LOAD-BALANCER', () => plainRule([inSet('KUBE-LOAD-BALANCER', 'dst,dst')], ACCEPT)),
    ];
  }

  #clusterIpMasquerade(): Rule[] {
    const { podInterface, clusterCidr } = this.#node;
    if (this.#options.masqueradeAll) return this.#setRule('KUBE-CLUSTER-IP', 'dst,dst', MARK_MASQ);
    if (podInterface !== undefined) {
      const name = podInterface.kind === 'prefix' ? `${podInterface.name}+` : podInterface.name;
      const fromPod = { name, not: true };
      return this.#setRule('KUBE-CLUSTER-IP', 'dst,dst', MARK_MASQ, { fromPod });
    }
    if (clusterCidr !== undefined) {
      return this.#setRule('KUBE-CLUSTER-IP', 'dst,dst', MARK_MASQ, { src: clusterCidr, notSrc: true });
    }
    return this.#setRule('KUBE-CLUSTER-IP', 'src,dst', MARK_MASQ);
  }

  /** Packets from off the machine, and packets to addresses that the node has. */
  #externalIp(set: 'KUBE-EXTERNAL-IP' | 'KUBE-EXTERNAL-IP-LOCAL'): Rule[] {
    const isOfSet = inSet(set, 'dst,dst');
    return this.#ifUsed(set, (says) => [
      plainRule([says, isOfSet, { kind: 'physdev' }, { kind: 'src-local', not: true }], ACCEPT),
      plainRule([says, isOfSet, DST_LOCAL], ACCEPT),
    ]);
  }

  natNodePort(): Rule[] {
    const bitmaps = (
      [
        ['TCP', PROTOCOL_TCP],
        ['UDP', PROTOCOL_UDP],
      ] as const
    ).flatMap(([name, protocol]) => [
      ...this.#setRule(`KUBE-NODE-PORT-LOCAL-${name}`, 'dst-port', RETURN, { protocol }),
      ...this.#setRule(`KUBE-NODE-PORT-${name}`, 'dst-port', MARK_MASQ, { protocol }),
    ]);
    const protocol = PROTOCOL_SCTP;
    return [
      ...bitmaps,
      ...this.#setRule('KUBE-NODE-PORT-LOCAL-SCTP-HASH', 'dst,dst', RETURN, { protocol }),
      ...this.#setRule('KUBE-NODE-PORT-SCTP-HASH', 'dst,dst', MARK_MASQ, { protocol }),
    ];
  }

  natLoadBalancer(): Rule[] {
    return [...this.#setRule('KUBE-LOAD-BALANCER-LOCAL', 'dst,dst', RETURN), plainRule([], MARK_MASQ)];
  }

  natPostrouting(): Rule[] {
    const hairpin: Target = { kind: 'MASQUERADE', randomFully: false };
    return [
      ...this.#setRule('KUBE-LOOP-BACK', 'dst,dst,src', hairpin),
      ...markRules(this.#options.masqueradeRandomFully).postrouting,
    ];
  }

  ipvsFilter(): Rule[] {
    const open = (
      [
        ['KUBE-LOAD-BALANCER', 'dst,dst'],
        ['KUBE-CLUSTER-IP', 'dst,dst'],
        ['KUBE-EXTERNAL-IP', 'dst,dst'],
        ['KUBE-EXTERNAL-IP-LOCAL', 'dst,dst'],
        ['KUBE-HEALTH-CHECK-NODE-PORT', 'dst-port'],
      ] as const
    ).map(([set, key]) => plainRule([inSet(set, key)], RETURN));
    const isNew: Match = { kind: 'ctstate', states: ['NEW'] };
    return [...open, plainRule([isNew, inSet('KUBE-IPVS-IPS', 'dst-address')], { kind: 'REJECT' })];
  }

  proxyFirewall(): Rule[] {
    return this.#setRule('KUBE-LOAD-BALANCER-FW', 'dst,dst', jump('KUBE-SOURCE-RANGES-FIREWALL'));
  }

  sourceRangesFirewall(): Rule[] {
    return [
      ...this.#setRule('KUBE-LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src', RETURN),
      ...this.#setRule('KUBE-LOAD-BALANCER-SOURCE-IP', 'dst,dst,src', RETURN),
      plainRule([], { kind: 'DROP' }),
    ];
  }

  /** Always there, as kube-proxy does not look whether the set is empty. */
  nodePort(): Rule[] {
    const set = 'KUBE-HEALTH-CHECK-NODE-PORT';
    const rule = plainRule([comment(this.#sets.get(set).comment), inSet(set, 'dst-port')], ACCEPT);
    return [rule];
  }

  forward(): Rule[] {
    const known: Match = { kind: 'ctstate', states: ['RELATED', 'ESTABLISHED'] };
    return [
      plainRule([comment('kubernetes forwarding rules'), { kind: 'mark' }], ACCEPT),
      plainRule([comment('kubernetes forwarding conntrack rule'), known], ACCEPT),
    ];
  }
}

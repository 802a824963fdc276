/**
 * The iptables rules of IPVS mode (kube-proxy pkg/proxy/ipvs/proxier.go createAndLinkKubeChain, writeIptablesRules). Their number does
 * not depend on that of the services, but for load balancers closed to the node; which of them exist depends on which ipsets are empty.
 */
import { familyOfCidr } from '../../../model/ip-text.ts';
import type { ProxyConfig } from '../../../model/service-config.ts';
import { assert } from '../../../sim/assert.ts';
import type { IpSets, SetName } from './ip-sets.ts';
import type { Match, Rule, RuleSet, Target } from './rules.ts';
import type { BlockedVip } from './service-plan.ts';

/** kube-proxy's own chains, as `table/CHAIN`. */
const KUBE_CHAINS: readonly string[] = [
  'nat/KUBE-SERVICES',
  'nat/KUBE-POSTROUTING',
  'nat/KUBE-NODE-PORT',
  'nat/KUBE-LOAD-BALANCER',
  'nat/KUBE-MARK-MASQ',
  'filter/KUBE-FORWARD',
  'filter/KUBE-NODE-PORT',
  'filter/KUBE-PROXY-FIREWALL',
  'filter/KUBE-SOURCE-RANGES-FIREWALL',
  'filter/KUBE-IPVS-FILTER',
  'filter/KUBE-IPVS-OUT-FILTER',
];

const FIREWALL_COMMENT = 'kube-proxy firewall rules';
const ACCESS_COMMENT = 'kubernetes ipvs access filter';
const PORTALS_COMMENT = 'kubernetes service portals';

/** Each is put on top of its chain, so that the last ones end first: here in the order in which a packet meets them. */
export const BUILT_IN_RULES: RuleSet = new Map([
  [
    'filter/INPUT',
    [
      jumpTo('KUBE-IPVS-FILTER', ACCESS_COMMENT),
      jumpTo('KUBE-PROXY-FIREWALL', FIREWALL_COMMENT),
      jumpTo('KUBE-NODE-PORT', 'kubernetes health check rules'),
    ],
  ],
  [
    'filter/FORWARD',
    [jumpTo('KUBE-PROXY-FIREWALL', FIREWALL_COMMENT), jumpTo('KUBE-FORWARD', 'kubernetes forwarding rules')],
  ],
  ['filter/OUTPUT', [jumpTo('KUBE-IPVS-OUT-FILTER', ACCESS_COMMENT)]],
  ['nat/PREROUTING', [jumpTo('KUBE-SERVICES', PORTALS_COMMENT)]],
  ['nat/OUTPUT', [jumpTo('KUBE-SERVICES', PORTALS_COMMENT)]],
  ['nat/POSTROUTING', [jumpTo('KUBE-POSTROUTING', 'kubernetes postrouting rules')]],
]);

/** Rules of every chain in KUBE_CHAINS. */
export function writeRules(config: ProxyConfig, sets: IpSets, blockedForNode: readonly BlockedVip[]): RuleSet {
  const writer = new RuleWriter(config, sets);
  writer.writeNatServices();
  writer.writeNatNodePort();
  writer.writeNatLoadBalancer();
  writer.writeNatPostrouting();
  writer.append('nat/KUBE-MARK-MASQ', [], { kind: 'setMark', mark: config.masqueradeMark });
  writer.writeFirewall();
  writer.writeNodeFilters(blockedForNode);
  return writer.chains;
}

class RuleWriter {
  readonly chains = new Map<string, Rule[]>(KUBE_CHAINS.map((chain) => [chain, []]));
  readonly #config: ProxyConfig;
  readonly #sets: IpSets;

  constructor(config: ProxyConfig, sets: IpSets) {
    this.#config = config;
    this.#sets = sets;
  }

  append(chain: string, matches: readonly Match[], target: Target): void {
    const rules = this.chains.get(chain);
    assert(rules !== undefined, `no chain ${chain}`);
    rules.push({ matches, target });
  }

  writeNatServices(): void {
    const chain = 'nat/KUBE-SERVICES';
    const loopback = this.#config.ipFamily === 'IPv4' ? '127.0.0.0/8' : '::1/128';
    this.append(chain, [{ kind: 'source', cidr: loopback }], RETURN);
    this.#appendIfUsed('KUBE-LOAD-BALANCER', chain, 'dst,dst', jump('KUBE-LOAD-BALANCER'));
    this.#appendClusterIpMasquerade(chain);
    if (!this.#isEmpty('KUBE-EXTERNAL-IP')) {
      const matches = this.#commented('KUBE-EXTERNAL-IP', 'dst,dst');
      this.append(chain, matches, MARK_MASQ);
      this.#appendExternalIp(chain, matches);
    }
    if (!this.#isEmpty('KUBE-EXTERNAL-IP-LOCAL')) {
      this.#appendExternalIp(chain, this.#commented('KUBE-EXTERNAL-IP-LOCAL', 'dst,dst'));
    }
    this.append(chain, [DST_LOCAL], jump('KUBE-NODE-PORT'));
    // Whatever rules others add to the table, packets for these virtual servers are left to IPVS.
    for (const set of ['KUBE-CLUSTER-IP', 'KUBE-LOAD-BALANCER'] as const) {
      if (!this.#isEmpty(set)) this.append(chain, [this.#inSet(set, 'dst,dst')], ACCEPT);
    }
  }

  #appendClusterIpMasquerade(chain: string): void {
    if (this.#isEmpty('KUBE-CLUSTER-IP')) return;
    const notLocal = this.#notFromCluster();
    if (this.#config.masqueradeAll) {
      this.append(chain, this.#commented('KUBE-CLUSTER-IP', 'dst,dst'), MARK_MASQ);
    } else if (notLocal !== undefined) {
      this.append(chain, [...this.#commented('KUBE-CLUSTER-IP', 'dst,dst'), notLocal], MARK_MASQ);
    } else {
      // The node's own packets to a VIP have a VIP as their source, which endpoints elsewhere could not answer.
      this.append(chain, this.#commented('KUBE-CLUSTER-IP', 'src,dst'), MARK_MASQ);
    }
  }

  /** The local detector's negation; `undefined` without a detector for this family. */
  #notFromCluster(): Match | undefined {
    const detector = this.#config.localDetector;
    switch (detector.kind) {
      case 'none':
        return undefined;
      case 'cidr':
        if (familyOfCidr(detector.cidr) !== this.#config.ipFamily) return undefined;
        return { kind: 'source', cidr: detector.cidr, negated: true };
      case 'bridge':
        return { kind: 'inputInterface', pattern: detector.name, negated: true };
      case 'prefix':
        return { kind: 'inputInterface', pattern: `${detector.name}+`, negated: true };
    }
  }

  /** Traffic from off the machine, then traffic to addresses that the node has itself. */
  #appendExternalIp(chain: string, matches: readonly Match[]): void {
    this.append(chain, [...matches, { kind: 'notFromBridge' }, SRC_NOT_LOCAL], ACCEPT);
    this.append(chain, [...matches, DST_LOCAL], ACCEPT);
  }

  writeNatNodePort(): void {
    const chain = 'nat/KUBE-NODE-PORT';
    this.#appendIfUsed('KUBE-NODE-PORT-LOCAL-TCP', chain, 'dst', RETURN, TCP);
    this.#appendIfUsed('KUBE-NODE-PORT-TCP', chain, 'dst', MARK_MASQ, TCP);
    this.#appendIfUsed('KUBE-NODE-PORT-LOCAL-UDP', chain, 'dst', RETURN, UDP);
    this.#appendIfUsed('KUBE-NODE-PORT-UDP', chain, 'dst', MARK_MASQ, UDP);
    this.#appendIfUsed('KUBE-NODE-PORT-LOCAL-SCTP-HASH', chain, 'dst,dst', RETURN, SCTP);
    this.#appendIfUsed('KUBE-NODE-PORT-SCTP-HASH', chain, 'dst,dst', MARK_MASQ, SCTP);
  }

  writeNatLoadBalancer(): void {
    const chain = 'nat/KUBE-LOAD-BALANCER';
    this.#appendIfUsed('KUBE-LOAD-BALANCER-LOCAL', chain, 'dst,dst', RETURN);
    this.append(chain, [], MARK_MASQ);
  }

  writeNatPostrouting(): void {
    const chain = 'nat/KUBE-POSTROUTING';
    const mark = this.#config.masqueradeMark;
    this.#appendIfUsed('KUBE-LOOP-BACK', chain, 'dst,dst,src', { kind: 'masquerade', randomFully: false });
    this.append(chain, [{ kind: 'mark', mark, negated: true }], RETURN);
    this.append(chain, [], { kind: 'clearMark', mark });
    this.append(chain, [comment('kubernetes service traffic requiring SNAT')], {
      kind: 'masquerade',
      randomFully: this.#config.masqueradeRandomFully,
    });
  }

  writeFirewall(): void {
    const ranges = 'filter/KUBE-SOURCE-RANGES-FIREWALL';
    const toRanges = jump('KUBE-SOURCE-RANGES-FIREWALL');
    this.#appendIfUsed('KUBE-LOAD-BALANCER-FW', 'filter/KUBE-PROXY-FIREWALL', 'dst,dst', toRanges);
    this.#appendIfUsed('KUBE-LOAD-BALANCER-SOURCE-CIDR', ranges, 'dst,dst,src', RETURN);
    this.#appendIfUsed('KUBE-LOAD-BALANCER-SOURCE-IP', ranges, 'dst,dst,src', RETURN);
    this.append(ranges, [], DROP);
  }

  writeNodeFilters(blockedForNode: readonly BlockedVip[]): void {
    for (const { address, protocol, port } of blockedForNode) {
      const matches: Match[] = [
        { kind: 'source', cidr: address },
        { kind: 'ipvs', address, protocol, port },
      ];
      this.append('filter/KUBE-IPVS-OUT-FILTER', matches, DROP);
    }
    const marked: Match = { kind: 'mark', mark: this.#config.masqueradeMark };
    const forward = 'filter/KUBE-FORWARD';
    this.append(forward, [comment('kubernetes forwarding rules'), marked], ACCEPT);
    const established: Match = { kind: 'state', states: 'RELATED,ESTABLISHED' };
    this.append(forward, [comment('kubernetes forwarding conntrack rule'), established], ACCEPT);
    this.append('filter/KUBE-NODE-PORT', this.#commented('KUBE-HEALTH-CHECK-NODE-PORT', 'dst'), ACCEPT);

    const access = 'filter/KUBE-IPVS-FILTER';
    const open = ['KUBE-LOAD-BALANCER', 'KUBE-CLUSTER-IP', 'KUBE-EXTERNAL-IP', 'KUBE-EXTERNAL-IP-LOCAL'] as const;
    for (const set of open) this.append(access, [this.#inSet(set, 'dst,dst')], RETURN);
    this.append(access, [this.#inSet('KUBE-HEALTH-CHECK-NODE-PORT', 'dst')], RETURN);
    // Ports of a VIP that no service uses would else lead to processes of the host.
    const unused: Match[] = [{ kind: 'state', states: 'NEW' }, this.#inSet('KUBE-IPVS-IPS', 'dst')];
    this.append(access, unused, REJECT);
  }

  #isEmpty(set: SetName): boolean {
    return this.#sets.get(set)?.isEmpty ?? true;
  }

  #inSet(set: SetName, fields: string): Match {
    const kernelName = this.#sets.get(set)?.kernelName;
    assert(kernelName !== undefined, `no ipset ${set}`);
    return { kind: 'set', set, kernelName, fields };
  }

  #commented(set: SetName, fields: string): Match[] {
    return [comment(this.#sets.get(set)?.definition.comment ?? ''), this.#inSet(set, fields)];
  }

  #appendIfUsed(set: SetName, chain: string, fields: string, target: Target, protocol?: Match): void {
    if (this.#isEmpty(set)) return;
    const matches = this.#commented(set, fields);
    this.append(chain, protocol === undefined ? matches : [protocol, ...matches], target);
  }
}

const ACCEPT: Target = { kind: 'verdict', verdict: 'ACCEPT' };
const DROP: Target = { kind: 'verdict', verdict: 'DROP' };
const REJECT: Target = { kind: 'verdict', verdict: 'REJECT' };
const RETURN: Target = { kind: 'verdict', verdict: 'RETURN' };
const MARK_MASQ = jump('KUBE-MARK-MASQ');
const DST_LOCAL: Match = { kind: 'addressType', end: 'dst' };
const SRC_NOT_LOCAL: Match = { kind: 'addressType', end: 'src', negated: true };
const TCP: Match = { kind: 'protocol', protocol: 'tcp' };
const UDP: Match = { kind: 'protocol', protocol: 'udp' };
const SCTP: Match = { kind: 'protocol', protocol: 'sctp' };

function jump(chain: string): Target {
  return { kind: 'jump', chain };
}

function comment(text: string): Match {
  return { kind: 'comment', text };
}

function jumpTo(chain: string, text: string): Rule {
  return { matches: [comment(text)], target: jump(chain) };
}

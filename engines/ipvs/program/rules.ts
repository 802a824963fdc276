/** iptables rules as data and as text: the matches and targets that IPVS mode uses. */
import type { SetName } from './ip-sets.ts';
import type { Protocol } from './ipvs-table.ts';

export type Match =
  | { readonly kind: 'source'; readonly cidr: string; readonly negated?: boolean }
  | { readonly kind: 'inputInterface'; readonly pattern: string; readonly negated?: boolean }
  | { readonly kind: 'protocol'; readonly protocol: Protocol }
  | { readonly kind: 'comment'; readonly text: string }
  /** `fields` as in `dst,dst,src`. */
  | { readonly kind: 'set'; readonly set: SetName; readonly kernelName: string; readonly fields: string }
  | { readonly kind: 'addressType'; readonly end: 'src' | 'dst'; readonly negated?: boolean }
  /** Not received through a bridge's port. */
  | { readonly kind: 'notFromBridge' }
  | { readonly kind: 'mark'; readonly mark: string; readonly negated?: boolean }
  | { readonly kind: 'state'; readonly states: string }
  | { readonly kind: 'ipvs'; readonly address: string; readonly protocol: Protocol; readonly port: number };

export type Target =
  | { readonly kind: 'verdict'; readonly verdict: 'ACCEPT' | 'DROP' | 'REJECT' | 'RETURN' }
  | { readonly kind: 'jump'; readonly chain: string }
  | { readonly kind: 'setMark' | 'clearMark'; readonly mark: string }
  | { readonly kind: 'masquerade'; readonly randomFully: boolean };

export interface Rule {
  /** In the order in which they are written and tested; iptables itself tests addresses, interface and protocol first. */
  readonly matches: readonly Match[];
  readonly target: Target;
}

/** Rules of each chain, by `table/CHAIN`. */
export type RuleSet = ReadonlyMap<string, readonly Rule[]>;

/** `-A CHAIN ...` as iptables-restore takes it. */
export function ruleText(chain: string, rule: Rule): string {
  return ['-A', chain, ...rule.matches.map(matchText), targetText(rule.target)].join(' ');
}

function matchText(match: Match): string {
  switch (match.kind) {
    case 'source':
      return `${not(match)}-s ${match.cidr}`;
    case 'inputInterface':
      return `${not(match)}-i ${match.pattern}`;
    case 'protocol':
      return `-p ${match.protocol}`;
    case 'comment':
      return `-m comment --comment "${match.text}"`;
    case 'set':
      return `-m set --match-set ${match.kernelName} ${match.fields}`;
    case 'addressType':
      return `-m addrtype ${not(match)}--${match.end}-type LOCAL`;
    case 'notFromBridge':
      return '-m physdev ! --physdev-is-in';
    case 'mark':
      return `-m mark ${not(match)}--mark ${match.mark}/${match.mark}`;
    case 'state':
      return `-m conntrack --ctstate ${match.states}`;
    case 'ipvs':
      return `-m ipvs --vaddr ${match.address} --vproto ${match.protocol} --vport ${match.port}`;
  }
}

function not(match: { readonly negated?: boolean }): string {
  return match.negated === true ? '! ' : '';
}

function targetText(target: Target): string {
  switch (target.kind) {
    case 'verdict':
      return `-j ${target.verdict}`;
    case 'jump':
      return `-j ${target.chain}`;
    case 'setMark':
      return `-j MARK --or-mark ${target.mark}`;
    case 'clearMark':
      return `-j MARK --xor-mark ${target.mark}`;
    case 'masquerade':
      return target.randomFully ? '-j MASQUERADE --random-fully' : '-j MASQUERADE';
  }
}

/** Rules of nftables mode as lists of statements, each with its text in the syntax of `nft` (README 9.1 and 9.2). */
import { formatCidr, formatIpv4 } from '../../model/address.ts';
import type { Cidr } from '../../model/address.ts';
import type { NodeSpec } from '../../model/cluster.ts';
import type { Protocol } from '../../model/protocol.ts';
import { protocolName } from '../../model/protocol.ts';
import { partyText } from './endpoints.ts';
import type { Party } from './packet.ts';

export type NftVerdict =
  { readonly kind: 'drop' | 'reject' | 'return' } | { readonly kind: 'jump' | 'goto'; readonly chain: string };

export type Field = 'saddr' | 'daddr';

/** What a statement asks or does. */
type Meaning =
  | { readonly kind: 'ct new' }
  /** One of the blocks holds the address. `looksUp`: nft makes a set of the braces. */
  | {
      readonly kind: 'blocks';
      readonly field: Field;
      readonly not: boolean;
      readonly blocks: readonly Cidr[];
      readonly looksUp: boolean;
    }
  | { readonly kind: 'in set'; readonly field: Field; readonly set: string }
  | { readonly kind: 'fib local'; readonly field: Field }
  | { readonly kind: 'from pod interface'; readonly not: boolean }
  | { readonly kind: 'protocol'; readonly protocol: Protocol; readonly dport?: number }
  | { readonly kind: 'mark clear' | 'mark or' | 'mark xor' | 'masquerade' }
  | { readonly kind: 'vmap'; readonly map: string; readonly byAddress: boolean }
  | { readonly kind: 'numgen'; readonly chains: readonly string[] }
  | { readonly kind: 'update'; readonly set: string }
  | { readonly kind: 'dnat'; readonly to: Party }
  | { readonly kind: 'verdict'; readonly verdict: NftVerdict };

export type Statement = Meaning & { readonly text: string };

export interface NftRule {
  readonly statements: readonly Statement[];
  readonly comment: string;
  /** The service port that the rule belongs to, or -1. */
  readonly owner: number;
}

export function rule(statements: readonly Statement[], owner = -1, comment = ''): NftRule {
  return { statements, comment, owner };
}

export function ruleText({ statements, comment }: NftRule): string {
  const words = statements.map((statement) => statement.text);
  if (comment !== '') words.push(`comment "${comment}"`);
  return words.join(' ');
}

export function verdictText(verdict: NftVerdict): string {
  return 'chain' in verdict ? `${verdict.kind} ${verdict.chain}` : verdict.kind;
}

function decide(verdict: NftVerdict): Statement {
  return { kind: 'verdict', verdict, text: verdictText(verdict) };
}

export const CT_NEW: Statement = { kind: 'ct new', text: 'ct state new' };
export const DROP = decide({ kind: 'drop' });
export const REJECT = decide({ kind: 'reject' });
export const RETURN = decide({ kind: 'return' });
export const MASQUERADE: Statement = { kind: 'masquerade', text: 'masquerade fully-random' };

export function jump(chain: string): Statement {
  return decide({ kind: 'jump', chain });
}

export function goTo(chain: string): Statement {
  return decide({ kind: 'goto', chain });
}

function host(address: number): Cidr {
  return { address, mask: 0xffffffff, prefixLength: 32 };
}

function oneBlock(field: Field, not: boolean, block: Cidr, text: string): Statement {
  const isNot = not ? '!= ' : '';
  return { kind: 'blocks', field, not, blocks: [block], looksUp: false, text: `ip ${field} ${isNot}${text}` };
}

export function addressIs(field: Field, address: number): Statement {
  return oneBlock(field, false, host(address), formatIpv4(address));
}

export function addressIn(field: Field, block: Cidr, not = false): Statement {
  return oneBlock(field, not, block, formatCidr(block));
}

/** Service ranges, which kube-proxy joins without blanks. */
export function daddrInRanges(blocks: readonly Cidr[]): Statement {
  const text = `ip daddr { ${blocks.map(formatCidr).join(',')} }`;
  return { kind: 'blocks', field: 'daddr', not: false, blocks, looksUp: blocks.length > 1, text };
}

/** Neither in a source range nor one of the VIPs. */
export function saddrNotAmong(ranges: readonly Cidr[], vips: readonly number[]): Statement {
  const blocks = [...ranges, ...vips.map(host)];
  const words = [...ranges.map(formatCidr), ...vips.map(formatIpv4)];
  const text = `ip saddr != { ${words.join(' , ')} }`;
  return { kind: 'blocks', field: 'saddr', not: true, blocks, looksUp: blocks.length > 1, text };
}

export function inSet(field: Field, set: string): Statement {
  return { kind: 'in set', field, set, text: `ip ${field} @${set}` };
}

export function fibLocal(field: Field): Statement {
  return { kind: 'fib local', field, text: `fib ${field} type local` };
}

/** Tells this node's pods from everybody else; undefined when nothing does [pkg/proxy/util/localdetector.go]. */
export function fromPods(node: NodeSpec, not: boolean): Statement | undefined {
  const { podInterface, clusterCidr } = node;
  if (podInterface !== undefined) {
    const name = podInterface.kind === 'prefix' ? `${podInterface.name}*` : podInterface.name;
    return { kind: 'from pod interface', not, text: `iifname ${not ? '!= ' : ''}${name}` };
  }
  return clusterCidr === undefined ? undefined : addressIn('saddr', clusterCidr, not);
}

export function isProtocol(protocol: Protocol): Statement {
  return { kind: 'protocol', protocol, text: `meta l4proto ${protocolName(protocol)}` };
}

export function toPort(protocol: Protocol, dport: number): Statement {
  return { kind: 'protocol', protocol, dport, text: `${protocolName(protocol)} dport ${dport}` };
}

export function markWord(masqueradeBit: number): string {
  return `0x${((1 << masqueradeBit) >>> 0).toString(16).padStart(8, '0')}`;
}

export function markClear(mark: string): Statement {
  return { kind: 'mark clear', text: `mark and ${mark} == 0` };
}

export function setMark(operator: 'or' | 'xor', mark: string): Statement {
  return { kind: operator === 'or' ? 'mark or' : 'mark xor', text: `mark set mark ${operator} ${mark}` };
}

export function vmap(map: string, byAddress: boolean): Statement {
  return {
    kind: 'vmap',
    map,
    byAddress,
    text: `${byAddress ? 'ip daddr . ' : ''}meta l4proto . th dport vmap @${map}`,
  };
}

export function numgen(chains: readonly string[]): Statement {
  const entries = chains.map((chain, i) => `${i} : goto ${chain}`).join(' , ');
  return { kind: 'numgen', chains, text: `numgen random mod ${chains.length} vmap { ${entries} }` };
}

export function update(set: string): Statement {
  return { kind: 'update', set, text: `update @${set} { ip saddr }` };
}

export function dnatTo(to: Party): Statement {
  return { kind: 'dnat', to: { address: to.address, port: to.port }, text: `dnat to ${partyText(to)}` };
}

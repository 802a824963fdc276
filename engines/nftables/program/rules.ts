/** The nftables rules that kube-proxy writes, as objects, and their text. */
import type { IpFamily } from '../../../model/service-config.ts';

export type Verdict =
  { readonly kind: 'drop' | 'reject' | 'return' } | { readonly kind: 'jump' | 'goto'; readonly chain: string };

export type AddressField = 'saddr' | 'daddr';

/** One part of a rule, in the order of its text. A match that fails ends the rule; an action may end the packet's way. */
export type Statement =
  | { readonly kind: 'ct-new' }
  /** One address or block, or several in braces. */
  | {
      readonly kind: 'address';
      readonly field: AddressField;
      readonly negated: boolean;
      readonly blocks: readonly string[];
      readonly form: 'single' | 'spaced' | 'compact';
    }
  | { readonly kind: 'address-set'; readonly field: AddressField; readonly set: string }
  | { readonly kind: 'fib-local'; readonly field: AddressField }
  /** A name that ends in `*` matches by prefix. */
  | { readonly kind: 'interface'; readonly negated: boolean; readonly name: string }
  | { readonly kind: 'protocol'; readonly protocol: string }
  | { readonly kind: 'destination-port'; readonly protocol: string; readonly port: number }
  | { readonly kind: 'mark-clear'; readonly mark: string }
  | { readonly kind: 'set-mark'; readonly operator: 'or' | 'xor'; readonly mark: string }
  /** A verdict map looked up by address, protocol and port, or by protocol and port alone. */
  | { readonly kind: 'dispatch'; readonly by: 'destination' | 'port'; readonly map: string }
  /** Evenly random over the chains. */
  | { readonly kind: 'balance'; readonly chains: readonly string[] }
  | { readonly kind: 'update-affinity'; readonly set: string }
  | { readonly kind: 'dnat'; readonly to: string }
  | { readonly kind: 'masquerade' }
  | { readonly kind: 'verdict'; readonly verdict: Verdict }
  /** Found in a kernel, written by somebody else. */
  | { readonly kind: 'unknown'; readonly text: string };

export interface NftRule {
  readonly statements: readonly Statement[];
  /** As after `add rule ip kube-proxy CHAIN`, comment included. */
  readonly text: string;
}

/** The word before saddr and daddr. */
export function addressWord(family: IpFamily): 'ip' | 'ip6' {
  return family === 'IPv4' ? 'ip' : 'ip6';
}

export function buildRule(family: IpFamily, statements: readonly Statement[], comment = ''): NftRule {
  const ip = addressWord(family);
  let text = '';
  for (const statement of statements) text += `${text === '' ? '' : ' '}${statementText(ip, statement)}`;
  return { statements, text: comment === '' ? text : `${text} comment "${comment}"` };
}

export function verdictText(verdict: Verdict): string {
  return verdict.kind === 'jump' || verdict.kind === 'goto' ? `${verdict.kind} ${verdict.chain}` : verdict.kind;
}

export function jump(chain: string): Statement {
  return { kind: 'verdict', verdict: { kind: 'jump', chain } };
}

export function goTo(chain: string): Statement {
  return { kind: 'verdict', verdict: { kind: 'goto', chain } };
}

function statementText(ip: string, statement: Statement): string {
  switch (statement.kind) {
    case 'ct-new':
      return 'ct state new';
    case 'address':
      return `${ip} ${statement.field}${statement.negated ? ' !=' : ''} ${blocksText(statement.blocks, statement.form)}`;
    case 'address-set':
      return `${ip} ${statement.field} @${statement.set}`;
    case 'fib-local':
      return `fib ${statement.field} type local`;
    case 'interface':
      return `iifname${statement.negated ? ' !=' : ''} ${statement.name}`;
    case 'protocol':
      return `meta l4proto ${statement.protocol}`;
    case 'destination-port':
      return `${statement.protocol} dport ${statement.port}`;
    case 'mark-clear':
      return `mark and ${statement.mark} == 0`;
    case 'set-mark':
      return `mark set mark ${statement.operator} ${statement.mark}`;
    case 'dispatch':
      return `${statement.by === 'destination' ? `${ip} daddr . ` : ''}meta l4proto . th dport vmap @${statement.map}`;
    case 'balance':
      return `numgen random mod ${statement.chains.length} vmap { ${statement.chains.map((chain, i) => `${i} : goto ${chain}`).join(' , ')} }`;
    case 'update-affinity':
      return `update @${statement.set} { ${ip} saddr }`;
    case 'dnat':
      return `dnat to ${statement.to}`;
    case 'masquerade':
      return 'masquerade fully-random';
    case 'verdict':
      return verdictText(statement.verdict);
    case 'unknown':
      return statement.text;
  }
}

/** kube-proxy joins source ranges with blanks and Service CIDRs without. */
function blocksText(blocks: readonly string[], form: 'single' | 'spaced' | 'compact'): string {
  if (form === 'single') return blocks[0];
  return `{ ${blocks.join(form === 'spaced' ? ' , ' : ',')} }`;
}

/** Reads rules back from text: the rules that an earlier kube-proxy left in the kernel. */
import type { AddressField, NftRule, Statement, Verdict } from './rules.ts';

type Reader = readonly [pattern: RegExp, read: (part: readonly string[]) => Statement];

/** Tried in order: longer forms stand before those that would take a part of them. */
const READERS: readonly Reader[] = [
  [/^ct state new/, () => ({ kind: 'ct-new' })],
  [/^ip6? daddr \. meta l4proto \. th dport vmap @(\S+)/, (m) => ({ kind: 'dispatch', by: 'destination', map: m[1] })],
  [/^meta l4proto \. th dport vmap @(\S+)/, (m) => ({ kind: 'dispatch', by: 'port', map: m[1] })],
  [/^ip6? ([sd]addr) @(\S+)/, (m) => ({ kind: 'address-set', field: field(m[1]), set: m[2] })],
  [/^ip6? ([sd]addr) (!= )?\{ ([^}]*) \}/, (m) => blocks(m)],
  [
    /^ip6? ([sd]addr) (!= )?([\da-fA-F.:/]+)/,
    (m) => ({ kind: 'address', field: field(m[1]), negated: m[2] === '!= ', blocks: [m[3]], form: 'single' }),
  ],
  [/^fib ([sd]addr) type local/, (m) => ({ kind: 'fib-local', field: field(m[1]) })],
  [/^iif(?:name)? (!= )?"?([^\s"]+)"?/, (m) => ({ kind: 'interface', negated: m[1] === '!= ', name: m[2] })],
  [/^meta l4proto (tcp|udp|sctp)/, (m) => ({ kind: 'protocol', protocol: m[1] })],
  [/^(tcp|udp|sctp) dport (\d+)/, (m) => ({ kind: 'destination-port', protocol: m[1], port: Number(m[2]) })],
  [/^mark and (\S+) == 0/, (m) => ({ kind: 'mark-clear', mark: m[1] })],
  [/^mark set mark (or|xor) (\S+)/, (m) => ({ kind: 'set-mark', operator: m[1] === 'or' ? 'or' : 'xor', mark: m[2] })],
  [/^numgen random mod \d+ vmap \{ (.*) \}/, (m) => ({ kind: 'balance', chains: balanced(m[1]) })],
  [/^update @(\S+) \{ ip6? saddr \}/, (m) => ({ kind: 'update-affinity', set: m[1] })],
  [/^dnat to (\S+)/, (m) => ({ kind: 'dnat', to: m[1] })],
  [/^masquerade fully-random/, () => ({ kind: 'masquerade' })],
  [/^(?:jump|goto) \S+|^drop|^reject|^return/, (m) => ({ kind: 'verdict', verdict: parseVerdict(m[0]) })],
];

/** `text` as after the chain's name. What is not a rule of kube-proxy's ends in an `unknown` statement. */
export function parseRule(text: string): NftRule {
  const statements: Statement[] = [];
  let rest = text.replace(/ *comment "[^"]*"$/, '');
  while (rest !== '') {
    const [statement, length] = readStatement(rest);
    statements.push(statement);
    rest = rest.slice(length).trimStart();
  }
  return { statements, text };
}

/** `goto chain`, `drop` and the like: a rule's end or a map element's value. */
export function parseVerdict(text: string): Verdict {
  const [word, chain] = text.split(' ');
  if ((word === 'jump' || word === 'goto') && chain !== undefined) return { kind: word, chain };
  if (word === 'drop' || word === 'reject' || word === 'return') return { kind: word };
  throw new Error(`"${text}" is not a verdict that kube-proxy writes`);
}

function readStatement(text: string): readonly [Statement, number] {
  for (const [pattern, read] of READERS) {
    const match = pattern.exec(text);
    if (match !== null && (match[0].length === text.length || text[match[0].length] === ' ')) {
      return [read(match), match[0].length];
    }
  }
  return [{ kind: 'unknown', text }, text.length];
}

function field(text: string): AddressField {
  return text === 'saddr' ? 'saddr' : 'daddr';
}

function blocks(match: readonly string[]): Statement {
  return {
    kind: 'address',
    field: field(match[1]),
    negated: match[2] === '!= ',
    blocks: match[3].split(',').map((block) => block.trim()),
    // Source ranges are joined with blanks, Service CIDRs (destinations) without.
    form: match[1] === 'saddr' ? 'spaced' : 'compact',
  };
}

function balanced(text: string): string[] {
  return text.split(' , ').map((entry) => entry.replace(/^\d+ : goto /, ''));
}

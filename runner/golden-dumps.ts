/** Dumps compared as their golden README says: iptables in a canonical order, nftables and IPVS as sets with some order inside. */
import { compareBytes } from '../model/ip-text.ts';

/** Lines of a difference that are shown; the rest is counted. */
const SHOWN_LINES = 20;

/** Readable differences of two texts that must be equal line by line; empty when they are. */
export function differentLines(expected: readonly string[], actual: readonly string[]): string[] {
  const missing = without(expected, actual);
  const surplus = without(actual, expected);
  const lines = [...missing.map((line) => `  expected  ${line}`), ...surplus.map((line) => `  got       ${line}`)];
  if (lines.length > SHOWN_LINES) {
    return [...lines.slice(0, SHOWN_LINES), `  ... and ${lines.length - SHOWN_LINES} more lines`];
  }
  if (lines.length > 0) return lines;
  const at = expected.findIndex((line, index) => line !== actual[index]);
  if (at < 0) return [];
  return ['  the same lines in another order:', `  expected  ${expected[at]}`, `  got       ${actual[at]}`];
}

/** What of `lines` is not in `others`, each line as often as it is surplus. */
function without(lines: readonly string[], others: readonly string[]): string[] {
  const left = new Map<string, number>();
  for (const line of others) left.set(line, (left.get(line) ?? 0) + 1);
  return lines.filter((line) => {
    const count = left.get(line) ?? 0;
    if (count > 0) left.set(line, count - 1);
    return count === 0;
  });
}

function linesOf(text: string): string[] {
  return text.split('\n').flatMap((line) => {
    const trimmed = line.trim();
    return trimmed === '' ? [] : [trimmed];
  });
}

/** Differences of two iptables-restore inputs, both put in canonical order first. */
export function compareRestore(expected: string, actual: string): string[] {
  return differentLines(canonicalRestore(expected), canonicalRestore(actual));
}

interface RestoreTable {
  readonly name: string;
  readonly chains: Map<string, string>;
  readonly rules: Map<string, string[]>;
  readonly deletions: string[];
  readonly others: string[];
}

/** The lines of an iptables-restore input in the order that goldens/README.md defines. */
export function canonicalRestore(text: string): string[] {
  const tables: RestoreTable[] = [];
  let table: RestoreTable | undefined;
  for (const line of linesOf(text)) {
    if (line.startsWith('*')) {
      table = { name: line, chains: new Map(), rules: new Map(), deletions: [], others: [] };
      tables.push(table);
    } else if (table === undefined) {
      tables.push({ name: line, chains: new Map(), rules: new Map(), deletions: [], others: [] });
    } else {
      addRestoreLine(table, line);
    }
  }
  return tables.sort((a, b) => compareBytes(a.name, b.name)).flatMap(tableLines);
}

function addRestoreLine(table: RestoreTable, line: string): void {
  const words = canonicalWords(line);
  const [first, chain] = words.split(' ');
  if (first.startsWith(':')) table.chains.set(first.slice(1), words);
  else if (first === '-A') table.rules.set(chain, [...(table.rules.get(chain) ?? []), words]);
  else if (first === '-X') table.deletions.push(words);
  else table.others.push(words);
}

/** One blank between words, and quotes only around a comment that holds a blank. */
function canonicalWords(line: string): string {
  return line
    .split(/("[^"]*")/)
    .map((part) => {
      if (part.startsWith('"')) return /\s/.test(part) ? part : part.slice(1, -1);
      return part.replace(/\s+/g, ' ');
    })
    .join('');
}

function tableLines(table: RestoreTable): string[] {
  const order = (a: string, b: string): number => chainRank(a) - chainRank(b) || compareBytes(a, b);
  const chains = [...table.chains.keys()].sort(order);
  const withRules = [...new Set([...chains, ...table.rules.keys()])].sort(order);
  return [
    table.name,
    ...chains.map((chain) => table.chains.get(chain) ?? chain),
    ...withRules.flatMap((chain) => canonicalRules(chain, table.rules.get(chain) ?? [])),
    ...table.deletions.sort(compareBytes),
    ...table.others,
  ];
}

function chainRank(chain: string): number {
  if (chain === 'KUBE-NODEPORTS') return 0;
  return chain === 'KUBE-SERVICES' ? 1 : 2;
}

function canonicalRules(chain: string, rules: readonly string[]): string[] {
  if (chainRank(chain) === 2) return [...rules];
  const isLast = (rule: string): boolean => rule.includes('this must be the last rule');
  const sorted = rules
    .filter((rule) => !isLast(rule))
    .map((rule) => ({ rule, service: /--comment "?([^\s":]*)/.exec(rule)?.[1] ?? '' }))
    .sort((a, b) => compareBytes(a.service, b.service))
    .map(({ rule }) => rule);
  return [...sorted, ...rules.filter(isLast)];
}

/** Differences of two nftables dumps: the same lines, and in each chain the same order of rules. */
export function compareNft(expected: string, actual: string): string[] {
  return differentLines(canonicalNft(expected), canonicalNft(actual));
}

function canonicalNft(text: string): string[] {
  const rules = new Map<string, string[]>();
  const others: string[] = [];
  for (const raw of linesOf(text)) {
    const line = raw.replace(/\s+/g, ' ');
    const chain = /^add rule \S+ \S+ (\S+) /.exec(line)?.[1];
    if (chain === undefined) others.push(line);
    else rules.set(chain, [...(rules.get(chain) ?? []), line]);
  }
  const chains = [...rules.keys()].sort(compareBytes);
  return [...others.sort(compareBytes), ...chains.flatMap((chain) => rules.get(chain) ?? [])];
}

/** Differences of two `ipvsadm -S -n` lists: virtual servers and real servers are sets. */
export function compareIpvs(expected: string, actual: string): string[] {
  const sorted = (text: string): string[] => linesOf(text).sort(compareBytes);
  return differentLines(sorted(expected), sorted(actual));
}

/** Differences of two sets of text; `what` names them. */
export function compareSets(what: string, expected: readonly string[], actual: readonly string[]): string[] {
  const lines = differentLines([...expected].sort(compareBytes), [...actual].sort(compareBytes));
  return lines.length === 0 ? [] : [[`${what}:`, ...lines].join('\n')];
}

/** Differences of two lists of text whose order counts. */
export function compareLists(what: string, expected: readonly string[], actual: readonly string[]): string[] {
  const lines = differentLines(expected, actual);
  return lines.length === 0 ? [] : [[`${what}:`, ...lines].join('\n')];
}

/**
 * The differences of spelling between what we write for iptables-restore and what iptables-save prints, each as a function that takes
 * one of them away. There are no others: rules that still differ after these are different rules.
 */
import type { ParsedRule, ParsedTables, RuleOption, RulePart } from './iptables-text.ts';
import { printRule } from './iptables-text.ts';

export interface Normalisation {
  readonly name: string;
  /** What the tool does to the text (iptables 1.8). */
  readonly why: string;
  apply(rule: ParsedRule): ParsedRule;
}

/** The kernel keeps a probability as a share of 2^31 (extensions/libxt_statistic.c). */
const PROBABILITY_UNIT = 0x80000000;
const HEADER_ORDER = ['-s', '-d', '-i', '-p'];

export const NORMALISATIONS: readonly Normalisation[] = [
  {
    name: 'header first',
    why: 'addresses, interface and protocol stand before all matches; those of modules keep their order',
    apply: (rule) => ({ ...rule, header: sortedBy(rule.header, ({ name }) => HEADER_ORDER.indexOf(name)) }),
  },
  {
    name: 'order of options',
    why: 'the options of one match or target are printed in an order of their own',
    apply: (rule) => mapParts(rule, (part) => ({ ...part, options: sortedByName(part.options) })),
  },
  {
    name: 'prefix length of an address',
    why: '10.0.0.1 is printed as 10.0.0.1/32, fd00::1 as fd00::1/128',
    apply: (rule) => ({ ...rule, header: rule.header.map((option) => withPrefixLength(option, rule)) }),
  },
  {
    name: 'every address',
    why: 'a block that holds every address is not printed at all',
    apply: (rule) => ({ ...rule, header: rule.header.filter((option) => !isEveryAddress(option)) }),
  },
  {
    name: 'probability digits',
    why: 'the kernel keeps 31 bits, printed with 11 digits',
    apply: (rule) => mapOption(rule, '--probability', ([text]) => [`${Math.round(Number(text) * PROBABILITY_UNIT)}`]),
  },
  {
    name: 'mark spelling',
    why: '0x00004000/0x00004000 is printed as 0x4000/0x4000',
    apply: (rule) => mapOption(rule, '--mark', ([text]) => [markText(text)]),
  },
  {
    name: 'mark operation',
    why: '--or-mark 0x4000 is printed as --set-xmark 0x4000/0x4000, --xor-mark 0x4000 as --set-xmark 0x4000/0x0',
    apply: (rule) => mapParts(rule, (part) => ({ ...part, options: part.options.map(asSetXmark) })),
  },
  {
    name: 'order of states',
    why: 'connection states are printed in the order of their bits',
    apply: (rule) => mapOption(rule, '--ctstate', ([text]) => [sortedBy(text.split(','), (state) => state).join(',')]),
  },
  {
    name: 'defaults of recent',
    why: 'the mask of whole addresses and --rsource are printed though not given',
    apply: (rule) => mapParts(rule, (part) => withRecentDefaults(part, rule)),
  },
  {
    name: 'default of REJECT',
    why: '--reject-with icmp-port-unreachable (IPv6: icmp6-port-unreachable) is printed though not given',
    apply: (rule) => mapParts(rule, (part) => withRejectDefault(part, rule)),
  },
  {
    name: 'options of the ipvs match',
    why: '--vproto tcp is printed as a number',
    apply: (rule) => mapOption(rule, '--vproto', ([text]) => [PROTOCOL_NUMBERS[text] ?? text]),
  },
];

/** Apart from rules: what the readers of whole tables leave out. The order of chains is one, for they are compared by name. */
export const TABLE_NORMALISATIONS: readonly string[] = [
  'comment lines, COMMIT and packet counters are left out',
  'chains are compared by name, whatever the order in which they are listed',
  'a built-in chain with policy ACCEPT and without rules may be left out',
  'quotes around a word',
];

const PROTOCOL_NUMBERS: Readonly<Record<string, string>> = { tcp: '6', udp: '17', sctp: '132' };

export function normalise(rule: ParsedRule): ParsedRule {
  return NORMALISATIONS.reduce((result, normalisation) => normalisation.apply(result), rule);
}

/** Every difference as a line; `-` is what was wanted, `+` what the kernel has. */
export function differences(wanted: ParsedTables, found: ParsedTables): string[] {
  const lines: string[] = [];
  for (const name of new Set([...wanted.keys(), ...found.keys()])) {
    const a = wanted.get(name) ?? found.get(name);
    const b = found.get(name) ?? wanted.get(name);
    if (a === undefined || b === undefined) continue;
    const isOptional = a.policy === 'ACCEPT' && a.rules.length === 0;
    if (!wanted.has(name) && !isOptional) lines.push(`+ ${name}: chain with ${a.rules.length} rules`);
    if (!found.has(name) && !isOptional) lines.push(`- ${name}: chain with ${a.rules.length} rules`);
    if (!wanted.has(name) || !found.has(name)) continue;
    if (a.policy !== b.policy) lines.push(`- ${name}: policy ${a.policy}`, `+ ${name}: policy ${b.policy}`);
    for (let i = 0; i < Math.max(a.rules.length, b.rules.length); i++) {
      const before = i < a.rules.length ? printRule(normalise(a.rules[i])) : 'no rule';
      const after = i < b.rules.length ? printRule(normalise(b.rules[i])) : 'no rule';
      if (before !== after) lines.push(`- ${name} ${i + 1}: ${before}`, `+ ${name} ${i + 1}: ${after}`);
    }
  }
  return lines;
}

function mapParts(rule: ParsedRule, change: (part: RulePart) => RulePart): ParsedRule {
  return { ...rule, matches: rule.matches.map(change), target: rule.target && change(rule.target) };
}

function mapOption(
  rule: ParsedRule,
  name: string,
  change: (values: readonly string[]) => readonly string[],
): ParsedRule {
  return mapParts(rule, (part) => ({
    ...part,
    options: part.options.map((option) =>
      option.name === name ? { ...option, values: change(option.values) } : option,
    ),
  }));
}

function withPrefixLength(option: RuleOption, { family }: ParsedRule): RuleOption {
  if ((option.name !== '-s' && option.name !== '-d') || option.values[0].includes('/')) return option;
  return { ...option, values: [`${option.values[0]}/${family === 'IPv4' ? 32 : 128}`] };
}

function isEveryAddress({ name, inverted, values }: RuleOption): boolean {
  return (name === '-s' || name === '-d') && !inverted && (values[0] === '0.0.0.0/0' || values[0] === '::/0');
}

function hex(text: string): string {
  return `0x${Number(text).toString(16)}`;
}

/** Without a mask every bit counts. */
function markText(text: string): string {
  const [value, mask = '0xffffffff'] = text.split('/');
  return `${hex(value)}/${hex(mask)}`;
}

function asSetXmark(option: RuleOption): RuleOption {
  const { name, values } = option;
  if (name === '--set-xmark') return { ...option, values: [markText(values[0])] };
  if (name !== '--or-mark' && name !== '--xor-mark') return option;
  const value = hex(values[0]);
  return { ...option, name: '--set-xmark', values: [`${value}/${name === '--or-mark' ? value : '0x0'}`] };
}

function withRecentDefaults(part: RulePart, { family }: ParsedRule): RulePart {
  if (part.name !== 'recent') return part;
  const mask = family === 'IPv4' ? '255.255.255.255' : 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff';
  return withDefault(withDefault(part, '--mask', [mask]), '--rsource', []);
}

function withRejectDefault(part: RulePart, { family }: ParsedRule): RulePart {
  if (part.name !== 'REJECT') return part;
  return withDefault(part, '--reject-with', [family === 'IPv4' ? 'icmp-port-unreachable' : 'icmp6-port-unreachable']);
}

function withDefault(part: RulePart, name: string, values: readonly string[]): RulePart {
  if (part.options.some((option) => option.name === name)) return part;
  return { ...part, options: sortedByName([...part.options, { name, inverted: false, values }]) };
}

function sortedByName(options: readonly RuleOption[]): RuleOption[] {
  return sortedBy(options, ({ name }) => name);
}

function sortedBy<T>(items: readonly T[], key: (item: T) => string | number): T[] {
  return [...items].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

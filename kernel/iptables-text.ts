/** Reads what iptables-restore takes and iptables-save prints. An option that is not known here is an error, never ignored. */
import type { IpFamily } from '../model/service-config.ts';

export interface RuleOption {
  /** As in `--dport`. */
  readonly name: string;
  readonly inverted: boolean;
  readonly values: readonly string[];
}

export interface RulePart {
  /** A match's module or a target. */
  readonly name: string;
  readonly options: readonly RuleOption[];
}

export interface ParsedRule {
  readonly family: IpFamily;
  /** Of the packet's header: `-s`, `-d`, `-i`, `-p`. */
  readonly header: readonly RuleOption[];
  /** `-m`, in the order in which they are asked. */
  readonly matches: readonly RulePart[];
  /** `-j`. */
  readonly target: RulePart | undefined;
}

interface ParsedChain {
  /** `-` for a chain that is not built in. */
  readonly policy: string;
  readonly rules: readonly ParsedRule[];
}

/** Chains by `table/CHAIN`. */
export type ParsedTables = ReadonlyMap<string, ParsedChain>;

/** Whether an option belongs to the header, to which match, or to the target; and the number of its values. */
const OPTIONS: Readonly<Record<string, readonly [owner: string, values: number]>> = {
  '-s': ['header', 1],
  '-d': ['header', 1],
  '-i': ['header', 1],
  '-p': ['header', 1],
  '--comment': ['comment', 1],
  '--dport': ['port', 1],
  '--src-type': ['addrtype', 1],
  '--dst-type': ['addrtype', 1],
  '--mark': ['mark', 1],
  '--ctstate': ['conntrack', 1],
  '--state': ['state', 1],
  '--mode': ['statistic', 1],
  '--probability': ['statistic', 1],
  '--rcheck': ['recent', 0],
  '--set': ['recent', 0],
  '--seconds': ['recent', 1],
  '--reap': ['recent', 0],
  '--name': ['recent', 1],
  '--mask': ['recent', 1],
  '--rsource': ['recent', 0],
  '--nfacct-name': ['nfacct', 1],
  '--match-set': ['set', 2],
  '--physdev-is-in': ['physdev', 0],
  '--vaddr': ['ipvs', 1],
  '--vproto': ['ipvs', 1],
  '--vport': ['ipvs', 1],
  '--to-destination': ['target', 1],
  '--to-ports': ['target', 1],
  '--random-fully': ['target', 0],
  '--or-mark': ['target', 1],
  '--xor-mark': ['target', 1],
  '--set-xmark': ['target', 1],
  '--reject-with': ['target', 1],
};

const PORT_MODULES = ['tcp', 'udp', 'sctp'];

export function readTables(text: string, family: IpFamily): ParsedTables {
  const tables = new Map<string, { policy: string; rules: ParsedRule[] }>();
  let table = '';
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#') || line === 'COMMIT') continue;
    if (line.startsWith('*')) {
      table = line.slice(1);
    } else if (line.startsWith(':')) {
      const [chain, policy] = line.slice(1).split(' ');
      tables.set(`${table}/${chain}`, { policy, rules: [] });
    } else {
      const [command, chain, ...words] = wordsOf(line);
      const rules = tables.get(`${table}/${chain}`)?.rules;
      if (command !== '-A' || rules === undefined) throw new Error(`No rule of a chain of table "${table}": ${line}`);
      rules.push(readWords(words, family));
    }
  }
  return tables;
}

/** `text` without `-A CHAIN`. */
export function readRule(text: string, family: IpFamily = 'IPv4'): ParsedRule {
  return readWords(wordsOf(text), family);
}

/** One text for one rule, the same for rules with the same parts. */
export function printRule({ header, matches, target }: ParsedRule): string {
  const modules = matches.flatMap((match) => ['-m', match.name, ...match.options.map(optionText)]);
  const jump = target === undefined ? [] : ['-j', target.name, ...target.options.map(optionText)];
  return [...header.map(optionText), ...modules, ...jump].join(' ');
}

function optionText({ name, inverted, values }: RuleOption): string {
  const words = [...(inverted ? ['!'] : []), name, ...values.map((value) => JSON.stringify(value))];
  return words.join(' ');
}

/** Words in double quotes may hold blanks, and quotes after a backslash. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, plain]) =>
    quoted === undefined ? plain : quoted.replace(/\\(.)/g, '$1'),
  );
}

function readWords(words: readonly string[], family: IpFamily): ParsedRule {
  const header: RuleOption[] = [];
  const matches: { name: string; options: RuleOption[] }[] = [];
  let target: { name: string; options: RuleOption[] } | undefined;
  let inverted = false;
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    if (word === '!') {
      inverted = true;
      continue;
    }
    if (word === '-m') {
      matches.push({ name: words[++at], options: [] });
      continue;
    }
    if (word === '-j') {
      target = { name: words[++at], options: [] };
      continue;
    }
    const known = Object.hasOwn(OPTIONS, word) ? OPTIONS[word] : undefined;
    if (known === undefined) throw new Error(`"${word}" is no option that is known here: ${words.join(' ')}`);
    const [owner, count] = known;
    const isOwner = ({ name }: { name: string }): boolean =>
      name === owner || (owner === 'port' && PORT_MODULES.includes(name));
    const options =
      owner === 'header' ? header : owner === 'target' ? target?.options : matches.findLast(isOwner)?.options;
    if (options === undefined) throw new Error(`"${word}" without its match or target: ${words.join(' ')}`);
    options.push({ name: word, inverted, values: words.slice(at + 1, at + 1 + count) });
    at += count;
    inverted = false;
  }
  return { family, header, matches, target };
}

/**
 * Reads what `nft list table` prints, and compares it with a dump of ours under a fixed list of spellings. There are no others: what
 * still differs after these is different.
 */
import type { IpFamily } from '../model/service-config.ts';
import { verdictText } from '../engines/nftables/program/rules.ts';
import type { BaseChain, NftElement } from '../engines/nftables/program/table.ts';
import { NftTable } from '../engines/nftables/program/table.ts';
import { readTable } from '../engines/nftables/program/table-text.ts';
import { mergedBlocks } from './address-ranges.ts';

interface Container {
  /** Kind, type, flags, timeout and comment. */
  readonly header: string;
  readonly elements: string[];
}

interface Chain {
  /** Hook, priority and comment. */
  readonly header: string;
  readonly rules: string[];
}

export interface TableView {
  readonly comment: string;
  readonly containers: ReadonlyMap<string, Container>;
  readonly chains: ReadonlyMap<string, Chain>;
}

export interface RuleNormalisation {
  readonly name: string;
  /** What nft does to the text (1.0.6). */
  readonly why: string;
  apply(rule: string): string;
}

export const RULE_NORMALISATIONS: readonly RuleNormalisation[] = [
  {
    name: 'mark',
    why: '`mark set mark or 0x4000` is printed as `meta mark set meta mark | 0x00004000`, `mark and 0x4000 == 0` likewise',
    apply: (rule) =>
      rule
        .replace(
          /(?:meta )?mark set (?:meta )?mark (?:or|\|) (0x[\da-f]+)/,
          (_, mark: string) => `mark |= ${hex(mark)}`,
        )
        .replace(
          /(?:meta )?mark set (?:meta )?mark (?:xor|\^) (0x[\da-f]+)/,
          (_, mark: string) => `mark ^= ${hex(mark)}`,
        )
        .replace(
          /(?:meta )?mark (?:and|&) (0x[\da-f]+) == (0x[\da-f]+|0)(?= |$)/,
          (_, mask: string, value: string) => `mark & ${hex(mask)} == ${hex(value)}`,
        ),
  },
  {
    name: 'mark as a prefix',
    why: 'a mask of highest bits alone, as 0x80000000, is printed as their number: `meta mark 0x00000000/1`',
    apply: (rule) =>
      rule.replace(
        /meta mark (0x[\da-f]+)\/(\d+)(?= )/,
        (_, value: string, bits: string) =>
          `mark & 0x${(0xffffffff - (0xffffffff >>> Number(bits))).toString(16)} == ${hex(value)}`,
      ),
  },
  {
    name: 'quotes of an interface',
    why: 'names of interfaces are printed in quotes',
    apply: (rule) => rule.replace(/(iifname (?:!= )?)"?([^\s"]+)"?/, '$1$2'),
  },
  {
    name: 'address blocks',
    why: 'blocks of one set that overlap or touch become one, in the order of addresses; a single one loses its braces',
    apply: (rule) =>
      rule.replace(
        /(ip6? [sd]addr (?:!= )?)(?:\{ ([^}]*) \}|([\da-f.:/-]+))(?= |$)/g,
        (_, start: string, several?: string, single?: string) =>
          `${start}${mergedBlocks((several ?? single ?? '').split(',').map((block) => block.trim()))}`,
      ),
  },
  {
    name: 'blanks before commas',
    why: '`{ 0 : goto a , 1 : goto b }` is printed without them',
    apply: (rule) => rule.replace(/ vmap \{ .* \}/, (entries) => entries.replaceAll(' , ', ', ')),
  },
];

/** Apart from rules: what the readers below take for the same. */
export const LISTING_NORMALISATIONS: readonly string[] = [
  'sets, maps and chains are compared by name, and elements as a set, whatever the order in which they are listed',
  'priorities have names: filter is 0, dstnat -100, srcnat 100, and `dstnat - 10` is -110',
  'the policy accept of a base chain is printed though not given',
  'the size 65535 of a set with timeouts is printed though not given',
  'times have units: 3h is 10800s',
];

const PRIORITIES: Readonly<Record<string, number>> = { filter: 0, dstnat: -100, srcnat: 100 };
const UNIT_SECONDS: Readonly<Record<string, number>> = { d: 86400, h: 3600, m: 60, s: 1 };

/** `add ...` lines, as of NftablesProgram.dumpText. */
export function viewOfDump(family: IpFamily, dump: string): TableView {
  const table = new NftTable();
  readTable(family, dump, table);
  const containers = [...table.containers.values()].map((container): [string, Container] => [
    container.name,
    { header: containerHeader(container), elements: [...container.elements.values()].map(elementText) },
  ]);
  const chains = [...table.chains.values()].map((chain): [string, Chain] => [
    chain.name,
    { header: chainHeader(chain.base, chain.comment), rules: chain.rules.map(({ text }) => text) },
  ]);
  return { comment: table.comment, containers: new Map(containers), chains: new Map(chains) };
}

/** What `nft -s list table` prints for one table. */
export function viewOfListing(family: IpFamily, listing: string): TableView {
  const [opening, ...lines] = listing.trimEnd().split('\n');
  if (opening !== `table ${family === 'IPv4' ? 'ip' : 'ip6'} kube-proxy {` || lines.pop() !== '}') {
    throw new Error(`This is no listing of our table: ${opening}`);
  }
  let comment = '';
  const containers = new Map<string, Container>();
  const chains = new Map<string, Chain>();
  for (let at = 0; at < lines.length; at++) {
    const start = /^\t(set|map|chain) (\S+) \{$/.exec(lines[at]);
    if (start !== null) {
      const end = lines.indexOf('\t}', at);
      const body = lines.slice(at + 1, end).map((line) => line.trim());
      if (start[1] === 'chain') chains.set(start[2], readChain(body));
      else containers.set(start[2], readContainer(start[1], body));
      at = end;
    } else if (lines[at] !== '') {
      comment = commentOf(lines[at].trim());
    }
  }
  return { comment, containers, chains };
}

/** Every difference as a line; `-` is what was wanted, `+` what the kernel has. */
export function tableDifferences(wanted: TableView, found: TableView): string[] {
  const lines = compare('table', [wanted.comment], [found.comment]);
  for (const name of new Set([...wanted.containers.keys(), ...found.containers.keys()])) {
    lines.push(
      ...compare(name, containerLines(wanted.containers.get(name)), containerLines(found.containers.get(name))),
    );
  }
  for (const name of new Set([...wanted.chains.keys(), ...found.chains.keys()])) {
    lines.push(...compare(name, chainLines(wanted.chains.get(name)), chainLines(found.chains.get(name))));
  }
  return lines;
}

export function normaliseRule(rule: string): string {
  return RULE_NORMALISATIONS.reduce((text, normalisation) => normalisation.apply(text), rule);
}

function compare(name: string, wanted: readonly string[], found: readonly string[]): string[] {
  const lines: string[] = [];
  for (let i = 0; i < Math.max(wanted.length, found.length); i++) {
    if (wanted[i] === found[i]) continue;
    lines.push(`- ${name}: ${wanted[i] ?? 'nothing'}`, `+ ${name}: ${found[i] ?? 'nothing'}`);
  }
  return lines;
}

function containerLines(container: Container | undefined): string[] {
  if (container === undefined) return [];
  return [container.header, ...[...container.elements].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0))];
}

function chainLines(chain: Chain | undefined): string[] {
  return chain === undefined ? [] : [chain.header, ...chain.rules.map(normaliseRule)];
}

interface ContainerParts {
  readonly kind: string;
  readonly type: string;
  readonly flags: string;
  readonly timeoutSeconds: number;
  readonly comment: string;
}

function containerHeader({ kind, type, flags, timeoutSeconds, comment }: ContainerParts): string {
  return `${kind} of ${type}, flags "${flags}", timeout ${timeoutSeconds}, comment "${comment}"`;
}

function chainHeader(base: BaseChain | undefined, comment: string): string {
  const hook = base === undefined ? 'no hook' : `${base.type} in ${base.hook} at ${base.priority}`;
  return `chain with ${hook}, comment "${comment}"`;
}

function elementText({ key, verdict, comment }: NftElement): string {
  return `${key}${comment === '' ? '' : ` comment "${comment}"`}${verdict === undefined ? '' : ` : ${verdictText(verdict)}`}`;
}

function readContainer(kind: string, body: readonly string[]): Container {
  const parts = { kind, type: '', flags: '', timeoutSeconds: 0, comment: '' };
  for (let at = 0; at < body.length; at++) {
    const [word, ...rest] = body[at].split(' ');
    const value = rest.join(' ');
    if (word === 'type') parts.type = value;
    else if (word === 'flags') parts.flags = value;
    else if (word === 'timeout') parts.timeoutSeconds = seconds(value);
    else if (word === 'comment') parts.comment = commentOf(body[at]);
    else if (word === 'elements') return { header: containerHeader(parts), elements: readElements(body.slice(at)) };
    else if (body[at] !== 'size 65535') throw new Error(`Nothing that is known of a set: ${body[at]}`);
  }
  return { header: containerHeader(parts), elements: [] };
}

/** `elements = { a, b comment "c" : drop,` and further lines. */
function readElements(lines: readonly string[]): string[] {
  const text = /^elements = \{ (.*) \}$/.exec(lines.join(' '))?.[1];
  if (text === undefined) throw new Error(`No elements: ${lines.join(' ')}`);
  return [...text.matchAll(/(?:[^,"]|"[^"]*")+/g)].map(([element]) => element.trim());
}

function readChain(body: readonly string[]): Chain {
  let base: BaseChain | undefined;
  let comment = '';
  const rules: string[] = [];
  for (const line of body) {
    const hook = /^type (\S+) hook (\S+) priority (\S+)(?: ([+-]) (\d+))?; policy accept;$/.exec(line);
    if (hook !== null) {
      const [, type, name, priority, sign, offset] = hook;
      const number = (PRIORITIES[priority] ?? Number(priority)) + Number(`${sign ?? ''}${offset ?? 0}`);
      base = { type: type as BaseChain['type'], hook: name as BaseChain['hook'], priority: number };
    } else if (line.startsWith('comment "')) {
      comment = commentOf(line);
    } else {
      rules.push(line);
    }
  }
  return { header: chainHeader(base, comment), rules };
}

function commentOf(line: string): string {
  const text = /^comment "([^"]*)"$/.exec(line)?.[1];
  if (text === undefined) throw new Error(`No comment: ${line}`);
  return text;
}

/** `2h59m59s` */
function seconds(text: string): number {
  if (!/^(\d+[dhms])+$/.test(text)) throw new Error(`"${text}" is no time`);
  return [...text.matchAll(/(\d+)([dhms])/g)].reduce(
    (sum, [, count, unit]) => sum + Number(count) * UNIT_SECONDS[unit],
    0,
  );
}

function hex(text: string): string {
  return `0x${Number(text).toString(16)}`;
}

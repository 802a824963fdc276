/** Text of tables and transactions in `nft` syntax, written as the knftables library of kube-proxy writes it, and read back. */
import { assert } from '../../../sim/assert.ts';
import type { IpFamily } from '../../../model/service-config.ts';
import { parseRule, parseVerdict } from './parse-rule.ts';
import { addressWord, verdictText } from './rules.ts';
import type { BaseChain, ChainSpec, ContainerSpec, NftElement, NftOperation, NftTable } from './table.ts';

const TABLE_NAME = 'kube-proxy';

export function operationText(family: IpFamily, operation: NftOperation): string {
  const table = `${addressWord(family)} ${TABLE_NAME}`;
  switch (operation.object) {
    case 'table':
      return `add table ${table}${operation.comment === '' ? '' : ` { comment "${operation.comment}" ; }`}`;
    case 'chain':
      if (operation.verb !== 'add') return `${operation.verb} chain ${table} ${operation.name}`;
      return `add chain ${table} ${operation.chain.name}${chainBody(operation.chain)}`;
    case 'rule':
      return `add rule ${table} ${operation.chain} ${operation.rule.text}`;
    case 'container':
      if (operation.verb !== 'add') return `${operation.verb} ${operation.kind} ${table} ${operation.name}`;
      return `add ${operation.container.kind} ${table} ${operation.container.name} ${containerBody(operation.container)}`;
    case 'element': {
      const { key } = operation.element;
      // Only the key tells which element goes.
      const inside = operation.verb === 'add' ? elementText(operation.element) : key;
      return `${operation.verb} element ${table} ${operation.container} { ${inside} }`;
    }
  }
}

/**
 * The whole table, one object a line, in an order of its own: sets and maps, chains, rules, elements, each sorted by name; rules keep
 * their order inside a chain. Elements that the kernel adds by itself (affinity) are not part of it.
 */
export function tableText(family: IpFamily, table: NftTable): string {
  if (!table.exists) return '';
  const lines = [operationText(family, { verb: 'add', object: 'table', comment: table.comment })];
  const containers = [...table.containers.values()].sort((a, b) => compareText(a.kind + a.name, b.kind + b.name));
  const chains = [...table.chains.values()].sort((a, b) => compareText(a.name, b.name));
  for (const container of containers)
    lines.push(operationText(family, { verb: 'add', object: 'container', container }));
  for (const chain of chains) lines.push(operationText(family, { verb: 'add', object: 'chain', chain }));
  for (const { name, rules } of chains) {
    for (const rule of rules) lines.push(operationText(family, { verb: 'add', object: 'rule', chain: name, rule }));
  }
  for (const { name, elements } of containers) {
    for (const element of [...elements.values()].sort((a, b) => compareText(a.key, b.key))) {
      lines.push(operationText(family, { verb: 'add', object: 'element', container: name, element }));
    }
  }
  return lines.map((line) => `${line}\n`).join('');
}

/** A script for `nft -f` that leaves exactly this table, whatever table of the name was there before; one transaction. */
export function loadableText(family: IpFamily, table: NftTable): string {
  const name = `${addressWord(family)} ${TABLE_NAME}`;
  // Deleting a table that is not there would fail; adding one that is there does not.
  return `add table ${name}\ndelete table ${name}\n${tableText(family, table)}`;
}

/** Applies a dump (`add ...` lines; blank lines and # comments are skipped) to `table`. */
export function readTable(family: IpFamily, text: string, table: NftTable): void {
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    table.apply(parseLine(family, line));
  }
}

function parseLine(family: IpFamily, line: string): NftOperation {
  const match = /^add (table|chain|rule|set|map|element) (ip6?) (\S+) ?(\S+)? ?(.*)$/.exec(line);
  assert(match !== null, `this is no line of an nftables dump: ${line}`);
  const [, object, word, tableName, name, rest] = match;
  assert(word === addressWord(family) && tableName === TABLE_NAME, `this is another table than ours: ${line}`);
  switch (object) {
    case 'table':
      return { verb: 'add', object: 'table', comment: quotedComment(line) };
    case 'chain':
      return { verb: 'add', object: 'chain', chain: { name, base: parseBase(rest), comment: quotedComment(rest) } };
    case 'rule':
      return { verb: 'add', object: 'rule', chain: name, rule: parseRule(rest) };
    case 'element':
      return { verb: 'add', object: 'element', container: name, element: parseElement(rest) };
    default:
      return {
        verb: 'add',
        object: 'container',
        container: parseContainer(object === 'set' ? 'set' : 'map', name, rest),
      };
  }
}

function chainBody(chain: ChainSpec): string {
  let body = '';
  if (chain.base !== undefined) {
    body += ` type ${chain.base.type} hook ${chain.base.hook} priority ${chain.base.priority} ;`;
  }
  if (chain.comment !== '') body += ` comment "${chain.comment}" ;`;
  return body === '' ? '' : ` {${body} }`;
}

function containerBody(container: ContainerSpec): string {
  let body = ` type ${container.type} ;`;
  if (container.flags !== '') body += ` flags ${container.flags} ;`;
  if (container.timeoutSeconds > 0) body += ` timeout ${container.timeoutSeconds}s ;`;
  if (container.comment !== '') body += ` comment "${container.comment}" ;`;
  return `{${body} }`;
}

function elementText(element: NftElement): string {
  const comment = element.comment === '' ? '' : ` comment "${element.comment}"`;
  return `${element.key}${comment}${element.verdict === undefined ? '' : ` : ${verdictText(element.verdict)}`}`;
}

function quotedComment(text: string): string {
  return /comment "([^"]*)"/.exec(text)?.[1] ?? '';
}

function parseBase(text: string): BaseChain | undefined {
  const match = /type (filter|nat) hook (prerouting|input|forward|output|postrouting) priority (-?\d+) ;/.exec(text);
  if (match === null) return undefined;
  return { type: match[1] as BaseChain['type'], hook: match[2] as BaseChain['hook'], priority: Number(match[3]) };
}

function parseContainer(kind: 'set' | 'map', name: string, text: string): ContainerSpec {
  const type = /type ([^;]+) ;/.exec(text)?.[1];
  assert(type !== undefined, `${kind} ${name} has no type`);
  return {
    kind,
    name,
    type,
    flags: /flags ([^;]+) ;/.exec(text)?.[1] ?? '',
    timeoutSeconds: Number(/timeout (\d+)s ;/.exec(text)?.[1] ?? 0),
    comment: quotedComment(text),
  };
}

function parseElement(text: string): NftElement {
  const match = /^\{ ([^"]*?)( comment "[^"]*")?(?: : (.*))? \}$/.exec(text);
  assert(match !== null, `this is no element: ${text}`);
  const verdict = match[3] === undefined ? undefined : parseVerdict(match[3]);
  return { key: match[1], verdict, comment: quotedComment(match[2] ?? '') };
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

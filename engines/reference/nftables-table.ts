/** The kernel's table: chains, sets and maps, changed one counted operation at a time, and its text (README 9.4). */
import { mark } from './marks.ts';
import { ruleText, verdictText } from './nftables-rules.ts';
import type { NftRule, NftVerdict } from './nftables-rules.ts';

export interface BaseChain {
  readonly type: 'filter' | 'nat';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
  readonly priority: number;
}

export interface NftChain {
  readonly base?: BaseChain;
  readonly comment: string;
  rules: NftRule[];
}

export interface NftElement {
  /** Absent in a set. */
  readonly verdict?: NftVerdict;
  readonly comment: string;
  /** The service port that wants it, or -1. */
  readonly owner: number;
}

export interface NftContainer {
  readonly kind: 'set' | 'map';
  /** What stands between the braces, from `type` on. */
  readonly body: string;
  /** By the text of the key. */
  readonly elements: Map<string, NftElement>;
  /** Of an affinity set: how long an element lives after an update, and when each client's ends. */
  readonly timeoutSeconds: number;
  readonly clients: Map<number, number>;
}

const TABLE = 'ip kube-proxy';

export class ReferenceTable {
  readonly chains = new Map<string, NftChain>();
  readonly containers = new Map<string, NftContainer>();
  /** Adds, flushes and deletes so far. */
  operations = 0;

  chain(name: string): NftChain {
    const chain = this.chains.get(name);
    if (chain === undefined) throw new Error(`No chain ${name}.`);
    return chain;
  }

  container(name: string): NftContainer {
    const container = this.containers.get(name);
    if (container === undefined) throw new Error(`No set or map ${name}.`);
    return container;
  }

  /** Add, which changes nothing when the chain is there, and flush. */
  freshChain(name: string, spec: Omit<NftChain, 'rules'> = { comment: '' }): void {
    this.operations += 2;
    if (!this.chains.has(name)) this.chains.set(name, { ...spec, rules: [] });
    this.chain(name).rules = [];
  }

  flushChain(name: string): void {
    this.operations++;
    this.chain(name).rules = [];
  }

  deleteChain(name: string): void {
    this.operations++;
    this.chain(name);
    this.chains.delete(name);
  }

  addRule(chain: string, rule: NftRule): void {
    this.operations++;
    this.chain(chain).rules.push(rule);
  }

  /** Of a set that is there only the time-out changes. */
  addContainer(name: string, kind: 'set' | 'map', body: string, timeoutSeconds = 0): void {
    this.operations++;
    const known = this.containers.get(name);
    if (known !== undefined && known.timeoutSeconds !== timeoutSeconds) mark('affinity time-out changed');
    const elements = known?.elements ?? new Map<string, NftElement>();
    this.containers.set(name, {
      kind,
      body,
      timeoutSeconds,
      elements,
      clients: known?.clients ?? new Map<number, number>(),
    });
  }

  flushContainer(name: string): void {
    this.operations++;
    this.container(name).elements.clear();
  }

  deleteContainer(name: string): void {
    this.operations++;
    this.container(name);
    this.containers.delete(name);
  }

  addElement(container: string, key: string, element: NftElement): void {
    this.operations++;
    this.container(container).elements.set(key, element);
  }

  deleteElement(container: string, key: string): void {
    this.operations++;
    if (!this.container(container).elements.delete(key)) throw new Error(`No element ${key} in ${container}.`);
  }

  countRules(): number {
    let rules = 0;
    for (const chain of this.chains.values()) rules += chain.rules.length;
    return rules;
  }

  /** Each object as one `add` line; the clients of affinity sets are not part of it. */
  text(): string {
    const lines = [`add table ${TABLE} { comment "rules for kube-proxy" ; }`];
    const containers = sorted(this.containers, ([name, { kind }]) => kind + name);
    const chains = sorted(this.chains, ([name]) => name);
    for (const [name, { kind, body }] of containers) lines.push(`add ${kind} ${TABLE} ${name} { ${body} }`);
    for (const [name, chain] of chains) lines.push(`add chain ${TABLE} ${name}${chainBody(chain)}`);
    for (const [name, { rules }] of chains) {
      for (const rule of rules) lines.push(`add rule ${TABLE} ${name} ${ruleText(rule)}`);
    }
    for (const [name, { elements }] of containers) {
      for (const [key, element] of sorted(elements, ([text]) => text)) {
        lines.push(`add element ${TABLE} ${name} { ${key}${elementEnd(element)} }`);
      }
    }
    return lines.map((line) => `${line}\n`).join('');
  }
}

function sorted<V>(map: ReadonlyMap<string, V>, keyOf: (entry: [string, V]) => string): [string, V][] {
  return [...map].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
}

function chainBody({ base, comment }: NftChain): string {
  if (base !== undefined) return ` { type ${base.type} hook ${base.hook} priority ${base.priority} ; }`;
  return comment === '' ? '' : ` { comment "${comment}" ; }`;
}

function elementEnd({ verdict, comment }: NftElement): string {
  const says = comment === '' ? '' : ` comment "${comment}"`;
  return verdict === undefined ? says : `${says} : ${verdictText(verdict)}`;
}

/** The kernel's state of one nftables table, and the operations of a transaction that change it. */
import { assert } from '../../../sim/assert.ts';
import type { NftRule, Verdict } from './rules.ts';

export interface BaseChain {
  readonly type: 'filter' | 'nat';
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting';
  readonly priority: number;
}

export interface ChainSpec {
  readonly name: string;
  /** Undefined for a chain that runs only when a rule jumps to it. */
  readonly base: BaseChain | undefined;
  /** Empty when there is none, as all comments here. */
  readonly comment: string;
}

export interface ContainerSpec {
  readonly kind: 'set' | 'map';
  readonly name: string;
  readonly type: string;
  readonly flags: string;
  /** 0 when elements do not age. */
  readonly timeoutSeconds: number;
  readonly comment: string;
}

export interface NftElement {
  /** Parts joined with ` . `. */
  readonly key: string;
  /** Undefined in a set. */
  readonly verdict: Verdict | undefined;
  readonly comment: string;
}

export interface NftChain extends ChainSpec {
  rules: NftRule[];
}

export interface NftContainer extends ContainerSpec {
  readonly elements: Map<string, NftElement>;
}

export type NftOperation =
  | { readonly verb: 'add'; readonly object: 'table'; readonly comment: string }
  | { readonly verb: 'add'; readonly object: 'chain'; readonly chain: ChainSpec }
  | { readonly verb: 'flush' | 'delete'; readonly object: 'chain'; readonly name: string }
  | { readonly verb: 'add'; readonly object: 'rule'; readonly chain: string; readonly rule: NftRule }
  | { readonly verb: 'add'; readonly object: 'container'; readonly container: ContainerSpec }
  | {
      readonly verb: 'flush' | 'delete';
      readonly object: 'container';
      readonly kind: 'set' | 'map';
      readonly name: string;
    }
  | {
      readonly verb: 'add' | 'delete';
      readonly object: 'element';
      readonly container: string;
      readonly element: NftElement;
    };

/** One table. Empty and absent until an `add table` operation. */
export class NftTable {
  exists = false;
  comment = '';
  readonly chains = new Map<string, NftChain>();
  /** Sets and maps share one space of names. */
  readonly containers = new Map<string, NftContainer>();

  /** As the kernel does: adding what exists changes nothing but a set's timeout, deleting or changing what does not exist is our mistake. */
  apply(operation: NftOperation): void {
    switch (operation.object) {
      case 'table':
        if (!this.exists) this.comment = operation.comment;
        this.exists = true;
        return;
      case 'chain':
        this.#applyToChain(operation);
        return;
      case 'rule':
        this.chain(operation.chain).rules.push(operation.rule);
        return;
      case 'container':
        this.#applyToContainer(operation);
        return;
      case 'element':
        this.#applyToElement(operation.verb, this.container(operation.container), operation.element);
    }
  }

  chain(name: string): NftChain {
    const chain = this.chains.get(name);
    assert(chain !== undefined, `there is no chain ${name}`);
    return chain;
  }

  container(name: string): NftContainer {
    const container = this.containers.get(name);
    assert(container !== undefined, `there is no set or map ${name}`);
    return container;
  }

  #applyToChain(operation: Extract<NftOperation, { object: 'chain' }>): void {
    assert(this.exists, 'a chain needs its table');
    if (operation.verb === 'add') {
      const { chain } = operation;
      if (!this.chains.has(chain.name)) this.chains.set(chain.name, { ...chain, rules: [] });
    } else if (operation.verb === 'flush') {
      this.chain(operation.name).rules = [];
    } else {
      this.chain(operation.name);
      this.chains.delete(operation.name);
    }
  }

  #applyToContainer(operation: Extract<NftOperation, { object: 'container' }>): void {
    assert(this.exists, 'a set or map needs its table');
    if (operation.verb === 'add') {
      const { container } = operation;
      // Of what exists only the timeout changes (Linux 6.2 and later); elements stay.
      const elements = this.containers.get(container.name)?.elements ?? new Map<string, NftElement>();
      this.containers.set(container.name, { ...container, elements });
    } else if (operation.verb === 'flush') {
      this.container(operation.name).elements.clear();
    } else {
      this.container(operation.name);
      this.containers.delete(operation.name);
    }
  }

  #applyToElement(verb: 'add' | 'delete', container: NftContainer, element: NftElement): void {
    const present = container.elements.has(element.key);
    if (verb === 'delete') {
      assert(present, `${container.name} has no element ${element.key}`);
      container.elements.delete(element.key);
    } else {
      // A second verdict for one key would fail the whole transaction.
      assert(!present || container.kind === 'set', `${container.name} already has ${element.key}`);
      container.elements.set(element.key, element);
    }
  }
}

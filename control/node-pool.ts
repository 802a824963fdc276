/** Which nodes take new pods, and which is next: a scheduler that only spreads. */
import type { Node } from '../model/workload.ts';
import { assert } from '../sim/assert.ts';

/** Why a node takes no new pods: as its Node object says, by `kubectl drain`, or because it is not ready. */
export type ClosedBecause = 'unschedulable' | 'cordoned' | 'not_ready';

export class NodePool {
  readonly #nodes: readonly { readonly name: string; readonly closed: Set<ClosedBecause> }[];
  #next = 0;

  constructor(nodes: readonly Node[]) {
    this.#nodes = nodes.map(({ name, unschedulable }) => ({
      name,
      closed: new Set<ClosedBecause>(unschedulable === true ? ['unschedulable'] : []),
    }));
  }

  close(name: string, because: ClosedBecause): void {
    this.#node(name).closed.add(because);
  }

  open(name: string, because: ClosedBecause): void {
    this.#node(name).closed.delete(because);
  }

  /** The open nodes in turn; undefined when there is none. */
  next(): string | undefined {
    assert(this.#nodes.length > 0, 'a cluster without nodes cannot start pods');
    for (let tried = 0; tried < this.#nodes.length; tried++) {
      const node = this.#nodes[this.#next++ % this.#nodes.length];
      if (node.closed.size === 0) return node.name;
    }
    return undefined;
  }

  #node(name: string): { readonly closed: Set<ClosedBecause> } {
    const node = this.#nodes.find((each) => each.name === name);
    assert(node !== undefined, `there is no node ${name}`);
    return node;
  }
}

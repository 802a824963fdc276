/** Names of rare branches that the oracle has gone through: a campaign that never reached one has not tested it. */
const reached = new Map<string, number>();

export function mark(name: string): void {
  reached.set(name, (reached.get(name) ?? 0) + 1);
}

/** Name to number of times since the last `clearMarks`. */
export function reachedMarks(): ReadonlyMap<string, number> {
  return new Map(reached);
}

export function clearMarks(): void {
  reached.clear();
}

const chainClasses = new Map<string, string>();

/** A chain without the hash of its service port: `KUBE-SVC`. */
export function chainClass(chain: string): string {
  let known = chainClasses.get(chain);
  if (known === undefined) {
    known = chain.replace(/-[A-Z2-7]{16}$/, '');
    chainClasses.set(chain, known);
  }
  return known;
}

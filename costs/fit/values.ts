/** Numbers of a profile by their path, such as `iptables.serviceRule` or `ipvs.schedulers.wlc.fixed`. */
import type { CostProfile, Quantity } from '../../model/profile.ts';

export type Values = ReadonlyMap<string, number>;

type Tree = Record<string, unknown>;

/** A copy of the profile with the given values in place of its own, ranges and sources left alone; unknown paths throw. */
export function withValues<P extends CostProfile>(profile: P, values: Values): P {
  return withQuantities(
    profile,
    (path, quantity) => {
      const value = values.get(path);
      return value === undefined ? undefined : { ...quantity, value };
    },
    [...values.keys()],
  );
}

/** A copy with other quantities at the given paths. */
export function withQuantities<P extends CostProfile>(
  profile: P,
  change: (path: string, quantity: Quantity) => Quantity | undefined,
  paths: readonly string[],
): P {
  const copy: Tree = { ...(profile as unknown as Tree) };
  const owned = new Set<Tree>();
  for (const path of paths) {
    const keys = path.split('.');
    const last = keys.pop() as string;
    let at = copy;
    for (const key of keys) {
      const below = at[key];
      if (typeof below !== 'object' || below === null) throw new Error(`The profile has no section "${path}".`);
      const own = owned.has(below as Tree) ? (below as Tree) : { ...(below as Tree) };
      owned.add(own);
      at[key] = own;
      at = own;
    }
    const quantity = at[last] as Quantity | undefined;
    if (quantity === undefined) throw new Error(`The profile has no quantity "${path}".`);
    at[last] = change(path, quantity) ?? quantity;
  }
  return copy as unknown as P;
}

export function quantityAt(profile: CostProfile, path: string): Quantity {
  let at: unknown = profile;
  for (const key of path.split('.')) at = (at as Tree | undefined)?.[key];
  if (at === undefined) throw new Error(`The profile has no quantity "${path}".`);
  return at as Quantity;
}

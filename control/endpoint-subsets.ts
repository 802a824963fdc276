/**
 * The one Endpoints object of a Service: whole addresses, ready or not, by port numbers, and no more than a thousand of them
 * [pkg/controller/endpoint/endpoints_controller.go].
 */
import { formatIpv4 } from '../model/address.ts';
import type { SimTime } from '../model/time.ts';
import type { SliceEndpoint } from './slice-packing.ts';

/** Addresses that an object holds once it is truncated, from v1.22 on [maxCapacity]. */
export const MAX_ENDPOINTS_ADDRESSES = 1000;

type Subset = readonly SliceEndpoint[];

export function countOf(subsets: readonly Subset[]): number {
  return subsets.reduce((count, subset) => count + subset.length, 0);
}

/**
 * What stays, by the addresses' texts, of subsets with more than `max` addresses: ready ones before others, of each subset its share, rounded up, the last one
 * getting what is left [truncateEndpoints]. The real order of subsets is that of their hashes; here it is the given one.
 */
export function truncated<E extends SliceEndpoint>(
  subsets: readonly (readonly E[])[],
  max = MAX_ENDPOINTS_ADDRESSES,
): (readonly E[])[] {
  if (countOf(subsets) <= max) return [...subsets];
  const sorted = subsets.map(byText);
  const ready = sorted.map((subset) => subset.filter((endpoint) => endpoint.ready));
  const others = sorted.map((subset) => subset.filter((endpoint) => !endpoint.ready));
  const readyCount = countOf(ready);
  if (readyCount > max) return share(ready, readyCount, max);
  const kept = share(others, countOf(others), max - readyCount);
  return ready.map((subset, i) => [...subset, ...kept[i]]);
}

function share<E>(subsets: readonly (readonly E[])[], count: number, max: number): (readonly E[])[] {
  let left = max;
  return subsets.map((subset) => {
    const kept = subset.slice(0, Math.min(left, Math.ceil((subset.length / count) * max)));
    left -= kept.length;
    return kept;
  });
}

/** [pkg/api/v1/endpoints/util.go LessEndpointAddress] */
function byText<E extends SliceEndpoint>(subset: readonly E[]): E[] {
  const texts = subset.map((endpoint) => ({ text: formatIpv4(endpoint.address), endpoint }));
  texts.sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0));
  return texts.map(({ endpoint }) => endpoint);
}

/**
 * One trigger for each address that kube-proxy gets to see as usable for the first time, or no more. An address whose place in a truncated
 * object changed because others came or went has none.
 */
export function subsetTriggers(
  before: { readonly shown: Subset; readonly all: Subset },
  after: { readonly shown: Subset; readonly all: Subset },
  /** When the pod of an address that is not there any more was deleted or stopped being ready. */
  leftAt: (address: number) => SimTime,
): SimTime[] {
  const [wasShown, isShown] = [readyOf(before.shown), readyOf(after.shown)];
  const [was, is] = [before, after].map(({ shown, all }) => (all === shown ? undefined : readyOf(all)));
  const triggers: SimTime[] = [];
  for (const endpoint of after.shown) {
    const { address, ready } = endpoint;
    if (!ready || wasShown.has(address) || was?.has(address) === true) continue;
    triggers.push(endpoint.changedAt);
  }
  for (const address of wasShown)
    if (!isShown.has(address) && is?.has(address) !== true) triggers.push(leftAt(address));
  return triggers;
}

function readyOf(subset: Subset): ReadonlySet<number> {
  const addresses = new Set<number>();
  for (const endpoint of subset) if (endpoint.ready) addresses.add(endpoint.address);
  return addresses;
}

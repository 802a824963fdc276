/**
 * The names that a resolver asks for in turn, by its search list and `ndots` [glibc resolv/res_query.c __res_context_search], and the
 * search list that a kubelet gives a pod [pkg/kubelet/network/dns/dns.go generateSearchesForDNSClusterFirst].
 */

export interface SearchStep {
  /** Whole, without the dot at its end. */
  readonly name: string;
  /** As the client wrote it, with nothing put behind. */
  readonly asIs: boolean;
}

/**
 * How one name ended: `none` is NXDOMAIN or an answer without addresses; `timeout` and `refused` are of all attempts, the second only
 * when each of them got an ICMP error (ECONNREFUSED).
 */
export type StepOutcome = 'none' | 'timeout' | 'refused';

/** A pod with dnsPolicy ClusterFirst. */
export function podSearchList(namespace: string, clusterDomain: string, extra: readonly string[]): string[] {
  return [`${namespace}.svc.${clusterDomain}`, `svc.${clusterDomain}`, clusterDomain, ...extra];
}

/** With a dot at its end a name stands for itself; with `ndots` dots it is tried as it is first, else after the search list. */
export function searchSteps(written: string, search: readonly string[], ndots: number): SearchStep[] {
  if (written.endsWith('.')) return [{ name: written.slice(0, -1), asIs: true }];
  const dots = written.split('.').length - 1;
  const asIs = { name: written, asIs: true };
  const listed = search.map((domain) => ({ name: `${written}.${domain.replace(/\.$/, '')}`, asIs: false }));
  return dots >= ndots ? [asIs, ...listed] : [...listed, asIs];
}

/**
 * The step after `i`, or undefined at the end of the look-up. A name that is not there leads on to the next. Within the list, a time-out
 * ends the search, yet the name is tried as it is if it was not before; a refusal ends everything. Of a name tried as it is first, neither does.
 */
export function nextStep(steps: readonly SearchStep[], i: number, outcome: StepOutcome): number | undefined {
  let next = i + 1;
  if (!steps[i].asIs && outcome !== 'none')
    next = outcome === 'timeout' ? steps.findIndex((step, k) => k > i && step.asIs) : -1;
  return next >= 0 && next < steps.length ? next : undefined;
}

/** How kube-proxy's versions differ, as named behaviours: rules, syncs and clean-up ask for these and never for a version. */

export interface KubeProxyBehaviour {
  /** `v1.35`, for the record. */
  readonly version: string;
  /**
   * Where iptables mode writes the masquerade rules of cluster IPs and node ports. `dispatch`: in KUBE-SERVICES and KUBE-NODEPORTS,
   * in front of the jump, so that a walk passes two rules a service (before kubernetes PR 96959). `service`: in KUBE-SVC and KUBE-EXT.
   */
  readonly masqueradeRules: 'dispatch' | 'service';
  /** iptables mode rewrites the chains of changed Services only (KEP-3453); false: everything at every sync. */
  readonly iptablesPartialSync: boolean;
  /**
   * UDP clean-up. `events`: the flows of a removed endpoint, and those of a service that gets its first endpoint
   * (pkg/proxy/conntrack/cleanup.go of v1.30). `reconcile`: every flow whose server does not serve (commit 1601b9e2).
   */
  readonly conntrackCleanup: 'events' | 'reconcile';
  /** `token-bucket`: pkg/util/async, two runs may follow each other; `from-completion`: pkg/proxy/runner. */
  readonly syncRunner: 'token-bucket' | 'from-completion';
  /**
   * nftables mode's base chains. `v1.31`: all filters in front of DNAT, and filter-output-post-dnat behind it (up to v1.33). `v1.35`:
   * filters that reject stand in input, forward and output (from v1.34 on).
   */
  readonly nftablesBaseChains: 'v1.31' | 'v1.35';
  /** nftables mode tests the protocol and port again in the masquerade rule of a service chain (v1.31). */
  readonly nftablesClusterIpPort: boolean;
  /** What `minSyncPeriod` is when nobody sets it (pkg/proxy/apis/config/v1alpha1/defaults.go), by the section that holds it. */
  readonly minSyncPeriodSeconds: { readonly iptables: number; readonly ipvs: number };
}

/** What chainwalk models unless a scenario names another version. */
export const CURRENT_KUBE_PROXY: KubeProxyBehaviour = {
  version: 'v1.35',
  masqueradeRules: 'service',
  iptablesPartialSync: true,
  conntrackCleanup: 'reconcile',
  syncRunner: 'from-completion',
  nftablesBaseChains: 'v1.35',
  nftablesClusterIpPort: false,
  minSyncPeriodSeconds: { iptables: 1, ipvs: 1 },
};

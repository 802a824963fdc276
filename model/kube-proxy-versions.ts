/** Which behaviours each minor version of kube-proxy has, and which modes: each difference with the place where it can be looked up. */
import type { EngineName } from './engine-name.ts';
import { CURRENT_KUBE_PROXY } from './kube-proxy.ts';
import type { KubeProxyBehaviour } from './kube-proxy.ts';

/** Minor versions of v1 whose behaviour is known. */
export const FIRST_MINOR = 18;
export const LAST_MINOR = 35;

/** Minor versions from which a behaviour holds. */
const SINCE = {
  /** kubernetes PR 96959, CHANGELOG-1.22 (v1.22.0-alpha.2): "Reorganized iptables rules to reduce rules in KUBE-SERVICES and KUBE-NODEPORTS". */
  masqueradeInServiceChains: 22,
  /** KEP-3453, feature gate MinimizeIPTablesRestore: alpha and off in v1.26, on in v1.27 (CHANGELOG-1.27), locked in v1.28. */
  iptablesPartialSync: 27,
  /** kubernetes PR 127318 (commit 1601b9e2, pkg/proxy/conntrack/cleanup.go): first in v1.32 (kubernetes issue 139628). */
  conntrackReconcile: 32,
  /** kubernetes PR 131615, merged in May 2025 after v1.33.0: pkg/proxy/runner replaces pkg/util/async. */
  runnerFromCompletion: 34,
  /** kubernetes PR 132456, CHANGELOG-1.34: filter-input, -forward and -output at priority 0; pre-DNAT chains of their own. */
  nftablesFiltersBehindDnat: 34,
  /** kubernetes PR 131492, merged after v1.33.0: the masquerade rule of a service chain no longer tests protocol and port. */
  nftablesPlainClusterIp: 34,
  /** kubernetes PR 92836, CHANGELOG-1.20: iptables minSyncPeriod 1 s instead of 0. */
  iptablesMinSyncPeriod: 20,
  /** v1.30 has no default for ipvs.minSyncPeriod (pkg/proxy/apis/config/v1alpha1/defaults.go); later ones were not read. */
  ipvsMinSyncPeriod: 31,
} as const;

/** Minor versions of v1 in which a mode exists. */
const MODES: Readonly<Record<EngineName, { readonly from: number; readonly to: number }>> = {
  iptables: { from: FIRST_MINOR, to: LAST_MINOR },
  /** Deprecated from IPVS_DEPRECATED_MINOR on. */
  ipvs: { from: FIRST_MINOR, to: LAST_MINOR },
  /** KEP-3866: alpha in v1.29, beta in v1.31, stable in v1.33. */
  nftables: { from: 29, to: LAST_MINOR },
  /** Removed in v1.26 (CHANGELOG-1.26, kubernetes PR 112133). */
  userspace: { from: FIRST_MINOR, to: 25 },
};

/** CHANGELOG-1.35: ipvs mode is deprecated, in favour of nftables. */
export const IPVS_DEPRECATED_MINOR = 35;
/** The nftables rules of the alpha versions differ from those of v1.31, which are taken for theirs. */
export const NFTABLES_BETA_MINOR = 31;

/** 31 for `v1.31`, `1.31` and `v1.31.4`; `undefined` for what is no version of the table. */
export function kubeProxyMinor(text: string): number | undefined {
  const match = /^v?1\.([1-9]\d)(?:\.\d{1,3})?$/.exec(text);
  const minor = Number(match?.[1] ?? 0);
  return minor >= FIRST_MINOR && minor <= LAST_MINOR ? minor : undefined;
}

export function kubeProxyBehaviour(minor: number): KubeProxyBehaviour {
  return {
    ...CURRENT_KUBE_PROXY,
    version: `v1.${minor}`,
    masqueradeRules: minor >= SINCE.masqueradeInServiceChains ? 'service' : 'dispatch',
    iptablesPartialSync: minor >= SINCE.iptablesPartialSync,
    conntrackCleanup: minor >= SINCE.conntrackReconcile ? 'reconcile' : 'events',
    syncRunner: minor >= SINCE.runnerFromCompletion ? 'from-completion' : 'token-bucket',
    nftablesBaseChains: minor >= SINCE.nftablesFiltersBehindDnat ? 'v1.35' : 'v1.31',
    nftablesClusterIpPort: minor < SINCE.nftablesPlainClusterIp,
    minSyncPeriodSeconds: {
      iptables: minor >= SINCE.iptablesMinSyncPeriod ? 1 : 0,
      ipvs: minor >= SINCE.ipvsMinSyncPeriod ? 1 : 0,
    },
  };
}

/** The newest version that has the mode. */
export function newestKubeProxy(mode: EngineName): KubeProxyBehaviour {
  return kubeProxyBehaviour(MODES[mode].to);
}

/** Why a version does not have a mode, as a sentence; `undefined` when it does. */
export function missingMode(mode: EngineName, minor: number): string | undefined {
  const { from, to } = MODES[mode];
  if (minor < from) return `kube-proxy v1.${minor} has no ${mode} mode; it came with v1.${from}.`;
  if (minor > to) return `kube-proxy v1.${minor} has no ${mode} mode; v1.${to} was the last with it.`;
  return undefined;
}

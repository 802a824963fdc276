/** The modes of kube-proxy that chainwalk models, in the order in which reports show them. */

export const ENGINE_NAMES = ['iptables', 'ipvs', 'nftables', 'userspace'] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];

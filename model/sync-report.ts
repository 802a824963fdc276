/** What one sync of kube-proxy did, in exact counts; costs/ turns it into time. */

export interface SyncReport {
  readonly kind: 'full' | 'partial';
  /** Service ports known after the sync, and how many of them this sync rewrote. */
  readonly servicePorts: number;
  readonly changedServicePorts: number;
  /** Installed after the sync: iptables rules (nat and filter, the jumps from built-in chains included); for IPVS its iptables rules plus virtual and real servers; for nftables rules plus elements of maps and sets. */
  readonly rules: number;
  /** iptables rules alone (nat and filter, jumps included) in the kernel after the sync: what a legacy commit replaces. */
  readonly tableRules: number;
  /** Rules of nat KUBE-SERVICES after the sync, the longest scan of a packet; 0 in modes that have no such chain or keep it short. */
  readonly serviceRules: number;
  /** Whether rules of a service's own chains have comments: not in large-cluster mode. KUBE-SERVICES always keeps its own. */
  readonly chainComments: boolean;
  /** Lines fed to iptables-restore: table headers, chain lines, rules, deletions and COMMITs. */
  readonly restoreLines: number;
  /** The same in bytes; counted in iptables mode alone. */
  readonly restoreBytes: number;
  /** Lines of `iptables-save -t nat` that kube-proxy reads back, looking for stale chains; 0 when it does not. */
  readonly savedLines: number;
  /** IPVS netlink requests that add, change or delete a virtual or real server. */
  readonly netlinkRequests: number;
  /** IPVS netlink requests that read: one a virtual server to get it, one to list its real servers. */
  readonly netlinkReads: number;
  /** `ipset` entries added or deleted (one exec each). */
  readonly ipsetChanges: number;
  /** Addresses added to or removed from kube-ipvs0, and how many are bound after the sync. */
  readonly addressChanges: number;
  readonly addressesBound: number;
  /** nftables: transactions (`nft -f`), and operations in them: objects added, flushed or deleted. */
  readonly transactions: number;
  readonly transactionOperations: number;
  /** Runs of the iptables command that check or change one rule each (userspace mode). */
  readonly iptablesCommands: number;
  /** UDP conntrack entries deleted as stale. */
  readonly conntrackDeletes: number;
}

/** A report of no work: spread into one, so that a mode names its own kinds of work alone. */
export const NO_SYNC_WORK: Omit<SyncReport, 'kind' | 'servicePorts' | 'changedServicePorts' | 'rules' | 'tableRules'> =
  {
    serviceRules: 0,
    chainComments: true,
    restoreLines: 0,
    restoreBytes: 0,
    savedLines: 0,
    netlinkRequests: 0,
    netlinkReads: 0,
    ipsetChanges: 0,
    addressChanges: 0,
    addressesBound: 0,
    transactions: 0,
    transactionOperations: 0,
    iptablesCommands: 0,
    conntrackDeletes: 0,
  };

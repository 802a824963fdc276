/** What packets' costs depend on beside their own counters: the installed rules, and what the traffic keeps in the caches. */
import type { EngineName } from '../model/engine-name.ts';
import type { IpvsPath } from '../model/profile.ts';
import type { SyncReport } from '../model/sync-report.ts';

/** iptables-legacy (xtables) or iptables-nft (the same rules as nftables objects, evaluated through nft_compat). */
export type IptablesBackend = 'legacy' | 'nft';

export interface CostContext {
  readonly engine: EngineName;
  /** Whose tables hold the rules of iptables mode. */
  readonly iptablesBackend: IptablesBackend;
  /** Rules of nat KUBE-SERVICES (userspace: of the portal chains): the longest walk of a packet that is for a Service. */
  readonly serviceRules: number;
  /** How many of them each service port has in the engine's rules: 2 where kube-proxy wrote its masquerade rule there, too (up to v1.21). */
  readonly rulesPerService?: number;
  /** Mean size of such a rule: 488 as kube-proxy writes them. */
  readonly serviceRuleBytes: number;
  /** Rules in the chains of single services (KUBE-SVC, KUBE-SEP, KUBE-EXT; nftables: service-, endpoint- and the like). */
  readonly chainRules: number;
  /** Whether rules from a service's chain to its endpoints' and in those have comments: not in large-cluster mode. */
  readonly chainComments: boolean;
  /** Chance that two connections go to the same service: the sum of the squared shares of traffic. 1 = one service only. */
  readonly sameServiceProbability: number;
  /** Connections alive at one time. */
  readonly concurrentFlows: number;
  /** Bytes of other memory that the machine writes between two packets; 0 = an otherwise idle core, as the rig. */
  readonly otherMemoryBytes: number;
  /** Addresses on kube-ipvs0. */
  readonly boundAddresses: number;
  readonly ipvsScheduler: string;
  readonly ipvsPath: IpvsPath;
  /** Share of new IPVS connections that are the first to their real server since its route was last cached; 0 .. 1. */
  readonly freshServerRatio: number;
  /** Bytes that a packet carries. In userspace mode alone: the other modes never touch them. */
  readonly payloadBytes: number;
}

/** The bytes of a KUBE-SERVICES ClusterIP rule: entry 112, comment 288, udp 48, target 40 (uapi headers linux/netfilter/xt_*.h). */
export const SERVICE_RULE_BYTES = 488;
/** The same without its comment. */
export const UNCOMMENTED_RULE_BYTES = 200;
/** The same of a portal rule of userspace mode, whose REDIRECT or DNAT target takes 56. */
const PORTAL_RULE_BYTES = 504;

/** A packet's payload where nobody says: somewhat less than a full Ethernet frame. */
const PAYLOAD_BYTES = 1000;

/** Rules that belong to no service, KUBE-SERVICES' own left out: 3 nat jumps, 11 filter jumps, 8 in chains (engines/README.md section 5). */
const FIXED_IPTABLES_RULES = 22;
/** The rules of base chains and of the chains that all services share (kube-proxy pkg/proxy/nftables/proxier.go setupNFTables). */
const FIXED_NFTABLES_RULES = 22;
/** The jumps from the built-in chains (pkg/proxy/userspace/proxier.go iptablesInit). */
const FIXED_USERSPACE_RULES = 5;

/** What a sync's report cannot know. */
type Use = Partial<
  Pick<
    CostContext,
    | 'rulesPerService'
    | 'concurrentFlows'
    | 'otherMemoryBytes'
    | 'ipvsScheduler'
    | 'freshServerRatio'
    | 'payloadBytes'
    | 'iptablesBackend'
  >
> & { readonly sameServiceProbability: number };

/** A context for an engine's last sync; `use` fills in what the report cannot know. */
export function costContext(engine: EngineName, report: SyncReport, use: Use): CostContext {
  return {
    engine,
    iptablesBackend: use.iptablesBackend ?? 'legacy',
    ...rulesOf(engine, report, use.rulesPerService ?? 1),
    sameServiceProbability: use.sameServiceProbability,
    concurrentFlows: use.concurrentFlows ?? 1,
    otherMemoryBytes: use.otherMemoryBytes ?? 0,
    boundAddresses: report.addressesBound,
    ipvsScheduler: use.ipvsScheduler ?? 'rr',
    ipvsPath: 'kubeIpvs0',
    freshServerRatio: use.freshServerRatio ?? 0,
    payloadBytes: use.payloadBytes ?? PAYLOAD_BYTES,
  };
}

type Rules = Pick<
  CostContext,
  'rulesPerService' | 'serviceRules' | 'serviceRuleBytes' | 'chainRules' | 'chainComments'
>;

function rulesOf(engine: EngineName, report: SyncReport, rulesPerService: number): Rules {
  const none = { serviceRules: 0, serviceRuleBytes: SERVICE_RULE_BYTES, chainRules: 0, chainComments: true };
  const beyond = (fixed: number): number => Math.max(0, report.tableRules - fixed);
  switch (engine) {
    case 'iptables': {
      const { serviceRules, chainComments } = report;
      const chainRules = beyond(serviceRules + FIXED_IPTABLES_RULES);
      return { ...none, rulesPerService, serviceRules, chainRules, chainComments };
    }
    case 'ipvs':
      return none;
    case 'nftables':
      return { ...none, chainRules: beyond(FIXED_NFTABLES_RULES) };
    case 'userspace':
      // A connection walks the chains of containers and, as kube-proxy's own one, those of the host.
      return { ...none, serviceRules: beyond(FIXED_USERSPACE_RULES), serviceRuleBytes: PORTAL_RULE_BYTES };
  }
}

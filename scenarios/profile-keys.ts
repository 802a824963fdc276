/** The quantities of a cost profile by section, and how each key is written in YAML. The records must name every key of their types. */
import type {
  CacheCosts,
  CostUnit,
  IptablesCosts,
  IpvsBridge,
  IpvsCosts,
  NftablesCosts,
  NftSyncCosts,
  PacketCosts,
  ProxyCosts,
  RangeRatios,
  RestoreCosts,
  RigCosts,
  SchedulerCosts,
  UserspaceCosts,
  InstructionProfile,
} from '../model/profile.ts';

/** `cost`: in the profile's unit; `memory`: the same, and absent where the unit is instructions; `plain`: its name says its unit. */
export type KeyKind = 'cost' | 'memory' | 'plain';

type Keys<T> = Readonly<Record<keyof T & string, KeyKind>>;

const PACKET: Keys<PacketCosts> = {
  bareFirst: 'cost',
  bareEstablished: 'cost',
  conntrackFirst: 'cost',
  conntrackEstablished: 'cost',
  natHooksFirst: 'cost',
  natHooksEstablished: 'cost',
  conntrackCold: 'memory',
  conntrackFlowBytes: 'plain',
  portTry: 'cost',
  reject: 'cost',
};
const IPTABLES: Keys<IptablesCosts> = {
  translate: 'cost',
  natSetup: 'cost',
  serviceRule: 'cost',
  statisticRule: 'cost',
  otherRule: 'cost',
  comment: 'cost',
  coldServiceChains: 'memory',
  scanTouchedBytes: 'plain',
  chainTouchedBytes: 'plain',
  coldRule: 'memory',
  coldUncommentedRule: 'memory',
  coldFirst: 'memory',
  coldEstablished: 'memory',
  recentTest: 'cost',
  recentList: 'cost',
};
const NFTABLES: Keys<NftablesCosts> = {
  step: 'cost',
  translate: 'cost',
  natSetup: 'cost',
  coldServiceChains: 'memory',
  farServiceChains: 'memory',
  chainTouchedBytes: 'plain',
  coldFirst: 'memory',
  coldEstablished: 'memory',
};
const USERSPACE: Keys<UserspaceCosts> = { copy: 'cost', copyByte: 'cost', connection: 'cost' };
const CACHE: Keys<CacheCosts> = {
  l2Bytes: 'plain',
  kneeStartRatio: 'plain',
  kneeEndRatio: 'plain',
  lastLevelBytes: 'plain',
};
const SCHEDULER: Keys<Omit<SchedulerCosts, 'estimated'>> = { fixed: 'cost', destination: 'cost' };
const IPVS: Keys<Omit<IpvsCosts, 'schedulers'>> = {
  bareFirst: 'cost',
  bareEstablished: 'cost',
  conntrackFirst: 'cost',
  conntrackEstablished: 'cost',
  kubeRulesFirst: 'cost',
  kubeRulesEstablished: 'cost',
  kubeIpvs0First: 'cost',
  kubeIpvs0Established: 'cost',
  rule: 'cost',
  ipsetTest: 'cost',
  hashProbe: 'cost',
  serviceChainEntry: 'cost',
  connectionChainEntryFirst: 'cost',
  connectionChainEntryEstablished: 'cost',
  connectionInsert: 'cost',
  natSetup: 'cost',
  routeFill: 'cost',
  boundAddress: 'cost',
  boundAddressDoubling: 'cost',
  addRequest: 'cost',
  deleteRequest: 'cost',
  readRequest: 'cost',
  restoredEntry: 'cost',
  listedEntry: 'cost',
  conntrackDelete: 'cost',
  address: 'cost',
  addressTimesBound: 'cost',
};
const IPVS_BRIDGE: Keys<Omit<IpvsBridge, 'from'>> = {
  firstNsPerInstruction: 'plain',
  establishedNsPerInstruction: 'plain',
  syncNsPerInstruction: 'plain',
};
const CLOCK: Keys<InstructionProfile['clock']> = { syncNsPerInstruction: 'plain' };
const PROXY: Keys<ProxyCosts> = {
  exec: 'cost',
  ipsetEntry: 'cost',
  servicePort: 'cost',
  endpoint: 'cost',
  processBytes: 'plain',
  servicePortBytes: 'plain',
  endpointBytes: 'plain',
};
const RESTORE: Keys<RestoreCosts> = {
  restoreLine: 'cost',
  tableRule: 'cost',
  serviceRule: 'cost',
  serviceRuleTimesChain: 'cost',
  chainSquared: 'cost',
  saveLine: 'cost',
  commandTableRule: 'cost',
};
const NFT_SYNC: Keys<NftSyncCosts> = {
  tableRule: 'cost',
  tableRuleSquared: 'cost',
  validatedRuleSquared: 'cost',
  operation: 'cost',
  mapTimesMaps: 'cost',
  mapTimesOperations: 'cost',
  listings: 'plain',
  listRule: 'cost',
  listServicesSquared: 'cost',
};
const RIG: Keys<RigCosts> = {
  roundTripFloor: 'cost',
  roundTripMedian: 'cost',
  roundTripP99: 'cost',
  connection: 'cost',
  requestCpu: 'cost',
  connectionCpu: 'cost',
  cores: 'plain',
  concurrency: 'plain',
  requestPackets: 'plain',
  connectionPackets: 'plain',
  serverWalks: 'plain',
  otherMemoryBytes: 'plain',
  syncTimeRatio: 'plain',
};
const RANGE: Keys<RangeRatios> = {
  iptables: 'plain',
  iptablesNft: 'plain',
  nftables: 'plain',
  userspace: 'plain',
  ipvs: 'plain',
};

export const LISTED_SECTIONS = {
  packet: PACKET,
  iptables: IPTABLES,
  nftables: NFTABLES,
  userspace: USERSPACE,
  cache: CACHE,
  scheduler: SCHEDULER,
  ipvs: IPVS,
  ipvsBridge: IPVS_BRIDGE,
  clock: CLOCK,
  proxy: PROXY,
  iptablesSync: RESTORE,
  nftSync: NFT_SYNC,
  rig: RIG,
  range: RANGE,
} as const;

export type SectionName = keyof typeof LISTED_SECTIONS;

/** The keys of a section in the order that they are written in; those of distance are not written where the unit is instructions. */
export function sectionKeys(name: SectionName): [string, KeyKind][] {
  return Object.entries<KeyKind>(LISTED_SECTIONS[name]);
}

export function writtenKeys(name: SectionName, unit: CostUnit): [string, KeyKind][] {
  return sectionKeys(name).filter(([, kind]) => kind !== 'memory' || unit === 'ns');
}

/** `serviceRule` of a profile in nanoseconds -> `service_rule_ns`; a plain key has no unit put behind it. */
export function yamlKey(key: string, kind: KeyKind, unit: CostUnit): string {
  return kind === 'plain' ? snakeCase(key) : `${snakeCase(key)}_${unit}`;
}

/** `coldScanNsPerByte` -> `cold_scan_ns_per_byte`. */
export function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

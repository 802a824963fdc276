/** The shape of a cost profile's file: the keys of CostProfile in snake_case. The records below must name every key of its types. */
import { z } from 'zod';
import type {
  CacheCosts,
  CostProfile,
  IptablesCosts,
  IpvsCosts,
  NftablesCosts,
  NftSyncCosts,
  PacketCosts,
  Quantity,
  SchedulerCosts,
  SyncCosts,
  UserspaceCosts,
} from '../model/profile.ts';

type Keys<T> = Readonly<Record<keyof T & string, true>>;

const PACKET: Keys<PacketCosts> = {
  bareFirstNs: true,
  bareEstablishedNs: true,
  conntrackFirstNs: true,
  conntrackEstablishedNs: true,
  natHooksFirstNs: true,
  natHooksEstablishedNs: true,
  conntrackColdNs: true,
  conntrackFlowBytes: true,
  portTryNs: true,
  coldFirstNs: true,
  coldEstablishedNs: true,
  rejectNs: true,
};
const IPTABLES: Keys<IptablesCosts> = {
  receiveFirstNs: true,
  receiveEstablishedNs: true,
  translateNs: true,
  natSetupNs: true,
  serviceRuleNs: true,
  statisticRuleNs: true,
  otherRuleNs: true,
  coldServiceChainsNs: true,
  scanTouchedBytes: true,
  chainTouchedBytes: true,
  coldScanNsPerByte: true,
  coldScanHiddenBytes: true,
  recentTestNs: true,
  recentListNs: true,
};
const NFTABLES: Keys<NftablesCosts> = {
  receiveFirstNs: true,
  receiveEstablishedNs: true,
  ruleNs: true,
  mapLookupNs: true,
  natSetupNs: true,
  coldServiceChainsNs: true,
  farServiceChainsNs: true,
  chainTouchedBytes: true,
  coldFirstNs: true,
  coldEstablishedNs: true,
};
const USERSPACE: Keys<UserspaceCosts> = { copyNs: true, copyByteNs: true, connectionNs: true };
const CACHE: Keys<CacheCosts> = { l2Bytes: true, kneeStartRatio: true, kneeEndRatio: true, lastLevelBytes: true };
const SCHEDULER: Keys<SchedulerCosts> = { fixedInstructions: true, destinationInstructions: true };
const IPVS: Keys<Omit<IpvsCosts, 'schedulers'>> = {
  firstNsPerInstruction: true,
  establishedNsPerInstruction: true,
  bareFirstInstructions: true,
  bareEstablishedInstructions: true,
  modeFirstInstructions: true,
  modeEstablishedInstructions: true,
  ruleInstructions: true,
  ipsetTestInstructions: true,
  hashProbeInstructions: true,
  serviceChainEntryInstructions: true,
  connectionChainEntryFirstInstructions: true,
  connectionChainEntryEstablishedInstructions: true,
  connectionInsertInstructions: true,
  natSetupInstructions: true,
  routeFillInstructions: true,
  boundAddressInstructions: true,
  boundAddressDoublingInstructions: true,
};
const SYNC: Keys<SyncCosts> = {
  execNs: true,
  proxyServicePortNs: true,
  restoreLineNs: true,
  tableRuleNs: true,
  serviceRuleNs: true,
  lineTimesTableRuleNs: true,
  saveLineNs: true,
  nsPerInstruction: true,
  netlinkRequestInstructions: true,
  netlinkReadInstructions: true,
  conntrackDeleteInstructions: true,
  addressInstructions: true,
  addressTimesBoundInstructions: true,
  commandTableRuleNs: true,
};
const NFT_SYNC: Keys<NftSyncCosts> = {
  tableRuleNs: true,
  tableRuleSquaredNs: true,
  operationNs: true,
  mapTimesMapsNs: true,
  mapTimesOperationsNs: true,
  listings: true,
  listRuleNs: true,
  listServicesSquaredNs: true,
};

const finite = z.number().min(-1e15).max(1e15);
const quantity = z
  .strictObject({ value: finite, low: finite, high: finite, source: z.string().min(1) })
  .refine((q) => q.low <= q.value && q.value <= q.high, 'must have low <= value <= high');

function section<T>(keys: Keys<T>): z.ZodObject<Record<string, typeof quantity>, z.core.$strict> {
  return z.strictObject(Object.fromEntries(Object.keys(keys).map((key) => [snakeCase(key), quantity])));
}

export const profileSchema = z.strictObject({
  name: z.string().regex(/^[a-z0-9][a-z0-9.-]*$/, 'must be lower-case letters, digits, dots and hyphens'),
  description: z.string().min(1),
  kernel: z.string().min(1),
  ipvs_kernel: z.string().min(1),
  nft_version: z.string().min(1),
  packet: section(PACKET),
  iptables: section(IPTABLES),
  nftables: section(NFTABLES),
  userspace: section(USERSPACE),
  cache: section(CACHE),
  ipvs: section(IPVS).extend({ schedulers: z.record(z.string(), section(SCHEDULER)) }),
  sync: section(SYNC),
  nft_sync: section(NFT_SYNC),
});

/** From a document that `profileSchema` accepts. */
export function toProfile(input: z.output<typeof profileSchema>): CostProfile {
  const { schedulers, ...ipvs } = input.ipvs as Record<string, Quantity> & {
    schedulers: Record<string, Record<string, Quantity>>;
  };
  const costs = Object.entries(schedulers).map(([name, each]) => [name, camelKeys(each, SCHEDULER)] as const);
  return {
    name: input.name,
    description: input.description,
    kernel: input.kernel,
    ipvsKernel: input.ipvs_kernel,
    nftVersion: input.nft_version,
    packet: camelKeys(input.packet, PACKET),
    iptables: camelKeys(input.iptables, IPTABLES),
    nftables: camelKeys(input.nftables, NFTABLES),
    userspace: camelKeys(input.userspace, USERSPACE),
    cache: camelKeys(input.cache, CACHE),
    ipvs: { ...camelKeys(ipvs as Record<string, Quantity>, IPVS), schedulers: Object.fromEntries(costs) },
    sync: camelKeys(input.sync, SYNC),
    nftSync: camelKeys(input.nft_sync, NFT_SYNC),
  };
}

function camelKeys<K extends string>(
  input: Readonly<Record<string, Quantity>>,
  keys: Readonly<Record<K, true>>,
): Record<K, Quantity> {
  const names = Object.keys(keys) as K[];
  return Object.fromEntries(names.map((name) => [name, input[snakeCase(name)]])) as Record<K, Quantity>;
}

/** `coldScanNsPerByte` -> `cold_scan_ns_per_byte`. */
export function snakeCase(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

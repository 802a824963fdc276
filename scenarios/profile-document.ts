/** A profile's file as the program's CostProfile, and back: the text that calibration writes. */
import { stringify } from 'yaml';
import type {
  CacheCosts,
  CostProfile,
  CostUnit,
  InstructionProfile,
  IptablesCosts,
  IpvsBridge,
  IpvsCosts,
  NanosecondProfile,
  NftablesCosts,
  NftSyncCosts,
  PacketCosts,
  ProxyCosts,
  Quantity,
  RangeRatios,
  RestoreCosts,
  RigCosts,
  SchedulerCosts,
  UserspaceCosts,
} from '../model/profile.ts';
import { LISTED_SECTIONS, sectionKeys, snakeCase, writtenKeys, yamlKey } from './profile-keys.ts';
import type { KeyKind, SectionName } from './profile-keys.ts';
import type { InstructionInput, NanosecondInput } from './profile-schema.ts';

const NO_INSTRUCTIONS: Quantity = { value: 0, low: 0, high: 0, source: 'distance of memory costs no instructions' };

type SectionInput = Readonly<Record<string, unknown>>;

function toSection<T>(name: SectionName, unit: CostUnit, input: SectionInput): T {
  const quantities = sectionKeys(name).map(([key, kind]) => [key, input[yamlKey(key, kind, unit)] ?? NO_INSTRUCTIONS]);
  return Object.fromEntries(quantities) as T;
}

function toCommon(input: NanosecondInput | InstructionInput) {
  const { unit } = input;
  return {
    name: input.name,
    description: input.description,
    kernel: input.kernel,
    cpuModel: input.cpu_model,
    nftVersion: input.nft_version,
    packet: toSection<PacketCosts>('packet', unit, input.packet),
    iptables: toSection<IptablesCosts>('iptables', unit, input.iptables),
    iptablesNft: toSection<IptablesCosts>('iptables', unit, input.iptables_nft),
    nftables: toSection<NftablesCosts>('nftables', unit, input.nftables),
    cache: toSection<CacheCosts>('cache', unit, input.cache),
    proxy: toSection<ProxyCosts>('proxy', unit, input.proxy),
    iptablesSync: toSection<RestoreCosts>('iptablesSync', unit, input.iptables_sync),
    iptablesNftSync: toSection<RestoreCosts>('iptablesSync', unit, input.iptables_nft_sync),
    nftSync: toSection<NftSyncCosts>('nftSync', unit, input.nft_sync),
    range: toSection<RangeRatios>('range', unit, input.range),
  };
}

/** `from` is the profile that `input.ipvs_bridge.from` names. */
export function toNanosecondProfile(input: NanosecondInput, from: InstructionProfile): NanosecondProfile {
  return {
    ...toCommon(input),
    unit: 'ns',
    userspace: toSection<UserspaceCosts>('userspace', 'ns', input.userspace),
    ipvsBridge: { ...toSection<Omit<IpvsBridge, 'from'>>('ipvsBridge', 'ns', input.ipvs_bridge), from },
    ...(input.service_rules_per_service === undefined
      ? {}
      : { serviceRulesPerService: input.service_rules_per_service }),
    ...(input.rig === undefined ? {} : { rig: toSection<RigCosts>('rig', 'ns', input.rig) }),
  };
}

export function toInstructionProfile(input: InstructionInput): InstructionProfile {
  const unit = 'instructions';
  const { schedulers, ...ipvs } = input.ipvs as SectionInput & {
    schedulers: Readonly<Record<string, SectionInput & { estimated: boolean }>>;
  };
  const costs = Object.entries(schedulers).map(([name, each]): [string, SchedulerCosts] => [
    name,
    { ...toSection<Omit<SchedulerCosts, 'estimated'>>('scheduler', unit, each), estimated: each.estimated },
  ]);
  return {
    ...toCommon(input),
    unit,
    ipvs: { ...toSection<Omit<IpvsCosts, 'schedulers'>>('ipvs', unit, ipvs), schedulers: Object.fromEntries(costs) },
    clock: toSection<InstructionProfile['clock']>('clock', unit, input.clock),
  };
}

/** YAML that loads as the same profile. */
export function profileText(profile: CostProfile): string {
  const { unit } = profile;
  const document = {
    name: profile.name,
    description: profile.description,
    unit,
    kernel: profile.kernel,
    ...(profile.cpuModel === '' ? {} : { cpu_model: profile.cpuModel }),
    nft_version: profile.nftVersion,
    packet: fromSection('packet', unit, profile.packet),
    iptables: fromSection('iptables', unit, profile.iptables),
    iptables_nft: fromSection('iptables', unit, profile.iptablesNft),
    nftables: fromSection('nftables', unit, profile.nftables),
    ...(profile.unit === 'ns' ? { userspace: fromSection('userspace', unit, profile.userspace) } : {}),
    cache: fromSection('cache', unit, profile.cache),
    ...(profile.unit === 'ns'
      ? { ipvs_bridge: { from: profile.ipvsBridge.from.name, ...fromSection('ipvsBridge', unit, profile.ipvsBridge) } }
      : { ipvs: fromIpvs(profile.ipvs), clock: fromSection('clock', unit, profile.clock) }),
    proxy: fromSection('proxy', unit, profile.proxy),
    iptables_sync: fromSection('iptablesSync', unit, profile.iptablesSync),
    iptables_nft_sync: fromSection('iptablesSync', unit, profile.iptablesNftSync),
    nft_sync: fromSection('nftSync', unit, profile.nftSync),
    ...(profile.unit === 'ns' && profile.serviceRulesPerService !== undefined
      ? { service_rules_per_service: profile.serviceRulesPerService }
      : {}),
    ...(profile.unit === 'ns' && profile.rig !== undefined ? { rig: fromSection('rig', unit, profile.rig) } : {}),
    range: fromSection('range', unit, profile.range),
  };
  return stringify(document, { lineWidth: 118 });
}

function fromSection(name: SectionName, unit: CostUnit, section: object): Record<string, Quantity> {
  const quantities = section as Readonly<Record<string, Quantity>>;
  return Object.fromEntries(writtenKeys(name, unit).map(([key, kind]) => [yamlKey(key, kind, unit), quantities[key]]));
}

function fromIpvs({ schedulers, ...ipvs }: IpvsCosts): Record<string, unknown> {
  const each = Object.entries(schedulers).map(([name, costs]) => [
    name,
    {
      ...fromSection('scheduler', 'instructions', costs),
      ...(costs.estimated ? { estimated: true } : {}),
    },
  ]);
  return { ...fromSection('ipvs', 'instructions', ipvs), schedulers: Object.fromEntries(each) };
}

/** `iptables.serviceRule` of a profile as it stands in its file: `iptables.service_rule_ns`. */
export function yamlPath(path: string, unit: CostUnit): string {
  const [section, key] = path.split('.') as [string, string];
  const name = section === 'iptablesNft' ? 'iptables' : section === 'iptablesNftSync' ? 'iptablesSync' : section;
  const kinds = LISTED_SECTIONS[name as SectionName] as Readonly<Record<string, KeyKind>>;
  return `${snakeCase(section)}.${yamlKey(key, kinds[key] ?? 'plain', unit)}`;
}

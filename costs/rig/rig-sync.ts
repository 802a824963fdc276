/** The rig's control plane: what each operation of native-control.csv and of the guest feeds its tools, and what that costs by the profile. */
import type { CostProfile } from '../../model/profile.ts';
import type { IptablesBackend } from '../context.ts';
import { instructionsOf } from '../ipvs-cost-model.ts';
import type { MeasuredRow } from '../measured-row.ts';
import { addressInstructions, oneListingCost, restoreCost, saveCost, transactionCost } from '../sync-cost.ts';
import type { NftTransaction, RestoreWork } from '../sync-cost.ts';

/** CPU time or instructions of one operation, in the profile's unit; undefined where the row's operation is not known. */
export function predictSync(profile: CostProfile, row: MeasuredRow): number | undefined {
  switch (row.engine) {
    case 'ipt-legacy':
      return restoreOrSave(profile, row, 'legacy');
    case 'ipt-nft':
      return restoreOrSave(profile, row, 'nft');
    case 'nft':
      return nftCommand(profile, row);
    case 'ipset':
      return ipsetCommand(profile, row);
    case 'ipvs':
      return ipvsOperation(profile, row);
    default:
      return undefined;
  }
}

/** `partial-sync-10` -> 10; undefined for other operations. */
function countOf(operation: string, position: string): number | undefined {
  const match = new RegExp(`^${operation}-(\\d+)$`).exec(position);
  return match === null ? undefined : Number(match[1]);
}

/** Loads of every chain; `load` is the guest's word for it. */
const WHOLE_LOADS = ['load-empty', 'full-sync', 'load'];

function restoreOrSave(profile: CostProfile, row: MeasuredRow, backend: IptablesBackend): number | undefined {
  const { services, endpointsPerService: endpoints, position } = row;
  if (position === 'save-nat') return saveCost(profile, tableRules(services, endpoints), backend);
  const rewritten = WHOLE_LOADS.includes(position) ? services : countOf('partial-sync', position);
  return rewritten === undefined
    ? undefined
    : restoreCost(profile, restoreWork(services, endpoints, rewritten), backend);
}

function tableRules(services: number, endpoints: number): number {
  return 8 + services * (2 + 3 * endpoints);
}

/**
 * Lines of the rig's files, chain declarations included: `*nat`, 4 fixed chains, 4 fixed rules, a KUBE-SERVICES rule a
 * service, the node-port rule, COMMIT; a rewritten service has 1 + E chains and 1 + 3E rules.
 */
function restoreWork(services: number, endpoints: number, rewritten: number): RestoreWork {
  return {
    lines: 11 + services + rewritten * (2 + 4 * endpoints),
    tableRules: tableRules(services, endpoints),
    tableChains: 4 + services * (1 + endpoints),
    serviceRules: services,
    writtenChains: 4 + rewritten * (1 + endpoints),
  };
}

/** Rules of the rig's base chains and of the chains that they jump to. */
const FIXED_NFT_RULES = 20;

function nftCommand(profile: CostProfile, row: MeasuredRow): number | undefined {
  const { services, endpointsPerService: endpoints } = row;
  const rules = FIXED_NFT_RULES + services * (2 + 2 * endpoints);
  // `nft -t list ruleset`.
  if (row.position === 'list-chain-count') return oneListingCost(profile, rules, services);
  const transaction = nftTransaction(row);
  return transaction === undefined ? undefined : transactionCost(profile, { ...transaction, tableRules: rules });
}

/** A service has 1 + E chains, 2 + 2E rules and 2 elements; one that is written again gets its chains added and flushed. */
function nftTransaction(row: MeasuredRow): Omit<NftTransaction, 'tableRules'> | undefined {
  const { services, endpointsPerService: endpoints, position } = row;
  const created = (count: number, there: number) => ({
    operations: count * (5 + 3 * endpoints),
    mapsMade: count,
    mapsThere: there + count / 2,
  });
  // Maps of rules that were flushed stay until the commit.
  const rewritten = (count: number) => ({
    operations: count * (4 + 4 * endpoints),
    mapsMade: count,
    mapsThere: services + count / 2,
  });
  if (position === 'load-empty' || position === 'load') return created(services, 0);
  if (position === 'full-sync') return rewritten(services);
  const partial = countOf('partial-sync', position);
  if (partial !== undefined) return rewritten(partial);
  const added = countOf('add-services', position);
  if (added !== undefined) return created(added, services);
  const deleted = countOf('delete-services', position);
  // Deletions make no map: with them, what reading and checking the table takes shows alone.
  if (deleted === undefined) return undefined;
  return { operations: deleted * (4 + endpoints), mapsMade: 0, mapsThere: services };
}

function ipsetCommand(profile: CostProfile, row: MeasuredRow): number | undefined {
  const { exec, ipsetEntry } = profile.proxy;
  const { services, endpointsPerService: endpoints, position } = row;
  // What a set holds beside one entry a service depends on where its endpoints are: the row says how many it wrote.
  const entries = row.rulesEvaluated > 0 ? row.rulesEvaluated : services * (1 + endpoints);
  if (position === 'load-empty') return exec.value + entries * ipsetEntry.value;
  const one = countOf('add', position) ?? countOf('del', position);
  return one === undefined ? undefined : exec.value + (one - 1) * ipsetEntry.value;
}

/** Netlink requests one by one, loads of all servers (by `ipvsadm -R` unless over netlink), a listing, and the addresses of kube-ipvs0. */
function ipvsOperation(profile: CostProfile, row: MeasuredRow): number | undefined {
  const { ipvs } = instructionsOf(profile);
  const factor = profile.unit === 'ns' ? profile.ipvsBridge.syncNsPerInstruction.value : 1;
  const { exec } = profile.proxy;
  const { services, endpointsPerService: endpoints, position } = row;
  const servers = services * (1 + endpoints);
  switch (position) {
    case 'add-service':
    case 'add-server':
      return factor * ipvs.addRequest.value;
    case 'del-service':
    case 'del-server':
      return factor * ipvs.deleteRequest.value;
    case 'load':
      return exec.value + factor * servers * (row.variant === 'netlink' ? ipvs.addRequest : ipvs.restoredEntry).value;
    case 'list':
      return exec.value + factor * servers * ipvs.listedEntry.value;
    case 'addr-add':
      return exec.value + factor * addressInstructions(profile, services, services);
    default:
      return undefined;
  }
}

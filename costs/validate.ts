/** Holds a profile against measurements of the real kernel: each row beside what the cost model gives for the rig's packets. */
import type { CostProfile } from '../model/profile.ts';
import { LISTING, nftPoints } from './fit-nft-sync.ts';
import { controlPoints } from './fit-sync.ts';
import { pointName } from './measured-row.ts';
import type { MeasuredRow } from './measured-row.ts';
import { predictIptablesNs, predictIpvsInstructions } from './rig.ts';
import { predictNftablesNs } from './rig-nftables.ts';
import { listingNs, restoreNs, transactionNs } from './sync-cost.ts';

const GROUPS = ['iptables', 'ipvs', 'nftables', 'sync', 'nft-sync'] as const;

export interface ValidationPoint {
  readonly point: string;
  readonly group: (typeof GROUPS)[number];
  readonly unit: 'ns/packet' | 'instructions/packet' | 'cpu_ns';
  readonly predicted: number;
  readonly measured: number;
  /** predicted / measured - 1. */
  readonly errorRatio: number;
}

export interface ValidationSummary {
  readonly group: ValidationPoint['group'];
  readonly points: number;
  readonly medianAbsoluteErrorRatio: number;
  /** Nine points of ten are at most this far off. */
  readonly p90AbsoluteErrorRatio: number;
  readonly worst: ValidationPoint;
}

/**
 * Points of iptables-legacy and nftables packets (ns), of IPVS packets (instructions) and of their syncs (CPU time). Left out:
 * engines that are not modelled, iptables and nftables in the emulated guest, rows without comments (kube-proxy does not write such rules), and
 * an IPVS variant's one-service rows where they are what the prediction of that variant starts from.
 */
export function validateProfile(profile: CostProfile, rows: readonly MeasuredRow[]): ValidationPoint[] {
  const points: ValidationPoint[] = [];
  for (const row of rows) {
    if (row.engine !== 'ipt-legacy' || row.unit !== 'ns/packet' || !row.comments) continue;
    points.push(validationPoint('iptables', pointName(row), 'ns/packet', predictIptablesNs(profile, row), row.value));
  }
  for (const row of rows) {
    if (row.engine !== 'nft' || row.unit !== 'ns/packet') continue;
    points.push(validationPoint('nftables', pointName(row), 'ns/packet', predictNftablesNs(profile, row), row.value));
  }
  points.push(...ipvsPoints(profile, rows));
  for (const p of controlPoints(rows)) {
    const predicted =
      p.operation === 'save-nat'
        ? profile.sync.execNs.value + p.lines * profile.sync.saveLineNs.value
        : restoreNs(profile, p.lines, p.tableRules, p.services);
    const name = `ipt-legacy ${p.operation} ${p.services}x${p.endpointsPerService}`;
    points.push(validationPoint('sync', name, 'cpu_ns', predicted, p.cpuNs));
  }
  for (const p of nftPoints(rows)) {
    const predicted =
      p.operation === LISTING
        ? listingNs(profile, p.tableRules, p.services) / profile.nftSync.listings.value
        : transactionNs(profile, p.operations, p.tableRules, p.mapsMade, p.mapsThere);
    const name = `nft ${p.operation} ${p.services}x${p.endpointsPerService}`;
    points.push(validationPoint('nft-sync', name, 'cpu_ns', predicted, p.cpuNs));
  }
  return points;
}

/** Median, 90th percentile and worst absolute error of each group that has points. */
export function summariseValidation(points: readonly ValidationPoint[]): ValidationSummary[] {
  const summaries: ValidationSummary[] = [];
  for (const group of GROUPS) {
    const sorted = points
      .filter((point) => point.group === group)
      .sort((a, b) => Math.abs(a.errorRatio) - Math.abs(b.errorRatio));
    const worst = sorted.at(-1);
    if (worst === undefined) continue;
    const lower = sorted[(sorted.length - 1) >> 1] ?? worst;
    const upper = sorted[sorted.length >> 1] ?? worst;
    const median = (Math.abs(lower.errorRatio) + Math.abs(upper.errorRatio)) / 2;
    const ninth = sorted[Math.ceil(0.9 * sorted.length) - 1] ?? worst;
    summaries.push({
      group,
      points: sorted.length,
      medianAbsoluteErrorRatio: median,
      p90AbsoluteErrorRatio: Math.abs(ninth.errorRatio),
      worst,
    });
  }
  return summaries;
}

/** kube-proxy's own mode: the one that the profile's constants describe. */
const KUBE_VARIANT = 'kube-rules+kube-ipvs0';

/**
 * The guest measured IPVS in four surroundings. The profile describes kube-proxy's; each other one differs by a constant, taken
 * from its row with one service, so that the rest of its rows tests the growth with services, chains and real servers.
 */
function ipvsPoints(profile: CostProfile, rows: readonly MeasuredRow[]): ValidationPoint[] {
  const ipvs = rows.filter((row) => row.engine === 'ipvs' && row.unit === 'instructions/packet');
  const offsets = new Map<string, number>();
  for (const row of ipvs) {
    const key = `${surroundings(row.variant)} ${row.mode}`;
    if (isAnchor(row) && !offsets.has(key)) offsets.set(key, row.value - predictIpvsInstructions(profile, row));
  }
  const points: ValidationPoint[] = [];
  for (const row of ipvs) {
    const own = row.variant === KUBE_VARIANT;
    const offset = own ? 0 : offsets.get(`${surroundings(row.variant)} ${row.mode}`);
    if (offset === undefined || isAnchor(row)) continue;
    const predicted = predictIpvsInstructions(profile, row) + offset;
    points.push(validationPoint('ipvs', pointName(row), 'instructions/packet', predicted, row.value));
  }
  return points;
}

function surroundings(variant: string): string {
  return ['conntrack', 'kube-rules', KUBE_VARIANT].includes(variant) ? variant : 'bare';
}

function isAnchor(row: MeasuredRow): boolean {
  return row.services === 1 && row.position === 'index0' && ['bare', 'conntrack', 'kube-rules'].includes(row.variant);
}

function validationPoint(
  group: ValidationPoint['group'],
  point: string,
  unit: ValidationPoint['unit'],
  predicted: number,
  measured: number,
): ValidationPoint {
  return { group, point, unit, predicted, measured, errorRatio: predicted / measured - 1 };
}

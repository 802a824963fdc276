/**
 * Whether a kernel that was measured agrees with a profile in what does not depend on how fast the machine is just now: slopes of packet
 * costs, each as a ratio to the packet without netfilter that was measured in the same run. Pure: rows in, ratios out.
 */
import type { MeasuredRow } from '../costs/measured-row.ts';

/** Of predictions the values are a profile's. */
export type AgreementRow = Pick<
  MeasuredRow,
  | 'engine'
  | 'mode'
  | 'services'
  | 'endpointsPerService'
  | 'position'
  | 'rulesEvaluated'
  | 'value'
  | 'unit'
  | 'comments'
  | 'variant'
>;

export interface AgreedQuantity {
  readonly name: string;
  /** In nanoseconds; and over the first or established packet without netfilter of the same rows. */
  readonly measuredNs: number;
  readonly measuredRatio: number;
  readonly predictedNs: number;
  readonly predictedRatio: number;
  /** predicted / measured - 1, of the ratios. */
  readonly error: number;
}

/** A walk over more rules than these is in doubt to be hot: their lines fill the L2 cache. */
const HOT_RULES = 5100;

interface Quantity {
  readonly name: string;
  readonly mode: 'first' | 'established';
  /** Undefined where the rows do not hold it. */
  readonly of: (rows: readonly AgreementRow[]) => number | undefined;
}

const QUANTITIES: readonly Quantity[] = [
  { name: 'ipt-legacy rule of KUBE-SERVICES', mode: 'first', of: (rows) => ruleSlope(rows, 'ipt-legacy') },
  { name: 'ipt-nft rule of KUBE-SERVICES', mode: 'first', of: (rows) => ruleSlope(rows, 'ipt-nft') },
  { name: 'ipt-legacy statistic rule', mode: 'first', of: (rows) => statisticSlope(rows, 'ipt-legacy') },
  { name: 'ipt-legacy first packet', mode: 'first', of: (rows) => firstPacket(rows, 'ipt-legacy') },
  { name: 'nft first packet', mode: 'first', of: (rows) => firstPacket(rows, 'nft') },
  { name: 'ipt-legacy established packet', mode: 'established', of: (rows) => establishedPacket(rows, 'ipt-legacy') },
  { name: 'nft established packet', mode: 'established', of: (rows) => establishedPacket(rows, 'nft') },
];

/** `predicted`: the same rows, or some of them, with a profile's values. Quantities that either lacks are left out. */
export function agreement(measured: readonly AgreementRow[], predicted: readonly AgreementRow[]): AgreedQuantity[] {
  return QUANTITIES.flatMap(({ name, mode, of }) => {
    const measuredNs = of(measured);
    const predictedNs = of(predicted);
    const measuredBare = barePacket(measured, mode);
    const predictedBare = barePacket(predicted, mode);
    if (measuredNs === undefined || predictedNs === undefined) return [];
    if (measuredBare === undefined || predictedBare === undefined) return [];
    const measuredRatio = measuredNs / measuredBare;
    const predictedRatio = predictedNs / predictedBare;
    return [
      { name, measuredNs, measuredRatio, predictedNs, predictedRatio, error: predictedRatio / measuredRatio - 1 },
    ];
  });
}

/** Whether a machine is that of a profile: the same processor by name, and the same L2 cache. Otherwise figures are told, not judged. */
export function isSameMachine(
  here: { readonly cpuModel: string; readonly l2Bytes: number },
  profile: { readonly cpuModel: string; readonly l2Bytes: number },
): boolean {
  return here.cpuModel !== '' && here.cpuModel === profile.cpuModel && here.l2Bytes === profile.l2Bytes;
}

function packets(rows: readonly AgreementRow[], engine: string, mode: string): AgreementRow[] {
  return rows.filter((row) => row.engine === engine && row.mode === mode && row.unit === 'ns/packet' && row.comments);
}

/** The bare rows stand between the others: their median is of the whole run. */
function barePacket(rows: readonly AgreementRow[], mode: string): number | undefined {
  return median(packets(rows, 'none', mode).map(({ value }) => value));
}

/** Packets to one Service, in a scan that fits the cache. */
function hotScans(rows: readonly AgreementRow[], engine: string): AgreementRow[] {
  return packets(rows, engine, 'first').filter(
    ({ variant, position, rulesEvaluated }) =>
      variant === '' && position !== 'miss' && position !== 'uniform' && rulesEvaluated <= HOT_RULES,
  );
}

function ruleSlope(rows: readonly AgreementRow[], engine: string): number | undefined {
  return slope(hotScans(rows, engine).map(({ rulesEvaluated, value }) => [rulesEvaluated, value]));
}

/** (E + 1) / 2 rules on average, the last of which has no match of its own. */
function statisticSlope(rows: readonly AgreementRow[], engine: string): number | undefined {
  const ends = packets(rows, engine, 'first').filter(
    ({ variant, services }) => variant === 'endpoints' && services === 1,
  );
  return slope(ends.map(({ endpointsPerService, value }) => [(endpointsPerService + 1) / 2, value]));
}

/** To the first Service: hardly a rule of KUBE-SERVICES. */
function firstPacket(rows: readonly AgreementRow[], engine: string): number | undefined {
  return median(
    hotScans(rows, engine)
      .filter(({ rulesEvaluated }) => rulesEvaluated === 1)
      .map(({ value }) => value),
  );
}

function establishedPacket(rows: readonly AgreementRow[], engine: string): number | undefined {
  return median(
    packets(rows, engine, 'established')
      .filter(({ variant }) => variant === '' || variant === 'flows=1')
      .map(({ value }) => value),
  );
}

/**
 * The median of the slopes between points that are far apart (Theil and Sen): one point that something else on the machine fell upon does
 * not move it. Undefined below two points.
 */
function slope(points: readonly (readonly [number, number])[]): number | undefined {
  const span = Math.max(...points.map(([x]) => x)) - Math.min(...points.map(([x]) => x));
  const slopes: number[] = [];
  for (const [x, y] of points) {
    for (const [otherX, otherY] of points) {
      if (otherX - x >= span / 4 && otherX > x) slopes.push((otherY - y) / (otherX - x));
    }
  }
  return median(slopes);
}

function median(values: readonly number[]): number | undefined {
  if (values.length === 0) return undefined;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

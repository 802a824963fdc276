/**
 * The columns of modelled packet cost: one set of names for each unit of a profile, `cost_first_packet_mean_ns` and
 * `cost_first_packet_mean_instructions`, and beside each the bounds of the profile's range, `cost_first_packet_mean_low_ns`.
 */
import type { CostContext } from '../costs/context.ts';
import { costBasis, costRange } from '../costs/range.ts';
import type { Cell } from '../model/observation.ts';
import type { CostProfile, CostUnit } from '../model/profile.ts';

/** Figures with a range of their own, without their unit, in the order of the columns. */
const STEMS = [
  'cost_per_packet_mean',
  'cost_first_packet_mean',
  'cost_first_packet_p50',
  'cost_first_packet_p99',
  'cost_established_packet_mean',
] as const;

/** The same figures without the bare packet: as that was measured, a bound is as far from them as from the whole. */
const OVER_BARE_STEMS = ['cost_over_bare_first_packet_mean', 'cost_over_bare_per_packet_mean'] as const;

/** Columns of every observation, whatever the profile's unit: OBSERVATION_COLUMNS has the others in nanoseconds. */
export const OVER_BARE_COLUMNS = OVER_BARE_STEMS.map((stem) => `${stem}_ns`);

/** The columns of an experiment whose profile is in instructions; those in nanoseconds stay, and are empty. */
export const INSTRUCTION_COLUMNS = [...STEMS, ...OVER_BARE_STEMS].map((stem) => `${stem}_instructions`);

export function rangeColumns(unit: CostUnit): string[] {
  return STEMS.flatMap((stem) => [rangeColumn(`${stem}_${unit}`, 'low'), rangeColumn(`${stem}_${unit}`, 'high')]);
}

/** `cost_first_packet_mean_ns` to `cost_first_packet_mean_low_ns`. */
export function rangeColumn(metric: string, bound: 'low' | 'high'): string {
  const at = metric.lastIndexOf('_');
  return `${metric.slice(0, at)}_${bound}${metric.slice(at)}`;
}

/** The profile's range around each cost of `metrics`, and what stands behind it. Null where the cost is. */
export function rangeMetrics(
  profile: CostProfile,
  context: CostContext,
  metrics: Readonly<Record<string, Cell>>,
): Record<string, Cell> {
  const { unit } = profile;
  const row: Record<string, Cell> = { cost_basis: costBasis(profile, context) };
  const put = (stem: string, bounds: { low: number; high: number } | undefined): void => {
    row[rangeColumn(`${stem}_${unit}`, 'low')] = bounds?.low ?? null;
    row[rangeColumn(`${stem}_${unit}`, 'high')] = bounds?.high ?? null;
  };
  const of = (stem: string, first: boolean) => {
    const cost = metrics[`${stem}_${unit}`];
    return typeof cost === 'number' ? costRange(profile, context, first, cost) : undefined;
  };
  const first = of('cost_first_packet_mean', true);
  const established = of('cost_established_packet_mean', false);
  const packets = Number(metrics['packets']);
  const share = packets === 0 ? 0 : Number(metrics['first_packets']) / packets;
  const mixed = (bound: 'low' | 'high'): number =>
    share * (first?.[bound] ?? 0) + (1 - share) * (established?.[bound] ?? 0);
  put('cost_per_packet_mean', packets === 0 ? undefined : { low: mixed('low'), high: mixed('high') });
  put('cost_first_packet_mean', first);
  put('cost_first_packet_p50', of('cost_first_packet_p50', true));
  put('cost_first_packet_p99', of('cost_first_packet_p99', true));
  put('cost_established_packet_mean', established);
  return row;
}

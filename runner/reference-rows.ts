/** Published points beside what a sweep has found: the `references` of manifest.json. */
import type { SummaryRow } from '../reports/csv.ts';
import { didYouMean, InputError, quote } from '../scenarios/errors.ts';
import type { LoadedExperiment } from '../scenarios/load.ts';
import type { Reference } from '../scenarios/references.ts';
import { observationColumns } from './columns.ts';
import { unitFactor } from './metric-units.ts';

/** One entry of manifest.json's `references`. Numbers are in `unit`. */
export interface ReferenceRow {
  readonly source: string;
  /** How the source has it: text, chart, derived, memory. */
  readonly label: string;
  readonly engine: string;
  readonly use: 'calibrate' | 'validate';
  readonly unit: string;
  readonly metric: string;
  /** Values of the experiment's axes, and whatever else differs from it, by dotted path. */
  readonly at: Readonly<Record<string, number | string | boolean>>;
  readonly value: number;
  readonly reading_error: number | null;
  /** null where the sweep does not have the point. */
  readonly predicted: number | null;
  /** predicted / value - 1. */
  readonly error_ratio: number | null;
  /** What a value of the metric's column times this is in `unit`: 1 for the columns' own unit. */
  readonly unit_per_metric: number;
  readonly note: string | null;
}

export function referenceRow(reference: Reference, engine: string, value: number | undefined): ReferenceRow {
  const factor = factorOf(reference);
  const predicted = value === undefined || !Number.isFinite(value) ? null : value * factor;
  return {
    source: reference.source,
    label: reference.label,
    engine,
    use: reference.use,
    unit: reference.unit,
    metric: reference.metric,
    at: reference.at,
    value: reference.value,
    reading_error: reference.readingError ?? null,
    predicted,
    error_ratio: predicted === null ? null : predicted / reference.value - 1,
    unit_per_metric: factor,
    note: reference.note ?? null,
  };
}

function factorOf({ metric, unit, position }: Reference): number {
  const factor = unitFactor(metric, unit);
  if (factor !== undefined) return factor;
  throw new InputError(
    `The unit ${quote(unit)} is not one of ${metric}, whose own unit is the end of its name.`,
    position,
  );
}

/** Throws an InputError where a reference names no column, or a unit of another kind. */
export function checkReferences(experiment: Pick<LoadedExperiment, 'references' | 'axes'>): void {
  const columns = observationColumns(
    experiment.axes.map(({ name }) => name),
    { units: ['ns', 'instructions'], hasRig: true },
  );
  for (const reference of experiment.references) {
    const { metric, position } = reference;
    if (!columns.includes(metric)) {
      throw new InputError(
        `There is no column ${quote(metric)} in observations.csv.${didYouMean(metric, columns)}`,
        position,
      );
    }
    factorOf(reference);
  }
}

export function referencesOf(experiment: LoadedExperiment, summary: readonly SummaryRow[]): ReferenceRow[] {
  return experiment.references.map((reference) => {
    const engine = reference.engine ?? experiment.engines[0];
    const row = summary.find(
      (each) => each.engine === engine && each.metric === reference.metric && isAt(each, reference, experiment),
    );
    return referenceRow(reference, engine, row?.mean ?? undefined);
  });
}

/** A reference that differs from the experiment in more than its axes is at none of the sweep's points. */
function isAt(row: SummaryRow, { at }: Reference, experiment: LoadedExperiment): boolean {
  const axes = experiment.axes.map(({ name }) => name);
  const here = (name: string): unknown =>
    name === 'services' || name === 'endpoints_per_service' ? row[name] : row.axes[name];
  return Object.entries(at).every(([name, value]) =>
    axes.includes(name) ? String(here(name)) === String(value) : name === 'profile' && value === row.profile,
  );
}

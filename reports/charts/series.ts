/** From the long rows of summary.csv to the points of a chart: one metric, along one x, in panels by whatever else varies. */
import type { Cell, CostBasis } from '../../model/observation.ts';
import type { SummaryRow } from '../csv.ts';
import { axisAt } from './axis-words.ts';
import { orderEngines } from './engine-style.ts';
import type { Unit } from './scale.ts';
import { UNIT_BYTES, UNIT_COUNT, UNIT_INSTRUCTIONS, UNIT_NS, UNIT_SHARE } from './scale.ts';
import { formatBytes, formatNs, formatNumber, formatShare } from './words.ts';

/** One estimate of one engine at one x. */
export interface Estimate {
  readonly engine: string;
  readonly x: number;
  readonly services: number | null;
  readonly rules: number | null;
  /** Empty when nothing but x varies; else the other axes' values, such as `endpoints_per_service 10`. */
  readonly panel: string;
  readonly mean: number;
  /** 95% confidence interval of the mean over replications; null with fewer than two. */
  readonly low: number | null;
  readonly high: number | null;
  /** How far the kernel may be from a modelled cost, by its profile: no sampling interval. */
  readonly range?: ModelRange;
  readonly replications: number;
}

interface ModelRange {
  readonly low: number;
  readonly high: number;
  /** The mode was not measured in this unit. */
  readonly estimated: boolean;
}

/** More panels than this would make a page of their own; the table below a chart has the rest. */
const PANELS_MAX = 6;

/** Distinct numbers of a point's column or axis, ascending. */
export function distinctValues(rows: readonly SummaryRow[], column: string): number[] {
  const values = new Set<number>();
  for (const row of rows) {
    const value = pointValue(row, column);
    if (typeof value === 'number') values.add(value);
  }
  return [...values].sort((a, b) => a - b);
}

/** The metric with this stem in the unit that the summary has it in: `_ns`, or `_instructions` with an instruction profile. */
export function costMetric(rows: readonly SummaryRow[], stem: string): { metric: string; unit: Unit } | undefined {
  for (const unit of [UNIT_NS, UNIT_INSTRUCTIONS]) {
    const metric = `${stem}_${unit.suffix}`;
    if (rows.some((row) => row.metric === metric && row.mean !== null)) return { metric, unit };
  }
  return undefined;
}

/** A value of a unit in words: `5.2 µs`, `1,300 instructions`, `42`. */
export function formatIn(unit: Unit, value: number): string {
  if (unit === UNIT_NS) return formatNs(value);
  if (unit === UNIT_SHARE) return formatShare(value);
  if (unit === UNIT_BYTES) return formatBytes(value);
  return unit === UNIT_COUNT ? formatNumber(value) : `${formatNumber(value)} ${unit.suffix}`;
}

/**
 * Names of the columns that split the rows into panels: they vary, and not merely together with `x`.
 * `x` absent means: what splits the rows beyond the engine and `along`.
 */
function panelColumns(rows: readonly SummaryRow[], along: string): string[] {
  const names = new Set<string>(['profile', 'services', 'endpoints_per_service']);
  for (const row of rows) for (const name of Object.keys(row.axes)) names.add(name);
  names.delete(along);
  return [...names].filter((name) => {
    const valuesAt = new Map<string, Set<Cell>>();
    for (const row of rows) {
      const x = String(pointValue(row, along));
      const values = valuesAt.get(x) ?? new Set<Cell>();
      valuesAt.set(x, values.add(pointValue(row, name)));
    }
    return [...valuesAt.values()].some((values) => values.size > 1);
  });
}

/** A column or an axis of a row. */
export function pointValue(row: SummaryRow, name: string): Cell {
  if (name === 'services' || name === 'endpoints_per_service' || name === 'rules' || name === 'profile')
    return row[name];
  return row.axes[name] ?? null;
}

export interface Estimates {
  readonly points: Estimate[];
  readonly panels: string[];
  readonly engines: string[];
  readonly hiddenPanels: number;
  /** What the points were made of, those of hidden panels included, and the panel of each. */
  readonly rows: readonly SummaryRow[];
  readonly panelOf: (row: SummaryRow) => string;
}

/** Estimates of `metric` with x = the column or axis `x` (or what `xOf` makes of a row), lines running along `along`, ordered by panel, engine and x. */
export function estimates(
  rows: readonly SummaryRow[],
  metric: string,
  x: string,
  along: string = x,
  xOf: (row: SummaryRow) => Cell = (row) => pointValue(row, x),
): Estimates {
  const chosen = rows.filter((row) => row.metric === metric && row.mean !== null && xOf(row) !== null);
  const columns = panelColumns(chosen, along);
  const allPanels = panelNames(chosen, columns);
  const panels = allPanels.slice(0, PANELS_MAX);
  const engines = orderEngines(chosen.map((row) => row.engine));
  const points: Estimate[] = [];
  for (const row of chosen) {
    const panel = panelName(row, columns);
    const at = xOf(row);
    if (row.mean === null || typeof at !== 'number' || !panels.includes(panel)) continue;
    points.push({
      engine: row.engine,
      x: at,
      services: row.services,
      rules: row.rules,
      panel,
      mean: row.mean,
      low: row.ci95_low,
      high: row.ci95_high,
      ...rangeOf(row),
      replications: row.replications,
    });
  }
  points.sort(
    (a, b) =>
      panels.indexOf(a.panel) - panels.indexOf(b.panel) ||
      engines.indexOf(a.engine) - engines.indexOf(b.engine) ||
      a.x - b.x,
  );
  return {
    points,
    panels,
    engines,
    hiddenPanels: allPanels.length - panels.length,
    rows: chosen,
    panelOf: (row) => panelName(row, columns),
  };
}

function rangeOf({ range_low: low, range_high: high, basis }: SummaryRow): Pick<Estimate, 'range'> {
  return low === undefined || high === undefined ? {} : { range: { low, high, estimated: isEstimated(basis) } };
}

/** Whatever was not measured in its unit. */
export function isEstimated(basis: CostBasis | undefined): boolean {
  return basis !== undefined && basis !== 'measured';
}

/** "5.9 µs to 8.3 µs", and that it is estimated where it is; empty without a range. */
export function rangeText({ range }: Estimate, unit: Unit): string {
  if (range === undefined) return '';
  return `${formatIn(unit, range.low)} to ${formatIn(unit, range.high)}${range.estimated ? ', estimated' : ''}`;
}

/** The points of one engine in one panel, in ascending x. */
export function lineOf(points: readonly Estimate[], engine: string, panel: string): Estimate[] {
  return points.filter((point) => point.engine === engine && point.panel === panel);
}

function panelName(row: SummaryRow, columns: readonly string[]): string {
  return columns.map((name) => panelValue(name, pointValue(row, name))).join(', ');
}

/** The columns that every sweep has are named first; an axis of the experiment's own reads as it does in a sentence. */
function panelValue(name: string, value: Cell): string {
  return name === 'profile' || name === 'services' || name === 'endpoints_per_service'
    ? `${name.replaceAll('_', ' ')} ${String(value ?? 'not set')}`
    : axisAt(name, value);
}

/** Panels in ascending order of the columns' values, the first column first. */
function panelNames(rows: readonly SummaryRow[], columns: readonly string[]): string[] {
  const keys = new Map<string, Cell[]>();
  for (const row of rows)
    keys.set(
      panelName(row, columns),
      columns.map((name) => pointValue(row, name)),
    );
  return [...keys]
    .sort(([, a], [, b]) => {
      for (let i = 0; i < columns.length; i++) {
        const order = compareCells(a[i] ?? null, b[i] ?? null);
        if (order !== 0) return order;
      }
      return 0;
    })
    .map(([name]) => name);
}

/** Numbers by value, everything else by its text, numbers first. */
export function compareCells(a: Cell, b: Cell): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  if (typeof a === 'number') return -1;
  if (typeof b === 'number') return 1;
  const left = String(a);
  const right = String(b);
  return left < right ? -1 : left > right ? 1 : 0;
}

/** A point in another unit, such as nanoseconds for milliseconds. */
export function scaled(point: Estimate, factor: number): Estimate {
  return {
    ...point,
    mean: point.mean * factor,
    low: point.low === null ? null : point.low * factor,
    high: point.high === null ? null : point.high * factor,
  };
}

/** Units of published numbers, and of columns, whose names say theirs. */

interface Unit {
  readonly dimension: 'time' | 'memory';
  /** In seconds or bytes. */
  readonly size: number;
}

const UNITS: Readonly<Record<string, Unit>> = {
  ns: { dimension: 'time', size: 1e-9 },
  us: { dimension: 'time', size: 1e-6 },
  µs: { dimension: 'time', size: 1e-6 },
  ms: { dimension: 'time', size: 1e-3 },
  s: { dimension: 'time', size: 1 },
  min: { dimension: 'time', size: 60 },
  B: { dimension: 'memory', size: 1 },
  bytes: { dimension: 'memory', size: 1 },
  kB: { dimension: 'memory', size: 1e3 },
  MB: { dimension: 'memory', size: 1e6 },
  GB: { dimension: 'memory', size: 1e9 },
};

function unitOfMetric(metric: string): Unit | undefined {
  const named = /_(ns|ms|s|bytes)$/.exec(metric)?.[1] ?? (/_bytes_per_/.test(metric) ? 'bytes' : undefined);
  return named === undefined ? undefined : UNITS[named];
}

/** What a value of `metric` times this is in `unit`; undefined where they are of different kinds. Counts have whatever word their source has. */
export function unitFactor(metric: string, unit: string): number | undefined {
  const from = unitOfMetric(metric);
  const to = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
  if (from === undefined && to === undefined) return 1;
  return from !== undefined && to !== undefined && from.dimension === to.dimension ? from.size / to.size : undefined;
}

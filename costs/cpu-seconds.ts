/** Operations of the control plane as one row each: the user and system seconds of one command together. */
import type { MeasuredRow } from './measured-row.ts';

/** The unit of such a row. */
export const CPU_SECONDS = 'cpu_s';

/**
 * Rows with the `user_s` and `sys_s` of each operation put together as `cpu_s`, in the place of the former; rows without seconds as they
 * are. Wall times and seconds without their other half are left out.
 *
 * The best of the runs counts, as noise only adds. Linux counts CPU time in ticks: where a best half is 0 although its
 * median is not, that run fell between two ticks, and the medians count.
 */
export function withCpuSeconds(rows: readonly MeasuredRow[]): MeasuredRow[] {
  const system = new Map<string, MeasuredRow>();
  for (const row of rows) {
    if (row.unit === 'sys_s' && !system.has(operationKey(row))) system.set(operationKey(row), row);
  }
  const seen = new Set<string>();
  return rows.flatMap((row) => {
    if (!row.unit.endsWith('_s')) return [row];
    const key = operationKey(row);
    const other = system.get(key);
    if (row.unit !== 'user_s' || other === undefined || seen.has(key)) return [];
    seen.add(key);
    const value = bestSeconds(row, other);
    return [{ ...row, unit: CPU_SECONDS, value, min: value }];
  });
}

function bestSeconds(user: MeasuredRow, system: MeasuredRow): number {
  const fellBetweenTicks = (row: MeasuredRow): boolean => row.min === 0 && row.value > 0;
  if (fellBetweenTicks(user) || fellBetweenTicks(system)) return user.value + system.value;
  return user.min + system.min;
}

/** Equal for the rows of one operation. */
export function operationKey(row: MeasuredRow): string {
  const { source, engine, services, endpointsPerService, position, comments, variant } = row;
  return [source, engine, services, endpointsPerService, position, comments, variant].join(' ');
}

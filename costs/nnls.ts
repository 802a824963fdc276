/** Least squares with coefficients that may not be negative, by coordinate descent: small, and the same on every machine. */

const SWEEPS = 100_000;
const TOLERANCE = 1e-13;

/**
 * The x >= 0 that minimises the sum of (rows[i] . x - targets[i])^2. For relative errors divide row and target by the
 * target first. Columns are scaled inside, so that units do not matter.
 */
export function nonNegativeLeastSquares(rows: readonly (readonly number[])[], targets: readonly number[]): number[] {
  const width = rows[0]?.length ?? 0;
  const scales = columnScales(rows, width);
  const gram = new Float64Array(width * width);
  const projected = new Float64Array(width);
  rows.forEach((row, i) => {
    for (let a = 0; a < width; a++) {
      const va = row[a] / scales[a];
      projected[a] += va * targets[i];
      for (let b = 0; b < width; b++) gram[a * width + b] += (va * row[b]) / scales[b];
    }
  });
  const x = new Float64Array(width);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let moved = 0;
    for (let a = 0; a < width; a++) {
      let rest = projected[a];
      for (let b = 0; b < width; b++) if (b !== a) rest -= gram[a * width + b] * x[b];
      const next = gram[a * width + a] === 0 ? 0 : Math.max(0, rest / gram[a * width + a]);
      moved = Math.max(moved, Math.abs(next - x[a]));
      x[a] = next;
    }
    if (moved < TOLERANCE) break;
  }
  return Array.from(x, (value, a) => value / scales[a]);
}

function columnScales(rows: readonly (readonly number[])[], width: number): number[] {
  return Array.from({ length: width }, (_, a) => {
    let sum = 0;
    for (const row of rows) sum += row[a] * row[a];
    return sum === 0 ? 1 : Math.sqrt(sum);
  });
}

/** Mean; NaN for nothing, so that a fit without its rows cannot pass for one. */
export function mean(values: readonly number[]): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}

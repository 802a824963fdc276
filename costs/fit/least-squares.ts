/**
 * Weighted least squares with bounds, by coordinate descent: small, and the same on every machine. With what each coefficient's standard
 * error is, and which coefficients the rows cannot tell.
 */

const SWEEPS = 100_000;
const TOLERANCE = 1e-13;

export interface LeastSquares {
  readonly coefficients: readonly number[];
  /** Of each coefficient; 0 where it stands at its bound. */
  readonly standardErrors: readonly number[];
}

/**
 * The x that minimises the sum of (weights[i] (rows[i] . x - targets[i]))^2 with x[a] >= 0, or free where `signed[a]`. Columns are scaled
 * inside, so that units do not matter.
 */
export function boundedLeastSquares(
  rows: readonly (readonly number[])[],
  targets: readonly number[],
  weights: readonly number[],
  signed: readonly boolean[],
): LeastSquares {
  const width = signed.length;
  const weighted = rows.map((row, i) => row.map((cell) => cell * weights[i]));
  const scales = columnScales(weighted, width);
  const gram = gramMatrix(weighted, scales, width);
  const projected = new Float64Array(width);
  weighted.forEach((row, i) => {
    for (let a = 0; a < width; a++) projected[a] += (row[a] / scales[a]) * targets[i] * weights[i];
  });
  const x = new Float64Array(width);
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let moved = 0;
    for (let a = 0; a < width; a++) {
      let rest = projected[a];
      for (let b = 0; b < width; b++) if (b !== a) rest -= gram[a * width + b] * x[b];
      const free = gram[a * width + a] === 0 ? 0 : rest / gram[a * width + a];
      const next = signed[a] === true ? free : Math.max(0, free);
      moved = Math.max(moved, Math.abs(next - x[a]));
      x[a] = next;
    }
    if (moved < TOLERANCE) break;
  }
  const coefficients = Array.from(x, (value, a) => value / scales[a]);
  return { coefficients, standardErrors: standardErrors(weighted, targets, weights, coefficients, x, gram, scales) };
}

/** Square root of sigma^2 times the diagonal of the inverse Gram matrix, over the coefficients that are not at their bound. */
function standardErrors(
  weighted: readonly (readonly number[])[],
  targets: readonly number[],
  weights: readonly number[],
  coefficients: readonly number[],
  x: Float64Array,
  gram: Float64Array,
  scales: readonly number[],
): number[] {
  const width = coefficients.length;
  const free = coefficients.map((_, a) => a).filter((a) => x[a] !== 0);
  let squares = 0;
  weighted.forEach((row, i) => {
    const predicted = row.reduce((sum, cell, a) => sum + cell * coefficients[a], 0);
    const error = predicted - targets[i] * weights[i];
    squares += error * error;
  });
  const variance = squares / Math.max(1, weighted.length - free.length);
  const alone = distances(gram, width, free);
  return coefficients.map((_, a) => {
    const at = free.indexOf(a);
    return at < 0 ? 0 : Math.sqrt(variance / alone[at]) / scales[a];
  });
}

/** Below this share of its length a column is made of the others: nothing but rounding tells them apart. */
const DEPENDENT = 1e-9;

/** Indices of the coefficients that the rows cannot tell: no row has them, or they come in one proportion with others. */
export function unidentified(rows: readonly (readonly number[])[], width: number): number[] {
  const scales = columnScales(rows, width);
  const gram = gramMatrix(rows, scales, width);
  const all = Array.from({ length: width }, (_, a) => a);
  const present = all.filter((a) => rows.some((row) => row[a] !== 0));
  const alone = distances(gram, width, present);
  return all.filter((a) => {
    const at = present.indexOf(a);
    return at < 0 || !(alone[at] > DEPENDENT);
  });
}

/** Squared distance of each unit column of `chosen` from the span of the other ones: 1 over the diagonal of the inverse Gram matrix. */
function distances(gram: Float64Array, width: number, chosen: readonly number[]): number[] {
  return chosen.map((a) => {
    // Elimination with column a last: what is left of its diagonal is the distance.
    const order = [...chosen.filter((b) => b !== a), a];
    const m = order.map((b) => order.map((c) => gram[b * width + c]));
    const last = order.length - 1;
    for (let k = 0; k < last; k++) {
      const pivot = m[k];
      if (pivot[k] < DEPENDENT) continue;
      for (let i = k + 1; i <= last; i++) {
        const row = m[i];
        const share = row[k] / pivot[k];
        for (let j = k; j <= last; j++) row[j] -= share * pivot[j];
      }
    }
    return m[last][last];
  });
}

function gramMatrix(rows: readonly (readonly number[])[], scales: readonly number[], width: number): Float64Array {
  const gram = new Float64Array(width * width);
  for (const row of rows) {
    for (let a = 0; a < width; a++) {
      const va = row[a] / scales[a];
      for (let b = 0; b < width; b++) gram[a * width + b] += (va * row[b]) / scales[b];
    }
  }
  return gram;
}

function columnScales(rows: readonly (readonly number[])[], width: number): number[] {
  return Array.from({ length: width }, (_, a) => {
    let sum = 0;
    for (const row of rows) sum += row[a] * row[a];
    return sum === 0 ? 1 : Math.sqrt(sum);
  });
}

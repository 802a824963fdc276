/** The user's mistakes: one clear sentence each, with the place in the file where it stands. */

/** Where a mistake stands. `line` and `column` count from 1. `path` leads to it inside the document, for callers that know positions. */
export interface InputErrorPlace {
  readonly file?: string | undefined;
  readonly line?: number | undefined;
  readonly column?: number | undefined;
  readonly path?: readonly (string | number)[] | undefined;
}

/** Bad input or usage (exit code 2). `message` is a finished sentence with the value and what was expected; no place. */
export class InputError extends Error {
  override readonly name = 'InputError';
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly column: number | undefined;
  readonly path: readonly (string | number)[] | undefined;

  constructor(message: string, place: InputErrorPlace = {}) {
    super(message);
    this.file = place.file;
    this.line = place.line;
    this.column = place.column;
    this.path = place.path;
  }
}

/** `experiments/x.yaml:12:5: Unknown key "servces" ...`; parts of the place that are not known are left out. */
export function formatInputError(error: InputError): string {
  if (error.file === undefined) return error.message;
  if (error.line === undefined) return `${error.file}: ${error.message}`;
  if (error.column === undefined) return `${error.file}:${error.line}: ${error.message}`;
  return `${error.file}:${error.line}:${error.column}: ${error.message}`;
}

/** Any value as it would stand in a sentence: text in double quotes, long values cut. */
export function quote(value: unknown): string {
  if (value === undefined) return 'nothing';
  if (typeof value === 'number') return String(value);
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** Damerau-Levenshtein distance (adjacent transpositions count once), restricted form. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const change = a[row - 1] === b[column - 1] ? 0 : 1;
      let best = Math.min(last[column] + 1, current[column - 1] + 1, last[column - 1] + change);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        best = Math.min(best, beforeLast[column - 2] + 1);
      }
      current.push(best);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length];
}

/** The known word that a misspelt one most likely means; `undefined` when none is near. Ties keep the earlier. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 3));
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of known) {
    if (candidate === word) continue;
    const distance = editDistance(normalise(word), normalise(candidate));
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** ` Did you mean "services"?`, or nothing. */
export function didYouMean(word: string, known: readonly string[]): string {
  const guess = nearest(word, known);
  return guess === undefined ? '' : ` Did you mean "${guess}"?`;
}

// `minSyncPeriod`, `min-sync-period` and `min_sync_period` are one word to a reader.
function normalise(word: string): string {
  return word
    .replace(/([a-z])([A-Z])/g, '$1_$2')
    .replace(/-/g, '_')
    .toLowerCase();
}

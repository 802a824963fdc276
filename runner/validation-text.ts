/** How errors of a profile are said in the terminal. */
import type { ErrorSummary } from '../costs/validate.ts';

export function percent(ratio: number | null): string {
  return ratio === null ? '-' : `${(100 * ratio).toFixed(ratio < 0.1 ? 2 : 1)} %`;
}

/** `+1.2 %`. */
export function signedPercent(ratio: number): string {
  return `${ratio < 0 ? '-' : '+'}${(100 * Math.abs(ratio)).toFixed(1)} %`;
}

/** `rows 12 of 12, median |error| 1.0 %, p90 4.2 %, max 7.9 %`. */
export function summaryLine(summary: ErrorSummary): string {
  const { rows, of, medianErrorRatio, p90ErrorRatio, maxErrorRatio } = summary;
  return `rows ${rows} of ${of}, median |error| ${percent(medianErrorRatio)}, p90 ${percent(p90ErrorRatio)}, max ${percent(maxErrorRatio)}`;
}

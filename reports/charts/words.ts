/** Numbers as a reader wants them: three significant digits, a unit that fits, commas between thousands. No locale of the machine. */

/** Between a number and its unit, which a line break should not part. */
const NBSP = '\u00a0';

/** 12345.6 -> "12,346"; below 100 three significant digits. */
export function formatNumber(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return groupThousands(Math.round(value).toFixed(0));
  if (size === 0) return '0';
  if (size < 0.001) return value.toExponential(2);
  return trimZeros(value.toPrecision(3));
}

/** Nanoseconds in the unit that leaves one to three digits before the point. */
export function formatNs(ns: number): string {
  const size = Math.abs(ns);
  // Thresholds at 999.5, so that rounding to three digits never prints "1000 ns".
  if (size < 999.5) return `${formatNumber(ns)}${NBSP}ns`;
  if (size < 999.5e3) return `${formatNumber(ns / 1e3)}${NBSP}µs`;
  if (size < 999.5e6) return `${formatNumber(ns / 1e6)}${NBSP}ms`;
  return `${formatNumber(ns / 1e9)}${NBSP}s`;
}

/** 0.0312 -> "3.1%": two digits below ten percent, and never "0%" for something. */
export function formatShare(share: number): string {
  const percent = share * 100;
  if (percent === 0) return '0%';
  return `${Math.abs(percent) < 9.95 ? formatNumber(Number(percent.toPrecision(2))) : formatNumber(percent)}%`;
}

/** Bytes in the decimal unit that leaves one to three digits before the point. */
export function formatBytes(bytes: number): string {
  const size = Math.abs(bytes);
  if (size < 999.5) return `${formatNumber(bytes)}${NBSP}B`;
  if (size < 999.5e3) return `${formatNumber(bytes / 1e3)}${NBSP}kB`;
  if (size < 999.5e6) return `${formatNumber(bytes / 1e6)}${NBSP}MB`;
  return `${formatNumber(bytes / 1e9)}${NBSP}GB`;
}

/** A ratio as "2.4 times". */
export function formatTimes(ratio: number): string {
  return ratio >= 99.5 ? `${formatNumber(ratio)} times` : `${trimZeros(ratio.toPrecision(2))} times`;
}

/** ["a","b","c"] -> "a, b and c". */
export function joinWords(words: readonly string[]): string {
  const last = words.at(-1);
  if (last === undefined) return '';
  return words.length === 1 ? last : `${words.slice(0, -1).join(', ')} and ${last}`;
}

/** "1 trial", "2 trials". */
export function countOf(count: number, noun: string): string {
  return `${groupThousands(String(count))} ${noun}${count === 1 ? '' : 's'}`;
}

function groupThousands(digits: string): string {
  return digits.replace(/\B(?=(\d{3})+(?!\d))/g, ',');
}

function trimZeros(text: string): string {
  return text.includes('.') && !text.includes('e') ? text.replace(/\.?0+$/, '') : text;
}

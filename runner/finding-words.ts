/** What a finding is, and its numbers and names in words: by hand, since locale functions differ between machines. */
import type { CostUnit } from '../model/profile.ts';

export interface Finding {
  readonly id: string;
  readonly text: string;
}

export function fixed(value: number, digits: number): string {
  return value.toFixed(digits);
}

/** Four significant digits are enough for a sentence. */
export function short(value: number): string {
  return value >= 1000 ? count(Math.round(value)) : String(Number(value.toPrecision(4)));
}

/** 20000 to `20,000`, by hand: locale functions differ between machines. */
export function count(value: number): string {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `3.7 µs`, `13,210 instructions`. */
export function costWords(cost: number, unit: CostUnit): string {
  return unit === 'ns' ? `${fixed(cost / 1000, cost < 100_000 ? 1 : 0)} µs` : `${count(cost)} ${unitWord(unit)}`;
}

/** Behind a number of so many of them. */
export function unitWord(unit: CostUnit): string {
  return unit === 'ns' ? 'ns' : 'instructions';
}

export function duration(ms: number): string {
  return ms < 1000 ? `${fixed(ms, ms < 10 ? 1 : 0)} ms` : `${fixed(ms / 1000, 1)} s`;
}

export function shown(engine: string): string {
  return engine === 'ipvs' ? 'IPVS' : engine;
}

/** "5,000 rules" has two readings: rules in all, and services, each of which is one rule of the chain that is walked. What each costs. */
import type { SummaryRow } from '../reports/csv.ts';
import { costWords, count, duration, fixed } from './finding-words.ts';
import type { Finding } from './finding-words.ts';

/** What a sweep has at one size: means of iptables mode. */
interface Size {
  readonly services: number;
  readonly rules: number;
  readonly first: number;
  readonly established: number;
  readonly sync: number;
}

const CLAIMED = 5000;
/** A size this near to the claimed one speaks for it. */
const NEAR = 1.3;

/** One sentence for each reading that the sweep has a size of. */
export function ruleReadings(summary: readonly SummaryRow[], engines: readonly string[]): Finding[] {
  if (!engines.includes('iptables')) return [];
  const sizes = sizesOf(summary);
  const [least] = sizes;
  if (least === undefined || least.rules * 10 > CLAIMED) return [];
  const inAll = nearest(sizes, (size) => size.rules);
  const services = nearest(sizes, (size) => size.services);
  const texts = [
    inAll === undefined
      ? undefined
      : sentence(`${count(inAll.rules)} rules in all`, `${count(inAll.services)} services`, inAll, least),
    services === undefined
      ? undefined
      : sentence(`${count(services.services)} services`, `${count(services.rules)} rules in all`, services, least),
  ].filter((text) => text !== undefined);
  return texts.length === 0 ? [] : [{ id: 'rule-readings', text: texts.join(' ') }];
}

function sentence(reading: string, also: string, size: Size, least: Size): string {
  const established = size.established - least.established;
  return (
    `"5,000 rules" read as ${reading} (${also}): in iptables mode a first packet costs ${costWords(size.first, 'ns')}, ` +
    `${costWords(size.first - least.first, 'ns')} more than at ${count(least.services)}, ` +
    `an established packet ${Math.abs(established) < 0.5 ? 'no more' : `${fixed(established, 0)} ns more`}, ` +
    `a full sync takes ${duration(size.sync)}.`
  );
}

function sizesOf(summary: readonly SummaryRow[]): Size[] {
  const found = new Map<number, { rules: number; values: Record<string, number> }>();
  for (const { engine, services, rules, metric, mean } of summary) {
    if (engine !== 'iptables' || services === null || rules === null || mean === null) continue;
    const size = found.get(services) ?? { rules, values: {} };
    size.values[metric] ??= mean;
    found.set(services, size);
  }
  return [...found]
    .sort(([a], [b]) => a - b)
    .flatMap(([services, { rules, values }]) => {
      const first = values['cost_first_packet_mean_ns'];
      const established = values['cost_established_packet_mean_ns'];
      const sync = values['sync_full_ms'];
      return first === undefined || established === undefined || sync === undefined
        ? []
        : [{ services, rules, first, established, sync }];
    });
}

/** The size that is nearest to the claimed one by `by`, if one is near. */
function nearest(sizes: readonly Size[], by: (size: Size) => number): Size | undefined {
  const distance = (size: Size): number => Math.max(by(size) / CLAIMED, CLAIMED / by(size));
  const best = sizes.reduce<Size | undefined>(
    (found, size) => (found === undefined || distance(size) < distance(found) ? size : found),
    undefined,
  );
  return best !== undefined && distance(best) <= NEAR ? best : undefined;
}

/** Fits the IPVS part of a profile, in instructions, to rows of `qemu-ipvs*.csv`. */
import type { CostProfile } from '../model/profile.ts';
import type { FittedValues } from './fit.ts';
import type { MeasuredRow } from './measured-row.ts';
import { mean } from './nnls.ts';
import { option, predictIpvsInstructions } from './rig.ts';
import { withValues } from './fit.ts';

const BARE = 'bare';
const KUBE = 'kube-rules+kube-ipvs0';

/**
 * Quantities with a measurement of their own; the cost of a rule, of an ipset test and of a hash probe come from `base`, and
 * the two mode constants are what remains of kube-proxy's mode with one service.
 */
export function fitIpvsProfile(base: CostProfile, rows: readonly MeasuredRow[]): FittedValues {
  const values = new Map<string, number>();
  const ipvs = rows.filter((row) => row.engine === 'ipvs');
  const value = (mode: string, services: number, position: string, variant: string): number =>
    mean(
      ipvs
        .filter((row) => row.mode === mode && row.services === services && row.variant === variant)
        .filter((row) => position === '' || row.position === position)
        .map((row) => row.value),
    );
  const bare = (mode: string): number =>
    mean(rows.filter((row) => row.engine === 'none' && row.mode === mode).map((row) => row.value));
  values.set('ipvs.bareFirstInstructions', bare('first'));
  values.set('ipvs.bareEstablishedInstructions', bare('established'));

  // The oldest of 50,000 servers stands at the tail of a chain of 195.
  const entry = (value('first', 50000, 'index0', BARE) - value('first', 50000, 'index49999', BARE)) / 195;
  values.set('ipvs.serviceChainEntryInstructions', entry);
  values.set(
    'ipvs.connectionInsertInstructions',
    value('first', 1, 'index0', 'kube-rules') - entry - value('first', 1, 'miss', 'kube-rules'),
  );
  values.set('ipvs.routeFillInstructions', routeFill(ipvs, entry));
  fitConnectionChains(ipvs, values);

  const perAddress = (value('established', 10000, '', KUBE) - value('established', 1000, '', KUBE)) / 9000;
  values.set('ipvs.boundAddressInstructions', perAddress);
  values.set(
    'ipvs.boundAddressDoublingInstructions',
    (value('first', 1000, '', KUBE) - value('first', 1, '', KUBE) - 1000 * perAddress) / 9,
  );

  // What is left for the mode itself: measured with one service, minus what the counters explain.
  values.set('ipvs.modeFirstInstructions', 0);
  values.set('ipvs.modeEstablishedInstructions', 0);
  const explained = withValues(base, values);
  for (const [mode, path] of [
    ['first', 'ipvs.modeFirstInstructions'],
    ['established', 'ipvs.modeEstablishedInstructions'],
  ] as const) {
    const row = ipvs.find((r) => r.mode === mode && r.services === 1 && r.variant === KUBE) as MeasuredRow;
    values.set(path, row.value - predictIpvsInstructions(explained, row));
  }
  return values;
}

/** Random services of many: nearly every packet is the first to its real server; the mean chain position is taken out. */
function routeFill(ipvs: readonly MeasuredRow[], entry: number): number {
  const uniform = ipvs.filter(
    (row) => row.position === 'uniform' && row.variant === BARE && row.services >= 5000 && row.services <= 20000,
  );
  const head = mean(
    ipvs
      .filter((row) => row.variant === BARE && row.mode === 'first' && row.position === 'index9999')
      .map((r) => r.value),
  );
  return mean(uniform.map((row) => row.value - head - (entry * (row.services / 256 - 1)) / 2));
}

/** 32,768 connections in 256 buckets: chains of 128, against a table with hardly an entry a bucket. */
function fitConnectionChains(ipvs: readonly MeasuredRow[], values: Map<string, number>): void {
  const of = (mode: string, bits: string): number =>
    mean(
      ipvs
        .filter((row) => row.mode === mode && option(row.variant, 'conn_tab_bits') === bits)
        .filter((row) => option(row.variant, 'conns') === '32768')
        .map((row) => row.value),
    );
  values.set('ipvs.connectionChainEntryFirstInstructions', (of('first', '8') - of('first', '20')) / 128 / 2);
  values.set(
    'ipvs.connectionChainEntryEstablishedInstructions',
    (of('established', '8') - of('established', '20')) / 128,
  );
}

/** Fixed and per real server, beside round robin, from 1 and 100 real servers. */
export function fitSchedulers(
  rows: readonly MeasuredRow[],
): ReadonlyMap<string, { fixed: number; destination: number }> {
  const of = (scheduler: string, endpoints: number): number =>
    mean(
      rows
        .filter((row) => row.engine === 'ipvs' && row.mode === 'first' && row.variant === `sched=${scheduler}`)
        .filter((row) => row.endpointsPerService === endpoints)
        .map((row) => row.value),
    );
  const result = new Map<string, { fixed: number; destination: number }>();
  for (const scheduler of ['rr', 'wrr', 'lc', 'wlc', 'sh', 'dh', 'mh', 'sed', 'nq']) {
    const walks = ['lc', 'wlc', 'sed'].includes(scheduler);
    const destination = walks ? (of(scheduler, 100) - of(scheduler, 1)) / 99 : 0;
    const one = walks ? of(scheduler, 1) : (of(scheduler, 1) + of(scheduler, 10) + of(scheduler, 100)) / 3;
    const roundRobin = (of('rr', 1) + of('rr', 10) + of('rr', 100)) / 3;
    result.set(scheduler, { fixed: one - destination - roundRobin, destination });
  }
  return result;
}

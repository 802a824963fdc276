/** Fits the nftables part of a profile to the `nft` rows of `native-data.csv` and `native-control.csv`. */
import type { CostProfile } from '../model/profile.ts';
import { withValues } from './fit.ts';
import type { FittedValues } from './fit.ts';
import type { MeasuredRow } from './measured-row.ts';
import { mean, nonNegativeLeastSquares } from './nnls.ts';
import {
  predictNftablesNs,
  RIG_ESTABLISHED_RULES,
  RIG_HIT_RULES,
  RIG_LOOKUPS,
  RIG_MISS_RULES,
  RIG_RECEIVE_STEPS,
} from './rig-nftables.ts';

/**
 * The rig's rules and look-ups always come in the same proportion, so their costs cannot be told apart: one step for each. `base`
 * supplies the bare packet, connection tracking, nat hooks and translation, which the iptables fit finds.
 */
export function fitNftablesProfile(base: CostProfile, rows: readonly MeasuredRow[]): FittedValues {
  const nft = rows.filter((row) => row.engine === 'nft' && row.unit === 'ns/packet');
  const values = new Map<string, number>();
  fitHot(base, nft, values);
  fitPressure(nft, values);
  fitDistance(withValues(base, values), nft, values);
  return values;
}

function fitHot(base: CostProfile, nft: readonly MeasuredRow[], values: Map<string, number>): void {
  const { packet } = base;
  const fixed = packet.bareFirstNs.value + packet.conntrackFirstNs.value + packet.natHooksFirstNs.value;
  const hot = hotRows(nft);
  const [step, natSetup] = nonNegativeLeastSquares(
    hot.map((row) => {
      const isHit = row.position !== 'miss';
      const rules = isHit ? RIG_HIT_RULES : RIG_MISS_RULES;
      return [rules + RIG_LOOKUPS + RIG_RECEIVE_STEPS, isHit ? 1 : 0].map((x) => x / row.value);
    }),
    hot.map((row) => (row.value - fixed) / row.value),
  ) as [number, number];
  values.set('nftables.ruleNs', step);
  values.set('nftables.mapLookupNs', step);
  values.set('nftables.natSetupNs', natSetup);
  values.set('nftables.receiveFirstNs', RIG_RECEIVE_STEPS * step);
  const established =
    packet.bareEstablishedNs.value + packet.conntrackEstablishedNs.value + packet.natHooksEstablishedNs.value;
  // What no counter explains: filter input, and entering base chains that the iptables rig had not.
  values.set(
    'nftables.receiveEstablishedNs',
    oneFlow(nft) - established - RIG_ESTABLISHED_RULES * step - base.iptables.translateNs.value,
  );
}

/** First packets whose service's lines are in the cache: always the same service, or none. */
function hotRows(nft: readonly MeasuredRow[]): MeasuredRow[] {
  return nft.filter(
    (row) => row.mode === 'first' && (row.variant === '' || row.variant === 'endpoints') && row.position !== 'uniform',
  );
}

function oneFlow(nft: readonly MeasuredRow[]): number {
  return mean(nft.filter((row) => row.mode === 'established' && row.variant === 'flows=1').map((row) => row.value));
}

/** 8 MiB of other memory written before each packet. */
function fitPressure(nft: readonly MeasuredRow[], values: Map<string, number>): void {
  const evicted = nft.filter((row) => row.variant === 'evict=8MiB');
  const of = (mode: string): number => mean(evicted.filter((row) => row.mode === mode).map((row) => row.value));
  const hits = hotRows(nft).filter((row) => row.position !== 'miss');
  values.set('nftables.coldFirstNs', of('first') - mean(hits.map((row) => row.value)));
  values.set('nftables.coldEstablishedNs', of('established') - oneFlow(nft));
}

const MIB = 1024 * 1024;

/**
 * A random service each time: how many bytes a rule stands for and how much of the last level the core gets are searched, and for
 * each pair the costs of the two distances follow from least squares on relative errors.
 */
function fitDistance(base: CostProfile, nft: readonly MeasuredRow[], values: Map<string, number>): void {
  const uniform = nft.filter((row) => row.mode === 'first' && row.variant === '' && row.position === 'uniform');
  let best = Infinity;
  for (let bytes = 300; bytes <= 800; bytes += 50) {
    for (let lastLevel = 8; lastLevel <= 32; lastLevel += 4) {
      const found = new Map([
        ['nftables.chainTouchedBytes', bytes],
        ['cache.lastLevelBytes', lastLevel * MIB],
      ]);
      const predicted = (cold: number, far: number): number[] => {
        const costs: [string, number][] = [
          ['nftables.coldServiceChainsNs', cold],
          ['nftables.farServiceChainsNs', far],
        ];
        const profile = withValues(base, new Map([...found, ...costs]));
        return uniform.map((row) => predictNftablesNs(profile, row));
      };
      const none = predicted(0, 0);
      const [oneCold, oneFar] = [predicted(1, 0), predicted(0, 1)];
      const matrix = uniform.map((row, i) => [(oneCold[i] - none[i]) / row.value, (oneFar[i] - none[i]) / row.value]);
      const targets = uniform.map((row, i) => 1 - none[i] / row.value);
      const [cold, far] = nonNegativeLeastSquares(matrix, targets) as [number, number];
      const errors = matrix.map(([a, b], i) => a * cold + b * far - targets[i]);
      const score = errors.reduce((sum, error) => sum + error * error, 0);
      if (score >= best) continue;
      best = score;
      for (const [path, value] of found) values.set(path, value);
      values.set('nftables.coldServiceChainsNs', cold);
      values.set('nftables.farServiceChainsNs', far);
    }
  }
}

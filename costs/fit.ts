/** Fits the iptables part of a profile to rows of `native-data.csv`: how the numbers of linux-6.18-native.yaml came about. */
import type { CostProfile, Quantity } from '../model/profile.ts';
import type { MeasuredRow } from './measured-row.ts';
import { mean, nonNegativeLeastSquares } from './nnls.ts';
import { predictIptablesNs, RIG_ESTABLISHED_RULES, RIG_PASSING_RULES, RIG_RECEIVE_RULES } from './rig.ts';

/** Path of a quantity in the profile (`iptables.serviceRuleNs`) to its fitted value. */
export type FittedValues = ReadonlyMap<string, number>;

/** Walks up to here are hot beyond doubt, walks from there on are not (kernel-data/README.md). */
const HOT_RULES = 7001;
const COLD_RULES = 15000;
const UNCOMMENTED_COLD_RULES = 20000;
/** Rules that a first packet to a service visits beside a passing packet's, on the rig: KUBE-SVC 2, KUBE-SEP 2. */
const SERVICE_RULES = 4;

/**
 * What kernel-data/README.md states of the knee in words, as points: the file leaves out its rows. Hot up to about 8,000 commented
 * rules, 20 ns a rule at 12,000. (At 10,000 it states 61 to 209 us, which fixes nothing.)
 */
const STATED_KNEE = [
  { rules: 8000, nsPerRule: 4.1 },
  { rules: 12000, nsPerRule: 20 },
] as const;

function statedRow(point: (typeof STATED_KNEE)[number], headNs: number): MeasuredRow {
  const value = headNs + point.rules * point.nsPerRule;
  return {
    engine: 'ipt-legacy',
    mode: 'first',
    services: point.rules,
    endpointsPerService: 1,
    position: 'last',
    rulesEvaluated: point.rules,
    value,
    unit: 'ns/packet',
    comments: true,
    variant: '',
    min: value,
  };
}

/**
 * `base` supplies what a rig cannot show (the size of the L2, the bytes that a passed rule touches) and is otherwise
 * overwritten. Deterministic: the same rows give the same values.
 */
export function fitNativeProfile(base: CostProfile, rows: readonly MeasuredRow[]): FittedValues {
  const values = new Map<string, number>();
  fitFixedParts(rows, values);
  fitHotRules(rows, values);
  fitEstablished(rows, values);
  fitColdScan(rows, values);
  fitPressure(rows, values);
  fitKneeAndChains(withValues(base, values), rows, values);
  return values;
}

/** A copy of the profile with the given values in place of its own; unknown paths throw. */
export function withValues(profile: CostProfile, values: FittedValues): CostProfile {
  const copy = structuredClone(profile) as unknown as Record<string, Record<string, Quantity>>;
  for (const [path, value] of values) {
    const [section, key] = path.split('.') as [string, string];
    const quantity = copy[section]?.[key];
    if (quantity === undefined) throw new Error(`The profile has no quantity "${path}".`);
    copy[section][key] = { ...quantity, value };
  }
  return copy as unknown as CostProfile;
}

function plain(rows: readonly MeasuredRow[], engine: string, mode: string): MeasuredRow[] {
  return rows.filter((row) => row.engine === engine && row.mode === mode && row.comments);
}

function got(values: FittedValues, path: string): number {
  return values.get(path) ?? NaN;
}

/** No netfilter, conntrack, nat hooks: each a difference of two measurements. */
function fitFixedParts(rows: readonly MeasuredRow[], values: Map<string, number>): void {
  for (const [mode, suffix] of [
    ['first', 'FirstNs'],
    ['established', 'EstablishedNs'],
  ] as const) {
    const of = (engine: string): number => mean(plain(rows, engine, mode).map((row) => row.value));
    values.set(`packet.bare${suffix}`, of('none'));
    values.set(`packet.conntrack${suffix}`, of('conntrack') - of('none'));
    values.set(`packet.natHooks${suffix}`, of('conntrack+nat') - of('conntrack'));
  }
}

/**
 * Columns: 1 for the ruleset as such (the rules that every first packet visits), 1 for a service that is hit, rules of
 * KUBE-SERVICES scanned, rules with `statistic`.
 */
function fitHotRules(rows: readonly MeasuredRow[], values: Map<string, number>): void {
  const fixed = fixedNs(values, 'FirstNs');
  const hot = plain(rows, 'ipt-legacy', 'first').filter(
    (row) =>
      (row.variant === '' || row.variant === 'endpoints') &&
      row.position !== 'uniform' &&
      row.rulesEvaluated <= HOT_RULES,
  );
  const matrix = hot.map((row) => {
    const isHit = row.position !== 'miss';
    const endpoints = row.endpointsPerService;
    const statistic = isHit ? (endpoints + 1) / 2 - 1 / endpoints : 0;
    return [1, isHit ? 1 : 0, row.rulesEvaluated, statistic].map((x) => x / row.value);
  });
  const [ruleset, hit, scanned, statistic] = nonNegativeLeastSquares(
    matrix,
    hot.map((row) => (row.value - fixed) / row.value),
  ) as [number, number, number, number];
  const otherRule = ruleset / (RIG_PASSING_RULES + RIG_RECEIVE_RULES);
  values.set('iptables.serviceRuleNs', scanned);
  values.set('iptables.statisticRuleNs', statistic);
  values.set('iptables.otherRuleNs', otherRule);
  values.set('iptables.receiveFirstNs', otherRule * RIG_RECEIVE_RULES);
  values.set('iptables.natSetupNs', hit - SERVICE_RULES * otherRule);
}

function fitEstablished(rows: readonly MeasuredRow[], values: Map<string, number>): void {
  const established = plain(rows, 'ipt-legacy', 'established');
  const one = mean(established.filter((row) => row.variant === 'flows=1').map((row) => row.value));
  const many = mean(established.filter((row) => row.variant === 'flows=8192').map((row) => row.value));
  const otherRule = got(values, 'iptables.otherRuleNs');
  const rules = (RIG_ESTABLISHED_RULES + RIG_RECEIVE_RULES) * otherRule;
  values.set('iptables.receiveEstablishedNs', otherRule * RIG_RECEIVE_RULES);
  values.set('iptables.translateNs', one - fixedNs(values, 'EstablishedNs') - rules);
  values.set('packet.conntrackColdNs', many - one);
}

/** Extra cost of a rule out of cache for two sizes of rule, as a line over the size. */
function fitColdScan(rows: readonly MeasuredRow[], values: Map<string, number>): void {
  const hot = got(values, 'iptables.serviceRuleNs');
  const extra = (comments: boolean, from: number): number =>
    mean(
      rows
        .filter((row) => row.engine === 'ipt-legacy' && row.mode === 'first' && row.variant === '')
        .filter((row) => row.comments === comments && row.position !== 'uniform' && row.rulesEvaluated >= from)
        .map((row) => (row.value - headNs(values, row.position !== 'miss')) / row.rulesEvaluated - hot),
    );
  const large = extra(true, COLD_RULES);
  const small = extra(false, UNCOMMENTED_COLD_RULES);
  const perByte = (large - small) / (488 - 200);
  values.set('iptables.coldScanNsPerByte', perByte);
  values.set('iptables.coldScanHiddenBytes', 488 - large / perByte);
}

/** 8 MiB of other memory written before each packet: what the packet itself costs more. */
function fitPressure(rows: readonly MeasuredRow[], values: Map<string, number>): void {
  const evicted = rows.filter((row) => row.engine === 'ipt-legacy' && row.variant === 'evict=8MiB');
  const first = mean(evicted.filter((row) => row.position === 'first').map((row) => row.value));
  const established = mean(evicted.filter((row) => row.mode === 'established').map((row) => row.value));
  const hotEstablished = mean(
    plain(rows, 'ipt-legacy', 'established')
      .filter((row) => row.variant === 'flows=1')
      .map((row) => row.value),
  );
  values.set('packet.coldFirstNs', first - headNs(values, true));
  values.set('packet.coldEstablishedNs', established - hotEstablished);
}

/**
 * Where the scan outgrows the cache, and what a service's own chains add when services are drawn at random: found by search, one
 * parameter after the other, on relative errors of the rows that they change.
 */
function fitKneeAndChains(base: CostProfile, rows: readonly MeasuredRow[], values: Map<string, number>): void {
  const legacy = plain(rows, 'ipt-legacy', 'first').filter((row) => row.variant === '');
  const head = headNs(values, true);
  const used = legacy
    .filter((row) => row.position === 'uniform' || row.rulesEvaluated > HOT_RULES)
    .concat(STATED_KNEE.map((point) => statedRow(point, head)));
  const grid: [string, number, number, number][] = [
    ['cache.kneeStartRatio', 0.7, 1, 0.01],
    ['cache.kneeEndRatio', 1.1, 1.6, 0.01],
    ['iptables.coldServiceChainsNs', 1000, 2400, 50],
    ['iptables.chainTouchedBytes', 200, 700, 20],
  ];
  const chosen = new Map(grid.map(([path, low, high]) => [path, (low + high) / 2]));
  const score = (): number => {
    const profile = withValues(base, chosen);
    let sum = 0;
    for (const row of used) {
      const error = predictIptablesNs(profile, row) / row.value - 1;
      sum += error * error;
    }
    return sum;
  };
  for (let round = 0; round < 3; round++) {
    for (const [path, low, high, step] of grid) {
      let best = Infinity;
      let at = low;
      for (let k = 0; low + k * step <= high + step / 2; k++) {
        chosen.set(path, low + k * step);
        const value = score();
        if (value < best) [best, at] = [value, low + k * step];
      }
      chosen.set(path, at);
    }
  }
  for (const [path, value] of chosen) values.set(path, value);
}

function fixedNs(values: FittedValues, suffix: 'FirstNs' | 'EstablishedNs'): number {
  return (
    got(values, `packet.bare${suffix}`) +
    got(values, `packet.conntrack${suffix}`) +
    got(values, `packet.natHooks${suffix}`)
  );
}

/** A first packet on the rig without any rule of KUBE-SERVICES. */
function headNs(values: FittedValues, isHit: boolean): number {
  const otherRule = got(values, 'iptables.otherRuleNs');
  const hit = isHit ? got(values, 'iptables.natSetupNs') + SERVICE_RULES * otherRule : 0;
  return fixedNs(values, 'FirstNs') + (RIG_PASSING_RULES + RIG_RECEIVE_RULES) * otherRule + hit;
}

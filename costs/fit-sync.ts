/** Fits the programming part of a profile to rows of `native-control.csv` and to the guest's netlink measurements. */
import type { FittedValues } from './fit.ts';
import type { MeasuredRow } from './measured-row.ts';
import { mean, nonNegativeLeastSquares } from './nnls.ts';

/** One restore or save of the rig: sizes and best CPU time of the runs. */
export interface ControlPoint {
  readonly operation: string;
  readonly services: number;
  readonly endpointsPerService: number;
  readonly lines: number;
  readonly tableRules: number;
  readonly cpuNs: number;
}

/**
 * Lines of the rig's files, chain declarations included: `*nat`, 4 fixed chains, 4 fixed rules, a KUBE-SERVICES rule a
 * service, the node-port rule, COMMIT; a rewritten service has 1 + E chains and 1 + 3E rules.
 */
function restoreLines(services: number, endpoints: number, rewritten: number): number {
  return 11 + services + rewritten * (2 + 4 * endpoints);
}

/** Full and partial syncs and saves of iptables-legacy; first loads into an empty table are left out (one run each). */
export function controlPoints(rows: readonly MeasuredRow[]): ControlPoint[] {
  const user = rows.filter((row) => row.engine === 'ipt-legacy' && row.mode === 'sync' && row.unit === 'user_s');
  const points: ControlPoint[] = [];
  for (const row of user) {
    if (row.position === 'load-empty') continue;
    const { services, endpointsPerService: endpoints } = row;
    const partial = /^partial-sync-(\d+)$/.exec(row.position);
    const rewritten = partial === null ? services : Number(partial[1]);
    points.push({
      operation: row.position,
      services,
      endpointsPerService: endpoints,
      lines: restoreLines(services, endpoints, rewritten),
      tableRules: 8 + services * (2 + 3 * endpoints),
      cpuNs: cpuNs(rows, row),
    });
  }
  return points;
}

/** User and system time of the operation whose user time is in `user`: the best of its runs. */
export function cpuNs(rows: readonly MeasuredRow[], user: MeasuredRow): number {
  const system = rows.find(
    (other) =>
      other.engine === user.engine &&
      other.position === user.position &&
      other.services === user.services &&
      other.endpointsPerService === user.endpointsPerService &&
      other.unit === 'sys_s',
  );
  if (system === undefined) throw new Error(`No system time beside "${user.position}" of ${user.services} services.`);
  return (user.min + system.min) * 1e9;
}

/** Shorter commands are left out: their CPU time scatters by half from run to run (standard deviation against median). */
export const SHORTEST_NS = 30e6;

export function fitSyncProfile(control: readonly MeasuredRow[], guest: readonly MeasuredRow[]): FittedValues {
  const values = new Map<string, number>();
  const exec = execNs(control);
  values.set('sync.execNs', exec);
  const points = controlPoints(control).filter((point) => point.cpuNs >= SHORTEST_NS);
  const restores = points.filter((point) => point.operation !== 'save-nat');
  const [line, rule, service, product] = nonNegativeLeastSquares(
    restores.map((p) => [p.lines, p.tableRules, p.services, p.lines * p.tableRules].map((x) => x / p.cpuNs)),
    restores.map((p) => (p.cpuNs - exec) / p.cpuNs),
  ) as [number, number, number, number];
  values.set('sync.restoreLineNs', line);
  values.set('sync.tableRuleNs', rule);
  values.set('sync.serviceRuleNs', service);
  values.set('sync.lineTimesTableRuleNs', product);
  const saves = points.filter((point) => point.operation === 'save-nat');
  const [saved] = nonNegativeLeastSquares(
    saves.map((p) => [p.lines / p.cpuNs]),
    saves.map((p) => (p.cpuNs - exec) / p.cpuNs),
  ) as [number];
  values.set('sync.saveLineNs', saved);
  fitNetlink(guest, values);
  return values;
}

/** `ipset add` of one entry is nearly nothing but starting the command. */
function execNs(control: readonly MeasuredRow[]): number {
  const of = (unit: string): number =>
    mean(
      control
        .filter((row) => row.engine === 'ipset' && row.unit === unit && /^(add|del)-1$/.test(row.position))
        .map((row) => row.value),
    );
  return (of('user_s') + of('sys_s')) * 1e9;
}

function fitNetlink(guest: readonly MeasuredRow[], values: Map<string, number>): void {
  const of = (position: string, services: number, variant: string): number =>
    mean(
      guest
        .filter((row) => row.engine === 'ipvs' && row.mode === 'sync' && row.position === position)
        .filter((row) => row.services === services && row.variant === variant)
        .map((row) => row.value),
    );
  values.set('sync.netlinkRequestInstructions', (of('add-service', 100, 'bulk') + of('add-server', 100, 'bulk')) / 2);
  values.set('sync.netlinkReadInstructions', of('del-service', 100, 'single'));
  values.set('sync.conntrackDeleteInstructions', of('del-service', 100, 'single'));
  // n additions, each over those before: a n + b n^2 / 2, from 5,000 and 10,000.
  const command = of('addr-add', 1, 'kube-ipvs0');
  const small = (of('addr-add', 5000, 'kube-ipvs0') - command) / 5000;
  const large = (of('addr-add', 10000, 'kube-ipvs0') - command) / 10000;
  const perBound = (2 * (large - small)) / 5000;
  values.set('sync.addressTimesBoundInstructions', perBound);
  values.set('sync.addressInstructions', large - perBound * 5000);
}

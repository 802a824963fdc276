/** Fits what programming takes in nftables mode to the `nft` rows of `native-control.csv`. */
import type { FittedValues } from './fit.ts';
import { cpuNs, SHORTEST_NS } from './fit-sync.ts';
import type { MeasuredRow } from './measured-row.ts';
import { nonNegativeLeastSquares } from './nnls.ts';

/** One `nft -f`, or one listing (without operations), of the rig. */
export interface NftPoint {
  readonly operation: string;
  readonly services: number;
  readonly endpointsPerService: number;
  readonly operations: number;
  readonly tableRules: number;
  /** Anonymous maps that it makes, and how many are there in the mean while it does. */
  readonly mapsMade: number;
  readonly mapsThere: number;
  readonly cpuNs: number;
}

/** Rules of the rig's base chains and of the chains that they jump to. */
const FIXED_RULES = 20;

/**
 * Deletions make no map: with them, what reading and checking the table takes shows alone. Commands without any CPU time were
 * shorter than the tick that it is counted in.
 */
export function nftPoints(rows: readonly MeasuredRow[]): NftPoint[] {
  return rows
    .filter((row) => row.engine === 'nft' && row.mode === 'sync' && row.unit === 'user_s')
    .map((row) => {
      const { services, endpointsPerService: endpoints, position: operation } = row;
      const count = /-(\d+)$/.exec(operation);
      const size = transactionSize(operation, services, endpoints, count === null ? services : Number(count[1]));
      return {
        operation,
        services,
        endpointsPerService: endpoints,
        ...size,
        tableRules: FIXED_RULES + services * (2 + 2 * endpoints),
        cpuNs: cpuNs(rows, row),
      };
    })
    .filter((point) => point.cpuNs > 0);
}

/** A service has 1 + E chains, 2 + 2E rules and 2 elements; one that is written again gets its chains added and flushed. */
function transactionSize(
  operation: string,
  services: number,
  endpoints: number,
  count: number,
): Pick<NftPoint, 'operations' | 'mapsMade' | 'mapsThere'> {
  const created = count * (5 + 3 * endpoints);
  const rewritten = count * (4 + 4 * endpoints);
  if (operation === 'load-empty') return { operations: created, mapsMade: count, mapsThere: count / 2 };
  // Maps of rules that were flushed stay until the commit.
  if (operation === 'full-sync') return { operations: rewritten, mapsMade: count, mapsThere: services + count / 2 };
  if (operation.startsWith('partial-sync-'))
    return { operations: rewritten, mapsMade: count, mapsThere: services + count / 2 };
  if (operation.startsWith('add-services-'))
    return { operations: created, mapsMade: count, mapsThere: services + count / 2 };
  if (operation.startsWith('delete-services-'))
    return { operations: count * (4 + endpoints), mapsMade: 0, mapsThere: services };
  if (operation === LISTING) return { operations: 0, mapsMade: 0, mapsThere: 0 };
  throw new Error(`Unknown operation "${operation}".`);
}

/** `nft -t list ruleset`. */
export const LISTING = 'list-chain-count';

export function fitNftSync(control: readonly MeasuredRow[], execNs: number): FittedValues {
  const points = nftPoints(control).filter((point) => point.cpuNs >= SHORTEST_NS);
  const fit = (chosen: readonly NftPoint[], columns: (point: NftPoint) => number[]): number[] =>
    nonNegativeLeastSquares(
      chosen.map((point) => columns(point).map((x) => x / point.cpuNs)),
      chosen.map((point) => (point.cpuNs - execNs) / point.cpuNs),
    );
  const [rule, squared, operation, maps, mapOperations] = fit(
    points.filter((point) => point.operation !== LISTING),
    (p) => [
      p.tableRules,
      p.tableRules * p.tableRules,
      p.operations,
      p.mapsMade * p.mapsThere,
      p.mapsMade * p.operations,
    ],
  ) as [number, number, number, number, number];
  const [listRule, listSquared] = fit(
    points.filter((point) => point.operation === LISTING),
    (p) => [p.tableRules, p.services * p.services],
  ) as [number, number];
  return new Map([
    ['nftSync.tableRuleNs', rule],
    ['nftSync.tableRuleSquaredNs', squared],
    ['nftSync.operationNs', operation],
    ['nftSync.mapTimesMapsNs', maps],
    ['nftSync.mapTimesOperationsNs', mapOperations],
    ['nftSync.listRuleNs', listRule],
    ['nftSync.listServicesSquaredNs', listSquared],
  ]);
}

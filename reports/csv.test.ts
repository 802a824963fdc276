/** CSV: rows survive the round trip, bytes are stable, and a bad file is named with its line and column. */
import { describe, expect, it } from 'vitest';
import type { Observation, TimelineRow } from '../model/observation.ts';
import { OBSERVATION_COLUMNS } from '../model/observation.ts';
import type { SummaryRow } from './csv.ts';
import {
  formatObservations,
  formatSummary,
  formatTimeline,
  parseObservations,
  parseSummary,
  parseTimeline,
} from './csv.ts';
import { ResultsError } from './results-error.ts';

function observation(extra: Observation): Observation {
  const row: Record<string, string | number | boolean | null> = {};
  for (const column of OBSERVATION_COLUMNS) row[column] = null;
  return { ...row, experiment: 'e', engine: 'ipvs', profile: 'p', status: 'ok', digest: '00123', ...extra };
}

const SUMMARY: SummaryRow = {
  experiment: 'e',
  engine: 'iptables',
  profile: 'p',
  services: 10,
  endpoints_per_service: null,
  rules: 164.5,
  axes: { 'proxy.min_sync_period_s': 1, popularity: 'uniform' },
  metric: 'cost_first_packet_mean_ns',
  replications: 1,
  mean: 4321.000000000001,
  stddev: null,
  ci95_low: null,
  ci95_high: null,
};

const TIMELINE: TimelineRow = {
  engine: 'ipvs',
  replication: 1,
  node: 'node-1',
  service: 'default/alpaca',
  time_s: 0.125,
  ready_endpoints: 3,
  installed_endpoints: 2,
  serving_endpoints: 2,
  connections: 10,
  failed_connections: 1,
  stale_connections: 0,
  broken_connections: 7,
  event: 'pod "alpaca, 1" not ready\nsecond line',
};

describe('observations.csv', () => {
  it('keeps values and their types through a round trip', () => {
    const rows = [
      observation({ services: 10, cost_first_packet_mean_ns: 0.1 + 0.2, path_measured: true, note: 'a,"b"\nc' }),
      observation({ services: 20, cost_first_packet_mean_ns: 1e21, path_measured: false, note: '1e5', late: -0.5 }),
    ];
    const text = formatObservations(rows);
    expect(parseObservations(text, 'observations.csv')).toEqual([{ ...rows[0], late: null }, { ...rows[1] }]);
    expect(formatObservations(parseObservations(text, 'observations.csv'))).toBe(text);
  });

  it('has the standard columns first, then others in order of first appearance, and \\n line ends', () => {
    const lines = formatObservations([observation({ zebra: 1 }), observation({ aardvark: 2, zebra: 3 })]).split('\n');
    expect(lines[0]).toBe([...OBSERVATION_COLUMNS, 'zebra', 'aardvark'].join(','));
    expect(lines[1]?.endsWith(',00123,1,')).toBe(true);
    expect(lines).toHaveLength(4);
    expect(formatObservations([observation({ yes: true, no: false })])).toMatch(/,true,false\n$/);
  });

  it('refuses to write a number that is not finite', () => {
    expect(() => formatObservations([observation({ packets: NaN })])).toThrow('column packets: NaN');
  });

  it('names file, line and column of a cell that is not a number', () => {
    const text = formatObservations([observation({ services: 10 }), observation({ services: 77 })]).replace(
      '77',
      'many',
    );
    const parse = (): unknown => parseObservations(text, 'out/e/observations.csv');
    expect(parse).toThrow(ResultsError);
    expect(parse).toThrow('out/e/observations.csv:3 (services): "many" is not a number');
  });

  it('names a missing column, an empty file and a short row', () => {
    const text = formatObservations([observation({})]);
    expect(() => parseObservations(text.replace('digest', 'dygest'), 'f')).toThrow(
      'f:1 (digest): the column is missing',
    );
    expect(() => parseObservations('', 'f')).toThrow('f: is empty');
    expect(() => parseObservations(`${text}e,ipvs\n`, 'f')).toThrow('f:3: has 2 cells, the header has 24');
  });
});

describe('summary.csv', () => {
  it('keeps rows through a round trip, axes in columns of their own', () => {
    const text = formatSummary([SUMMARY], ['services', 'proxy.min_sync_period_s', 'popularity']);
    expect(text.split('\n')[0]).toBe(
      'experiment,engine,profile,services,endpoints_per_service,rules,proxy.min_sync_period_s,popularity,' +
        'metric,replications,mean,stddev,ci95_low,ci95_high,range_low,range_high,basis',
    );
    expect(parseSummary(text, 'summary.csv')).toEqual([SUMMARY]);
  });

  it('has the range of a modelled cost beside its interval, and reads files without', () => {
    const ranged = { ...SUMMARY, range_low: 4000.5, range_high: 5000.25, basis: 'derived' as const };
    const text = formatSummary([ranged, SUMMARY], ['proxy.min_sync_period_s', 'popularity']);
    expect(text).toContain(',4000.5,5000.25,derived\n');
    expect(parseSummary(text, 's')).toEqual([ranged, SUMMARY]);
    const older = text
      .replace(/,range_low.*/, '')
      .replace(/,4000.5.*/, '')
      .replace(/,,,\n$/, '\n');
    expect(parseSummary(older, 's')).toEqual([SUMMARY, SUMMARY]);
    expect(() => parseSummary(text.replace(',derived', ',maybe'), 's')).toThrow(
      's:2 (basis): "maybe" is none of measured, derived, estimated',
    );
    expect(() => parseSummary(text.replace('5000.25', ''), 's')).toThrow('s:2 (range_high): is empty');
  });

  it('asks for a number of replications', () => {
    const text = formatSummary([SUMMARY], []).replace('_ns,1,', '_ns,,');
    expect(() => parseSummary(text, 's')).toThrow('s:2 (replications): is empty: a number was expected');
  });
});

describe('timeline.csv', () => {
  it('keeps rows through a round trip, with and without the columns of a point', () => {
    expect(parseTimeline(formatTimeline([TIMELINE]), 't')).toEqual([{ ...TIMELINE, point: {} }]);
    expect(formatTimeline([TIMELINE]).split('\n')[0]).toContain(',stale_connections,broken_connections,event');
    const point = { services: 5, evaluator: 'literal' };
    expect(parseTimeline(formatTimeline([TIMELINE], [point]), 't')).toEqual([{ ...TIMELINE, point }]);
  });

  it('reads a file without the column of the node, and no other column less', () => {
    const text = formatTimeline([{ ...TIMELINE, event: '' }]);
    const without = text.replace(',node,', ',').replace(',node-1,', ',');
    expect(without.split('\n')[0]).toMatch(/^engine,replication,service,/);
    expect(parseTimeline(without, 't')).toEqual([{ ...TIMELINE, event: '', node: '', point: {} }]);
    expect(() => parseTimeline(text.replace(',service,', ',sirvice,'), 't')).toThrow(
      't:1 (service): the column is missing',
    );
  });
});

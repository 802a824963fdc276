import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatInputError, InputError } from '../scenarios/errors.ts';
import { docsBlock, markdownTable } from './generated-docs.ts';
import { inlineExecutor } from './published-fit.ts';
import { CALIBRATION_LIMIT, publishedReport, type PublishedReport } from './published-report.ts';

const signal = new AbortController().signal;
const folder = mkdtempSync(join(tmpdir(), 'chainwalk-published-'));
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('shipped published points', () => {
  let report: PublishedReport;
  beforeAll(async () => {
    report = await publishedReport([], { executor: inlineExecutor(), signal });
  }, 300_000);

  it('are all predicted', () => {
    expect(report.rows.filter((row) => row.predicted === null)).toEqual([]);
    expect(report.summaries.map(({ rows, all }) => rows - all)).toEqual([0, 0]);
  });

  it(`are within ${CALIBRATION_LIMIT * 100} % where they calibrate`, () => {
    expect(
      report.failures.map(({ source, metric, at, error_ratio: error }) => ({ source, metric, at, error })),
    ).toEqual([]);
    expect(report.rows.filter((row) => row.use === 'calibrate').length).toBeGreaterThanOrEqual(39);
  });

  it('have every source of the list', () => {
    const sources = new Set(report.rows.map((row) => row.source));
    expect([...sources].sort()).toEqual([
      'Cilium, LPC 2019',
      'Huawei 2017 (community PR 692)',
      'KEP-3453',
      'KEP-752',
      'TKE network benchmark 2026',
      'Tigera 2019',
      'kube-nftlb README',
      'kubernetes PR 124272',
      'kubernetes PR 126013',
      'kubernetes issue 14118 (2015)',
      'kubernetes issue 96018',
      'kubernetes.io blog 2025, KEP-3866',
    ]);
  });

  it('stand in docs/published.md (UPDATE_GOLDEN=1 refreshes them)', () => {
    const number = (value: number): string => (value >= 1000 ? Math.round(value).toString() : value.toPrecision(3));
    const rows = report.rows.map((row) => [
      row.source,
      row.metric,
      Object.entries(row.at)
        .map(([name, value]) => `${name.split('.').at(-1) ?? ''} ${String(value)}`)
        .join(', '),
      row.engine,
      `${row.value} ${row.unit}`,
      row.predicted === null ? '' : `${number(row.predicted)} ${row.unit}`,
      row.error_ratio === null ? '' : `${(row.error_ratio * 100).toFixed(1)} %`,
      row.use,
    ]);
    const header = ['source', 'metric', 'at', 'engine', 'published', 'predicted', 'error', 'use'];
    const text = markdownTable(header, rows);
    expect(docsBlock('published.md', 'points', text)).toBe(text);
  });

  it('are printed with how far the model is from them, those fitted to and those not apart', () => {
    const lines = report.text.trimEnd().split('\n');
    expect(lines.at(-2)).toMatch(
      /^published \(calibrate\): rows \d+ of \d+, median \|error\| \d+\.\d %, p90 \d+\.\d %, max \d+\.\d %$/,
    );
    expect(lines.at(-1)).toMatch(/^published \(validate\): rows \d+ of \d+, median/);
    expect(report.text).toMatch(/Huawei 2017 .* rules 8 .*2 ms +8\.2\d+ ms +\+31\d\.\d %/);
  });
});

describe('a file of points from outside', () => {
  const file = join(folder, 'points.yaml');
  const none = () => false;
  const report = (text: string, json = false) => {
    writeFileSync(file, text);
    return publishedReport([file], {
      executor: inlineExecutor(),
      signal,
      json,
      only: (reference) => reference.position.file === file,
    });
  };
  const refusal = async (text: string): Promise<string> => {
    try {
      await report(text);
    } catch (error) {
      if (error instanceof InputError) return formatInputError(error).replace(file, 'points.yaml');
      throw error;
    }
    throw new Error('Nothing was refused');
  };
  const POINT = 'source: s, label: text, use: validate, value: 2, unit: ms, metric: request_latency_p95_ms';

  it('states any point of any experiment: size, percentile, profile, pattern', async () => {
    const { rows } = await report(
      `reference:
  - { ${POINT}, experiment: published-2019, engine: ipvs, at: { services: 50, endpoints_per_service: 3 } }
  - { ${POINT}, experiment: saturated-requests, profile: era-2019, engine: nftables, at: { services: 50 } }
  - { ${POINT.replace('request_latency_p95_ms', 'one_by_one_s')}, at: { rules: 100 } }
`,
      true,
    );
    expect(
      rows.map((row) => [row.experiment, row.engine, row.place.replace(file, 'f'), row.predicted === null]),
    ).toEqual([
      ['published-2019', 'ipvs', 'f:2', false],
      ['saturated-requests', 'nftables', 'f:3', false],
      ['', '', 'f:4', false],
    ]);
    expect(rows[2]?.predicted).toBeCloseTo(100 * 1.027 + 5050 * 0.00082, 3);
  });

  it('is JSON where asked for', async () => {
    const { text } = await report(
      `reference:\n  - { ${POINT}, experiment: published-2019, engine: ipvs, at: { services: 10 } }\n`,
      true,
    );
    const { rows, summaries } = JSON.parse(text) as { rows: Record<string, unknown>[]; summaries: unknown[] };
    expect(Object.keys(rows[0] ?? {})).toEqual([
      'experiment', 'source', 'label', 'engine', 'use', 'unit', 'metric', 'at', 'value', 'reading_error', 'predicted',
      'error_ratio', 'unit_per_metric', 'note', 'place', 'reason',
    ]); // prettier-ignore
    expect(summaries).toHaveLength(2);
  });

  it('says why a point has no prediction', async () => {
    // More than the rig can bear.
    const { rows } = await report(
      `reference:\n  - { ${POINT}, experiment: published-2019, engine: ipvs, at: { services: 10, traffic.connections_per_s: 100000 } }\n`,
    );
    expect(rows[0]).toMatchObject({
      predicted: null,
      error_ratio: null,
      reason: 'its trial has no request_latency_p95_ms',
    });
  });

  it('is refused with the place of the mistake', async () => {
    const entry = (text: string): string => `reference:\n  - { ${text} }\n`;
    expect(await refusal(entry(`${POINT}, experiment: published-2091`))).toMatch(
      /^points\.yaml:2:5: There is no experiment "published-2091".*Did you mean "published-20/,
    );
    expect(await refusal(entry(POINT))).toMatch(/needs a trial, so this reference must say its "experiment"/);
    expect(
      await refusal(
        entry(`${POINT.replace('p95', 'p59')}, experiment: published-2019, engine: ipvs, at: { services: 1 }`),
      ),
    ).toMatch(/There is no column "request_latency_p59_ms".*Did you mean "request_latency_p(95|50)_ms"\?$/);
    expect(
      await refusal(
        entry(
          `${POINT.replace('unit: ms', 'unit: kB')}, experiment: published-2019, engine: ipvs, at: { services: 1 }`,
        ),
      ),
    ).toMatch(/The unit "kB" is not one of request_latency_p95_ms/);
    expect(await refusal(entry(`${POINT}, experiment: published-2019, engine: ipvs, at: { services: -3 }`))).toMatch(
      /^points\.yaml:2:5: .*services/,
    );
    expect(
      await refusal(entry(`${POINT.replace('request_latency_p95_ms', 'one_by_one_s')}, at: { rulez: 1 }`)),
    ).toMatch(/"at\.rulez" says nothing to one_by_one_s; expected rules, backend/);
  });

  it('runs no trial for points that nobody asks for', async () => {
    const { rows } = await publishedReport([], { executor: inlineExecutor(), signal, only: none });
    expect(rows).toEqual([]);
  });
});

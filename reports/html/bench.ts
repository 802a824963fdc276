/** The page of `chainwalk bench`: of each suite its question, its ratios, its growth and every number; then how it was measured. */
import { join } from 'node:path';
import type { Chart } from '../charts/chart.ts';
import { hostGrowth } from '../charts/host-growth.ts';
import { hostRatios, jobWords } from '../charts/host-ratios.ts';
import { countOf, formatNs, formatNumber, joinWords } from '../charts/words.ts';
import type { BarVerdict, BenchFacts, GrowthRow, HostRow } from '../host-time.ts';
import type { BenchResults } from '../results.ts';
import { readBenchResults, writeFileAtomic } from '../results.ts';
import type { Html } from './escape.ts';
import { markup } from './escape.ts';
import { page } from './page.ts';
import type { Site } from './report.ts';
import { drawAll, writeCharts } from './report.ts';
import { figure } from './section.ts';
import type { TableData } from './table.ts';
import { table } from './table.ts';

/** Reads bench.json, host.csv and growth.csv of `dir` and writes charts/ and report.html into it. */
export async function renderBench(dir: string, site: Site): Promise<void> {
  const results = readBenchResults(dir);
  const { facts } = results;
  const charts = new Map(facts.suites.map(({ name }) => [name, chartsOf(name, results)]));
  await writeCharts(dir, [...charts.values()].flat());
  const sections: Html[] = [];
  for (const suite of facts.suites) {
    sections.push(await section(suite, results, charts.get(suite.name) ?? []));
  }
  const text = page({
    title: 'Benchmark · chainwalk',
    header: markup`<p class="kicker">chainwalk benchmark, ${facts.size} size</p>
      <h1>How fast is chainwalk itself?</h1>
      <p class="question">
        Host time of its parts on one machine, beside the same work in C, C++ and other simulators.
      </p>`,
    body: markup`<div class="verdict">
        <h2>Verdict</h2>
        <ul>
          ${verdicts(results).map((text) => markup`<li>${text}</li>`)}
        </ul>
      </div>
      ${notice(' bad', 'Failed:', facts.failures)} ${notice('', 'Left out here:', facts.missing)} ${sections}
      <section class="experiment">
        <h2>How this was measured</h2>
        ${howMeasured(facts)}
      </section>`,
    script: [...charts.values()].some((list) => list.length > 0) ? site.script : '',
  });
  writeFileAtomic(join(dir, 'report.html'), text);
}

function chartsOf(suite: string, { rows, growth }: BenchResults): Chart[] {
  const own = rows.filter((row) => row.suite === suite);
  const ratios = hostRatios(suite, own);
  return [
    ...(ratios === undefined ? [] : [ratios]),
    ...hostGrowth(
      suite,
      own,
      growth.filter((line) => line.suite === suite),
    ),
  ];
}

async function section(
  { name, question, seconds }: BenchFacts['suites'][number],
  { rows }: BenchResults,
  charts: readonly Chart[],
): Promise<Html> {
  const own = rows.filter((row) => row.suite === name);
  const drawn = await drawAll(charts, '');
  return markup`<section class="experiment" id="${name}">
    <h2>${name}</h2>
    <p class="question">${question}</p>
    ${own.length === 0 ? markup`<p>No job of this suite ended.</p>` : markup``}
    ${drawn.map((each) => figure(each, 3, ''))} ${own.length === 0 ? markup`` : table(numbers(name, own))}
    <p>This suite took ${formatNumber(seconds)} s.</p>
  </section> `;
}

function numbers(suite: string, rows: readonly HostRow[]): TableData {
  return {
    caption: `Every number of the suite ${suite}`,
    columns: [
      'job',
      'contender',
      'rounds',
      'an operation',
      '95% interval',
      'ours over it',
      '95% interval',
      'bar',
      'verdict',
      'checksum',
    ],
    rows: rows.map((row) => [
      jobWords(row),
      row.contender,
      row.rounds,
      formatNs(row.operation_median_ns),
      `${formatNs(row.operation_low_ns)} to ${formatNs(row.operation_high_ns)}`,
      row.median_ratio === null ? null : formatNumber(row.median_ratio),
      row.low_ratio === null || row.high_ratio === null
        ? null
        : `${formatNumber(row.low_ratio)} to ${formatNumber(row.high_ratio)}`,
      barWords(row),
      row.verdict === '' ? null : row.verdict,
      row.checksum,
    ]),
  };
}

function barWords({ bar_ratio: ratio, bar_ns: ns }: HostRow): string | null {
  if (ratio !== null) return `≤ ${formatNumber(ratio)}`;
  return ns === null ? null : `≤ ${formatNs(ns)}`;
}

function verdicts({ facts, rows, growth }: BenchResults): string[] {
  const judged = [...rows, ...growth].filter((row) => row.verdict !== '');
  if (facts.size === 'smoke') return ['The smoke size only shows that everything runs and agrees; it judges no bar.'];
  if (judged.length === 0) return ['No bar was set for what ran.'];
  const of = (verdict: BarVerdict): (HostRow | GrowthRow)[] => judged.filter((row) => row.verdict === verdict);
  const listed = (list: readonly (HostRow | GrowthRow)[]): string => joinWords(list.map(judgedWords));
  const lines = [`${of('pass').length} of ${countOf(judged.length, 'bar')} are met with the whole interval.`];
  if (of('missed').length > 0) lines.push(`Missed: ${listed(of('missed'))}.`);
  if (of('unclear').length > 0) lines.push(`The interval holds the bar: ${listed(of('unclear'))}.`);
  return lines;
}

function judgedWords(row: HostRow | GrowthRow): string {
  if ('exponent' in row) return `${row.suite}, ${row.job}: growth with ${row.size_of}`;
  const { median_ratio: ratio } = row;
  return `${row.suite}, ${jobWords(row)}${ratio === null ? ': its own time' : ` against ${row.contender}`}`;
}

function notice(kind: '' | ' bad', title: string, texts: readonly string[]): Html {
  if (texts.length === 0) return markup``;
  return markup`<div class="notice${kind}">
    <p>${title}</p>
    <ul>
      ${texts.map((text) => markup`<li>${text}</li>`)}
    </ul>
  </div>`;
}

const METHOD =
  'Each suite ran in a fresh process, one at a time. In every round each contender and each peer does the same operations once, in an order ' +
  'that rotates, and after every round the checksums of all answers so far must be equal. Times and ratios are medians over the rounds, a ' +
  'ratio being taken within a round; the interval is the one between two order statistics that holds the median with 95% confidence, ' +
  'whatever the distribution. tinybench times what runs in this process, a peer program its own rounds; starting, building and filling are not timed.';

function howMeasured(facts: BenchFacts): Html {
  const { machine } = facts;
  const list: readonly (readonly [string, Html])[] = [
    ['Command', markup`<code>${facts.command}</code>`],
    [
      'Machine',
      markup`${machine.cpu}, ${countOf(machine.cores, 'core')}, ${formatNumber(machine.memory_gb)} GB,
      ${machine.platform}`,
    ],
    ['Versions', markup`${joinWords(Object.entries(facts.versions).map(([name, version]) => `${name} ${version}`))}`],
    ['Compilers', markup`C with <code>cc -O2</code>, C++ with <code>c++ -O2</code>; sources in <code>bench/</code>`],
    ['Commit', markup`<code>${facts.commit}</code>`],
  ];
  return markup`<p>${METHOD}</p>
    <dl>
      ${list.map(
        ([term, text]) =>
          markup`<dt>${term}</dt>
            <dd>${text}</dd> `,
      )}
    </dl>`;
}

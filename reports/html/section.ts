/** One experiment as HTML: verdict in words, charts, summary, what failed, how it was measured. */
import type { Chart } from '../charts/chart.ts';
import { countOf } from '../charts/words.ts';
import type { Results } from '../results.ts';
import type { Html } from './escape.ts';
import { markup, jsonForScript, rawHtml } from './escape.ts';
import { publishedPoints } from './how-right.ts';
import { howMeasured } from './measured.ts';
import { summaryTable } from './summary-table.ts';
import { table } from './table.ts';

/** A chart with its pictures for pages where no script runs. */
export interface DrawnChart {
  readonly chart: Chart;
  /** Inline SVG for wide and for narrow screens, colours from the page. */
  readonly wide: string;
  readonly narrow: string;
}

/** Heading of the level that the page needs: a section is h2 in an index and the page itself (h1) on its own. */
type Level = 2 | 3 | 4;

/**
 * Everything below the experiment's own heading. `idPrefix` keeps ids apart where several experiments share a page. `right` says how right
 * the costs are, or where that is said.
 */
export function experimentBody(
  results: Results,
  charts: readonly DrawnChart[],
  level: Level,
  idPrefix: string,
  right: Html,
): Html {
  const { manifest } = results;
  const below = (level + 1) as 3 | 4;
  const summary = summaryTable(results.summary);
  return markup` <p class="question">${manifest.question}</p>
    ${statusNotice(results)}
    <div class="verdict">${heading(level, 'Verdict')}${verdictList(manifest)}</div>
    ${charts.length === 0 ? markup`<p>There are too few points for a chart; the table has every number.</p>` : charts.map((drawn) => figure(drawn, level === 2 ? 2 : below, idPrefix))}
    ${summary === undefined ? markup`` : markup`${heading(level, 'Summary')}${table(summary)}`}
    ${failedTrials(results, level)} ${heading(level, 'How right is it?')} ${right} ${publishedPoints(manifest.references)}
    ${heading(level, 'How this was measured')} ${howMeasured(results)}`;
}

/** The first `count` findings of the manifest, or why there is none. */
export function verdictList({ findings, trials }: Results['manifest'], count = findings.length): Html {
  if (findings.length === 0 && trials.ok === 0) return markup`<p>No verdict: too few trials finished.</p>`;
  if (findings.length === 0) return markup`<p>This sweep has no finding of its own: see the charts and the table.</p>`;
  return markup`<ul>
    ${findings.slice(0, count).map((finding) => markup`<li>${finding.text}</li> `)}
  </ul>`;
}

function heading(level: number, text: string): Html {
  return markup`${rawHtml(`<h${level}>`)}${text}${rawHtml(`</h${level}>`)} `;
}

function statusNotice({ manifest }: Results): Html {
  const interrupted =
    manifest.status === 'interrupted'
      ? markup`<div class="notice bad">
          <p>
            The sweep was interrupted: ${manifest.trials.ok} of ${countOf(manifest.trials.total, 'trial')} finished.
            What follows is about those.
          </p>
        </div>`
      : markup``;
  const warnings =
    manifest.warnings.length === 0
      ? markup``
      : markup`<div class="notice">
          <p>${countOf(manifest.warnings.length, 'warning')}:</p>
          <ul>
            ${manifest.warnings.map((text) => markup`<li>${text}</li>`)}
          </ul>
        </div>`;
  return markup`${interrupted}${warnings}`;
}

/** A chart with its words, its picture and its numbers, under a heading of that level. */
export function figure({ chart, wide, narrow }: DrawnChart, level: number, idPrefix: string): Html {
  const id = `${idPrefix}${chart.id}`;
  return markup`<figure id="${id}">
    ${rawHtml(`<h${level}>`)}${chart.title}<span class="badge">${chart.kind}</span>${rawHtml(`</h${level}>`)}
    <p class="finding">${chart.finding}</p>
    <div class="chart" data-chart="${id}" role="img" aria-label="${`${chart.title}. ${chart.finding}`}">
      <div class="wide">${rawHtml(wide)}</div>
      <div class="narrow">${rawHtml(narrow)}</div>
      <div class="view"></div>
    </div>
    <figcaption class="reading">${chart.reading}</figcaption>
    <details>
      <summary>The numbers of this chart</summary>
      ${table({ caption: chart.title, ...chart.table })}
    </details>
    <script type="application/json" id="spec-${id}">${jsonForScript(chart.spec)}</script>
  </figure> `;
}

function failedTrials({ manifest }: Results, level: number): Html {
  if (manifest.failures.length === 0) return markup``;
  return markup`${heading(level, 'Failed trials')}
    <p>${manifest.trials.failed} of ${countOf(manifest.trials.total, 'trial')} failed and are in no mean above.</p>
    ${table({
      caption: 'Trials that failed, and why',
      columns: ['trial', 'services', 'engine', 'replication', 'reason'],
      rows: manifest.failures.map((f) => [
        f.trial,
        f.services === undefined ? null : typeof f.services === 'boolean' ? String(f.services) : f.services,
        f.engine,
        f.replication,
        f.reason,
      ]),
    })}`;
}

/** The reports: one for each results folder with its charts as files, and one over all folders of a sweep. */
import { rmSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { chartsOf } from '../charts/all.ts';
import type { Chart } from '../charts/chart.ts';
import { DESIGN_WIDTH } from '../charts/layout.ts';
import { chartConfig, withoutVariables } from '../charts/theme.ts';
import { countOf, formatNumber } from '../charts/words.ts';
import { renderSvg } from '../render-svg.ts';
import type { Results } from '../results.ts';
import { readResults, writeFileAtomic } from '../results.ts';
import type { Html } from './escape.ts';
import { markup } from './escape.ts';
import { howRight, howRightLink } from './how-right.ts';
import { page } from './page.ts';
import type { DrawnChart } from './section.ts';
import { experimentBody, verdictList } from './section.ts';

/** What the pages need of the site build: the text of dist/reports/site/main.js. */
export interface Site {
  readonly script: string;
}

/** Widths of the static pictures, in pixels: for a column of text, and for a telephone. */
const WIDE = 725;
const NARROW = 340;

/**
 * Reads the CSV files and manifest.json of `dir` and writes charts/*.vl.json, charts/*.svg and report.html into it.
 * Charts of an earlier report are removed. Throws ResultsError when a file is missing or malformed.
 */
export async function renderExperiment(dir: string, site: Site): Promise<void> {
  const results = readResults(dir);
  const charts = chartsOf(results);
  await writeCharts(dir, charts);
  const { manifest } = results;
  const text = page({
    title: `${manifest.experiment} · chainwalk`,
    header: markup`<p class="kicker">chainwalk experiment</p>
      <h1>${manifest.experiment}</h1>`,
    body: experimentBody(results, await drawAll(charts, ''), 2, '', howRight(manifest, 3)),
    script: charts.length === 0 ? '' : site.script,
  });
  writeFileAtomic(join(dir, 'report.html'), text);
}

/** Writes `dir`/charts: of each chart its specification and its picture. Those of an earlier report are removed. */
export async function writeCharts(dir: string, charts: readonly Chart[]): Promise<void> {
  rmSync(join(dir, 'charts'), { recursive: true, force: true });
  for (const chart of charts) {
    const spec = { description: chart.finding, ...chart.spec, config: chartConfig(DESIGN_WIDTH) };
    const file = join(dir, 'charts', chart.id);
    writeFileAtomic(`${file}.vl.json`, withoutVariables(`${JSON.stringify(spec, null, 1)}\n`));
    writeFileAtomic(`${file}.svg`, await renderSvg(chart.spec, { label: `${chart.title}. ${chart.finding}` }));
  }
}

/** Writes `outDir`/report.html over the results folders `dirs`, in their order: verdicts as table of contents, then every section. */
export async function renderIndex(outDir: string, dirs: readonly string[], site: Site): Promise<void> {
  const entries: { dir: string; id: string; results: Results; charts: DrawnChart[] }[] = [];
  for (const [i, dir] of dirs.entries()) {
    const results = readResults(dir);
    const id = `experiment-${i + 1}`;
    entries.push({ dir, id, results, charts: await drawAll(chartsOf(results), `${id}-`) });
  }
  const contents = entries.map(
    ({ id, results }) =>
      markup`<li>
        <a href="#${id}">${results.manifest.experiment}</a>
        <p class="q">${results.manifest.question}</p>
        ${verdictList(results.manifest, 2)}
      </li> `,
  );
  const profiles = profilesOf(entries.map(({ results }) => results));
  const sections = entries.map(({ dir, id, results, charts }) => {
    const right = howRightLink(results.manifest, profiles.get(profileKey(results))?.id ?? '');
    return section(outDir, dir, id, results, charts, right);
  });
  const text = page({
    title: 'Results · chainwalk',
    header: markup`<p class="kicker">chainwalk</p>
      <h1>What a Kubernetes Service costs on the wire</h1>
      <p class="question">
        ${countOf(entries.length, 'experiment')},
        ${trialsText(entries.map(({ results }) => results))}.
      </p>`,
    body: markup`<nav aria-label="Experiments">
        <h2>Questions and verdicts</h2>
        <ol>
          ${contents}
        </ol>
        <p>Of all of them: <a href="#how-right">how right is it?</a></p>
      </nav>
      ${sections}
      <section class="experiment" id="how-right">
        <h2>How right is it?</h2>
        ${[...profiles.values()].map(
          ({ id, results: { manifest } }) =>
            markup`<div id="${id}">
              <h3>The profile ${manifest.profile.name}</h3>
              ${howRight(manifest, 4)}
            </div> `,
        )}
      </section>`,
    script: entries.some(({ charts }) => charts.length > 0) ? site.script : '',
  });
  writeFileAtomic(join(outDir, 'report.html'), text);
}

/** One of the experiments for each profile that they have, by what is said of it, with an id. */
function profilesOf(all: readonly Results[]): Map<string, { id: string; results: Results }> {
  const profiles = new Map<string, { id: string; results: Results }>();
  for (const results of all) {
    const key = profileKey(results);
    if (!profiles.has(key)) profiles.set(key, { id: `how-right-${profiles.size + 1}`, results });
  }
  return profiles;
}

function profileKey({ manifest }: Results): string {
  return JSON.stringify([manifest.profile, manifest.validation]);
}

/** "152 trials, 2 of them failed", or of an interrupted sweep "20 of 152 trials finished, 2 failed". */
function trialsText(all: readonly Results[]): string {
  const sum = (key: 'total' | 'ok' | 'failed'): number => all.reduce((n, { manifest }) => n + manifest.trials[key], 0);
  const [total, ok, failed] = [sum('total'), sum('ok'), sum('failed')];
  // A trial that failed was run, too: only trials that never came to an end make a sweep incomplete.
  if (ok + failed < total)
    return `${formatNumber(ok)} of ${countOf(total, 'trial')} finished${failed > 0 ? `, ${formatNumber(failed)} failed` : ''}`;
  return `${countOf(total, 'trial')}${failed > 0 ? `, ${formatNumber(failed)} of them failed` : ''}`;
}

function section(
  outDir: string,
  dir: string,
  id: string,
  results: Results,
  charts: readonly DrawnChart[],
  right: Html,
): Html {
  const link = relative(outDir, join(dir, 'report.html')).replaceAll('\\', '/') || basename(dir);
  const href = link.split('/').map(encodeURIComponent).join('/');
  return markup`<section class="experiment" id="${id}">
    <h2>${results.manifest.experiment}</h2>
    ${experimentBody(results, charts, 3, `${id}-`, right)}
    <p><a href="${href}">This experiment on a page of its own</a></p>
  </section> `;
}

/** The charts with their pictures in a page, wide and narrow. */
export async function drawAll(charts: readonly Chart[], idPrefix: string): Promise<DrawnChart[]> {
  const drawn: DrawnChart[] = [];
  for (const chart of charts) {
    const picture = (width: number): Promise<string> =>
      renderSvg(chart.spec, { width, inPage: true, idPrefix: `${idPrefix}${chart.id}-${width}-` });
    drawn.push({ chart, wide: await picture(WIDE), narrow: await picture(NARROW) });
  }
  return drawn;
}

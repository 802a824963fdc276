/** The report as a file: what it says, that names cannot become markup, and that its policy allows exactly its own script. */
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ResultsError } from '../results-error.ts';
import { escapeHtml, jsonForScript, markup, rawHtml } from './escape.ts';
import { inlineScript } from './page.ts';
import { renderExperiment, renderIndex } from './report.ts';

const FIXTURES = join(dirname(fileURLToPath(import.meta.url)), '..', 'fixtures');
const MODES = ['iptables', 'IPVS', 'nftables', 'userspace'];
const SITE = { script: "console.log('</script><!-- é')\r\n" };
let out: string;

const read = (...path: string[]): string => readFileSync(join(out, ...path), 'utf8');

beforeAll(async () => {
  out = mkdtempSync(join(tmpdir(), 'chainwalk-report-'));
  for (const name of ['service-scaling', 'rolling-update']) {
    cpSync(join(FIXTURES, name), join(out, name), { recursive: true });
    await renderExperiment(join(out, name), SITE);
  }
  await renderIndex(out, [join(out, 'service-scaling'), join(out, 'rolling-update')], SITE);
});

afterAll(() => rmSync(out, { recursive: true, force: true }));

describe('escaping', () => {
  it('turns holes into text and leaves marked HTML alone', () => {
    expect(markup`<p title="${'"\'&'}">${'<b>'}${rawHtml('<i>')}${[markup`<u>${1}</u>`]}${null}</p>`.html).toBe(
      '<p title="&quot;&#39;&amp;">&lt;b&gt;<i><u>1</u></p>',
    );
    expect(escapeHtml('<script>')).toBe('&lt;script&gt;');
  });

  it('leaves nothing in JSON that could end a script element, and the same value comes back', () => {
    const value = { name: '</script><!--<script>', line: '\u2028' };
    const { html } = jsonForScript(value);
    expect(html).not.toMatch(/[<\u2028]/);
    expect(JSON.parse(html)).toEqual(value);
  });

  it('leaves nothing in the script that could end its element', () => {
    expect(inlineScript('a</SCRIPT>b<!--c\r\n')).toBe('a<\\/SCRIPT>b<\\!--c\n');
  });
});

describe('report.html', () => {
  it('allows exactly the script that it carries', () => {
    for (const page of [read('service-scaling', 'report.html'), read('report.html')]) {
      const scripts = [...page.matchAll(/<script>([\s\S]*?)<\/script>/g)].map((match) => match[1] ?? '');
      expect(scripts).toHaveLength(1);
      const hash = createHash('sha256')
        .update(scripts[0] ?? '', 'utf8')
        .digest('base64');
      expect(page).toContain(`script-src 'sha256-${hash}';`);
      expect(page).toContain("default-src 'none';");
      expect(page).not.toMatch(/\son[a-z]+="/);
    }
  });

  it('shows four modes in one order, and says that payloads cost something in one of them', async () => {
    const dir = join(out, 'four-modes');
    cpSync(join(FIXTURES, 'four-modes'), dir, { recursive: true });
    await renderExperiment(dir, SITE);
    const page = read('four-modes', 'report.html');
    expect(page).toContain('iptables, IPVS, nftables and userspace');
    const summary = page.slice(page.indexOf('Means over replications'));
    const names = [...summary.matchAll(/<td>(iptables|IPVS|nftables|userspace)<\/td>/g)].map((match) => match[1]);
    expect(names.slice(0, 8)).toEqual([...MODES, ...MODES]);
    expect(page).toContain('In userspace mode kube-proxy copies each payload');
    expect(read('service-scaling', 'report.html')).toContain('Payload sizes are not modelled');
  });

  it('asks nothing of the network', () => {
    for (const page of [read('service-scaling', 'report.html'), read('report.html')]) {
      const links = [...page.matchAll(/(?:src|href)="([^"]*)"/g)].map((match) => match[1] ?? '');
      expect(links.filter((link) => /^(https?:)?\/\//.test(link))).toEqual([]);
    }
  });

  it('shows names with markup in them as text', () => {
    const page = read('service-scaling', 'report.html');
    expect(page).toContain(
      'A service may be named &lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt; &amp; still be text.',
    );
    expect(page).not.toContain('<script>alert');
    expect(read('rolling-update', 'report.html')).toContain('a reason with &lt;b&gt;markup&lt;/b&gt; in it');
  });

  it('says the verdict before the first chart, and how it was measured after the last', () => {
    const page = read('service-scaling', 'report.html');
    const places = ['Verdict', '<figure', 'Summary', 'How right is it?', 'How this was measured'].map((text) =>
      page.indexOf(text),
    );
    expect(places.every((place) => place > 0)).toBe(true);
    expect([...places].sort((a, b) => a - b)).toEqual(places);
    for (const fact of [
      'Seed 42',
      'Invented profile',
      'Fixture CPU',
      'chainwalk sweep fixtures',
      'Payload sizes are not modelled',
      'so for 18 of 36 trials',
    ]) {
      expect(page).toContain(fact);
    }
  });

  it('says how right it is: errors, ranges and published points, or that nothing is known', () => {
    const page = read('service-scaling', 'report.html').replace(/\s+/g, ' ');
    for (const fact of [
      'All rows: the numbers were fitted to these',
      'Held out: every fourth row',
      'FIXTURE: &lt;em&gt;TCP&lt;/em&gt;',
      'FIXTURE: invented, &lt;i&gt;too&lt;/i&gt;',
      'Published points, and what the model says of them',
      '−26.2%',
    ])
      expect(page, fact).toContain(fact);
    expect(read('rolling-update', 'report.html')).toContain('This profile is not validated');
  });

  it('says it once for each profile where experiments share a page', () => {
    const page = read('report.html').replace(/\s+/g, ' ');
    expect(page.split('<h3>The profile fixture-profile</h3>')).toHaveLength(3);
    expect(page.match(/<a href="#how-right-1">/g)).toHaveLength(1);
    expect(page.match(/<a href="#how-right-2">/g)).toHaveLength(1);
    expect(page).toContain('<div id="how-right-2"> <h3>The profile fixture-profile</h3>');
    expect(page).toContain('<a href="#how-right">how right is it?</a>');
  });

  it('has the range of each cost in the summary, and which are estimated', () => {
    const page = read('service-scaling', 'report.html').replaceAll('\u00a0', ' ');
    expect(page).toContain('<td class="number">4.4 µs (4.21 µs to 4.58 µs) [4.04 µs to 4.75 µs]</td>');
    expect(page).toMatch(/<td class="number">6.15 µs \([^)]*\) \[4.79 µs to 7.5 µs e\]<\/td>/);
  });

  it('lists failed trials with their reasons', () => {
    expect(read('rolling-update', 'report.html')).toContain('1 of 2 trials failed');
    expect(read('service-scaling', 'report.html')).not.toContain('Failed trials');
  });

  it('has no id twice, and a heading for every section', () => {
    for (const page of [read('service-scaling', 'report.html'), read('report.html')]) {
      const ids = [...page.matchAll(/ id="([^"]*)"/g)].map((match) => match[1] ?? '');
      expect(new Set(ids).size).toBe(ids.length);
      const levels = [...page.matchAll(/<h([1-6])>/g)].map((match) => Number(match[1]));
      expect(levels.filter((level) => level === 1)).toHaveLength(1);
      levels.forEach((level, i) => expect(level - (levels[i - 1] ?? 1)).toBeLessThanOrEqual(1));
    }
  });

  it('opens over all experiments with their questions and verdicts, each with a link', () => {
    const page = read('report.html').replace(/\s+/g, ' ');
    expect(page).toContain('2 experiments, 38 trials, 1 of them failed. </p>');
    expect(page).toContain('<a href="#experiment-1">service-scaling</a>');
    expect(page).toContain('id="experiment-2"');
    expect(page).toContain('href="rolling-update/report.html"');
  });
});

describe('files', () => {
  it('writes a spec and a picture for each chart and leaves no temporary file', () => {
    expect(readdirSync(join(out, 'service-scaling', 'charts')).sort((a, b) => (a < b ? -1 : 1))).toEqual(
      [
        'cost-vs-rules',
        'first-packet-vs-services',
        'per-packet-vs-services',
        'sync-vs-services',
        'work-vs-services',
      ].flatMap((id) => [`${id}.svg`, `${id}.vl.json`]),
    );
    const spec = JSON.parse(read('service-scaling', 'charts', 'cost-vs-rules.vl.json')) as Record<string, unknown>;
    expect(spec['$schema']).toBe('https://vega.github.io/schema/vega-lite/v6.json');
    expect(JSON.stringify(spec)).not.toContain('var(--');
    expect(readdirSync(out).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('gives the same bytes for the same results', async () => {
    const before = read('service-scaling', 'report.html');
    await renderExperiment(join(out, 'service-scaling'), SITE);
    expect(read('service-scaling', 'report.html')).toBe(before);
  });

  it('tells of an interrupted sweep, and does without charts', async () => {
    const dir = join(out, 'interrupted');
    cpSync(join(FIXTURES, 'service-scaling'), dir, { recursive: true });
    const edit = (file: string, change: (text: string) => string): void =>
      writeFileSync(join(dir, file), change(readFileSync(join(dir, file), 'utf8')));
    edit('manifest.json', (text) => text.replace('"complete"', '"interrupted"').replace('"ok": 36', '"ok": 20'));
    edit('summary.csv', (text) => text.slice(0, text.indexOf('\n') + 1));
    await renderExperiment(dir, SITE);
    const page = read('interrupted', 'report.html');
    expect(page).toContain('The sweep was interrupted');
    expect(page).toContain('too few points for a chart');
    expect(page).toContain("script-src 'none'");
    await renderIndex(dir, [dir, join(out, 'rolling-update')], SITE);
    expect(read('interrupted', 'report.html').replace(/\s+/g, ' ')).toContain(
      '2 experiments, 21 of 38 trials finished, 1 failed. </p>',
    );
    await renderIndex(dir, [dir], SITE);
    expect(read('interrupted', 'report.html').replace(/\s+/g, ' ')).toContain(
      '1 experiment, 20 of 36 trials finished. </p>',
    );
  });

  it('without a finding tells a sweep that finished from one of which nothing did', async () => {
    const dir = join(out, 'no-finding');
    cpSync(join(FIXTURES, 'service-scaling'), dir, { recursive: true });
    const file = join(dir, 'manifest.json');
    const manifest = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
    const none = 'This sweep has no finding of its own: see the charts and the table.';
    const early = 'No verdict: too few trials finished.';
    writeFileSync(file, JSON.stringify({ ...manifest, findings: [] }));
    await renderExperiment(dir, SITE);
    expect(read('no-finding', 'report.html')).toContain(none);
    expect(read('no-finding', 'report.html')).not.toContain(early);
    const trials = { total: 36, ok: 0, failed: 36 };
    writeFileSync(file, JSON.stringify({ ...manifest, findings: [], trials }));
    await renderExperiment(dir, SITE);
    expect(read('no-finding', 'report.html')).toContain(early);
    expect(read('no-finding', 'report.html')).not.toContain(none);
  });

  it('names the file and the place of what is wrong', async () => {
    const dir = join(out, 'broken');
    cpSync(join(FIXTURES, 'rolling-update'), dir, { recursive: true });
    const manifest = join(dir, 'manifest.json');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(/"seed": 42/, '"seed": "42"'));
    await expect(renderExperiment(dir, SITE)).rejects.toThrow(ResultsError);
    await expect(renderExperiment(dir, SITE)).rejects.toThrow('manifest.json (seed):');
    rmSync(manifest);
    await expect(renderExperiment(dir, SITE)).rejects.toThrow('manifest.json: cannot be read');
  });
});

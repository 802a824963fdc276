import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GROWTH_ROWS, HOST_ROWS } from '../fixtures/host-time.ts';
import type { BenchFacts } from '../host-time.ts';
import { formatGrowthRows, formatHostRows, parseGrowthRows, parseHostRows } from '../host-time.ts';
import { ResultsError } from '../results-error.ts';
import { renderBench } from './bench.ts';

const FACTS: BenchFacts = {
  command: 'chainwalk bench',
  size: 'full',
  commit: 'abc1234',
  versions: { chainwalk: '0.1.0', node: 'v20.20.2' },
  machine: { cpu: 'a processor', cores: 2, memory_gb: 8, platform: 'linux x64' },
  suites: [{ name: 'queue', question: 'What does an event cost?', seconds: 61.5 }],
  missing: ['ns-3 (ns-3 is not installed: apt-get install -y libns3-dev)'],
  failures: [],
};
let out: string;

function write(facts: BenchFacts): void {
  writeFileSync(join(out, 'bench.json'), JSON.stringify(facts));
  writeFileSync(join(out, 'host.csv'), formatHostRows(HOST_ROWS));
  writeFileSync(join(out, 'growth.csv'), formatGrowthRows(GROWTH_ROWS));
}

async function report(facts: BenchFacts): Promise<string> {
  write(facts);
  await renderBench(out, { script: '' });
  return readFileSync(join(out, 'report.html'), 'utf8').replaceAll(/\s+/g, ' ');
}

beforeAll(() => {
  out = mkdtempSync(join(tmpdir(), 'chainwalk-bench-report-'));
});
afterAll(() => rmSync(out, { recursive: true, force: true }));

describe('the files of a benchmark', () => {
  it('come back as they were written', () => {
    expect(parseHostRows(formatHostRows(HOST_ROWS), 'host.csv')).toEqual(HOST_ROWS);
    expect(parseGrowthRows(formatGrowthRows(GROWTH_ROWS), 'growth.csv')).toEqual(GROWTH_ROWS);
  });

  it('are refused with their place where they are not ours', async () => {
    const wrong = formatHostRows(HOST_ROWS).replace('missed', 'perhaps');
    expect(() => parseHostRows(wrong, 'host.csv')).toThrow('host.csv:9 (verdict): "perhaps" is none of');
    write(FACTS);
    writeFileSync(join(out, 'bench.json'), '{"command": "x"}');
    await expect(renderBench(out, { script: '' })).rejects.toThrow(ResultsError);
  });
});

describe('renderBench', () => {
  it('says what was met, missed and left out, and has every number', async () => {
    const text = await report(FACTS);
    expect(text).toContain('3 of 5 bars are met with the whole interval.');
    expect(text).toContain('Missed: queue, exponential, 100,000 pending events against std::priority_queue.');
    expect(text).toContain('The interval holds the bar: queue, exponential, 10,000 pending events');
    expect(text).toContain('ns-3 is not installed: apt-get install -y libns3-dev');
    expect(text).not.toContain('class="notice bad"');
    expect(text.match(/<td>c0ffee00<\/td>/g)).toHaveLength(HOST_ROWS.length);
    expect(readdirSync(join(out, 'charts')).sort((a, b) => (a < b ? -1 : 1))).toEqual([
      'queue-growth.svg',
      'queue-growth.vl.json',
      'queue-ratios.svg',
      'queue-ratios.vl.json',
    ]);
  });

  it('shows failures, and names cannot become markup', async () => {
    const text = await report({ ...FACTS, failures: ['queue: <b>"wrong"</b>'] });
    expect(text).toContain('class="notice bad"');
    expect(text).toContain('queue: &lt;b&gt;&quot;wrong&quot;&lt;/b&gt;');
  });

  it('judges nothing in the smoke size', async () => {
    expect(await report({ ...FACTS, size: 'smoke' })).toContain('it judges no bar');
  });
});

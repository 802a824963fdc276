/** The report in a real browser, from a file and without a network: charts come alive, nothing overflows, nothing breaks the policy. */
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Browser, Page } from 'playwright-core';
import { chromium } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { buildSite } from '../site/build.ts';
import { renderExperiment, renderIndex } from './report.ts';

const FIXTURES = join(dirname(fileURLToPath(import.meta.url)), '..', 'fixtures');
const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';
const PRESENT = existsSync(CHROMIUM);
const AXE = createRequire(import.meta.url).resolve('axe-core/axe.min.js');

/** The parts of axe-core's answer that are looked at. */
interface AxeResults {
  readonly violations: readonly {
    readonly id: string;
    readonly impact: string;
    readonly nodes: readonly { readonly html: string }[];
  }[];
}

let out: string;
let browser: Browser;

if (!PRESENT && process.env['CHAINWALK_REQUIRE'] === 'all') {
  it('needs Chromium', () =>
    expect.fail(`no Chromium at ${CHROMIUM} (apt-get install chromium), and CHAINWALK_REQUIRE=all`));
}
const WHY = PRESENT ? '' : ' (skipped: Chromium is not present, apt-get install chromium)';

describe.skipIf(!PRESENT)(`report.html in Chromium${WHY}`, () => {
  beforeAll(async () => {
    out = mkdtempSync(join(tmpdir(), 'chainwalk-browser-'));
    const site = { script: readFileSync(await buildSite(join(out, 'site')), 'utf8') };
    const names = ['service-scaling', 'rolling-update', 'pre-stop-curve', 'schedulers'];
    const dirs = names.map((name) => join(out, name));
    for (const [i, name] of names.entries()) {
      cpSync(join(FIXTURES, name), dirs[i] ?? '', { recursive: true });
      await renderExperiment(dirs[i] ?? '', site);
    }
    await renderIndex(out, dirs, site);
    browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: [
        '--no-sandbox',
        '--disable-gpu',
        '--disable-quic',
        '--no-first-run',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
      ],
    });
  });

  afterAll(async () => {
    await browser.close();
    rmSync(out, { recursive: true, force: true });
  });

  const looks = [
    { width: 360, colorScheme: 'dark' },
    { width: 1600, colorScheme: 'light' },
  ] as const;
  for (const { width, colorScheme } of looks) {
    const pages = ['', 'service-scaling/', 'rolling-update/', 'pre-stop-curve/', 'schedulers/'];
    for (const file of pages.map((folder) => `${folder}report.html`)) {
      it(`${file}, ${width} px, ${colorScheme}`, async () => {
        const { page, problems, requests } = await open(file, { width, colorScheme });
        await live(page);
        expect(problems).toEqual([]);
        expect(requests.filter((url) => !url.startsWith('file:') && !url.startsWith('data:'))).toEqual([]);
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(width);
        expect(await chartsOutside(page, width)).toEqual([]);
        // The page's policy would refuse a script element: axe is run by the debugger instead.
        await page.evaluate(readFileSync(AXE, 'utf8'));
        const axe = await page.evaluate<AxeResults>('axe.run(document, { resultTypes: ["violations"] })');
        const serious = axe.violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
        expect(serious.map(({ id, nodes }) => `${id}: ${nodes[0]?.html ?? ''}`)).toEqual([]);
        await page.context().close();
      });
    }
  }

  it('shows a tooltip in words, and text in it stays text', async () => {
    const { page, problems } = await open('service-scaling/report.html', { width: 1000, colorScheme: 'light' });
    await live(page);
    // The uppermost layer holds the wide, invisible targets of the means.
    await page.locator('#first-packet-vs-services .view svg .layer_10_marks path').last().hover({ force: true });
    await page.locator('#vg-tooltip-element.visible').waitFor();
    const text = await page.locator('#vg-tooltip-element').innerText();
    expect(text).toMatch(/cost/);
    expect(text).toMatch(/statistic\s+mean/);
    expect(text).toMatch(/95% interval of the sampling\s+6\.\d+.µs to 6\.\d+.µs/);
    expect(text).toMatch(/profile's range\s+5\.\d+.µs to 7\.\d+.µs, estimated/);
    // A published point has a tooltip of its own.
    await page.locator('#first-packet-vs-services .view svg .layer_12_marks path').first().hover({ force: true });
    await page.locator('#vg-tooltip-element.visible', { hasText: 'FIXTURE: a talk' }).waitFor();
    expect(await page.locator('#vg-tooltip-element').innerText()).toMatch(/published\s+21.µs[^]*−26\.2%/);
    expect(problems).toEqual([]);
    await page.context().close();
  });

  it('draws again at a new width', async () => {
    const { page } = await open('service-scaling/report.html', { width: 1200, colorScheme: 'light' });
    await live(page);
    await page.setViewportSize({ width: 480, height: 900 });
    await until(
      page,
      "[...document.querySelectorAll('.view svg')].every((svg) => svg.getBoundingClientRect().width < 460 && Number(svg.getAttribute('width')) < 460)",
    );
    expect(await page.evaluate('document.documentElement.scrollWidth')).toBe(480);
    await page.context().close();
  });

  it('shows static pictures where no script runs', async () => {
    for (const width of [360, 1200]) {
      const { page } = await open('service-scaling/report.html', {
        width,
        colorScheme: 'dark',
        javaScriptEnabled: false,
      });
      const visible = page.locator(width === 360 ? '.chart .narrow svg' : '.chart .wide svg');
      expect(await visible.count()).toBe(5);
      for (const svg of await visible.all()) expect((await svg.boundingBox())?.width ?? 0).toBeGreaterThan(300);
      const heldOut = page.getByRole('table', { name: 'Held out: every fourth row' });
      expect(await heldOut.isVisible()).toBe(true);
      expect(await heldOut.locator('tbody tr').count()).toBe(2);
      await page.context().close();
    }
  });

  it('prints on paper in light colours, also from a dark screen', async () => {
    const { page } = await open('service-scaling/report.html', { width: 1000, colorScheme: 'dark' });
    await live(page);
    const colour = 'getComputedStyle(document.body).backgroundColor';
    expect(await page.evaluate(colour)).toBe('rgb(20, 23, 28)');
    await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
    expect(await page.evaluate(colour)).toBe('rgb(255, 255, 255)');
    await page.context().close();
  });

  it('leads by keyboard through the page: skip link first, then links, tables and details', async () => {
    const { page } = await open('report.html', { width: 1000, colorScheme: 'light' });
    const focused = 'document.activeElement.className || document.activeElement.tagName';
    await page.keyboard.press('Tab');
    expect(await page.evaluate(focused)).toBe('skip');
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.getAttribute("href")')).toBe('#experiment-1');
    await page.context().close();
  });
});

interface Opened {
  readonly page: Page;
  /** Console errors and warnings, page errors and breaches of the policy. */
  readonly problems: string[];
  readonly requests: string[];
}

async function open(
  file: string,
  options: { width: number; colorScheme: 'light' | 'dark'; javaScriptEnabled?: boolean },
): Promise<Opened> {
  const { width, colorScheme, javaScriptEnabled = true } = options;
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme, javaScriptEnabled });
  const page = await context.newPage();
  const problems: string[] = [];
  const requests: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(error.message));
  page.on('request', (request) => requests.push(request.url()));
  await page.goto(pathToFileURL(join(out, file)).href);
  return { page, problems, requests };
}

/** Waits until every chart has been drawn by the script. */
async function live(page: Page): Promise<void> {
  await until(
    page,
    "document.querySelectorAll('.chart').length > 0 && document.querySelectorAll('.chart:not(.live)').length === 0",
  );
}

/** Charts that stick out of the page, by id. */
async function chartsOutside(page: Page, width: number): Promise<unknown> {
  return page.evaluate(
    `[...document.querySelectorAll('.chart .view svg')].filter((svg) => {
      const box = svg.getBoundingClientRect();
      return box.width < 200 || box.left < 0 || box.right > ${width};
    }).map((svg) => svg.closest('figure').id)`,
  );
}

/** Polls from outside: Playwright's own waiting makes code from text in the page, which the policy forbids. */
async function until(page: Page, condition: string): Promise<void> {
  await expect.poll(() => page.evaluate<boolean>(condition), { timeout: 20_000, interval: 50 }).toBe(true);
}

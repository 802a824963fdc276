/** A chart's specification to an SVG string, in Node without a canvas: equal specs give equal bytes. */
import * as vega from 'vega';
import { compile } from 'vega-lite';
import type { TopLevelSpec } from 'vega-lite';
import type { JsonObject } from './charts/chart.ts';
import { AXIS_ROOM, DESIGN_WIDTH, withWidth } from './charts/layout.ts';
import { chartConfig, withoutVariables } from './charts/theme.ts';

export interface SvgOptions {
  /** Width of the picture, in pixels, axis included; each panel gets what is left. */
  readonly width?: number;
  /** true: colours follow the page through CSS variables. false: fixed colours on white, for a file that stands alone. */
  readonly inPage?: boolean;
  /** Put before every id in the picture, so that several pictures may share a page. */
  readonly idPrefix?: string;
  /** Text alternative of a picture that stands alone; in a page the element around it has one. */
  readonly label?: string;
}

/**
 * Mean width of a character in ems, for text of which only the length is known: a wide sans-serif face has about this.
 * Vega's own estimate without a canvas is 0.8, which leaves a third of a narrow picture empty.
 */
const CHARACTER_EMS = 0.58;

interface TextMetrics {
  width(item: { readonly fontSize?: number }, text: string | number | null | undefined): number;
}

/** Pictures as Vega drew them, by their spec: the pages of the experiments and the page over all have the same ones. */
const drawn = new Map<string, string>();

/** Throws when Vega-Lite or Vega warns: a warning means that the picture is not the one that the spec describes. */
export async function renderSvg(spec: JsonObject, options: SvgOptions = {}): Promise<string> {
  const { width = DESIGN_WIDTH + AXIS_ROOM } = options;
  const sized = withWidth(spec, width - AXIS_ROOM);
  const key = `${width} ${JSON.stringify(sized)}`;
  const known = drawn.get(key);
  const svg = known ?? (await draw(sized, width));
  drawn.set(key, svg);
  return tidy(svg, options);
}

async function draw(sized: JsonObject, width: number): Promise<string> {
  const warnings: string[] = [];
  const logger = collectingLogger(warnings);
  const compiled = compile(sized as unknown as TopLevelSpec, { config: chartConfig(width - AXIS_ROOM), logger });
  // Also where a canvas package happens to be installed: the picture must not depend on it. Vega lets its user replace this function.
  (vega as unknown as { readonly textMetrics: TextMetrics }).textMetrics.width = (item, text) =>
    Math.floor(CHARACTER_EMS * String(text ?? '').length * (item.fontSize ?? 11));
  vega.resetSVGDefIds();
  const view = new vega.View(vega.parse(compiled.spec), { renderer: 'none', logger });
  let svg: string;
  try {
    svg = await view.toSVG();
  } finally {
    view.finalize();
  }
  if (warnings.length > 0) throw new Error(`the chart was drawn with warnings: ${warnings.join('; ')}`);
  return svg;
}

function tidy(svg: string, { inPage = false, idPrefix = '', label }: SvgOptions): string {
  const text = svg
    .replace(ROUNDED_ATTRIBUTES, (_, name: string, value: string) => ` ${name}="${roundNumbers(value)}"`)
    // The picture as a whole has one text alternative; roles inside it would only be read one by one.
    .replace(/ (role="graphics-[a-z]+"|aria-roledescription="[^"]*"|aria-hidden="true")/g, '')
    .replace(/ id="([^"]+)"/g, ` id="${idPrefix}$1"`)
    .replace(/url\(#/g, `url(#${idPrefix}`);
  if (inPage) return text.replace(/^<svg([^>]*?) width="[^"]*" height="[^"]*"/, '<svg$1');
  const named =
    label === undefined ? text : text.replace(/^<svg/, `<svg role="img" aria-label="${escapeAttribute(label)}"`);
  const ground = '<rect width="100%" height="100%" fill="#ffffff"/>';
  return `${withoutVariables(named).replace(/^(<svg[^>]*>)/, `$1${ground}`)}\n`;
}

const ROUNDED_ATTRIBUTES = / (d|transform|x|y|x1|x2|y1|y2|cx|cy|r|width|height|viewBox|stroke-dashoffset)="([^"]*)"/g;

function escapeAttribute(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

/** Two decimals are a hundredth of a pixel: more would only show the last bit of a machine's arithmetic. */
function roundNumbers(value: string): string {
  return value.replace(/-?\d+\.\d+(e-?\d+)?/g, (number) => {
    const rounded = Number(number)
      .toFixed(2)
      .replace(/\.?0+$/, '');
    return rounded === '-0' ? '0' : rounded;
  });
}

function collectingLogger(warnings: string[]): vega.LoggerInterface {
  const logger: vega.LoggerInterface = {
    level: (level?: number) => (level === undefined ? 1 : logger),
    error: (...words: readonly unknown[]) => (warnings.push(words.map(String).join(' ')), logger),
    warn: (...words: readonly unknown[]) => (warnings.push(words.map(String).join(' ')), logger),
    info: () => logger,
    debug: () => logger,
  };
  return logger;
}

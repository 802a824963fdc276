/** A chart's specification to an SVG string, in Node without a canvas: equal specs give equal bytes. */
import * as vega from 'vega';
import { compile } from 'vega-lite';
import type { TopLevelSpec } from 'vega-lite';
import type { JsonObject } from './charts/chart.ts';
import { AXIS_ROOM, DESIGN_WIDTH, withWidth } from './charts/layout.ts';
import { CHART_CONFIG, withoutVariables } from './charts/theme.ts';

export interface SvgOptions {
  /** Width of the picture, in pixels, axis included; each panel gets what is left. */
  readonly width?: number;
  /** true: colours follow the page through CSS variables. false: fixed colours on white, for a file that stands alone. */
  readonly inPage?: boolean;
  /** Put before every id in the picture, so that several pictures may share a page. */
  readonly idPrefix?: string;
}

/** Throws when Vega-Lite or Vega warns: a warning means that the picture is not the one that the spec describes. */
export async function renderSvg(spec: JsonObject, options: SvgOptions = {}): Promise<string> {
  const { width = DESIGN_WIDTH + AXIS_ROOM, inPage = false, idPrefix = '' } = options;
  const warnings: string[] = [];
  const logger = collectingLogger(warnings);
  const sized = withWidth(spec, width - AXIS_ROOM);
  const compiled = compile(sized as unknown as TopLevelSpec, { config: CHART_CONFIG, logger });
  vega.resetSVGDefIds();
  const view = new vega.View(vega.parse(compiled.spec), { renderer: 'none', logger });
  let svg: string;
  try {
    svg = await view.toSVG();
  } finally {
    view.finalize();
  }
  if (warnings.length > 0) throw new Error(`the chart was drawn with warnings: ${warnings.join('; ')}`);
  return tidy(svg, inPage, idPrefix);
}

function tidy(svg: string, inPage: boolean, idPrefix: string): string {
  let text = svg
    .replace(
      / (d|transform|x|y|x1|x2|y1|y2|cx|cy|r|width|height|viewBox|stroke-dashoffset)="([^"]*)"/g,
      (_, name: string, value: string) => ` ${name}="${roundNumbers(value)}"`,
    )
    .replace(
      / (id|clip-path|href|xlink:href)="(url\()?(#?)([^")]+)(\)?)"/g,
      (all, name: string, url: string | undefined, hash: string, id: string, close: string) =>
        name === 'id' || hash === '#' ? ` ${name}="${url ?? ''}${hash}${idPrefix}${id}${close}"` : (all as string),
    );
  if (inPage) return text.replace(/^<svg([^>]*?) width="[^"]*" height="[^"]*"/, '<svg$1');
  text = withoutVariables(text).replace(/(<svg[^>]*>)/, '$1<rect width="100%" height="100%" fill="#ffffff"/>');
  return `${text}\n`;
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
    level: ((level?: number) => (level === undefined ? 1 : logger)) as vega.LoggerInterface['level'],
    error: (...words: readonly unknown[]) => (warnings.push(words.map(String).join(' ')), logger),
    warn: (...words: readonly unknown[]) => (warnings.push(words.map(String).join(' ')), logger),
    info: () => logger,
    debug: () => logger,
  };
  return logger;
}

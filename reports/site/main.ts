/** Runs in the report: draws each chart again with Vega, with tooltips and at the width of its column; until then the static picture stands. */
import embed, { type Result } from 'vega-embed';
import type { JsonObject } from '../charts/chart.ts';
import { AXIS_ROOM, withWidth } from '../charts/layout.ts';
import { chartConfig } from '../charts/theme.ts';

/** Below this the axis would leave no plot. */
const PLOT_WIDTH_MIN = 160;

async function draw(box: HTMLElement, spec: JsonObject, width: number): Promise<Result | undefined> {
  const view = box.querySelector<HTMLElement>('.view');
  if (view === null) return undefined;
  const plotWidth = Math.max(PLOT_WIDTH_MIN, Math.floor(width) - AXIS_ROOM);
  const sized = withWidth(spec, plotWidth);
  const result = await embed(view, sized, {
    renderer: 'svg',
    actions: false,
    // The page's policy forbids making code from text: Vega interprets its expressions instead.
    ast: true,
    defaultStyle: false,
    config: chartConfig(plotWidth) as NonNullable<Parameters<typeof embed>[2]>['config'] & object,
    tooltip: { disableDefaultStyle: true },
  });
  // The box has one text alternative; Vega's roles for a thousand marks would only be read one by one.
  view.querySelector('svg')?.setAttribute('aria-hidden', 'true');
  return result;
}

function enliven(box: HTMLElement): void {
  const source = document.getElementById(`spec-${box.dataset['chart'] ?? ''}`);
  if (source === null) return;
  const spec = JSON.parse(source.textContent) as JsonObject;
  let current: Result | undefined;
  let drawnWidth = 0;
  let busy = false;
  const redraw = async (): Promise<void> => {
    const width = box.clientWidth;
    if (busy || width === 0 || Math.abs(width - drawnWidth) < 4) return;
    busy = true;
    try {
      const next = await draw(box, spec, width);
      current?.finalize();
      current = next;
      drawnWidth = width;
      box.classList.add('live');
    } catch (error) {
      // The static picture is as good, but a reader of the console should know.
      box.classList.remove('live');
      console.error(error);
    } finally {
      busy = false;
    }
    if (Math.abs(box.clientWidth - drawnWidth) >= 4 && box.classList.contains('live')) await redraw();
  };
  new ResizeObserver(() => void redraw()).observe(box);
}

for (const box of document.querySelectorAll<HTMLElement>('.chart[data-chart]')) enliven(box);

/** Text into HTML and JSON into a script element, so that no name in a scenario can become markup. */

/** A piece of HTML that is safe as it stands: made by `markup` or `rawHtml`, never by joining strings. */
export interface Html {
  readonly html: string;
}

/** Marks text that this project itself produced (an SVG, a style sheet) as HTML. */
export function rawHtml(text: string): Html {
  return { html: text };
}

type Hole = string | number | null | undefined | Html | readonly Html[];

/** Template tag: every hole is escaped unless it is Html already. Empty for null and undefined. */
export function markup(parts: TemplateStringsArray, ...holes: readonly Hole[]): Html {
  let text = parts[0] ?? '';
  holes.forEach((hole, i) => {
    text += fill(hole) + (parts[i + 1] ?? '');
  });
  return { html: text };
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

/** JSON for the inside of `<script type="application/json">`: no `<` is left, so neither `</script` nor `<!--` can end it. */
export function jsonForScript(value: unknown): Html {
  return rawHtml(
    JSON.stringify(value).replaceAll('<', '\\u003c').replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029'),
  );
}

function fill(hole: Hole): string {
  if (hole === null || hole === undefined) return '';
  if (typeof hole === 'string') return escapeHtml(hole);
  if (typeof hole === 'number') return String(hole);
  if ('html' in hole) return hole.html;
  return hole.map((item) => item.html).join('');
}

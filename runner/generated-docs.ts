/** Blocks of docs that a test computes: it compares them with the file, or writes them where UPDATE_GOLDEN=1. For tests. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { projectRoot } from './host.ts';

/** What stands between `<!-- name: ... -->` and `<!-- /name -->`, after it has been replaced by `text` where goldens are updated. */
export function docsBlock(file: string, name: string, text: string): string {
  const path = join(projectRoot(), 'docs', file);
  const whole = readFileSync(path, 'utf8');
  const opening = new RegExp(`<!-- ${name}: [^>]* -->\n`).exec(whole);
  const closing = whole.indexOf(`<!-- /${name} -->`);
  if (opening === null || closing < 0) throw new Error(`docs/${file} has no block "${name}"`);
  const from = opening.index + opening[0].length;
  if (process.env['UPDATE_GOLDEN'] === '1') {
    writeFileSync(path, whole.slice(0, from) + text + whole.slice(closing));
    return text;
  }
  return whole.slice(from, closing);
}

/** A Markdown table as prettier leaves it. */
export function markdownTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, i) => Math.max(3, title.length, ...rows.map((row) => row[i].length)));
  const line = (row: readonly string[]): string => `| ${row.map((cell, i) => cell.padEnd(widths[i])).join(' | ')} |`;
  return `\n${[line(header), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n')}\n\n`;
}

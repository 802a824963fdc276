/** Tables: in a box of their own that scrolls sideways, reachable by keyboard. */
import type { Html } from './escape.ts';
import { markup } from './escape.ts';

export interface TableData {
  readonly caption: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | number | null)[])[];
}

export function table({ caption, columns, rows }: TableData): Html {
  const numeric = columns.map((_, i) => rows.every((row) => isNumeric(row[i] ?? null)));
  const cellClass = (cell: string | number | null, column: number): Html => {
    if (numeric[column] === true) return NUMBER;
    return typeof cell === 'string' && cell.length > LONG ? WRAP : NOTHING;
  };
  return markup`<div class="table-box" role="region" aria-label="${caption}" tabindex="0">
    <table>
      <caption>
        ${caption}
      </caption>
      <thead>
        <tr>
          ${columns.map((column, i) => markup`<th scope="col" ${numeric[i] === true ? NUMBER : NOTHING}>${column}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) =>
            markup`<tr>
              ${columns.map((_, i) => markup`<td${cellClass(row[i] ?? null, i)}>${cellText(row[i] ?? null)}</td>`)}
            </tr> `,
        )}
      </tbody>
    </table>
  </div> `;
}

/** Text of more characters than this has lines of its own. */
const LONG = 60;
const WRAP = markup` class="wrap"`;
const NUMBER = markup` class="number"`;
const NOTHING = markup``;

/** Right-aligned when every cell is a number or starts like one (`5.2 µs`, `1 to 2`, `+12%`), or is empty. */
function isNumeric(cell: string | number | null): boolean {
  return cell === null || typeof cell === 'number' || /^[-–−+≤]?\d/.test(cell) || cell === '';
}

function cellText(cell: string | number | null): string {
  if (cell === null) return '–';
  return typeof cell === 'number' ? groupDigits(cell) : cell;
}

/** 12345 -> 12,345; decimals stay. */
function groupDigits(value: number): string {
  const [whole = '', decimals] = String(value).split('.');
  if (whole.includes('e')) return String(value);
  const grouped = whole.replace(/\B(?=(\d{3})+(?!\d))/g, ',');
  return decimals === undefined ? grouped : `${grouped}.${decimals}`;
}

/** Tables for the terminal. */

const NUMBER = /^[+-]?[\d.,]+(e[+-]?\d+)?( %)?$/;

/** Lines of equal columns, each ended by a line break: text to the left, columns of numbers to the right. */
export function alignedTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [header, ...rows];
  const columns = header.map((_, column) => ({
    width: Math.max(...lines.map((line) => line[column].length)),
    isNumber: rows.length > 0 && rows.every((row) => NUMBER.test(row[column]) || row[column] === '-'),
  }));
  return lines
    .map((line) => {
      const cells = line.map((cell, i) =>
        columns[i].isNumber ? cell.padStart(columns[i].width) : cell.padEnd(columns[i].width),
      );
      return `${cells.join('  ').trimEnd()}\n`;
    })
    .join('');
}

/** Compares what `ipset restore` takes with what `ipset save` prints, under a fixed list of spellings. */

export const SET_NORMALISATIONS: readonly string[] = [
  'sets are compared by name and entries as a set, whatever the order in which they are listed',
  "bucketsize and initval, which newer kernels print, are the kernel's own and left out",
  'hashsize is where the table starts: the kernel doubles it as it fills',
];

/** Every difference as a line; `-` is what was wanted, `+` what the kernel has. */
export function setDifferences(wanted: string, found: string): string[] {
  const [a, b] = [linesOf(wanted), linesOf(found)];
  return [...missing(a, b).map((line) => `- ${line}`), ...missing(b, a).map((line) => `+ ${line}`)];
}

function missing(lines: ReadonlyMap<string, number>, others: ReadonlyMap<string, number>): string[] {
  return [...lines].filter(([line, count]) => others.get(line) !== count).map(([line]) => line);
}

/** How often each line is there. */
function linesOf(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const raw of text.split('\n').filter((line) => line !== '')) {
    if (!/^(create|add) /.test(raw)) throw new Error(`No line of ipset save: ${raw}`);
    const line = raw.startsWith('create ') ? raw.replace(/ (bucketsize|initval|hashsize) \w+/g, '') : raw;
    counts.set(line, (counts.get(line) ?? 0) + 1);
  }
  return counts;
}

/** Compares dumps: rule order inside a chain counts, but not the order of services, which kube-proxy draws anew at each sync. */

const SERVICE_ORDER_CHAINS = new Set([
  'KUBE-SERVICES',
  'KUBE-NODEPORTS',
  'KUBE-EXTERNAL-SERVICES',
  'KUBE-PROXY-FIREWALL',
]);

/** Where a line belongs, and whether the order of the lines there means anything. */
function place(line: string, table: string): { key: string; ordered: boolean } | undefined {
  const words = line.split(' ');
  // A virtual server of IPVS, its real servers in the order of its list, and entries of ipsets.
  if (/^-[Aa] (-[tu]|--sctp-service) /.test(line)) return { key: `virtual ${words[1]} ${words[2]}`, ordered: true };
  if (line.startsWith('add ')) return { key: 'ipset', ordered: false };
  if (line.startsWith('-A ')) {
    const chain = words[1] ?? '';
    return { key: `${table} ${chain}`, ordered: !SERVICE_ORDER_CHAINS.has(chain) };
  }
  return line.startsWith(':') ? { key: `${table} chains`, ordered: false } : undefined;
}

/** The lines of a dump that say something, place by place. */
function comparable(text: string): string[] {
  const places = new Map<string, { lines: string[]; ordered: boolean }>();
  let table = '';
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) table = line;
    const where = place(line, table);
    if (where === undefined) continue;
    const known = places.get(where.key);
    if (known === undefined) places.set(where.key, { lines: [line], ordered: where.ordered });
    else known.lines.push(line);
  }
  const byText = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
  const keys = [...places.keys()].sort(byText);
  return keys.flatMap((key) => {
    const { lines, ordered } = places.get(key) ?? { lines: [], ordered: true };
    return ordered ? lines : lines.sort(byText);
  });
}

/** The first line that differs, or undefined; `wanted` chooses the lines that both dumps must agree on. */
export function dumpDifference(
  expected: string,
  actual: string,
  wanted: (line: string) => boolean,
): string | undefined {
  const left = comparable(expected).filter(wanted);
  const right = comparable(actual).filter(wanted);
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    if (left[i] !== right[i]) return `expected ${left[i] ?? 'no more lines'}, got ${right[i] ?? 'no more lines'}`;
  }
  return undefined;
}

/** Sets of addresses as ranges of numbers, for nft joins blocks that overlap or touch. */

interface Range {
  readonly first: bigint;
  readonly last: bigint;
}

/** Addresses, blocks and ranges (`a-b`) in any order and overlap: one text for one set of addresses. */
export function mergedBlocks(blocks: readonly string[]): string {
  const ranges = blocks.map(rangeOf).sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const merged: Range[] = [];
  for (const range of ranges) {
    const before = merged.at(-1);
    if (before === undefined || range.first > before.last + 1n) merged.push(range);
    else if (range.last > before.last) merged[merged.length - 1] = { first: before.first, last: range.last };
  }
  return merged.map(({ first, last }) => `${first.toString(16)}-${last.toString(16)}`).join(',');
}

function rangeOf(block: string): Range {
  const [from, to] = block.split('-');
  if (to !== undefined) return { first: numberOf(from), last: numberOf(to) };
  const [address, length] = block.split('/');
  const bits = BigInt(address.includes(':') ? 128 : 32);
  const host = length === undefined ? 0n : bits - BigInt(length);
  const first = (numberOf(address) >> host) << host;
  return { first, last: first + (1n << host) - 1n };
}

function numberOf(address: string): bigint {
  if (!address.includes(':')) return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  const [head, tail] = address.split('::').map((half) => (half === '' ? [] : half.split(':')));
  const zeros = tail === undefined ? 0 : 8 - head.length - tail.length;
  const groups = [...head, ...Array<string>(zeros).fill('0'), ...(tail ?? [])];
  return groups.reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n);
}

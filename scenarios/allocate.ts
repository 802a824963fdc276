/** Addresses, ports and name suffixes that the API server and the controllers would draw at random, chosen by name instead. */

/** FNV-1a over the UTF-16 units, then MurmurHash3's finalizer: every run and machine gives a name the same number. */
export function hashText(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h ^= h >>> 16;
  h = Math.imul(h, 0x85ebca6b);
  h ^= h >>> 13;
  h = Math.imul(h, 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** The first free number at or after hash(name) in [first, first + count), going round; `undefined` when all are taken. */
export function allocate(name: string, first: number, count: number, taken: ReadonlySet<number>): number | undefined {
  const start = hashText(name) % count;
  for (let i = 0; i < count; i++) {
    const candidate = first + ((start + i) % count);
    if (!taken.has(candidate)) return candidate;
  }
  return undefined;
}

// Kubernetes leaves out vowels and look-alikes (apimachinery util/rand alphanums).
const SAFE_LETTERS = 'bcdfghjklmnpqrstvwxz2456789';

/** `length` letters as in the suffixes of ReplicaSets and pods. */
export function nameSuffix(text: string, length: number): string {
  let suffix = '';
  for (let i = 0; i < length; i++) suffix += SAFE_LETTERS[hashText(`${text}#${i}`) % SAFE_LETTERS.length];
  return suffix;
}

/** Files as text, and YAML or JSON text as plain data that still knows the line and column of everything in it. */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseAllDocuments } from 'yaml';
import type { Document, Node, Pair, YAMLError } from 'yaml';
import { didYouMean, InputError } from './errors.ts';

export type ReadFile = (path: string) => string | Uint8Array;
export type Path = readonly (string | number)[];

export interface Position {
  readonly file: string;
  readonly line?: number | undefined;
  readonly column?: number | undefined;
}

/** One document of a file. `data` is plain JSON-like data. */
export interface SourceDocument {
  readonly file: string;
  readonly data: unknown;
  /** Where the value at `path` begins; where it is absent, the nearest part of the path that exists. */
  position(path: Path): Position;
  /** Where the last key of `path` stands. */
  keyPosition(path: Path): Position;
}

/** Cluster dumps are large, hand-written experiments are not; beyond this something else was named by mistake. */
const FILE_LIMIT_BYTES = 256 * 1024 * 1024;
/** A document whose aliases expand to more nodes than this is a bomb, not an experiment. */
const ALIAS_LIMIT = 100;

/** The text of a file. Throws an InputError for a file that is missing, a directory, empty, binary or not UTF-8. */
export function readText(path: string, readFile: ReadFile = readFileSync): string {
  const text = readAnyText(path, readFile);
  if (text.trim() === '') throw new InputError('The file is empty.', { file: path });
  return text;
}

/** The same for a file that may be empty. */
export function readAnyText(path: string, readFile: ReadFile = readFileSync): string {
  let content: string | Uint8Array;
  try {
    content = readFile(path);
  } catch (error) {
    throw new InputError(unreadable(error, path), { file: path });
  }
  if (content.length > FILE_LIMIT_BYTES) {
    throw new InputError(`The file has ${content.length} bytes; at most ${FILE_LIMIT_BYTES} are read.`, { file: path });
  }
  const text = typeof content === 'string' ? content : decode(content, path);
  const nul = text.indexOf('\0');
  if (nul >= 0) {
    const place = placeOfOffset(text, nul);
    throw new InputError('The file is binary (it holds a NUL byte); expected YAML or JSON text.', {
      file: path,
      ...place,
    });
  }
  return text;
}

function unreadable(error: unknown, path: string): string {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (code === 'ENOENT' || code === 'ENOTDIR') return `No such file.${neighbour(path)}`;
  if (code === 'EISDIR') return 'This is a directory; expected a file.';
  if (code === 'EACCES' || code === 'EPERM') return 'The file cannot be read: permission denied.';
  return `The file cannot be read: ${error instanceof Error ? error.message : String(error)}.`;
}

function neighbour(path: string): string {
  try {
    return didYouMean(basename(path), readdirSync(dirname(path)));
  } catch {
    return '';
  }
}

function decode(bytes: Uint8Array, path: string): string {
  const nul = bytes.indexOf(0);
  if (nul >= 0) {
    const before = new TextDecoder().decode(bytes.subarray(0, nul));
    const place = placeOfOffset(before, before.length);
    throw new InputError('The file is binary (it holds a NUL byte); expected YAML or JSON text.', {
      file: path,
      ...place,
    });
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new InputError('The file is not UTF-8 text; expected YAML or JSON.', { file: path });
  }
}

function placeOfOffset(text: string, offset: number): { line: number; column: number } {
  const before = text.slice(0, offset);
  const lastBreak = before.lastIndexOf('\n');
  return { line: before.split('\n').length, column: offset - lastBreak };
}

/** From this length on a JSON text is taken for a cluster's dump; shorter ones get the YAML parser's check of duplicate keys. */
const DUMP_LENGTH = 200_000;

/** All documents of a file; empty ones (between two `---`) are left out. */
export function parseSource(text: string, file: string): SourceDocument[] {
  return text.length > DUMP_LENGTH && looksLikeJson(text)
    ? (parseJson(text, file) ?? parseYaml(text, file))
    : parseYaml(text, file);
}

/** The one document of a file. */
export function parseSingleSource(text: string, file: string): SourceDocument {
  const documents = parseSource(text, file);
  const first = documents[0];
  if (first === undefined)
    throw new InputError('The file holds comments only; expected a mapping.', { file, line: 1, column: 1 });
  const second = documents[1];
  if (second !== undefined) {
    throw new InputError('The file holds more than one YAML document; expected one.', second.position([]));
  }
  return first;
}

function looksLikeJson(text: string): boolean {
  return /^\s*[[{]/.test(text);
}

/** JSON.parse is a hundred times faster than a YAML parser on a cluster's dump; positions are found only when asked for. */
function parseJson(text: string, file: string): SourceDocument[] | undefined {
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch {
    return undefined;
  }
  let parsed: SourceDocument | undefined;
  const document = (): SourceDocument | undefined => (parsed ??= parseYaml(text, file, false)[0]);
  return [
    {
      file,
      data,
      position: (path) => document()?.position(path) ?? { file },
      keyPosition: (path) => document()?.keyPosition(path) ?? { file },
    },
  ];
}

function parseYaml(text: string, file: string, uniqueKeys = true): SourceDocument[] {
  const lines = new LineCounter();
  let parsed: Document.Parsed[];
  try {
    parsed = parseAllDocuments(text, {
      lineCounter: lines,
      uniqueKeys,
      // As kubectl reads YAML: `<<` takes the keys of other mappings over.
      merge: true,
      prettyErrors: false,
      logLevel: 'silent',
    }) as Document.Parsed[];
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new InputError('Malformed YAML: the document is nested too deeply.', { file });
  }
  const documents: SourceDocument[] = [];
  for (const document of parsed) {
    const error = document.errors[0];
    if (error !== undefined) throw yamlError(error, file, lines);
    const warning = document.warnings[0];
    if (warning !== undefined) throw yamlError(warning, file, lines);
    if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) continue;
    documents.push(new YamlSource(document, file, lines));
  }
  return documents;
}

function yamlError(error: YAMLError, file: string, lines: LineCounter): InputError {
  const place = lines.linePos(error.pos[0]);
  const where = { file, line: place.line, column: place.col };
  if (error.code === 'DUPLICATE_KEY') return new InputError('The same key stands twice in this mapping.', where);
  if (error.code === 'TAB_AS_INDENT') return new InputError('A tab indents this line; YAML wants spaces.', where);
  if (error.code === 'TAG_RESOLVE_FAILED') return new InputError(`Unknown YAML tag: ${sentence(error.message)}`, where);
  return new InputError(`Malformed YAML: ${sentence(error.message)}`, where);
}

function sentence(text: string): string {
  const line = text.split('\n')[0].trim();
  return /[.!?]$/.test(line) ? line : `${line}.`;
}

class YamlSource implements SourceDocument {
  readonly file: string;
  readonly data: unknown;
  readonly #document: Document.Parsed;
  readonly #lines: LineCounter;

  constructor(document: Document.Parsed, file: string, lines: LineCounter) {
    this.file = file;
    this.#document = document;
    this.#lines = lines;
    try {
      this.data = document.toJS({ maxAliasCount: ALIAS_LIMIT }) as unknown;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const reason = /alias count/i.test(message)
        ? `The aliases of this document expand to too many nodes (limit ${ALIAS_LIMIT}).`
        : error instanceof RangeError
          ? 'Malformed YAML: the document is nested too deeply.'
          : `Malformed YAML: ${sentence(message)}`;
      throw new InputError(reason, this.position([]));
    }
  }

  position(path: Path): Position {
    return this.#place(this.#walk(path).node);
  }

  keyPosition(path: Path): Position {
    const { pair, node } = this.#walk(path);
    return this.#place(pair !== undefined && isNode(pair.key) ? pair.key : node);
  }

  #place(node: Node | null): Position {
    const offset = node?.range?.[0];
    if (offset === undefined) return { file: this.file, line: 1, column: 1 };
    const place = this.#lines.linePos(offset);
    return { file: this.file, line: place.line, column: place.col };
  }

  /** The deepest node of `path` that exists; `pair` is set when the whole path does and ends in a mapping. */
  #walk(path: Path): { node: Node | null; pair: Pair | undefined } {
    let node: Node | null = this.#document.contents;
    let pair: Pair | undefined;
    for (const part of path) {
      pair = undefined;
      if (isAlias(node)) node = node.resolve(this.#document) ?? node;
      if (isMap(node)) pair = node.items.find((item: Pair) => keyText(item.key) === String(part));
      const next: unknown = isSeq(node) ? node.items[Number(part)] : pair?.value;
      if (!isNode(next)) {
        if (pair !== undefined && isNode(pair.key)) return { node: pair.key, pair };
        return { node, pair: undefined };
      }
      node = next;
    }
    return { node, pair };
  }
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value) : String(key);
}

/** An experiment's document with values put over it: by --set, by --quick, by a point of the sweep. Each knows where it was written. */
import { InputError, quote } from './errors.ts';
import { dotted } from './schema-issues.ts';
import { parseSingleSource } from './source.ts';
import type { Path, Position, SourceDocument } from './source.ts';

interface Override {
  readonly path: Path;
  readonly position: Position;
}

type Mapping = Record<string, unknown>;

/** A working copy of a document. `set` changes the copy alone. */
export class Draft {
  readonly data: Mapping;
  readonly #source: SourceDocument;
  readonly #overrides: Override[];

  constructor(source: SourceDocument, data: Mapping, overrides: readonly Override[] = []) {
    this.#source = source;
    this.data = structuredClone(data);
    this.#overrides = [...overrides];
  }

  copy(): Draft {
    return new Draft(this.#source, this.data, this.#overrides);
  }

  /** Puts `value` at the dotted `name`; mappings on the way that do not exist are made. */
  set(name: string, value: unknown, position: Position): void {
    this.setPath(resolvePath(name, this.data), value, position);
  }

  /** The same at a path whose keys may hold dots. */
  setPath(path: Path, value: unknown, position: Position): void {
    const name = dotted(path);
    let parent: unknown = this.data;
    for (let i = 0; i < path.length; i++) {
      const part = path[i];
      if (typeof parent !== 'object' || parent === null) {
        throw new InputError(
          `"${name}" leads nowhere: "${dotted(path.slice(0, i))}" is ${quote(parent)}, not a mapping.`,
          position,
        );
      }
      if (Array.isArray(parent) && !(Number.isInteger(part) && Number(part) < parent.length)) {
        const length = parent.length;
        throw new InputError(
          `"${name}" leads nowhere: the list has ${length} entries, counted from 0, got ${quote(part)}.`,
          position,
        );
      }
      const holder = parent as Mapping;
      if (i === path.length - 1) {
        holder[part] = structuredClone(value);
      } else {
        if (!Object.hasOwn(holder, part) || holder[part] === null) holder[part] = {};
        parent = holder[part];
      }
    }
    this.#overrides.push({ path, position });
  }

  /** Where the value at `path` was written. */
  position(path: Path, atKey = false): Position {
    for (let i = this.#overrides.length - 1; i >= 0; i--) {
      const override = this.#overrides[i];
      const covers = startsWith(path, override.path);
      if (covers || (startsWith(override.path, path) && !exists(this.#source.data, path))) return override.position;
    }
    return atKey ? this.#source.keyPosition(path) : this.#source.position(path);
  }

  /** Whether the document, overrides included, has a value at the dotted `name`. */
  has(name: string): boolean {
    return exists(this.data, resolvePath(name, this.data));
  }

  /** An InputError that stands at `path`. */
  error(message: string, path: Path, atKey = false): InputError {
    return new InputError(message, { ...this.position(path, atKey), path });
  }
}

function startsWith(path: Path, prefix: Path): boolean {
  return prefix.length <= path.length && prefix.every((part, i) => String(part) === String(path[i]));
}

function exists(data: unknown, path: Path): boolean {
  let value = data;
  for (const part of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, part)) return false;
    value = (value as Mapping)[part];
  }
  return true;
}

/** Names that stand for a field of the cluster. */
export const SHORT_NAMES = ['services', 'endpoints_per_service'] as const;

/** `services` and `endpoints_per_service` are short for the cluster's fields; list places become numbers. */
export function resolvePath(name: string, data: unknown): Path {
  const cluster = isMapping(data) ? data['cluster'] : undefined;
  const manifests = isMapping(cluster) && cluster['manifests'] !== undefined;
  if (name === 'services') return manifests ? ['cluster', 'extra_services'] : ['cluster', 'synthetic', 'services'];
  if (name === 'endpoints_per_service') {
    return manifests ? ['cluster', 'extra_endpoints_per_service'] : ['cluster', 'synthetic', 'endpoints_per_service'];
  }
  const parts = name.split('.');
  if (parts.some((part) => part === '' || part === '__proto__')) {
    throw new InputError(`"${name}" is not a path; expected keys joined by dots, such as "traffic.connections".`);
  }
  const path: (string | number)[] = [];
  let value = data;
  for (const part of parts) {
    const step = Array.isArray(value) && /^\d+$/.test(part) ? Number(part) : part;
    path.push(step);
    value = isMapping(value) || Array.isArray(value) ? (value as Mapping)[step] : undefined;
  }
  return path;
}

export function isMapping(value: unknown): value is Mapping {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export interface Assignment {
  readonly name: string;
  readonly value: unknown;
  readonly position: Position;
}

/** `--set path=value`; the value is YAML, so that numbers, lists and `true` are what they look like. */
export function parseAssignment(text: string): Assignment {
  const file = `--set ${text}`;
  const equals = text.indexOf('=');
  if (equals <= 0)
    throw new InputError(`${quote(text)} is not an assignment; expected path=value, such as services=500.`, {
      file: '--set',
    });
  const name = text.slice(0, equals).trim();
  const written = text.slice(equals + 1).trim();
  if (written === '') throw new InputError(`"${name}" is given no value; expected path=value.`, { file });
  let value: unknown;
  try {
    value = parseSingleSource(written, file).data;
  } catch (error) {
    if (!(error instanceof InputError)) throw error;
    throw new InputError(`The value of "${name}" is not understood: ${error.message}`, { file });
  }
  return { name, value, position: { file } };
}

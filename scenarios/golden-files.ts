/** The files of one golden folder: read by name, checked, and none of them left without a reader. */
import { readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { InputError, quote } from './errors.ts';
import { check } from './schema-issues.ts';
import { parseSingleSource, readAnyText, readText } from './source.ts';
import type { z } from 'zod';

export class GoldenFiles {
  readonly #folder: string;
  readonly #names: readonly string[];
  readonly #read = new Set<string>();

  constructor(folder: string) {
    this.#folder = folder;
    this.#names = readdirSync(folder);
  }

  path(name: string): string {
    return join(this.#folder, name);
  }

  has(name: string): boolean {
    return this.#names.includes(name);
  }

  text(name: string): string {
    return readText(this.#take(name));
  }

  /** A dump of a kernel's state, which may hold nothing. */
  dump(name: string): string {
    return readAnyText(this.#take(name));
  }

  #take(name: string): string {
    if (basename(name) !== name) {
      throw new InputError(`${quote(name)} is not a file of this folder.`, { file: this.path('input.yaml') });
    }
    this.#read.add(name);
    return this.path(name);
  }

  rawJson(name: string): unknown {
    return parseSingleSource(this.text(name), this.path(name)).data;
  }

  json<T>(name: string, schema: z.ZodType<T>): T {
    return this.check(schema, this.rawJson(name), name);
  }

  check<T>(schema: z.ZodType<T>, data: unknown, name: string): T {
    const checked = check(schema, data, name);
    if (checked.mistake === undefined) return checked.value;
    throw new InputError(checked.mistake.message, { file: this.path(name), path: checked.mistake.path });
  }

  /** Input and expectation must speak of the same things. */
  sameKeys(given: readonly string[], expected: readonly string[]): void {
    const odd = [
      ...given.filter((key) => !expected.includes(key)),
      ...expected.filter((key) => !given.includes(key)),
    ][0];
    if (odd === undefined) return;
    const message = `${quote(odd)} stands in input.yaml or in expected.json, not in both.`;
    throw new InputError(message, { file: this.path('expected.json') });
  }

  refuseUnread(): void {
    const unread = this.#names.find((name) => !this.#read.has(name));
    if (unread === undefined) return;
    throw new InputError('This file has no meaning for the case.', { file: this.path(unread) });
  }
}

/**
 * Trials as they cross from thread to thread. Their points, which are large and which many trials share, are written once into memory
 * that all threads see; a worker reads a point when it meets it first.
 */
import { deserialize, serialize } from 'node:v8';
import type { PointSpec } from '../scenarios/spec.ts';
import type { Trial } from './sweep-plan.ts';

interface SharedPoint {
  /** Unequal for unequal points of one writer. */
  readonly id: number;
  readonly bytes: SharedArrayBuffer;
}

export interface TrialTask {
  readonly points: readonly SharedPoint[];
  /** `point`: the id of one of the points. */
  readonly trials: readonly (Omit<Trial, 'point'> & { readonly point: number })[];
}

export class TaskWriter {
  #nextId = 0;
  readonly #shared = new WeakMap<PointSpec, SharedPoint>();

  write(trials: readonly Trial[]): TrialTask {
    const points = new Set<SharedPoint>();
    const light = trials.map((trial) => {
      const shared = this.#share(trial.point);
      points.add(shared);
      return { ...trial, point: shared.id };
    });
    return { points: [...points], trials: light };
  }

  #share(point: PointSpec): SharedPoint {
    const known = this.#shared.get(point);
    if (known !== undefined) return known;
    const text = serialize(point);
    const bytes = new SharedArrayBuffer(text.length);
    new Uint8Array(bytes).set(text);
    const shared = { id: this.#nextId++, bytes };
    this.#shared.set(point, shared);
    return shared;
  }
}

export class TaskReader {
  /** Of the last task. */
  #points = new Map<number, PointSpec>();

  /** A point that the last task had, too, is the same object again. */
  read({ points, trials }: TrialTask): Trial[] {
    const before = this.#points;
    const pointOf = ({ id, bytes }: SharedPoint): PointSpec =>
      before.get(id) ?? (deserialize(new Uint8Array(bytes)) as PointSpec);
    const now = new Map(points.map((point) => [point.id, pointOf(point)]));
    this.#points = now;
    return trials.map((trial) => ({ ...trial, point: now.get(trial.point) as PointSpec }));
  }
}

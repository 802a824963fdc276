/** Label selectors of Kubernetes. */
import type { LabelSelector } from './manifest-schema.ts';

export type Labels = Readonly<Record<string, string>>;

/** A Service's selector: every pair must be there. An empty one selects nothing (a Service without selector has no endpoints of its own). */
export function mapMatches(selector: Labels, labels: Labels): boolean {
  const pairs = Object.entries(selector);
  return pairs.length > 0 && pairs.every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value);
}

/** A Deployment's selector: all labels and all expressions must hold. */
export function selectorMatches(selector: LabelSelector, labels: Labels): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) {
    if (!Object.hasOwn(labels, key) || labels[key] !== value) return false;
  }
  for (const { key, operator, values } of selector.matchExpressions ?? []) {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    const listed = value !== undefined && (values ?? []).includes(value);
    const holds =
      operator === 'In'
        ? listed
        : operator === 'NotIn'
          ? !listed
          : operator === 'Exists'
            ? value !== undefined
            : value === undefined;
    if (!holds) return false;
  }
  return true;
}

import { describe, expect, it } from 'vitest';
import { NS_PER_S } from '../model/time.ts';
import { PodRecord } from './pod-store.ts';
import { podsToDelete } from './replica-set.ts';

const NOW = 100 * NS_PER_S;

interface Traits {
  readonly node?: string;
  readonly running?: boolean;
  readonly ready?: boolean;
  readonly readyFor?: number;
  readonly age?: number;
  readonly restarts?: number;
}

let made = 0;
function podOf(name: string, traits: Traits): PodRecord {
  made++;
  const createdAt = NOW - (traits.age ?? 64) * NS_PER_S;
  const pod = new PodRecord({
    namespace: 'default',
    name,
    address: made,
    nodeName: traits.node ?? `own-${made}`,
    deployment: 0,
    revision: 1,
    uid: 1000 - made,
    createdAt,
  });
  const readyChangedAt = NOW - (traits.readyFor ?? 32) * NS_PER_S;
  pod.status = { running: traits.running ?? true, ready: traits.ready ?? true, readyChangedAt, finished: false };
  pod.restarts = traits.restarts ?? 0;
  return pod;
}

function orderOf(pods: Record<string, Traits>): string[] {
  const records = Object.entries(pods).map(([name, traits]) => podOf(name, traits));
  const first = podsToDelete(records, records, records.length - 1, NOW).map((pod) => pod.name);
  return [...first, ...Object.keys(pods).filter((name) => !first.includes(name))];
}

describe('podsToDelete', () => {
  it('takes pods that do not run, then those that are not ready', () => {
    expect(orderOf({ good: {}, sick: { ready: false }, pending: { running: false, ready: false } })).toEqual([
      'pending',
      'sick',
      'good',
    ]);
  });

  it('takes pods of crowded nodes before younger ones', () => {
    const order = orderOf({ alone: { node: 'b', readyFor: 1 }, pair1: { node: 'a' }, pair2: { node: 'a' } });
    expect(order[2]).toBe('alone');
  });

  it('takes the one that became ready last, by powers of two, and of those the smaller uid', () => {
    expect(orderOf({ long: { readyFor: 80 }, short: { readyFor: 5 }, middle: { readyFor: 20 } })).toEqual([
      'short',
      'middle',
      'long',
    ]);
    // 2^34 ns is 17.2 s and 2^35 ns 34.4 s: 20 s and 30 s are of one rank, and the later made has the smaller uid.
    expect(orderOf({ first: { readyFor: 20 }, second: { readyFor: 30 } })).toEqual(['second', 'first']);
  });

  it('takes more restarts before fewer among pods that are not ready, then younger before older', () => {
    expect(orderOf({ calm: { ready: false }, crashing: { ready: false, restarts: 3 } })).toEqual(['crashing', 'calm']);
    expect(orderOf({ old: { ready: false, age: 90 }, young: { ready: false, age: 3 } })).toEqual(['young', 'old']);
  });

  it('takes all when all must go', () => {
    const pods = [podOf('a', {}), podOf('b', {})];
    expect(podsToDelete(pods, pods, 2, NOW)).toEqual(pods);
    expect(podsToDelete(pods, pods, 0, NOW)).toEqual([]);
  });
});

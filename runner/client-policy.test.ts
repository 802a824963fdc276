import { describe, expect, it } from 'vitest';
import { NS_PER_S } from '../model/time.ts';
import { HEAD, CLUSTER, load } from '../scenarios/load-fixtures.ts';
import { clientPolicy, synSchedule } from './client-policy.ts';

const seconds = (ns: readonly number[]): number[] => ns.map((each) => each / NS_PER_S);
const policyOf = (traffic: string) =>
  clientPolicy(load(`${HEAD}${CLUSTER}traffic: { ${traffic} }\n`).resolvePoint({}).traffic);

describe('synSchedule', () => {
  it.each([
    [[4, 19], [1, 3, 7, 15, 31, 63], 127],
    [[6, 4], [1, 3, 7, 15, 31, 63], 127],
    [[6, 5], [1, 2, 3, 4, 5, 7, 11, 19, 35, 67], 131],
    [[7, 0], [1, 2, 3, 4, 5, 7, 11, 19, 35, 67], 131],
  ] as const)('repeats a SYN of Linux %j after %j s and gives up after %i s', (version, again, giveUp) => {
    const schedule = synSchedule(version);
    expect(seconds(schedule.againNs)).toEqual(again);
    expect(schedule.giveUpNs / NS_PER_S).toBe(giveUp);
  });
});

describe('clientPolicy', () => {
  it('is none unless something of it is asked for', () => {
    expect(policyOf('connections: 5')).toBeUndefined();
    expect(policyOf('retry_backoff_s: 3')).toBeUndefined();
  });

  it('ends at the earlier of kernel and client', () => {
    expect(policyOf('client_kernel: "6.1"')).toMatchObject({ giveUpNs: 127 * NS_PER_S, retries: 0 });
    const short = policyOf('client_kernel: "6.1", connect_timeout_s: 7');
    expect(seconds(short?.againNs ?? [])).toEqual([1, 3]);
    expect(short?.giveUpNs).toBe(7 * NS_PER_S);
    expect(policyOf('client_kernel: "6.1", connect_timeout_s: 500')?.giveUpNs).toBe(127 * NS_PER_S);
  });

  it('sends one SYN where no kernel is named', () => {
    const timeout = { againNs: [], giveUpNs: 2 * NS_PER_S, retries: 0, backoffNs: NS_PER_S / 10 };
    expect(policyOf('connect_timeout_s: 2')).toEqual(timeout);
    expect(policyOf('retries: 4, retry_backoff_s: 1.5')).toEqual({
      againNs: [],
      giveUpNs: 0,
      retries: 4,
      backoffNs: 1.5 * NS_PER_S,
    });
  });
});

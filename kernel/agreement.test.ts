import { describe, expect, it } from 'vitest';
import { agreement, isSameMachine } from './agreement.ts';
import type { AgreementRow } from './agreement.ts';

function row(change: Partial<AgreementRow>): AgreementRow {
  return {
    engine: 'none',
    mode: 'first',
    services: 0,
    endpointsPerService: 0,
    position: 'direct',
    rulesEvaluated: 0,
    value: 0,
    unit: 'ns/packet',
    comments: true,
    variant: '',
    ...change,
  };
}

/** A machine on which all takes `factor` times as long. */
function rows(factor: number, ruleNs = 4): AgreementRow[] {
  const iptables = [1, 51, 100, 501, 1000, 2501, 5000].flatMap((rulesEvaluated) =>
    ['ipt-legacy', 'ipt-nft'].map((engine) =>
      row({ engine, services: 5000, position: 'middle', rulesEvaluated, value: 2900 + ruleNs * rulesEvaluated }),
    ),
  );
  const endpoints = [1, 10, 100].map((endpointsPerService) =>
    row({
      engine: 'ipt-legacy',
      services: 1,
      endpointsPerService,
      position: 'only',
      rulesEvaluated: 1,
      variant: 'endpoints',
      value: 2900 + 50 * ((endpointsPerService + 1) / 2),
    }),
  );
  const established = ['ipt-legacy', 'nft'].map((engine) =>
    row({ engine, mode: 'established', services: 1, position: 'last', variant: 'flows=1', value: 1600 }),
  );
  const nft = row({ engine: 'nft', services: 100, position: 'first', rulesEvaluated: 1, value: 2800 });
  const bare = [row({ value: 1150 }), row({ value: 1160 }), row({ mode: 'established', value: 920 })];
  return [...bare, ...iptables, ...endpoints, nft, ...established].map((each) => ({
    ...each,
    value: each.value * factor,
  }));
}

describe('agreement', () => {
  it('holds on a machine that is faster in everything', () => {
    const found = agreement(rows(0.7), rows(1));
    expect(found.map(({ name }) => name)).toEqual([
      'ipt-legacy rule of KUBE-SERVICES',
      'ipt-nft rule of KUBE-SERVICES',
      'ipt-legacy statistic rule',
      'ipt-legacy first packet',
      'nft first packet',
      'ipt-legacy established packet',
      'nft established packet',
    ]);
    for (const { name, error } of found) expect(error, name).toBeCloseTo(0, 9);
    expect(found[0].predictedNs).toBeCloseTo(4, 9);
    expect(found[0].measuredNs).toBeCloseTo(2.8, 9);
    expect(found[2].predictedNs).toBeCloseTo(50, 9);
  });

  it('sees a rule that costs more', () => {
    const [legacy, , statistic] = agreement(rows(1, 4), rows(1, 6));
    expect(legacy.error).toBeCloseTo(0.5, 9);
    expect(statistic.error).toBeCloseTo(0, 9);
  });

  it('is not moved by one point that was disturbed', () => {
    const disturbed = rows(1).map((each) => (each.rulesEvaluated === 501 ? { ...each, value: each.value * 3 } : each));
    expect(Math.abs(agreement(disturbed, rows(1))[0].error)).toBeLessThan(0.1);
  });

  it('leaves out scans that outgrow the cache, packets to no Service, and rules without comments', () => {
    const more = [
      row({ engine: 'ipt-legacy', position: 'last', rulesEvaluated: 10_000, value: 200_000 }),
      row({ engine: 'ipt-legacy', position: 'miss', rulesEvaluated: 5001, value: 1 }),
      row({ engine: 'ipt-legacy', position: 'last', rulesEvaluated: 5000, value: 1, comments: false }),
    ];
    expect(agreement([...rows(1), ...more], rows(1))).toEqual(agreement(rows(1), rows(1)));
  });

  it('says nothing of what was not measured', () => {
    const nft = rows(1).filter(({ engine }) => !engine.startsWith('ipt'));
    expect(agreement(nft, rows(1)).map(({ name }) => name)).toEqual(['nft first packet', 'nft established packet']);
    expect(agreement([], rows(1))).toEqual([]);
  });
});

describe('the same machine', () => {
  const profile = { cpuModel: 'Some CPU (family 6, model 167, stepping 1)', l2Bytes: 2_097_152 };

  it('has the same processor and the same L2 cache', () => {
    expect(isSameMachine(profile, profile)).toBe(true);
    expect(isSameMachine({ ...profile, l2Bytes: 1_048_576 }, profile)).toBe(false);
    expect(isSameMachine({ ...profile, cpuModel: 'Some other' }, profile)).toBe(false);
    expect(isSameMachine({ ...profile, cpuModel: '' }, { ...profile, cpuModel: '' })).toBe(false);
  });
});

import { describe, expect, it } from 'vitest';
import { COUNTER_STRIDE, NAT_SETUPS, RULES_EVALUATED, SERVICE_RULES_SCANNED } from '../model/counters.ts';
import type { NanosecondProfile } from '../model/profile.ts';
import { OUTCOME_ENDPOINT } from '../model/verdict.ts';
import { loadProfile } from '../scenarios/load-profile.ts';
import type { CostContext } from './context.ts';
import { batchCosts, emptyBatch, rigContext } from './rig/rig.ts';

const BASE = loadProfile('linux-6.18-native') as NanosecondProfile;
const TWO: NanosecondProfile = { ...BASE, serviceRulesPerService: { value: 2, low: 1, high: 2, source: 'test' } };
const SERVICES = 500;

/** A first packet that passes `counted` rules of KUBE-SERVICES, by the engine's count. */
function cost(profile: NanosecondProfile, counted: number, rulesPerService: number): number {
  const batch = emptyBatch(1);
  batch.work.rows[SERVICE_RULES_SCANNED] = counted;
  batch.work.rows[RULES_EVALUATED] = counted + 10;
  batch.work.rows[NAT_SETUPS] = 1;
  batch.verdicts.first[0] = 1;
  batch.verdicts.outcome[0] = OUTCOME_ENDPOINT;
  expect(batch.work.rows.length).toBe(COUNTER_STRIDE);
  const row = {
    source: '', engine: 'ipt-legacy', mode: 'first', services: SERVICES, endpointsPerService: 1, position: 'uniform',
    rulesEvaluated: 0, value: 1, unit: 'ns/packet', comments: true, variant: '', min: 1, place: '',
  }; // prettier-ignore
  const context: CostContext = { ...rigContext(row), rulesPerService, serviceRules: SERVICES * rulesPerService };
  return batchCosts(profile, context, batch)[0] ?? NaN;
}

describe('rules of KUBE-SERVICES for each service', () => {
  it('are what the profile says, where its kube-proxy wrote more than the engine does', () => {
    const more = cost(TWO, 100, 1) - cost(BASE, 100, 1);
    expect(more).toBeCloseTo(100 * BASE.iptables.serviceRule.value, 6);
  });

  it('are not counted twice where the engine has them already', () => {
    expect(cost(TWO, 200, 2)).toBeCloseTo(cost(BASE, 200, 2), 9);
    expect(cost(TWO, 200, 2)).toBeCloseTo(cost(TWO, 100, 1), 9);
  });
});

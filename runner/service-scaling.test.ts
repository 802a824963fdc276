import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Observation } from '../model/observation.ts';
import { loadExperiment } from '../scenarios/load.ts';
import { ownAxes } from './columns.ts';
import { findingsOf, slopeFrom } from './findings.ts';
import { projectRoot } from './host.ts';
import { summarize } from './summarize.ts';
import { seriesOf } from './summary-series.ts';
import { planSweep } from './sweep-plan.ts';
import { runTrial } from './trial.ts';

/** The shipped experiment, at the sizes that the fit uses. */
const file = join(projectRoot(), 'scenarios', 'experiments', 'service-scaling.yaml');
const experiment = loadExperiment(file, {
  set: ['services=[1, 1000, 2000, 5000, 10000, 20000]', 'replications=2'],
});

describe('service-scaling', () => {
  let observations: Observation[] = [];
  beforeAll(() => {
    observations = planSweep(experiment).trials.map((trial) => runTrial(trial).observation);
  });
  const summary = () => summarize(observations, ownAxes({}));

  it('iptables: rules evaluated per first packet grow linearly with services from 1,000 up', () => {
    const slope = slopeFrom(seriesOf(summary(), 'iptables', 'rules_evaluated_per_first_packet_mean'), 1000);
    expect(slope?.exponent).toBeGreaterThan(0.98);
    expect(slope?.exponent).toBeLessThan(1.02);
  });

  it('IPVS: rules stay flat, and the service chain passed is half of services / 256', () => {
    const rules = seriesOf(summary(), 'ipvs', 'rules_evaluated_per_first_packet_mean');
    expect(new Set(rules.means).size).toBe(1);
    const chain = seriesOf(summary(), 'ipvs', 'service_chain_entries_per_first_packet_mean');
    chain.services.forEach((services, i) => {
      const expected = (Math.max(1, services / 256) + 1) / 2;
      expect(chain.means[i] / expected, `${services} services`).toBeGreaterThan(0.95);
      expect(chain.means[i] / expected, `${services} services`).toBeLessThan(1.05);
    });
  });

  it('established packets do the same work at every size', () => {
    for (const engine of ['iptables', 'ipvs']) {
      const rules = seriesOf(summary(), engine, 'rules_evaluated_per_established_packet_mean').means;
      expect(rules).toHaveLength(6);
      expect(new Set(rules).size).toBe(1);
      const entries = seriesOf(summary(), engine, 'service_chain_entries_per_established_packet_mean').means;
      expect(entries.every((mean) => mean === 0)).toBe(true);
    }
  });

  it('says so in words', () => {
    const text = findingsOf(summary(), ['iptables', 'ipvs'])
      .map((finding) => finding.text)
      .join('\n');
    expect(text).toMatch(
      /iptables: rules evaluated per first packet grow linearly with services: exponent (0\.9[89]|1\.0[01])/,
    );
    expect(text).toMatch(/IPVS: rules evaluated per first packet stay flat: exponent 0\.000/);
    expect(text).toMatch(/its work does not depend on services/);
    expect(text).toMatch(/half of a chain of services \/ 256 is 39\.6/);
  });
});

/**
 * The fast engines against the whole programs: on what both model, an engine installs exactly the rules that kube-proxy's
 * program has. Rules are compared as text, chain by chain.
 */
import { describe, expect, it } from 'vitest';
import type { ClusterState, NodeSpec } from '../../model/cluster.ts';
import type { ServicePortConfig } from '../../model/service-config.ts';
import { Rng } from '../../sim/rng.ts';
import type { EngineOptions } from '../engine.ts';
import { createIptablesEngine } from '../iptables/engine.ts';
import { IptablesProgrammer } from '../iptables/program/programmer.ts';
import { createIpvsEngine } from '../ipvs/engine.ts';
import { IpvsProgrammer } from '../ipvs/program/programmer.ts';
import { proxyConfig, servicePortConfig } from '../proxy/configs.ts';
import { dumpDifference } from './dumps.ts';
import { generateProgram } from './generate.ts';

function configsOf(state: ClusterState, node: NodeSpec): ServicePortConfig[] {
  return state.servicePorts.map((svc) => servicePortConfig(svc, node));
}

/** The first state of a random life, with the node and the options it was drawn with. */
function world(mode: 'iptables' | 'ipvs', seed: number) {
  const { node, options: drawn, steps } = generateProgram({ mode, seed, packets: 0 });
  const options: EngineOptions = { ...drawn, evaluator: 'indexed', masqueradeBit: 14 };
  const first = steps.find((step) => step.kind === 'sync');
  if (first?.kind !== 'sync') throw new Error('A life begins with a sync');
  return { node, options, state: first.state, rng: new Rng(seed) };
}

const FULL = { full: true, changed: new Set<string>(), nowSeconds: 0 };

describe('fast engines and whole programs', () => {
  it('iptables: the restore input of a full sync is the same', () => {
    let rules = 0;
    for (let seed = 1; seed <= 100; seed++) {
      const { node, options, state, rng } = world('iptables', seed);
      const engine = createIptablesEngine({ node, options, rng });
      engine.sync(state, 0);
      const program = new IptablesProgrammer(proxyConfig(node, options)).sync(configsOf(state, node), FULL);
      const expected = program.restoreText();
      rules += expected.split('\n').filter((line) => line.startsWith('-A')).length;
      expect(
        dumpDifference(expected, engine.dump('restore'), () => true),
        `seed ${seed}`,
      ).toBeUndefined();
    }
    expect(rules).toBeGreaterThan(2000);
  });

  it('IPVS: virtual and real servers, ipset entries and iptables rules are the same', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const { node, options, state, rng } = world('ipvs', seed);
      const engine = createIpvsEngine({ node, options, rng });
      engine.sync(state, 0);
      const program = new IpvsProgrammer(proxyConfig(node, options)).sync(configsOf(state, node), FULL);
      const expected = [program.ipvsText(), program.ipsetText(), program.restoreText()].join('\n');
      expect(
        dumpDifference(expected, engine.dump('restore'), () => true),
        `seed ${seed}`,
      ).toBeUndefined();
    }
  });
});

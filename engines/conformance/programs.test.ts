/**
 * The fast engines against the whole programs: on what both model, an engine installs exactly the rules that kube-proxy's
 * program has. Rules are compared as text, chain by chain.
 */
import { describe, expect, it } from 'vitest';
import { Rng } from '../../sim/rng.ts';
import type { EngineOptions } from '../engine.ts';
import { createIptablesEngine } from '../iptables/engine.ts';
import { IptablesProgrammer } from '../iptables/program/programmer.ts';
import { createIpvsEngine } from '../ipvs/engine.ts';
import { IpvsProgrammer } from '../ipvs/program/programmer.ts';
import { referenceIptables } from '../reference/iptables.ts';
import { proxyConfig } from '../proxy/configs.ts';
import { configsOf, control, firstState, isControl } from './control-step.ts';
import { dumpDifference } from './dumps.ts';
import { generateProgram } from './generate.ts';
import type { WorldKind } from './generate-cluster.ts';

/** The first state of a random life, with the node and the options it was drawn with. */
function world(mode: 'iptables' | 'ipvs', seed: number, kind: WorldKind = 'plain') {
  const { node, options: drawn, steps } = generateProgram({ mode, seed, packets: 0, world: kind });
  const options: EngineOptions = { ...drawn, evaluator: 'indexed', masqueradeBit: 14 };
  return { node, options, state: firstState(steps), rng: new Rng(seed) };
}

const FULL = { full: true, changed: new Set<string>(), nowSeconds: 0 };

describe('fast engines and whole programs', () => {
  it.each([
    ['plain', 100, 2000],
    ['whole', 200, 8000],
  ] as const)('iptables: the restore input of a full sync is the same, %s worlds', (kind, worlds, leastRules) => {
    let rules = 0;
    for (let seed = 1; seed <= worlds; seed++) {
      const { node, options, state, rng } = world('iptables', seed, kind);
      const engine = createIptablesEngine({ node, options, rng });
      engine.sync(state, 0);
      const program = new IptablesProgrammer(proxyConfig(node, options)).sync(
        configsOf(state.servicePorts, node),
        FULL,
      );
      const expected = program.restoreText();
      rules += expected.split('\n').filter((line) => line.startsWith('-A')).length;
      expect(
        dumpDifference(expected, engine.dump('restore'), () => true),
        `seed ${seed}`,
      ).toBeUndefined();
    }
    expect(rules).toBeGreaterThan(leastRules);
  });

  it('iptables: the kernel holds the same rules through lives of partial syncs, stale chains included', () => {
    let syncs = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const {
        node,
        options: drawn,
        steps,
      } = generateProgram({ mode: 'iptables', seed, packets: 1500, world: 'whole' });
      const options: EngineOptions = {
        ...drawn,
        evaluator: 'indexed',
        largeClusterEndpoints: seed % 2 === 0 ? 3 : 1000,
      };
      const [oracle, engine] = [referenceIptables, createIptablesEngine].map((factory) =>
        factory({ node, options, rng: new Rng(seed) }),
      );
      for (const step of steps.filter(isControl)) {
        for (const each of [oracle, engine]) control(each, step);
        syncs++;
        // nat INPUT, which kube-proxy leaves empty, is named by one of the two.
        const difference = dumpDifference(
          oracle.dump('kernel'),
          engine.dump('kernel'),
          (line) => !line.startsWith(':INPUT'),
        );
        expect(difference, `seed ${seed} at ${step.at}`).toBeUndefined();
      }
    }
    expect(syncs).toBeGreaterThan(400);
  });

  it('IPVS: virtual and real servers, ipset entries and iptables rules are the same', () => {
    for (let seed = 1; seed <= 100; seed++) {
      const { node, options, state, rng } = world('ipvs', seed);
      const engine = createIpvsEngine({ node, options, rng });
      engine.sync(state, 0);
      const program = new IpvsProgrammer(proxyConfig(node, options)).sync(configsOf(state.servicePorts, node), FULL);
      const expected = [program.ipvsText(), program.ipsetText(), program.restoreText()].join('\n');
      expect(
        dumpDifference(expected, engine.dump('restore'), () => true),
        `seed ${seed}`,
      ).toBeUndefined();
    }
  });
});

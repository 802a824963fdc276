/**
 * The oracle of iptables mode against the program compiler: two statements of kube-proxy's rules that share no code, compared
 * as text, line by line, on random whole worlds.
 */
import { describe, expect, it } from 'vitest';
import type { NodeSpec } from '../../model/cluster.ts';
import { Rng } from '../../sim/rng.ts';
import type { EngineOptions } from '../engine.ts';
import { IptablesProgrammer } from '../iptables/program/programmer.ts';
import { proxyConfig } from '../proxy/configs.ts';
import { referenceIptables } from '../reference/iptables.ts';
import { configsOf, control, firstState, isControl, KnownServices, upsertedBy } from './control-step.ts';
import { generateProgram } from './generate.ts';
import type { Step } from './program.ts';

interface RandomWorld {
  readonly node: NodeSpec;
  readonly options: EngineOptions;
  readonly steps: readonly Step[];
  readonly rng: Rng;
}

function randomWorld(seed: number, packets: number, change: Partial<EngineOptions> = {}): RandomWorld {
  const drawn = generateProgram({ mode: 'iptables', seed, packets, world: 'whole' });
  const options: EngineOptions = { ...drawn.options, evaluator: 'literal', ...change };
  return { node: drawn.node, options, steps: drawn.steps, rng: new Rng(seed) };
}

/** The words of rules that a world must not be without. */
const MUST_WRITE = [
  '-m sctp', 'KUBE-SVL-', 'KUBE-FW-', 'KUBE-EXT-', '--rcheck', '--set', '-j DROP', '-j REJECT', '--src-type LOCAL', '! -d 127.0.0.0/8',
  '! -i cni0', '-i veth+', '! -s 10.244.0.0/16', ' -s 10.244.0.0/16', '--random-fully', 'nfacct-name ct_state', 'nfacct-name localhost',
  'health check node port', '-d 192.168.0.1 -j KUBE-NODEPORTS', '-d 127.0.0.1 -j KUBE-NODEPORTS', '-s 192.168.0.1/32',
]; // prettier-ignore

describe('oracle and program of iptables mode', () => {
  it('write the same restore input in a full sync', () => {
    const unwritten = new Set(MUST_WRITE);
    for (let seed = 1; seed <= 200; seed++) {
      const { node, options, rng, steps } = randomWorld(seed, 0);
      const state = firstState(steps);
      const oracle = referenceIptables({ node, options, rng });
      oracle.sync(state, 0);
      const programmer = new IptablesProgrammer(proxyConfig(node, options));
      const change = { full: true, changed: new Set<string>(), nowSeconds: 0 };
      const expected = programmer.sync(configsOf(state.servicePorts, node), change).restoreText();
      expect(oracle.dump('restore'), `seed ${seed}`).toBe(expected);
      for (const words of unwritten) if (expected.includes(words)) unwritten.delete(words);
    }
    expect([...unwritten]).toEqual([]);
  });

  it('leave the same rules in the kernel after partial syncs, and count the same lines', () => {
    let partialSyncs = 0;
    let staleSyncs = 0;
    for (let seed = 1; seed <= 40; seed++) {
      // Comments of a Service whose other port changed would tell the two apart when a cluster grows large.
      const world = randomWorld(seed, 1500, { largeClusterEndpoints: seed % 2 === 0 ? 1000 : 0 });
      const { node, options, rng, steps } = world;
      const oracle = referenceIptables({ node, options, rng });
      const programmer = new IptablesProgrammer(proxyConfig(node, options));
      const services = new KnownServices();
      for (const step of steps.filter(isControl)) {
        const changed = new Set(upsertedBy(step).map((svc) => `${svc.namespace}/${svc.name}`));
        const full = step.kind === 'sync' || !options.kubeProxy.iptablesPartialSync;
        services.take(step);
        const report = control(oracle, step);
        const program = programmer.sync(configsOf(services.inOrder(), node), {
          full,
          changed,
          nowSeconds: step.at / 1e9,
        });
        const expected = withoutEmptyHook(program.kernelText());
        expect(oracle.dump('kernel'), `seed ${seed} at ${step.at}`).toBe(expected);
        const rules = expected.split('\n').filter((line) => line.startsWith('-A')).length;
        expect(report).toMatchObject({ kind: full ? 'full' : 'partial', tableRules: rules, rules });
        if (full) {
          const text = program.restoreText();
          expect(report).toMatchObject({ restoreLines: text.trimEnd().split('\n').length, restoreBytes: text.length });
        }
        if (!full) partialSyncs++;
        if (program.staleChains.length > 0) staleSyncs++;
      }
    }
    expect(partialSyncs).toBeGreaterThan(300);
    expect(staleSyncs).toBeGreaterThan(50);
  });
});

/** kube-proxy has no rules in nat INPUT, which the program names all the same. */
function withoutEmptyHook(text: string): string {
  const [filter, nat] = text.split('*nat\n');
  return `${filter}*nat\n${nat.replace(':INPUT ACCEPT [0:0]\n', '')}`;
}

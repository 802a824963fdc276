/**
 * The IPVS engine against kube-proxy's whole program on random whole worlds: after each sync the engine's dump is the program's text,
 * byte by byte, and its report counts what the program did to the kernel. (The oracle is held to the program likewise.)
 */
import { describe, expect, it } from 'vitest';
import type { SyncReport } from '../../model/sync-report.ts';
import { NS_PER_S } from '../../model/time.ts';
import { Rng } from '../../sim/rng.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import { createIpvsEngine } from '../ipvs/engine.ts';
import type { IpvsProgram } from '../ipvs/program/program.ts';
import { IpvsProgrammer } from '../ipvs/program/programmer.ts';
import { proxyConfig } from '../proxy/configs.ts';
import type { ControlStep } from './control-step.ts';
import { configsOf, control, isControl, KnownServices } from './control-step.ts';
import { generateProgram } from './generate.ts';

/** A random whole life without its packets: the engine, the program, and what both are told. */
class Life {
  readonly syncs: readonly ControlStep[];
  readonly #engine: Engine;
  readonly #programmer: IpvsProgrammer;
  readonly #services = new KnownServices();
  readonly #node;

  constructor(seed: number, packets: number) {
    const { node, options: drawn, steps } = generateProgram({ mode: 'ipvs', seed, packets, world: 'whole' });
    const options: EngineOptions = { ...drawn, evaluator: 'indexed' };
    this.syncs = steps.filter(isControl);
    this.#node = node;
    this.#engine = createIpvsEngine({ node, options, rng: new Rng(seed) });
    this.#programmer = new IpvsProgrammer(proxyConfig(node, options));
  }

  /** Both sync. */
  go(step: ControlStep): { report: SyncReport; program: IpvsProgram } {
    this.#services.take(step);
    const configs = configsOf(this.#services.inOrder(), this.#node);
    const change = { full: true, changed: new Set<string>(), nowSeconds: step.at / NS_PER_S };
    const program = this.#programmer.sync(configs, change);
    const report = control(this.#engine, step);
    return { report, program };
  }

  dump(form: 'kernel' | 'restore'): string {
    return this.#engine.dump(form);
  }
}

function expectSame(life: Life, program: IpvsProgram, report: SyncReport, where: string): void {
  const state = `# ipvsadm-save -n\n${program.ipvsText()}# ipset save\n${program.ipsetText()}`;
  expect(life.dump('restore'), where).toBe(`${state}# iptables-restore\n${program.restoreText()}`);
  const done = program.operations;
  const virtualServers = done.virtualServersAdded + done.virtualServersUpdated + done.virtualServersDeleted;
  const ruleLines = program.kernelText().split('\n').filter((line) => line.startsWith('-A ')); // prettier-ignore
  expect(report, where).toMatchObject({
    netlinkRequests: virtualServers + done.realServersAdded + done.realServersDeleted + done.weightsSet,
    ipsetChanges: done.ipsetEntriesAdded + done.ipsetEntriesDeleted,
    addressChanges: done.addressesBound + done.addressesUnbound,
    addressesBound: program.boundAddresses.length,
    tableRules: ruleLines.length,
    rules: ruleLines.length + program.ipvsText().trimEnd().split('\n').filter(Boolean).length,
    restoreLines: program.restoreText().trimEnd().split('\n').length,
    netlinkReads: 2 * program.virtualServers.length + 1,
  });
}

/** Words without which the worlds would leave something out. */
const MUST_WRITE = [
  '--sctp-service', ' -p 10800', '-b mh-port', '-m ipvs --vaddr', '--vproto sctp', '! --src-type LOCAL', '! -i cni0', '! -i veth+', '! -s 10.244.0.0/16',
  'KUBE-CLUSTER-IP src,dst', '--random-fully', '-p sctp', 'dst,dst,src -j RETURN', 'add KUBE-EXTERNAL-IP ', 'add KUBE-EXTERNAL-IP-LOCAL ',
  'add KUBE-LOAD-BALANCER-LOCAL ', 'add KUBE-LOAD-BALANCER-FW ', 'add KUBE-LOAD-BALANCER-SOURCE-IP ', 'add KUBE-LOAD-BALANCER-SOURCE-CIDR ',
  'add KUBE-NODE-PORT-LOCAL-UDP ', 'add KUBE-NODE-PORT-LOCAL-SCTP-HASH ', 'add KUBE-HEALTH-CHECK-NODE-PORT ',
]; // prettier-ignore

describe('the IPVS engine and its program', () => {
  it('are the same text after the first sync', () => {
    const unwritten = new Set(MUST_WRITE);
    for (let seed = 1; seed <= 200; seed++) {
      const life = new Life(seed, 0);
      const { program, report } = life.go(life.syncs[0]);
      expectSame(life, program, report, `seed ${seed}`);
      const text = life.dump('restore');
      expect(life.dump('kernel')).toContain(`# iptables-save\n${program.kernelText()}`);
      for (const words of unwritten) if (text.includes(words)) unwritten.delete(words);
    }
    expect([...unwritten]).toEqual([]);
  });

  it('go the same way through changes', () => {
    let updates = 0;
    let syncs = 0;
    for (let seed = 201; seed <= 220; seed++) {
      const life = new Life(seed, 1500);
      for (const step of life.syncs) {
        const { program, report } = life.go(step);
        expectSame(life, program, report, `seed ${seed} at ${step.at}`);
        updates += program.operations.virtualServersUpdated;
        syncs++;
      }
    }
    expect(updates).toBeGreaterThan(50);
    expect(syncs).toBeGreaterThan(300);
  });
});

/**
 * The oracle of IPVS mode against the program compiler: two statements of what kube-proxy programs that share no code, compared as
 * text (ipvsadm, ipset, iptables), line by line, and by what a sync did, on random whole worlds.
 */
import { describe, expect, it } from 'vitest';
import type { SyncReport } from '../../model/sync-report.ts';
import { NS_PER_S } from '../../model/time.ts';
import { Rng } from '../../sim/rng.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import type { IpvsProgram } from '../ipvs/program/program.ts';
import { IpvsProgrammer } from '../ipvs/program/programmer.ts';
import { proxyConfig } from '../proxy/configs.ts';
import { referenceIpvs } from '../reference/ipvs.ts';
import { configsOf, control, firstState, isControl, KnownServices } from './control-step.ts';
import { generateProgram } from './generate.ts';
import type { Program } from './program.ts';

function worldOf(seed: number, packets: number): { drawn: Program; oracle: Engine; programmer: IpvsProgrammer } {
  const drawn = generateProgram({ mode: 'ipvs', seed, packets, world: 'whole' });
  const { node } = drawn;
  const options: EngineOptions = { ...drawn.options, evaluator: 'literal' };
  const oracle = referenceIpvs({ node, options, rng: new Rng(seed) });
  return { drawn, oracle, programmer: new IpvsProgrammer(proxyConfig(node, options)) };
}

/** What the sync asked of the kernel, as the report counts it. */
function counts({ operations, boundAddresses }: IpvsProgram): Partial<SyncReport> {
  const {
    virtualServersAdded,
    virtualServersUpdated,
    virtualServersDeleted,
    realServersAdded,
    realServersDeleted,
    weightsSet,
  } = operations;
  const ofVirtual = virtualServersAdded + virtualServersUpdated + virtualServersDeleted;
  return {
    netlinkRequests: ofVirtual + realServersAdded + realServersDeleted + weightsSet,
    ipsetChanges: operations.ipsetEntriesAdded + operations.ipsetEntriesDeleted,
    addressChanges: operations.addressesBound + operations.addressesUnbound,
    addressesBound: boundAddresses.length,
  };
}

/** Words without which the worlds would leave something out. */
const MUST_WRITE = [
  '--sctp-service', ' -p 10800', ' -p 10 ', '-b mh-port', '-m ipvs --vaddr', '--vproto sctp', '-m physdev', '! --src-type LOCAL',
  'add KUBE-EXTERNAL-IP ', 'add KUBE-EXTERNAL-IP-LOCAL ', 'add KUBE-LOAD-BALANCER ', 'add KUBE-LOAD-BALANCER-FW ', 'add KUBE-LOAD-BALANCER-LOCAL ',
  'add KUBE-LOAD-BALANCER-SOURCE-IP ', 'add KUBE-LOAD-BALANCER-SOURCE-CIDR ', 'add KUBE-NODE-PORT-LOCAL-TCP ', 'add KUBE-NODE-PORT-LOCAL-UDP ',
  'add KUBE-NODE-PORT-SCTP-HASH ', 'add KUBE-NODE-PORT-LOCAL-SCTP-HASH ', 'add KUBE-HEALTH-CHECK-NODE-PORT ', '! -s 10.244.0.0/16', '! -i cni0', '! -i veth+',
  'KUBE-CLUSTER-IP src,dst', '--random-fully', '-p sctp', 'KUBE-LOAD-BALANCER-SOURCE-IP dst,dst,src -j RETURN', 'KUBE-NODE-PORT-LOCAL-SCTP-HASH dst,dst -j RETURN',
]; // prettier-ignore

describe('oracle and program of IPVS mode', () => {
  it('hold the same servers, ipsets and rules after the first sync', () => {
    const unwritten = new Set(MUST_WRITE);
    for (let seed = 1; seed <= 200; seed++) {
      const { drawn, oracle, programmer } = worldOf(seed, 0);
      const first = firstState(drawn.steps);
      const report = oracle.sync(first, 0);
      const change = { full: true, changed: new Set<string>(), nowSeconds: 0 };
      const program = programmer.sync(configsOf(first.servicePorts, drawn.node), change);
      const state = program.ipvsText() + program.ipsetText();
      const text = oracle.dump('restore');
      expect(text, `seed ${seed}`).toBe(state + program.restoreText());
      expect(report, `seed ${seed}`).toMatchObject(counts(program));
      expect(report.restoreLines).toBe(program.restoreText().trimEnd().split('\n').length);
      for (const words of unwritten) if (text.includes(words)) unwritten.delete(words);
    }
    expect([...unwritten]).toEqual([]);
  });

  it('go the same way through changes, one entry and one request at a time', () => {
    let updates = 0;
    let syncs = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const { drawn, oracle, programmer } = worldOf(seed, 1500);
      const services = new KnownServices();
      for (const step of drawn.steps.filter(isControl)) {
        services.take(step);
        const report = control(oracle, step);
        const change = { full: true, changed: new Set<string>(), nowSeconds: step.at / NS_PER_S };
        const program = programmer.sync(configsOf(services.inOrder(), drawn.node), change);
        const state = program.ipvsText() + program.ipsetText();
        const where = `seed ${seed} at ${step.at}`;
        expect(oracle.dump('restore'), where).toBe(state + program.restoreText());
        expect(report, where).toMatchObject({ kind: 'full', ...counts(program) });
        const rules = program.kernelText().split('\n').filter((line) => line.startsWith('-A ')).length; // prettier-ignore
        const servers = program.ipvsText().split('\n').length - 1;
        expect(report, where).toMatchObject({ tableRules: rules, rules: rules + servers });
        updates += program.operations.virtualServersUpdated;
        syncs++;
      }
    }
    expect(updates).toBeGreaterThan(50);
    expect(syncs).toBeGreaterThan(700);
  });
});

import { describe, expect, it } from 'vitest';
import { CONTROL_ENGINES, controlOperations } from './control-plane.ts';
import type { ControlEngine } from './control-plane.ts';

/** [operation, runs, rules written by the last run, beginning of its command] */
function summary(engine: ControlEngine, services: number): (string | number)[][] {
  return [...controlOperations(127, { engine, services, endpoints: 2 })].map(({ name, runs }) => {
    const all = [...runs];
    const last = all[all.length - 1];
    return [name, all.length, last.rulesWritten, last.command.split(' ')[0]];
  });
}

describe('operations of the control plane', () => {
  it('have the names and sizes of the shared measurements in iptables mode', () => {
    expect(summary('ipt-legacy', 200)).toEqual([
      ['load-empty', 1, 1623, 'iptables-legacy-restore'],
      ['full-sync', 3, 1609, 'iptables-legacy-restore'],
      ['partial-sync-1', 3, 216, 'iptables-legacy-restore'],
      ['partial-sync-10', 3, 279, 'iptables-legacy-restore'],
      ['partial-sync-100', 3, 909, 'iptables-legacy-restore'],
      ['save-nat', 2, 1623, 'iptables-legacy-save'],
    ]);
  });

  it('and in nftables mode, where Services come and go', () => {
    expect(summary('nft', 200).map(([name]) => name)).toEqual([
      'load-empty',
      'partial-sync-1',
      'partial-sync-10',
      'partial-sync-100',
      'add-services-1',
      'delete-services-1',
      'add-services-100',
      'delete-services-100',
      'full-sync',
      'list-chain-count',
    ]);
    const rules = new Map(summary('nft', 200).map(([name, , count]) => [name, count]));
    expect([rules.get('add-services-1'), rules.get('add-services-100'), rules.get('delete-services-100')]).toEqual([
      6, 600, 100,
    ]);
  });

  it('say of ipset what is added to and deleted from sets', () => {
    expect(summary('ipset', 200)).toEqual([
      ['load-empty', 3, 400, 'ipset'],
      ['add-1', 10, 1, 'ipset'],
      ['del-1', 10, 1, 'ipset'],
    ]);
  });

  it('write other endpoints at each partial sync', () => {
    for (const operation of controlOperations(127, { engine: 'ipt-nft', services: 20, endpoints: 2 })) {
      const inputs = [...operation.runs].map(({ input }) => input);
      if (operation.name.startsWith('partial')) expect(new Set(inputs).size).toBe(inputs.length);
    }
  });

  it('leave no address outside 127.0.0.0/8', () => {
    for (const engine of CONTROL_ENGINES) {
      for (const { runs } of controlOperations(127, { engine, services: 3, endpoints: 2 })) {
        for (const { input, command } of runs) {
          const addresses = `${command} ${input}`.match(/\b\d+\.\d+\.\d+\.\d+\b/g) ?? [];
          expect(addresses.filter((address) => !address.startsWith('127.'))).toEqual([]);
        }
      }
    }
  });
});

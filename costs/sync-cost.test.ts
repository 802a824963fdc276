import { describe, expect, it } from 'vitest';
import { NO_SYNC_WORK } from '../model/sync-report.ts';
import type { SyncReport } from '../model/sync-report.ts';
import {
  addressInstructions,
  predictSyncDurationNs,
  predictSyncReport,
  proxyBytes,
  syncDurationNs,
  syncParts,
} from './sync-cost.ts';
import { committedProfile, instructionProfile } from './test-data.ts';

const profile = committedProfile();
const nothing: SyncReport = {
  ...NO_SYNC_WORK,
  kind: 'full',
  servicePorts: 0,
  changedServicePorts: 0,
  rules: 0,
  tableRules: 0,
};
/** 1,000 services of 10 endpoints in iptables mode: 2 + 3E rules and 3 + 4E lines a service. */
const full: SyncReport = {
  ...nothing,
  servicePorts: 1000,
  changedServicePorts: 1000,
  rules: 32_023,
  tableRules: 32_023,
  serviceRules: 1001,
  restoreLines: 43_050,
};

describe('syncDurationNs', () => {
  it('is nothing for nothing and grows with each count', () => {
    for (const engine of ['iptables', 'ipvs', 'userspace'] as const)
      expect(syncDurationNs(profile, nothing, engine), engine).toBe(0);
    const base = { ...full, savedLines: 10, addressesBound: 1000, transactions: 1 };
    for (const key of [
      'servicePorts',
      'tableRules',
      'restoreLines',
      'savedLines',
      'netlinkRequests',
      'netlinkReads',
      'ipsetChanges',
      'addressChanges',
      'conntrackDeletes',
      'transactionOperations',
      'iptablesCommands',
    ] as const) {
      const more = { ...base, [key]: base[key] + 10 };
      expect(syncDurationNs(profile, more, 'iptables'), key).toBeGreaterThan(syncDurationNs(profile, base, 'iptables'));
    }
  });

  it('is a whole number of nanoseconds: the sum of its parts', () => {
    const report = { ...full, netlinkRequests: 7, conntrackDeletes: 3, transactions: 2, iptablesCommands: 1 };
    const parts = Object.values(syncParts(profile, report, 'ipvs')) as number[];
    const duration = syncDurationNs(profile, report, 'ipvs');
    expect(Number.isInteger(duration)).toBe(true);
    expect(Math.abs(duration - parts.reduce((a, b) => a + b, 0))).toBeLessThanOrEqual(0.5);
  });

  it('makes a partial sync of a legacy table pay for the whole table', () => {
    const partial = { ...full, kind: 'partial' as const, changedServicePorts: 1, restoreLines: 1100 };
    const one = syncDurationNs(profile, partial, 'iptables');
    expect(one).toBeLessThan(syncDurationNs(profile, full, 'iptables') / 2);
    const large = { ...partial, tableRules: 10 * full.tableRules };
    expect(syncDurationNs(profile, large, 'iptables')).toBeGreaterThan(5 * one);
  });

  it('takes quadratic time for addresses, however they are split into syncs', () => {
    const once = addressInstructions(profile, 10_000, 10_000);
    let split = 0;
    for (let bound = 100; bound <= 10_000; bound += 100) split += addressInstructions(profile, 100, bound);
    expect(split / once).toBeCloseTo(1, 9);
    expect(once).toBeGreaterThan(3 * addressInstructions(profile, 5000, 5000));
  });
});

/** 1,000 services of 10 endpoints in nftables mode: 2 + 2E rules, 6 + 4E operations, 2 elements. */
const nft = (services: number): SyncReport => ({
  ...nothing,
  servicePorts: services,
  changedServicePorts: services,
  rules: 24 * services + 22,
  tableRules: 22 * services + 22,
  transactions: 1,
  transactionOperations: 46 * services + 62,
});
const oneService = (services: number): SyncReport => ({
  ...nft(services),
  kind: 'partial',
  changedServicePorts: 1,
  transactionOperations: 46,
});

describe('syncs in nftables mode', () => {
  it('take quadratic time for a table that is written at once', () => {
    const small = syncParts(profile, nft(1000), 'nftables').nft;
    const large = syncParts(profile, nft(10_000), 'nftables').nft;
    expect(large).toBeGreaterThan(40 * small);
    expect(large).toBeGreaterThan(30e9);
  });

  it('pay for what changed, for reading the table and for listing it', () => {
    const parts = syncParts(profile, oneService(10_000), 'nftables');
    expect(parts.nft).toBeLessThan(syncParts(profile, nft(10_000), 'nftables').nft / 50);
    expect(parts.nft).toBeGreaterThan(10 * syncParts(profile, oneService(100), 'nftables').nft);
    expect(parts.list).toBeGreaterThan(2e9);
    // kube-proxy lists, and finds that nothing is to be sent.
    const idle = syncParts(profile, { ...oneService(10_000), transactions: 0, transactionOperations: 0 }, 'nftables');
    expect([idle.nft, idle.list]).toEqual([0, parts.list]);
    expect(syncParts(profile, oneService(10_000), 'iptables').list).toBe(0);
  });

  it('read the table once more for a transaction that deletes stale chains', () => {
    const once = syncParts(profile, oneService(1000), 'nftables').nft;
    const twice = syncParts(profile, { ...oneService(1000), transactions: 2 }, 'nftables').nft;
    expect(twice - once).toBeGreaterThan(profile.proxy.exec.value);
    expect(twice).toBeLessThan(2.1 * once);
  });
});

describe('syncs through iptables-nft', () => {
  it('do not pay for the whole table, but for every chain that they write', () => {
    const partial = { ...full, kind: 'partial' as const, changedServicePorts: 1, restoreLines: 1100 };
    const of = (report: SyncReport, backend: 'legacy' | 'nft') =>
      syncDurationNs(profile, report, 'iptables', { iptablesBackend: backend, endpoints: 0 });
    expect(of(partial, 'nft')).toBeLessThan(of(partial, 'legacy'));
    expect(of(full, 'nft')).toBeGreaterThan(5 * of(full, 'legacy'));
  });
});

describe('a sync by a profile in instructions', () => {
  it('has the length that its clock gives it', () => {
    const guest = instructionProfile();
    const parts = Object.values(syncParts(guest, full, 'iptables')) as number[];
    const instructions = parts.reduce((a, b) => a + b, 0);
    const { syncNsPerInstruction } = guest.clock;
    expect(syncDurationNs(guest, full, 'iptables')).toBe(Math.round(instructions * syncNsPerInstruction.value));
  });
});

describe('proxyBytes', () => {
  it('is the two published figures: some 20 kB a service, 31 kB with four endpoints', () => {
    const perService = (endpoints: number) =>
      (proxyBytes(profile, 1000, 1000 * endpoints) - proxyBytes(profile, 0, 0)) / 1000;
    expect(perService(0)).toBe(20_000);
    expect(perService(4) / 31_000).toBeCloseTo(1, 2);
  });
});

describe('syncs in userspace mode', () => {
  it('start one command a rule, each of which reads the whole table', () => {
    const at = (tableRules: number) =>
      syncDurationNs(profile, { ...nothing, tableRules, iptablesCommands: 3 * tableRules }, 'userspace');
    expect(at(40_000) / at(4000)).toBeGreaterThan(50);
    expect(at(8)).toBeLessThan(100e6);
  });
});

describe('predictSyncReport', () => {
  const change = { kind: 'partial' as const, changedServicePorts: 1, changedEndpoints: 2 };

  it('expects KUBE-SERVICES whole and the changed chains in a partial sync', () => {
    const report = predictSyncReport('iptables', full, change);
    expect(report.kind).toBe('partial');
    expect(report.restoreLines).toBeGreaterThan(1000);
    expect(report.restoreLines).toBeLessThan(1200);
    expect(report.tableRules).toBe(full.tableRules);
  });

  it('comes close to a full sync for a full one', () => {
    const report = predictSyncReport('iptables', full, { ...change, kind: 'full' });
    expect(report.restoreLines / full.restoreLines).toBeGreaterThan(0.98);
    expect(report.restoreLines / full.restoreLines).toBeLessThan(1.02);
  });

  it('expects only the changed real servers of IPVS, and survives an empty cluster', () => {
    const last = { ...nothing, servicePorts: 500, netlinkRequests: 1000, netlinkReads: 1000, addressChanges: 500 };
    const report = predictSyncReport('ipvs', last, change);
    expect(report.netlinkRequests).toBe(2);
    expect(report.addressChanges).toBe(0);
    expect(predictSyncDurationNs(profile, 'ipvs', last, change)).toBeLessThan(syncDurationNs(profile, last, 'ipvs'));
    expect(predictSyncDurationNs(profile, 'iptables', nothing, change)).toBeGreaterThanOrEqual(0);
  });

  it('comes close to the operations of an nftables sync, full or of one service', () => {
    const last = nft(1000);
    const { transactions, transactionOperations } = predictSyncReport('nftables', last, change);
    expect(transactions).toBe(1);
    expect(Math.abs(transactionOperations / 46 - 1)).toBeLessThan(0.06);
    const whole = predictSyncReport('nftables', last, { ...change, kind: 'full' });
    expect(Math.abs(whole.transactionOperations / last.transactionOperations - 1)).toBeLessThan(0.06);
    expect(predictSyncReport('nftables', nothing, change).transactionOperations).toBe(0);
  });

  it('expects three commands a rule of a userspace process that starts, one of a periodic sync, none for endpoints alone', () => {
    const last = { ...nothing, servicePorts: 100, tableRules: 205, iptablesCommands: 800 };
    expect(predictSyncReport('userspace', last, change).iptablesCommands).toBe(0);
    expect(predictSyncReport('userspace', last, { ...change, kind: 'full' }).iptablesCommands).toBe(615);
    expect(predictSyncReport('userspace', last, { ...change, changedServicePorts: 0 }).iptablesCommands).toBe(205);
  });
});

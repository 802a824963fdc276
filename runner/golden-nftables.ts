/** Runs a golden case of nftables mode. */
import { hash8 } from '../engines/nftables/program/names.ts';
import { NftablesProgrammer } from '../engines/nftables/program/programmer.ts';
import { checkFlows, GoldenFeed, labelled, proxyConfig } from './golden-config.ts';
import { compareNft } from './golden-dumps.ts';
import type { NftablesProgram } from '../engines/nftables/program/program.ts';
import type { GoldenBody, GoldenStep } from '../scenarios/golden-case.ts';
import type { GoldenExpect } from '../scenarios/golden-schema.ts';

type Body<K extends GoldenBody['kind']> = Extract<GoldenBody, { kind: K }>;

export function checkNftablesSync(body: Body<'sync'>): string[] {
  const config = proxyConfig(body.proxy);
  const feed = new GoldenFeed(config);
  const programmer = new NftablesProgrammer(config, body.kernelBefore);
  const empty = new NftablesProgrammer(config).sync([], { full: true, changed: new Set(), nowSeconds: 0 });
  const failures: string[] = [];
  let nowSeconds = 0;
  for (const [index, step] of body.steps.entries()) {
    const { services, changed } = feed.advance(step);
    nowSeconds += step.ageSeconds;
    const full = step.sync === undefined ? index === 0 : step.sync === 'full';
    const program = programmer.sync(services, { full, changed, nowSeconds });
    failures.push(...labelled(step, checkStep(step, program, body.localIps, empty.operations)));
  }
  return failures;
}

function checkStep(
  step: GoldenStep,
  program: NftablesProgram,
  localIps: readonly string[],
  setupOperations: number,
): string[] {
  const failures: string[] = [];
  if (step.dump !== undefined) {
    const lines = compareNft(step.dump, program.dumpText());
    if (lines.length > 0) failures.push(['the table differs:', ...lines].join('\n'));
  }
  if (step.chains !== undefined) failures.push('expected-chains.json has no meaning for nftables');
  if (step.secondsSinceCleanup !== undefined) failures.push('secondsSinceLastChainCleanup has no meaning for nftables');
  failures.push(...checkFlows(step.flows, localIps, (flow) => program.trace(flow)));
  for (const expect of step.expects) failures.push(...checkExpect(expect, program, setupOperations));
  return failures;
}

function checkExpect(expect: GoldenExpect, program: NftablesProgram, setupOperations: number): string[] {
  const failures: string[] = [];
  const same = (what: string, expected: number | undefined, got: number): void => {
    if (expected !== undefined && expected !== got) failures.push(`${what}: expected ${expected}, got ${got}`);
  };
  const dump = program.dumpText();
  for (const text of expect.contains ?? []) if (!dump.includes(text)) failures.push(`the table lacks ${text}`);
  for (const text of expect.notContains ?? []) {
    if (dump.includes(text)) failures.push(`the table must not contain ${text}`);
  }
  same('operations', operationCount(expect.lastTransactionOperations, setupOperations), program.operations);
  const metric = expect.syncProxyRulesNoLocalEndpointsTotal;
  same('internal traffic without local endpoints', metric?.internal, program.noLocalEndpoints.internal);
  same('external traffic without local endpoints', metric?.external, program.noLocalEndpoints.external);
  const foreign = [
    ['sepDnatLines', expect.sepDnatLines],
    ['commented', expect.commented],
    ['natKubeServicesRuleForLBIP', expect.natKubeServicesRuleForLBIP],
    ['natRulesTotalMetric', expect.natRulesTotalMetric],
  ] as const;
  for (const [key, value] of foreign) {
    if (value !== undefined && value !== null) failures.push(`${key} has no meaning for nftables`);
  }
  return failures;
}

/** A number as it is; `setupOps + N` on top of what a first sync without Services takes. */
function operationCount(expected: GoldenExpect['lastTransactionOperations'], setup: number): number | undefined {
  if (expected === undefined || expected === null) return undefined;
  if (typeof expected === 'number') return expected;
  return setup + Number(/\d+$/.exec(expected)?.[0] ?? 0);
}

export function checkNames({ cases }: Body<'names'>): string[] {
  return cases.flatMap(({ name, hash8: expected }) => {
    const got = hash8(name);
    return got === expected ? [] : [`hash of ${name}: expected ${expected}, got ${got}`];
  });
}

/**
 * Golden folders: `input.yaml` with the files beside it, as typed cases. Every key and every file is known or an InputError
 * that names it; nothing is passed over in silence.
 */
import { join } from 'node:path';
import { GoldenFiles } from './golden-files.ts';
import { readGenerator } from './golden-generate.ts';
import { readGoldenObject, readGoldenSlice } from './golden-objects.ts';
import * as golden from './golden-schema.ts';
import { InputError, quote } from './errors.ts';
import { parseSingleSource } from './source.ts';
import type { z } from 'zod';
import type { GoldenExpect, GoldenFlow, GoldenFlows, GoldenProxy, IpvsExpected } from './golden-schema.ts';
import type { ServiceGenerator } from './golden-generate.ts';
import type { ServiceObject, SliceObject } from './service-config.ts';

/** What is in the kernel before the first step, where a case does not name another file. */
const KERNEL_FILE = 'kernel-before.txt';

export type GoldenMode = 'iptables' | 'ipvs' | 'nftables';

/** One batch of changes, one sync, and what must hold after it. */
export interface GoldenStep {
  /** For messages: `step 3`, or empty where the case has one step. */
  readonly label: string;
  readonly apply: readonly (ServiceObject | SliceObject)[];
  readonly remove: readonly { readonly kind: 'Service' | 'EndpointSlice'; readonly key: string }[];
  readonly sync: 'full' | 'partial' | undefined;
  readonly ageSeconds: number;
  readonly secondsSinceCleanup: number | undefined;
  readonly dump: string | undefined;
  readonly chains: Readonly<Record<string, readonly string[]>> | undefined;
  readonly ipvs: IpvsExpected | undefined;
  readonly flows: readonly GoldenFlow[];
  readonly expects: readonly GoldenExpect[];
}

/** What a case is made of: most drive a proxier (`sync`), some check one function of it. */
export type GoldenBody =
  | {
      readonly kind: 'sync';
      readonly proxy: GoldenProxy;
      readonly kernelBefore: string | undefined;
      readonly localIps: readonly string[];
      readonly steps: readonly GoldenStep[];
    }
  | { readonly kind: 'hashes'; readonly cases: z.output<(typeof golden.EXPECTED_SCHEMAS)['hashes']>['cases'] }
  | { readonly kind: 'names'; readonly cases: z.output<(typeof golden.EXPECTED_SCHEMAS)['names']>['cases'] }
  | {
      readonly kind: 'probability';
      readonly expected: readonly { readonly n: number; readonly text: string }[];
      readonly increasing: boolean;
    }
  | {
      readonly kind: 'order';
      readonly nodeName: string;
      readonly cases: readonly {
        readonly name: string;
        readonly slices: readonly SliceObject[];
        readonly endpoints: Readonly<Record<string, readonly string[]>>;
        readonly localReadyEndpoints: Readonly<Record<string, number>> | undefined;
      }[];
    }
  | {
      readonly kind: 'counts';
      readonly proxy: GoldenProxy;
      readonly generator: ServiceGenerator;
      readonly cases: z.output<(typeof golden.EXPECTED_SCHEMAS)['counts']>['cases'];
    }
  | {
      readonly kind: 'legacy';
      readonly input: z.output<typeof golden.legacyInputSchema>;
      readonly expected: z.output<(typeof golden.EXPECTED_SCHEMAS)['legacy']>;
    }
  | {
      readonly kind: 'graceful';
      readonly cases: readonly {
        readonly input: z.output<typeof golden.gracefulInputSchema>['cases'][number];
        readonly expected: z.output<(typeof golden.EXPECTED_SCHEMAS)['graceful']>['cases'][number];
      }[];
    }
  | {
      readonly kind: 'sync-service';
      readonly cases: readonly {
        readonly input: z.output<typeof golden.syncServiceInputSchema>['cases'][number];
        readonly expected: z.output<(typeof golden.EXPECTED_SCHEMAS)['syncService']>['cases'][number];
      }[];
    };

export interface GoldenCase {
  /** `iptables/overall-six-services`, as the case calls itself. */
  readonly name: string;
  readonly mode: GoldenMode;
  readonly folder: string;
  readonly body: GoldenBody;
}

/** The case of one folder. Throws an InputError for what it cannot read. */
export function readGoldenCase(folder: string): GoldenCase {
  const files = new GoldenFiles(folder);
  const file = join(folder, 'input.yaml');
  const data = parseSingleSource(files.text('input.yaml'), file).data;
  if (!isRecord(data)) throw new InputError('A golden case must be a mapping.', { file });
  const name = typeof data['golden'] === 'string' ? data['golden'] : undefined;
  if (name === undefined) throw new InputError('"golden" is missing; expected the name of the case.', { file });
  const mode = modeOf(name, data, file);
  const body = readBody(data, files, mode);
  files.refuseUnread();
  return { name, mode, folder, body };
}

function modeOf(name: string, data: Readonly<Record<string, unknown>>, file: string): GoldenMode {
  const proxy = data['proxy'];
  const given = isRecord(proxy) && proxy['mode'] !== undefined ? proxy['mode'] : name.split('/')[0];
  if (given === 'iptables' || given === 'ipvs' || given === 'nftables') return given;
  throw new InputError(`The mode must be iptables, ipvs or nftables, got ${quote(given)}.`, { file });
}

/** The kinds of case are told apart by the keys that only they have. */
function readBody(data: Readonly<Record<string, unknown>>, files: GoldenFiles, mode: GoldenMode): GoldenBody {
  const first = Array.isArray(data['cases']) ? (data['cases'] as unknown[])[0] : undefined;
  const caseKeys = isRecord(first) ? Object.keys(first) : [];
  if ('inputs' in data) return readHashes(data, files);
  if ('names' in data) return readNames(data, files);
  if ('n' in data) return readProbability(data, files);
  if ('generator' in data) return readCounts(data, files);
  if ('currentServices' in data) return readLegacy(data, files);
  if (caseKeys.includes('slices')) return readOrder(data, files);
  if (caseKeys.includes('realServerInKernel')) return readGraceful(data, files);
  if (caseKeys.includes('desired')) return readSyncService(data, files);
  return readSync(data, files, mode);
}

function readHashes(data: unknown, files: GoldenFiles): GoldenBody {
  const input = files.check(golden.hashInputSchema, data, 'input.yaml');
  const expected = files.json('expected.json', golden.EXPECTED_SCHEMAS.hashes);
  const key = (each: { servicePortName: string; protocol: string; endpoint?: string | null | undefined }): string =>
    `${each.servicePortName} ${each.protocol} ${each.endpoint ?? ''}`;
  files.sameKeys(input.inputs.map(key), expected.cases.map(key));
  return { kind: 'hashes', cases: expected.cases };
}

function readNames(data: unknown, files: GoldenFiles): GoldenBody {
  const input = files.check(golden.nameInputSchema, data, 'input.yaml');
  const expected = files.json('expected.json', golden.EXPECTED_SCHEMAS.names);
  files.sameKeys(
    input.names,
    expected.cases.map((each) => each.name),
  );
  return { kind: 'names', cases: expected.cases };
}

function readProbability(data: unknown, files: GoldenFiles): GoldenBody {
  const input = files.check(golden.probabilityInputSchema, data, 'input.yaml');
  const expected = files.json('expected.json', golden.EXPECTED_SCHEMAS.probability);
  files.sameKeys(input.n.map(String), Object.keys(expected.probability));
  return {
    kind: 'probability',
    expected: Object.entries(expected.probability).map(([n, text]) => ({ n: Number(n), text })),
    increasing: expected.alsoTrue !== undefined,
  };
}

function readCounts(data: unknown, files: GoldenFiles): GoldenBody {
  const input = files.check(golden.countsInputSchema, data, 'input.yaml');
  const expected = files.json('expected.json', golden.EXPECTED_SCHEMAS.counts);
  const key = (each: { services: number; endpointsPerService: number }): string =>
    `${each.services} x ${each.endpointsPerService}`;
  files.sameKeys(input.cases.map(key), expected.cases.map(key));
  const generator = readGenerator(input.generator['service i'], input.generator['endpoint j of each service']);
  return { kind: 'counts', proxy: input.proxy, generator, cases: expected.cases };
}

function readLegacy(data: unknown, files: GoldenFiles): GoldenBody {
  const input = files.check(golden.legacyInputSchema, data, 'input.yaml');
  const expected = files.json('expected.json', golden.EXPECTED_SCHEMAS.legacy);
  files.sameKeys(
    input.currentServices.map((each) => each.name),
    [...expected.remaining, ...expected.deleted],
  );
  return { kind: 'legacy', input, expected };
}

function readOrder(data: unknown, files: GoldenFiles): GoldenBody {
  const input = files.check(golden.orderInputSchema, data, 'input.yaml');
  const expected = files.json('expected.json', golden.EXPECTED_SCHEMAS.order);
  files.sameKeys(
    input.cases.map((each) => each.name),
    expected.cases.map((each) => each.name),
  );
  const cases = expected.cases.map((each) => {
    const slices = input.cases.find((other) => other.name === each.name)?.slices ?? [];
    return {
      name: each.name,
      slices: slices.map((slice) => readGoldenSlice(slice, files.path('input.yaml'))),
      endpoints: each.endpoints,
      localReadyEndpoints: each.localReadyEndpoints ?? undefined,
    };
  });
  return { kind: 'order', nodeName: input.nodeName, cases };
}

function readGraceful(data: unknown, files: GoldenFiles): GoldenBody {
  const input = files.check(golden.gracefulInputSchema, data, 'input.yaml');
  const expected = files.json('expected.json', golden.EXPECTED_SCHEMAS.graceful);
  files.sameKeys(
    input.cases.map((each) => each.name),
    expected.cases.map((each) => each.name),
  );
  const cases = input.cases.flatMap((each) =>
    expected.cases.filter((other) => other.name === each.name).map((other) => ({ input: each, expected: other })),
  );
  return { kind: 'graceful', cases };
}

function readSyncService(data: unknown, files: GoldenFiles): GoldenBody {
  const input = files.check(golden.syncServiceInputSchema, data, 'input.yaml');
  const expected = files.json('expected.json', golden.EXPECTED_SCHEMAS.syncService);
  files.sameKeys(
    input.cases.map((each) => String(each.case)),
    expected.cases.map((each) => String(each.case)),
  );
  const cases = input.cases.flatMap((each) =>
    expected.cases.filter((other) => other.case === each.case).map((other) => ({ input: each, expected: other })),
  );
  return { kind: 'sync-service', cases };
}

function readSync(data: unknown, files: GoldenFiles, mode: GoldenMode): GoldenBody {
  const input = files.check(golden.syncInputSchema, data, 'input.yaml');
  const file = files.path('input.yaml');
  if ((input.objects === undefined) === (input.steps === undefined)) {
    throw new InputError('A case must have either "objects" or "steps".', { file });
  }
  const kernelFile = input.kernelBefore ?? (files.has(KERNEL_FILE) ? KERNEL_FILE : undefined);
  if (kernelFile !== undefined && mode === 'iptables') {
    throw new InputError('"kernelBefore" is a dump of an nftables table or of IPVS.', { file });
  }
  const kernelBefore = kernelFile === undefined ? undefined : files.dump(kernelFile);
  const flows: GoldenFlows = files.has('cases.json')
    ? files.json('cases.json', golden.flowsFileSchema)
    : { localIPs: [], flows: [] };
  const ipvs = mode === 'ipvs' && files.has('expected.json') ? readIpvsExpected(files) : undefined;
  const steps = input.steps === undefined ? [oneStep(input, files, ipvs)] : manySteps(input, files, ipvs);
  const last = steps[steps.length - 1];
  steps[steps.length - 1] = {
    ...last,
    flows: [...last.flows, ...flows.flows],
    expects: input.steps === undefined || input.expect === undefined ? last.expects : [...last.expects, input.expect],
  };
  for (const [index, then] of (input.then ?? []).entries()) {
    steps.push({
      ...emptyStep(`then ${index + 1}`),
      ...readChanges(then.apply, then.delete, file),
      ...readExpects([assertionsOf(then), then.expect]),
    });
  }
  if (!steps.some(asserts)) throw new InputError('The case expects nothing, so it can check nothing.', { file });
  return { kind: 'sync', proxy: input.proxy, kernelBefore, localIps: flows.localIPs, steps };
}

function emptyStep(label: string): GoldenStep {
  return {
    label,
    apply: [],
    remove: [],
    sync: undefined,
    ageSeconds: 0,
    secondsSinceCleanup: undefined,
    dump: undefined,
    chains: undefined,
    ipvs: undefined,
    flows: [],
    expects: [],
  };
}

function asserts(step: GoldenStep): boolean {
  return (
    step.dump !== undefined ||
    step.chains !== undefined ||
    step.ipvs !== undefined ||
    step.flows.length > 0 ||
    step.expects.some((expect) => Object.entries(expect).some(([key, value]) => key !== 'note' && value !== null))
  );
}

function oneStep(
  input: golden.SyncInput,
  files: GoldenFiles,
  ipvs: z.output<typeof golden.ipvsExpectedSchema> | undefined,
): GoldenStep {
  const { steps: wrong, ...expected } = ipvs ?? {};
  if (wrong !== undefined)
    throw new InputError('"steps" needs steps in input.yaml.', { file: files.path('expected.json') });
  return {
    ...emptyStep(''),
    ...readChanges(input.objects, [], files.path('input.yaml')),
    ...readExpects([input.expect]),
    secondsSinceCleanup: input.secondsSinceLastChainCleanup,
    dump: files.has('expected.txt') ? files.dump('expected.txt') : undefined,
    chains: files.has('expected-chains.json') ? files.json('expected-chains.json', golden.chainsSchema) : undefined,
    ipvs: ipvs === undefined ? undefined : expected,
  };
}

function manySteps(
  input: golden.SyncInput,
  files: GoldenFiles,
  ipvs: z.output<typeof golden.ipvsExpectedSchema> | undefined,
): GoldenStep[] {
  const file = files.path('input.yaml');
  const given = input.steps ?? [];
  if (given.length === 0) throw new InputError('"steps" is empty.', { file });
  const { steps: ipvsSteps, ...ipvsAtEnd } = ipvs ?? {};
  const stray = ipvsSteps?.find((each) => !given.some((step) => step.step === each.step));
  if (stray !== undefined) {
    throw new InputError(`Step ${stray.step} is not a step of input.yaml.`, { file: files.path('expected.json') });
  }
  return given.map((step, index): GoldenStep => {
    const { step: number, expected } = step;
    const isLast = index === given.length - 1;
    const conventional = `expected-${String(number).padStart(2, '0')}.txt`;
    const dumpFile = expected ?? (files.has(conventional) ? conventional : undefined);
    const whole = isLast && dumpFile === undefined && files.has('expected.txt') ? 'expected.txt' : dumpFile;
    const chains = isLast && files.has('expected-chains.json');
    const ofStep = ipvsSteps?.find((each) => each.step === number);
    return {
      ...emptyStep(`step ${number}`),
      ...readChanges(step.apply, step.delete, file),
      ...readExpects([assertionsOf(step), step.expect]),
      ageSeconds: step.ageStaleChainsSeconds ?? 0,
      secondsSinceCleanup: step.secondsSinceLastChainCleanup,
      dump: whole === undefined ? undefined : files.dump(whole),
      chains: chains ? files.json('expected-chains.json', golden.chainsSchema) : undefined,
      ipvs: ofStep ?? (isLast && Object.keys(ipvsAtEnd).length > 0 ? ipvsAtEnd : undefined),
    };
  });
}

function readIpvsExpected(files: GoldenFiles): z.output<typeof golden.ipvsExpectedSchema> {
  const data = foldSets(files.rawJson('expected.json'));
  const steps = isRecord(data) ? data['steps'] : undefined;
  const folded = isRecord(data) && Array.isArray(steps) ? { ...data, steps: steps.map(foldSets) } : data;
  return files.check(golden.ipvsExpectedSchema, folded, 'expected.json');
}

/** A set may stand by its own name instead of inside `ipsets`. */
function foldSets(data: unknown): unknown {
  if (!isRecord(data)) return data;
  const sets = Object.entries(data).filter(([key]) => /^KUBE-[A-Z0-9-]+$/.test(key));
  if (sets.length === 0) return data;
  const rest = Object.entries(data).filter(([key]) => !sets.some(([name]) => name === key));
  const inside = isRecord(data['ipsets']) ? data['ipsets'] : {};
  return { ...Object.fromEntries(rest), ipsets: { ...inside, ...Object.fromEntries(sets) } };
}

function readChanges(
  apply: readonly unknown[] | null | undefined,
  remove: readonly golden.GoldenObjectName[] | null | undefined,
  file: string,
): Pick<GoldenStep, 'apply' | 'remove'> {
  return {
    apply: (apply ?? []).map((object) => readGoldenObject(object, file)),
    remove: (remove ?? []).map(({ kind, namespace, name }) => ({ kind, key: `${namespace ?? 'default'}/${name}` })),
  };
}

/** Assertions may stand in a step itself as well as under `expect`. */
function assertionsOf(step: GoldenExpect): GoldenExpect {
  const isAssertion = ([key]: [string, unknown]): boolean =>
    key !== 'note' && Object.hasOwn(golden.expectSchema.shape, key);
  return golden.expectSchema.parse(Object.fromEntries(Object.entries(step).filter(isAssertion)));
}

function readExpects(expects: readonly (GoldenExpect | undefined)[]): Pick<GoldenStep, 'expects' | 'flows' | 'sync'> {
  const given = expects.filter((each) => each !== undefined);
  const sync = given.find((each) => each.sync !== undefined)?.sync;
  return {
    expects: given,
    flows: given.flatMap((each) => (each.flow === undefined ? [] : [each.flow])),
    // A failed partial sync leaves the kernel as it was; what the case then shows is the full one that follows.
    sync: sync === undefined ? undefined : sync === 'partial' ? 'partial' : 'full',
  };
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

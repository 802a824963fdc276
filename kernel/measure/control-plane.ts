/** Programming, as kube-proxy does it: which commands, with which input, in which order. Inputs are the programs' own. */
import { IptablesProgrammer } from '../../engines/iptables/program/programmer.ts';
import { NftablesProgrammer } from '../../engines/nftables/program/programmer.ts';
import type { NftablesProgram } from '../../engines/nftables/program/program.ts';
import type { ServicePortConfig } from '../../model/service-config.ts';
import { rigConfig, rigService, rigServices } from './rig-cluster.ts';
import type { RigNetwork } from './rig-cluster.ts';
import { FIRST_SYNC, ipvsRuleset } from './rulesets.ts';

export const CONTROL_ENGINES = ['ipt-legacy', 'ipt-nft', 'nft', 'ipset'] as const;
export type ControlEngine = (typeof CONTROL_ENGINES)[number];

/** One command of which the time is taken; `untimed` is what must be done before it. */
export interface ControlRun {
  readonly untimed?: { readonly command: string; readonly input: string };
  readonly command: string;
  readonly input: string;
}

export interface ControlOperation {
  readonly name: string;
  readonly comments: boolean;
  /** Made one by one, as they are asked for: the input of one may be large. */
  readonly runs: Iterable<ControlRun & { readonly rulesWritten: number }>;
}

export interface ControlSize {
  readonly engine: ControlEngine;
  readonly services: number;
  readonly endpoints: number;
}

/** Operations on a namespace without rules, in this order; each run must be made before the next is asked for. */
export function controlOperations(network: RigNetwork, size: ControlSize): Iterable<ControlOperation> {
  switch (size.engine) {
    case 'ipt-legacy':
    case 'ipt-nft':
      return iptablesOperations(network, size);
    case 'nft':
      return nftablesOperations(network, size);
    case 'ipset':
      return ipsetOperations(network, size);
  }
}

const CHANGED_SERVICES = [1, 10, 100] as const;
const ADDED_SERVICES = [1, 100] as const;
const REPEATS = 3;

/** Simulated seconds between syncs: stale chains of nftables mode may go after one. */
const SYNC_SECONDS = 2;

function* iptablesOperations(
  network: RigNetwork,
  { engine, services, endpoints }: ControlSize,
): Generator<ControlOperation> {
  const tool = engine === 'ipt-legacy' ? 'iptables-legacy' : 'iptables-nft';
  const restore = `${tool}-restore --noflush --counters`;
  const config = rigConfig(network);
  const programmer = new IptablesProgrammer(config);
  const cluster = rigServices(network, services, endpoints);
  const comments = services * endpoints <= config.largeClusterEndpoints;
  const written = (input: string): ControlRun & { rulesWritten: number } => {
    return { command: restore, input, rulesWritten: lineCount(input, '-A ') };
  };
  const first = written(programmer.sync(cluster, FIRST_SYNC).kernelText());
  yield { name: 'load-empty', comments, runs: [first] };
  const full = (): string => programmer.sync(cluster, { ...FIRST_SYNC, nowSeconds: SYNC_SECONDS }).restoreText();
  yield { name: 'full-sync', comments, runs: repeated(REPEATS, () => written(full())) };
  for (const changes of CHANGED_SERVICES) {
    const runs = repeated(REPEATS, (run) => {
      const changed = change(network, cluster, changes, run);
      return written(programmer.sync(cluster, { full: false, changed, nowSeconds: SYNC_SECONDS }).restoreText());
    });
    yield { name: `partial-sync-${changes}`, comments, runs };
  }
  const { rulesWritten } = first;
  yield {
    name: 'save-nat',
    comments,
    runs: repeated(2, () => ({ command: `${tool}-save -t nat`, input: '', rulesWritten })),
  };
}

function* nftablesOperations(network: RigNetwork, { services, endpoints }: ControlSize): Generator<ControlOperation> {
  const programmer = new NftablesProgrammer(rigConfig(network));
  const cluster = rigServices(network, services, endpoints);
  let nowSeconds = 0;
  const text = programmer.sync(cluster, FIRST_SYNC).kernelText();
  const rules = lineCount(text, 'add rule ');
  yield { name: 'load-empty', comments: true, runs: [{ command: NFT, input: text, rulesWritten: rules }] };
  const sync = (full: boolean, changed: ReadonlySet<string>): NftablesProgram => {
    nowSeconds += SYNC_SECONDS;
    return programmer.sync(cluster, { full, changed, nowSeconds });
  };
  for (const changes of CHANGED_SERVICES) {
    const runs = repeated(REPEATS, (run) => transaction(sync(false, change(network, cluster, changes, run))));
    yield { name: `partial-sync-${changes}`, comments: true, runs };
  }
  for (const added of ADDED_SERVICES) {
    const grow = (): ControlRun & { rulesWritten: number } => {
      const from = cluster.length;
      for (let i = from; i < from + added; i++) cluster.push(rigService(network, i, endpoints));
      return transaction(sync(false, namesOf(cluster.slice(from))));
    };
    const shrink = (): ControlRun & { rulesWritten: number } => {
      const gone = namesOf(cluster.splice(cluster.length - added));
      return { ...transaction(sync(false, gone)), rulesWritten: added };
    };
    yield { name: `add-services-${added}`, comments: true, runs: repeated(REPEATS, grow) };
    yield { name: `delete-services-${added}`, comments: true, runs: repeated(REPEATS, shrink) };
  }
  yield { name: 'full-sync', comments: true, runs: repeated(1, () => transaction(sync(true, new Set()))) };
  const list = { command: 'nft -t list ruleset', input: '', rulesWritten: services };
  yield { name: 'list-chain-count', comments: true, runs: [list] };
}

const NFT = 'nft -f -';

/** Chains that went stale in an earlier sync are deleted before, in a transaction of their own. */
function transaction(program: NftablesProgram): ControlRun & { rulesWritten: number } {
  const input = `${program.transaction.join('\n')}\n`;
  const rulesWritten = lineCount(input, 'add rule ');
  if (program.cleanup.length === 0) return { command: NFT, input, rulesWritten };
  return { untimed: { command: NFT, input: `${program.cleanup.join('\n')}\n` }, command: NFT, input, rulesWritten };
}

const SET = 'KUBE-CLUSTER-IP';
const SINGLE_REPEATS = 10;

function* ipsetOperations(network: RigNetwork, { services, endpoints }: ControlSize): Generator<ControlOperation> {
  const { sets } = ipvsRuleset(network, services, endpoints);
  const load = { untimed: { command: 'ipset destroy', input: '' }, command: 'ipset restore', input: sets };
  const rulesWritten = lineCount(sets, 'add ');
  yield { name: 'load-empty', comments: true, runs: repeated(REPEATS, () => ({ ...load, rulesWritten })) };
  for (const verb of ['add', 'del'] as const) {
    const one = (run: number): ControlRun & { rulesWritten: number } => {
      return { command: `ipset ${verb} ${SET} ${network}.95.${run}.1,udp:80`, input: '', rulesWritten: 1 };
    };
    yield { name: `${verb}-1`, comments: true, runs: repeated(SINGLE_REPEATS, one) };
  }
}

/** Lazily: a run's input is made when the one before has been used. */
function* repeated<T>(count: number, make: (run: number) => T): Generator<T> {
  for (let run = 0; run < count; run++) yield make(run);
}

/** Gives `count` Services from the middle on other endpoints, each time others than before; their names. */
function change(network: RigNetwork, cluster: ServicePortConfig[], count: number, run: number): Set<string> {
  const changed: ServicePortConfig[] = [];
  for (let k = 0; k < count; k++) {
    const index = ((cluster.length >> 1) + run * count + k) % cluster.length;
    const endpoints = cluster[index].endpoints.length;
    cluster[index] = rigService(network, index, endpoints, 1 + run);
    changed.push(cluster[index]);
  }
  return namesOf(changed);
}

function namesOf(services: readonly ServicePortConfig[]): Set<string> {
  return new Set(services.map(({ namespace, name }) => `${namespace}/${name}`));
}

function lineCount(text: string, beginning: string): number {
  let count = text.startsWith(beginning) ? 1 : 0;
  for (let at = text.indexOf(`\n${beginning}`); at >= 0; at = text.indexOf(`\n${beginning}`, at + 1)) count++;
  return count;
}

/**
 * What is fitted together, and to which rows. The order counts: a block takes what the blocks before it found for granted. A number that no
 * block names is stated: no row of the rig can tell it.
 */
import type { CostUnit } from '../../model/profile.ts';
import { CPU_SECONDS } from '../cpu-seconds.ts';
import { variantOption } from '../measured-row.ts';
import type { MeasuredRow } from '../measured-row.ts';
import { ipvsPath } from '../rig/rig-ipvs.ts';

interface Parameter {
  readonly path: string;
  /** What rows it needs, for the message where they are missing. */
  readonly needs: string;
  /** May be below zero: a difference. */
  readonly signed?: boolean;
}

/** A parameter that predictions do not depend on by a straight line: searched between two bounds. */
export interface SearchedParameter {
  readonly path: string;
  readonly needs: string;
  readonly low: number;
  readonly high: number;
}

export interface Block {
  readonly name: string;
  readonly rows: (row: MeasuredRow) => boolean;
  readonly parameters: readonly Parameter[];
  readonly searched: readonly SearchedParameter[];
  /** Parameters that are equal to one that the block found, such as `ipvs.rule` to `iptables.otherRule`. */
  readonly equal: readonly (readonly [path: string, to: string])[];
}

const isPacket = (row: MeasuredRow): boolean => row.mode === 'first' || row.mode === 'established';
const block = (
  name: string,
  rows: Block['rows'],
  parameters: readonly Parameter[],
  more: Partial<Pick<Block, 'searched' | 'equal'>> = {},
): Block => ({ name, rows, parameters, searched: [], equal: [], ...more });

const BASELINES = ['none', 'conntrack', 'conntrack+nat'];

const PACKET = block(
  'fixed parts',
  (row) => isPacket(row) && BASELINES.includes(row.engine),
  BASELINES.flatMap((engine, i) =>
    ['first', 'established'].map((mode) => ({
      path: `packet.${['bare', 'conntrack', 'natHooks'][i]}${mode === 'first' ? 'First' : 'Established'}`,
      needs: `a row of engine ${engine}, mode ${mode}`,
    })),
  ),
);

/** Packets whose endpoint is picked at random. In the guest such a row is a median of picks, which scatters by 1% and more from run to run, where the others repeat to 0.1%. */
const isPicked = (row: MeasuredRow): boolean => row.mode === 'first' && row.endpointsPerService > 1;

function pickedBlock(section: 'iptables' | 'iptablesNft'): Block {
  const engine = section === 'iptables' ? 'ipt-legacy' : 'ipt-nft';
  return block(`${engine} random endpoints`, (row) => row.engine === engine && isPicked(row), [
    { path: `${section}.statisticRule`, needs: 'first packets to services of several numbers of endpoints' },
  ]);
}

function iptablesBlock(section: 'iptables' | 'iptablesNft', unit: CostUnit): Block {
  const engine = section === 'iptables' ? 'ipt-legacy' : 'ipt-nft';
  const at = (key: string): string => `${section}.${key}`;
  const legacy = section === 'iptables';
  const counted: Parameter[] = [
    { path: at('serviceRule'), needs: 'first packets behind few and behind many rules' },
    { path: at('statisticRule'), needs: 'first packets to services of few and of many endpoints' },
    { path: at('otherRule'), needs: 'first packets of position miss' },
    { path: at('natSetup'), needs: 'first packets of position miss, and to a service' },
    { path: at('translate'), needs: 'established packets' },
  ];
  const uncommented: Parameter[] = legacy
    ? [{ path: at('comment'), needs: 'the same packets with comments and without' }]
    : [];
  if (unit === 'instructions') {
    const plain = counted.filter(({ path }) => path !== at('statisticRule'));
    return block(engine, (row) => isPacket(row) && row.engine === engine && !isPicked(row), [...plain, ...uncommented]);
  }
  const memory: Parameter[] = [
    { path: at('coldServiceChains'), needs: 'first packets of position uniform over several thousand services' },
    { path: at('coldRule'), needs: 'first packets behind many rules, with evict=8MiB or beyond the L2 cache' },
    ...(legacy
      ? [
          { path: at('coldUncommentedRule'), needs: 'the same behind rules without comments' },
          { path: 'packet.conntrackCold', needs: 'established packets with flows=8192 and flows=1' },
        ]
      : []),
    { path: at('coldFirst'), needs: 'first packets with evict=8MiB' },
    { path: at('coldEstablished'), needs: 'established packets with evict=8MiB' },
  ];
  const knee = [
    {
      path: 'cache.kneeStartRatio',
      needs: 'first packets behind as many rules as just fit the L2 cache, and more',
      low: 0.75,
      high: 1.05,
    },
    {
      path: 'cache.kneeEndRatio',
      needs: 'first packets behind more rules than fit the L2 cache, by half and by twice as many',
      low: 1.2,
      high: 2,
    },
  ];
  const chains = {
    path: at('chainTouchedBytes'),
    needs: 'first packets of position uniform over several numbers of services',
    low: 100,
    high: 1000,
  };
  return block(engine, (row) => isPacket(row) && row.engine === engine, [...counted, ...uncommented, ...memory], {
    searched: legacy ? [...knee, chains] : [chains],
  });
}

const MIB = 1024 * 1024;

function nftablesBlock(unit: CostUnit): Block {
  const counted: Parameter[] = [
    { path: 'nftables.step', needs: 'first packets of position miss' },
    { path: 'nftables.natSetup', needs: 'first packets of position miss, and to a service' },
    { path: 'nftables.translate', needs: 'established packets' },
  ];
  const rows = (row: MeasuredRow): boolean => isPacket(row) && row.engine === 'nft';
  if (unit === 'instructions') return block('nft', rows, counted);
  const memory: Parameter[] = [
    { path: 'nftables.coldServiceChains', needs: 'first packets of position uniform over some thousand services' },
    { path: 'nftables.farServiceChains', needs: 'first packets of position uniform over 10,000 services and more' },
    { path: 'nftables.coldFirst', needs: 'first packets with evict=8MiB' },
    { path: 'nftables.coldEstablished', needs: 'established packets with evict=8MiB' },
  ];
  const uniform = 'first packets of position uniform over several numbers of services';
  return block('nft', rows, [...counted, ...memory], {
    searched: [
      { path: 'nftables.chainTouchedBytes', needs: uniform, low: 200, high: 900 },
      { path: 'cache.lastLevelBytes', needs: uniform, low: 6 * MIB, high: 48 * MIB },
    ],
  });
}

const isOperation = (row: MeasuredRow, engine: string): boolean =>
  row.mode === 'sync' && row.engine === engine && (row.unit === CPU_SECONDS || row.unit.startsWith('instructions/'));

const COMMANDS = block('starting a command', (row) => isOperation(row, 'ipset') && /^(add|del)-1$/.test(row.position), [
  { path: 'proxy.exec', needs: 'operations add-1 or del-1 of ipset' },
]);
const IPSETS = block('ipset', (row) => isOperation(row, 'ipset') && row.position === 'load-empty', [
  { path: 'proxy.ipsetEntry', needs: 'operation load-empty of ipset' },
]);

function restoreBlocks(section: 'iptablesSync' | 'iptablesNftSync'): Block[] {
  const engine = section === 'iptablesSync' ? 'ipt-legacy' : 'ipt-nft';
  const sizes = 'operations full-sync and partial-sync-1|10|100 at several sizes and endpoints';
  const keys = ['restoreLine', 'tableRule', 'serviceRule', 'serviceRuleTimesChain', 'chainSquared'];
  const isSave = (row: MeasuredRow): boolean => row.position === 'save-nat';
  return [
    block(
      `${engine}-restore`,
      (row) => isOperation(row, engine) && !isSave(row),
      keys.map((key) => ({ path: `${section}.${key}`, needs: sizes })),
    ),
    block(`${engine}-save`, (row) => isOperation(row, engine) && isSave(row), [
      { path: `${section}.saveLine`, needs: 'operation save-nat' },
    ]),
  ];
}

const isListing = (row: MeasuredRow): boolean => row.position === 'list-chain-count';
const NFT_SYNC = [
  block(
    'nft -f',
    (row) => isOperation(row, 'nft') && !isListing(row),
    ['tableRule', 'tableRuleSquared', 'validatedRuleSquared', 'operation', 'mapTimesMaps', 'mapTimesOperations'].map(
      (key) => ({
        path: `nftSync.${key}`,
        needs: 'operations load-empty, partial-sync, add-services and delete-services at several sizes and endpoints',
      }),
    ),
  ),
  block(
    'nft list',
    (row) => isOperation(row, 'nft') && isListing(row),
    ['listRule', 'listServicesSquared'].map((key) => ({
      path: `nftSync.${key}`,
      needs: 'operation list-chain-count at several sizes and endpoints',
    })),
  ),
];

/** Blocks of a profile in nanoseconds. */
const NANOSECOND_BLOCKS: readonly Block[] = [
  PACKET,
  iptablesBlock('iptables', 'ns'),
  iptablesBlock('iptablesNft', 'ns'),
  nftablesBlock('ns'),
  COMMANDS,
  IPSETS,
  ...restoreBlocks('iptablesSync'),
  ...restoreBlocks('iptablesNftSync'),
  ...NFT_SYNC,
];

const isIpvs = (row: MeasuredRow): boolean => isPacket(row) && row.engine === 'ipvs';
const schedulerOf = (row: MeasuredRow): string => variantOption(row.variant, 'sched') ?? 'rr';

const IPVS_BARE = block(
  'ipvs alone',
  (row) => isIpvs(row) && ipvsPath(row.variant) === 'bare' && schedulerOf(row) === 'rr',
  [
    { path: 'ipvs.bareFirst', needs: 'first packets of position miss, variant bare' },
    { path: 'ipvs.bareEstablished', needs: 'established packets, variant bare' },
    { path: 'ipvs.connectionInsert', needs: 'first packets of position miss, and to a service, variant bare' },
    { path: 'ipvs.serviceChainEntry', needs: 'first packets to the oldest of many services, variant bare' },
    { path: 'ipvs.routeFill', needs: 'first packets of position uniform over 5,000 services and more, variant bare' },
    { path: 'ipvs.connectionChainEntryFirst', needs: 'first packets with conn_tab_bits=8:conns=32768' },
    { path: 'ipvs.connectionChainEntryEstablished', needs: 'established packets with conn_tab_bits=8:conns=32768' },
  ],
);

/** Schedulers that the guest's kernel was measured with, and whether they look at every real server. */
const MEASURED_SCHEDULERS: Readonly<Record<string, boolean>> = {
  wrr: false,
  lc: true,
  wlc: true,
  sh: false,
  dh: false,
  mh: false,
  sed: true,
  nq: false,
};

function schedulerBlock(scheduler: string, walksAll: boolean): Block {
  const needs = `first packets to services of few and of many endpoints, variant sched=${scheduler}`;
  const at = (key: string): Parameter => ({ path: `ipvs.schedulers.${scheduler}.${key}`, needs, signed: true });
  return block(
    `scheduler ${scheduler}`,
    (row) => isIpvs(row) && row.mode === 'first' && schedulerOf(row) === scheduler,
    walksAll ? [at('fixed'), at('destination')] : [at('fixed')],
  );
}

function ipvsPathBlock(path: 'conntrack' | 'kubeRules' | 'kubeIpvs0', more: readonly Parameter[] = []): Block {
  const variant = { conntrack: 'conntrack', kubeRules: 'kube-rules', kubeIpvs0: 'kube-rules+kube-ipvs0' }[path];
  return block(`ipvs ${variant}`, (row) => isIpvs(row) && ipvsPath(row.variant) === path, [
    { path: `ipvs.${path}First`, needs: `first packets, variant ${variant}`, signed: true },
    { path: `ipvs.${path}Established`, needs: `established packets, variant ${variant}`, signed: true },
    ...more,
  ]);
}

const ADDRESSES = 'packets over one and over many services, variant kube-rules+kube-ipvs0';

/** Blocks of a profile in instructions. */
const INSTRUCTION_BLOCKS: readonly Block[] = [
  PACKET,
  {
    ...iptablesBlock('iptables', 'instructions'),
    equal: [
      ['ipvs.rule', 'iptables.otherRule'],
      ['ipvs.natSetup', 'iptables.natSetup'],
    ],
  },
  pickedBlock('iptables'),
  iptablesBlock('iptablesNft', 'instructions'),
  pickedBlock('iptablesNft'),
  nftablesBlock('instructions'),
  IPVS_BARE,
  ...Object.entries(MEASURED_SCHEDULERS).map(([name, walksAll]) => schedulerBlock(name, walksAll)),
  ipvsPathBlock('conntrack'),
  ipvsPathBlock('kubeRules'),
  ipvsPathBlock('kubeIpvs0', [
    { path: 'ipvs.boundAddress', needs: ADDRESSES },
    { path: 'ipvs.boundAddressDoubling', needs: ADDRESSES },
  ]),
  block('addresses', (row) => isOperation(row, 'ipvs') && row.position === 'addr-add', [
    { path: 'proxy.exec', needs: 'operation addr-add of one address' },
    { path: 'ipvs.address', needs: 'operation addr-add of several numbers of addresses' },
    { path: 'ipvs.addressTimesBound', needs: 'operation addr-add of several numbers of addresses' },
  ]),
  block('netlink additions', (row) => isOperation(row, 'ipvs') && /^add-serv(ice|er)$/.test(row.position), [
    { path: 'ipvs.addRequest', needs: 'operations add-service and add-server' },
  ]),
  block('netlink deletions', (row) => isOperation(row, 'ipvs') && /^del-serv(ice|er)$/.test(row.position), [
    { path: 'ipvs.deleteRequest', needs: 'operations del-service and del-server' },
  ]),
  block('ipvsadm -R', (row) => isOperation(row, 'ipvs') && row.position === 'load' && row.variant === 'ipvsadm-R', [
    { path: 'ipvs.restoredEntry', needs: 'operation load, variant ipvsadm-R' },
  ]),
  block('ipvsadm -Ln', (row) => isOperation(row, 'ipvs') && row.position === 'list', [
    { path: 'ipvs.listedEntry', needs: 'operation list, variant ipvsadm' },
  ]),
  block('ipt-legacy-restore', (row) => isOperation(row, 'ipt-legacy'), [
    { path: 'iptablesSync.restoreLine', needs: 'operation load at several sizes' },
    { path: 'iptablesSync.chainSquared', needs: 'operation load at several sizes' },
  ]),
  block('ipt-nft-restore', (row) => isOperation(row, 'ipt-nft'), [
    { path: 'iptablesNftSync.restoreLine', needs: 'operation load at several sizes' },
    { path: 'iptablesNftSync.chainSquared', needs: 'operation load at several sizes' },
  ]),
  block('nft -f', (row) => isOperation(row, 'nft'), [
    { path: 'nftSync.operation', needs: 'operation load at several sizes' },
    { path: 'nftSync.mapTimesOperations', needs: 'operation load at several sizes' },
  ]),
];

export function blocksOf(unit: CostUnit): readonly Block[] {
  return unit === 'ns' ? NANOSECOND_BLOCKS : INSTRUCTION_BLOCKS;
}

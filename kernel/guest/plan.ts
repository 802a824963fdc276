/**
 * What a guest measures. Each part leaves the guest as it found it; at full size each has a guest of its own, for a part can only then not
 * show in another's numbers.
 */
import type { MeasuredEngine, PlanSize } from '../measure/plan.ts';
import { directPoints, endpointPoints, positionPoints } from '../measure/points.ts';
import type { Effort } from '../measure/points.ts';
import { ruleset } from '../measure/rulesets.ts';
import type { PacketEngine } from '../measure/rulesets.ts';
import { ipvsConnections, ipvsSchedulers, ipvsServices, ipvsWithConntrack, ipvsWithRules } from './ipvs-plan.ts';
import { DRAWN_EFFORT, EFFORT, GUEST_NETWORK, SYNC_POINT } from './rig.ts';
import type { Part } from './rig.ts';
import type { GuestScript } from './script.ts';

/** Engines that a guest measures, in this order. */
export const GUEST_ENGINES = ['ipvs', 'ipt-legacy', 'ipt-nft', 'nft'] as const;
type GuestEngine = (typeof GUEST_ENGINES)[number];

/** Parts of one guest each. */
export function guestPlan(size: PlanSize, engines: readonly MeasuredEngine[]): readonly (readonly Part[])[] {
  const parts = GUEST_ENGINES.filter((engine) => engines.includes(engine)).flatMap((engine) => partsOf(size, engine));
  return size === 'full' ? parts.map((part) => [part]) : [parts];
}

function partsOf(size: PlanSize, engine: GuestEngine): Part[] {
  switch (engine) {
    case 'ipvs':
      return ipvsParts(size);
    case 'ipt-legacy':
    case 'ipt-nft':
    case 'nft':
      return [rulesPart(size, engine)];
  }
}

interface RuleSizes {
  readonly services: readonly number[];
  readonly withoutComments: readonly number[];
  readonly endpoints: readonly number[];
  readonly seconds: number;
}

const RULE_SIZES: Readonly<Record<PacketEngine, Readonly<Record<PlanSize, RuleSizes>>>> = {
  'ipt-legacy': {
    full: {
      services: [1, 10, 100, 1000, 2000, 5000, 10_000],
      withoutComments: [1000, 2000, 5000, 10_000],
      endpoints: [1, 2, 5, 10, 20, 50, 100],
      seconds: 95,
    },
    quick: { services: [1, 100, 1000], withoutComments: [], endpoints: [1, 10, 100], seconds: 4 },
    smoke: { services: [1, 20], withoutComments: [], endpoints: [], seconds: 1 },
  },
  'ipt-nft': {
    full: { services: [1, 10, 100, 1000], withoutComments: [], endpoints: [1, 10, 100], seconds: 20 },
    quick: { services: [1, 100, 300], withoutComments: [], endpoints: [1, 10, 100], seconds: 3 },
    smoke: { services: [1, 20], withoutComments: [], endpoints: [], seconds: 1 },
  },
  nft: {
    full: {
      services: [1, 10, 100, 1000, 3000, 5000],
      withoutComments: [],
      endpoints: [1, 2, 5, 10, 20, 50, 100],
      seconds: 40,
    },
    quick: { services: [1, 100, 1000], withoutComments: [], endpoints: [1, 100], seconds: 4 },
    smoke: { services: [1, 20], withoutComments: [], endpoints: [], seconds: 1 },
  },
};

const LOADERS: Readonly<Record<PacketEngine, string>> = {
  'ipt-legacy': 'iptables-legacy-restore',
  'ipt-nft': 'iptables-nft-restore',
  nft: 'nft -f -',
};

const LONG_EFFORT: Effort = { packets: 64, repeats: 2 };

/** At the beginning of every guest. */
export function writeBase(script: GuestScript): void {
  script.step('baselines without Services');
  writeDirect(script, 'none', ['flush=0']);
  const point = { ...SYNC_POINT, engine: 'none', mode: 'syscall', position: 'getppid', comments: true } as const;
  script.packets({ point, load: ['syscall', 'ticks'] });
}

function writeDirect(script: GuestScript, engine: string, options: readonly string[] = []): void {
  const effort = [`packets=${EFFORT.packets}`, `repeats=${EFFORT.repeats}`];
  for (const point of directPoints(GUEST_NETWORK, engine, [...effort, ...options])) script.packets(point);
}

const CONNTRACK_RULE = '-A INPUT -m conntrack --ctstate NEW -j ACCEPT';

function rulesPart(size: PlanSize, engine: PacketEngine): Part {
  const sizes = RULE_SIZES[engine][size];
  return {
    name: engine,
    expectedSeconds: sizes.seconds,
    write(script) {
      if (engine === 'ipt-legacy') {
        script.run(`iptables-legacy ${CONNTRACK_RULE}`);
        writeDirect(script, 'conntrack');
        script.run('iptables-legacy -t nat -N EMPTY');
        writeDirect(script, 'conntrack+nat');
      }
      for (const services of sizes.services) writePositions(script, engine, services, true);
      for (const services of sizes.withoutComments) writePositions(script, engine, services, false);
      for (const endpoints of sizes.endpoints) writeEndpoints(script, engine, endpoints);
      script.run(engine === 'ipt-legacy' ? 'iptables_off' : 'nft flush ruleset');
    },
  };
}

function writePositions(script: GuestScript, engine: PacketEngine, services: number, comments: boolean): void {
  const rules = ruleset(GUEST_NETWORK, { engine, services, endpoints: 1, comments });
  const variant = engine === 'ipt-legacy' ? `comments=${comments ? 1 : 0}` : '';
  script.step(`${engine} ${services} Services${comments ? '' : ' without comments'}`);
  if (engine === 'nft') script.run('nft flush ruleset');
  const input = script.file(`${engine}-${services}-${comments}`, rules.text);
  const load = { ...SYNC_POINT, engine, services, endpoints: 1, position: 'load', comments, variant };
  script.command(load, input, LOADERS[engine]);
  const effort = services < 5000 ? EFFORT : LONG_EFFORT;
  const options = { effort, evict: false, manyFlows: false, naming: 'numbers' } as const;
  for (const { point, load } of positionPoints(GUEST_NETWORK, rules, options)) {
    // In iptables mode a random Service costs what its place does, which is measured.
    if (point.position === 'uniform' && engine !== 'nft') continue;
    script.packets({ point: { ...point, variant }, load });
  }
}

function writeEndpoints(script: GuestScript, engine: PacketEngine, endpoints: number): void {
  const rules = ruleset(GUEST_NETWORK, { engine, services: 1, endpoints, comments: true });
  script.step(`${engine} 1 x ${endpoints} endpoints`);
  if (engine === 'nft') script.run('nft flush ruleset');
  script.run(`${LOADERS[engine]} < ${script.file(`${engine}-endpoints-${endpoints}`, rules.text)}`);
  for (const point of endpointPoints(GUEST_NETWORK, rules, DRAWN_EFFORT)) script.packets(point);
}

function ipvsParts(size: PlanSize): Part[] {
  switch (size) {
    case 'full':
      return [
        ipvsServices([1, 10, 100, 256, 1000, 5000, 10_000, 20_000, 50_000], 30),
        ipvsSchedulers(['rr', 'wrr', 'lc', 'wlc', 'sh', 'dh', 'mh', 'sed', 'nq'], [1, 10, 100], 15),
        ipvsConnections([8, 10, 12, 16, 20], [256, 4096, 32_768], 30),
        ipvsWithRules([1, 100, 1000, 5000, 10_000], 33),
        ipvsWithConntrack([1, 100, 1000, 5000, 10_000, 50_000], 18),
      ];
    case 'quick':
      return [
        ipvsServices([1, 256, 1000, 5000], 5),
        ipvsSchedulers(['rr', 'wlc', 'sh', 'mh'], [1, 10, 100], 4),
        ipvsConnections([8, 12], [4096], 2),
        ipvsWithRules([1, 100, 1000], 4),
        ipvsWithConntrack([1, 1000], 2),
      ];
    case 'smoke':
      return [ipvsServices([1, 300], 2), ipvsSchedulers(['mh'], [1], 1), ipvsWithRules([1], 1)];
  }
}

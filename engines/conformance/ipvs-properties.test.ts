/** What holds of the IPVS engine in any cluster: the way to a state does not matter, other services do not matter, choices are even. */
import { describe, expect, it } from 'vitest';
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import { ORIGIN_EXTERNAL, ORIGIN_POD, TCP_SYN } from '../../model/packet.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import { OUTCOME_ENDPOINT } from '../../model/verdict.ts';
import { Rng } from '../../sim/rng.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import { createIpvsEngine } from '../ipvs/engine.ts';
import { control, firstState, isControl, KnownServices } from './control-step.ts';
import { NODE_ADDRESSES, NODE_NAME } from './generate-cluster.ts';
import { generateProgram } from './generate.ts';
import { Sender } from './play.ts';
import type { Program } from './program.ts';

const WORLDS = 60;

function engineOf({ node, options }: Program, seed: number, changes: Partial<EngineOptions> = {}): Engine {
  return createIpvsEngine({ node, options: { ...options, evaluator: 'indexed', ...changes }, rng: new Rng(seed) });
}

/** What a dump says, real servers in any order: the kernel keeps the one in which they came. */
function stateOf(engine: Engine): string {
  return engine
    .dump('kernel')
    .split('\n')
    .sort((a, b) => (a < b ? -1 : 1))
    .join('\n');
}

describe('the way to a state', () => {
  it('sync and then applies leave what one sync of the result leaves, where no connection is open', () => {
    let applied = 0;
    for (let seed = 1; seed <= WORLDS; seed++) {
      const program = generateProgram({ mode: 'ipvs', seed, packets: 400, world: 'whole' });
      const services = new KnownServices();
      const changed = engineOf(program, seed);
      for (const step of program.steps.filter(isControl)) {
        control(changed, step);
        services.take(step);
        if (step.kind === 'apply') applied++;
      }
      const fresh = engineOf(program, seed + 1);
      fresh.sync({ servicePorts: [...services.byId.values()] }, 0);
      expect(stateOf(changed), `seed ${seed}`).toBe(stateOf(fresh));
    }
    expect(applied).toBeGreaterThan(WORLDS);
  });
});

/** Services like these at other addresses and ports, which no packet of the program goes to or comes from. */
function elsewhere(servicePorts: readonly ServicePort[]): ServicePort[] {
  const move = (address: number): number => address + 0x0100_0000;
  return servicePorts.map((svc) => ({
    ...svc,
    id: svc.id + 1000,
    namespace: 'elsewhere',
    clusterIp: move(svc.clusterIp),
    nodePort: svc.nodePort === 0 ? 0 : svc.nodePort + 1500,
    ...(svc.extras === undefined
      ? {}
      : {
          extras: {
            ...svc.extras,
            externalIps: svc.extras.externalIps.filter((ip) => !NODE_ADDRESSES.includes(ip)).map(move),
            loadBalancerVips: svc.extras.loadBalancerVips.map(move),
            healthCheckNodePort: svc.extras.healthCheckNodePort === 0 ? 0 : svc.extras.healthCheckNodePort + 1500,
          },
        }),
    endpoints: svc.endpoints.map((endpoint) => ({ ...endpoint, address: move(endpoint.address) })),
  }));
}

describe('unrelated services', () => {
  it('never change a verdict', () => {
    let translated = 0;
    for (let seed = 1; seed <= WORLDS; seed++) {
      const program = generateProgram({ mode: 'ipvs', seed, packets: 300, world: 'whole' });
      const own = firstState(program.steps).servicePorts;
      const others = elsewhere(firstState(generateProgram({ mode: 'ipvs', seed: seed + 5000, packets: 0, world: 'whole' }).steps).servicePorts); // prettier-ignore
      const alone = engineOf(program, seed);
      const among = engineOf(program, seed);
      alone.sync({ servicePorts: own }, 0);
      among.sync({ servicePorts: [...own, ...others] }, 0);
      const sender = new Sender();
      for (const step of program.steps) {
        if (step.kind !== 'packet') continue;
        const verdict = sender.send(alone, step);
        expect(sender.send(among, step), `seed ${seed} at ${step.at}`).toEqual(verdict);
        if (verdict.outcome !== OUTCOME_ENDPOINT) continue;
        translated++;
        // And the answer, as it comes from where the packet went.
        const answer = {
          ...step,
          srcAddress: verdict.dstAddress,
          srcPort: verdict.dstPort,
          dstAddress: verdict.srcAddress,
          dstPort: verdict.srcPort,
          origin: ORIGIN_POD,
        };
        expect(sender.send(among, answer), `seed ${seed} answer at ${step.at}`).toEqual(sender.send(alone, answer));
      }
    }
    expect(translated).toBeGreaterThan(1000);
  });
});

const SERVERS = 7;
const FIRST_SERVER = 0x0af40a01;
const CLIENTS = 0xcb007100;

function endpoints(nodeName: string): Endpoint[] {
  return Array.from({ length: SERVERS }, (_, k) => ({
    address: FIRST_SERVER + k,
    port: 8080,
    nodeName: k < 3 ? NODE_NAME : nodeName,
    ready: true,
    serving: true,
    terminating: false,
  }));
}

/** A service port of seven endpoints, three of them here, with a load balancer's address. */
function balanced(extras: Partial<ServicePort['extras']> = {}): ServicePort {
  return {
    id: 0,
    namespace: 'ns',
    name: 'svc',
    portName: '',
    protocol: PROTOCOL_TCP,
    clusterIp: VIP,
    port: 80,
    nodePort: 0,
    endpoints: endpoints('node-b'),
    extras: {
      externalIps: [],
      loadBalancerVips: [LOAD_BALANCER],
      loadBalancerSourceRanges: [],
      externalPolicyLocal: false,
      internalPolicyLocal: false,
      affinitySeconds: 0,
      healthCheckNodePort: 0,
      ...extras,
    },
  };
}

const VIP = 0x0a600001;
const LOAD_BALANCER = 0xc6336401;

/** How many of the connections of `clients` x `connections` went to each server; and the servers of each client. */
function spread(
  svc: ServicePort,
  dst: number,
  clients: number,
  connections: number,
  options: Partial<EngineOptions> = {},
) {
  const engine = createIpvsEngine({
    node: { name: NODE_NAME, addresses: NODE_ADDRESSES },
    options: { ...DEFAULT_ENGINE_OPTIONS, ...options },
    rng: new Rng(5),
  });
  engine.sync({ servicePorts: [svc] }, 0);
  const sender = new Sender();
  const counts = new Array<number>(SERVERS).fill(0);
  const serversOf = new Map<number, Set<number>>();
  for (let c = 0; c < connections; c++) {
    for (let k = 0; k < clients; k++) {
      const srcAddress = CLIENTS + k;
      const packet = { srcAddress, srcPort: 20000 + c, dstAddress: dst, dstPort: 80, origin: ORIGIN_EXTERNAL };
      const verdict = sender.send(engine, { ...packet, at: 0, protocol: PROTOCOL_TCP, flags: TCP_SYN });
      expect(verdict.outcome).toBe(OUTCOME_ENDPOINT);
      const server = verdict.dstAddress - FIRST_SERVER;
      counts[server] = (counts[server] ?? 0) + 1;
      serversOf.set(srcAddress, (serversOf.get(srcAddress) ?? new Set()).add(server));
    }
  }
  return { counts, serversOf };
}

describe('the choice of a server', () => {
  it.each(['rr', 'wrr', 'lc', 'wlc', 'sed', 'nq'] as const)(
    'is exactly even with %s while connections stay open',
    (ipvsScheduler) => {
      const { counts } = spread(balanced(), VIP, 14, 10, { ipvsScheduler });
      expect(counts).toEqual(new Array(SERVERS).fill(20));
    },
  );

  it('is exactly even among local endpoints under a Local policy', () => {
    const { counts } = spread(balanced({ externalPolicyLocal: true }), LOAD_BALANCER, 6, 10);
    expect(counts).toEqual([20, 20, 20, 0, 0, 0, 0]);
  });

  it('gives a client with affinity one server, and clients to servers in turn', () => {
    const { counts, serversOf } = spread(balanced({ affinitySeconds: 600 }), VIP, 21, 9);
    expect([...serversOf.values()].every(({ size }) => size === 1)).toBe(true);
    expect(counts).toEqual(new Array(SERVERS).fill(27));
  });

  it('hangs on the source address with sh, on address and port with mh, and is one server with dh and fo', () => {
    const bySource = spread(balanced(), VIP, 40, 6, { ipvsScheduler: 'sh' });
    expect([...bySource.serversOf.values()].every(({ size }) => size === 1)).toBe(true);
    expect(bySource.counts.every((count) => count > 0)).toBe(true);
    const byPort = spread(balanced(), VIP, 4, 200, { ipvsScheduler: 'mh' });
    expect([...byPort.serversOf.values()].every(({ size }) => size === SERVERS)).toBe(true);
    for (const ipvsScheduler of ['dh', 'fo'] as const) {
      expect(spread(balanced(), VIP, 10, 3, { ipvsScheduler }).counts.filter((count) => count > 0)).toEqual([30]);
    }
  });
});

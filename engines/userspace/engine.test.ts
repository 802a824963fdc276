import { describe, expect, it } from 'vitest';
import { answer, CASE_NODE, ipv4, makeEngine, send, sendAll, service } from '../conformance/harness.ts';
import type { PacketWords } from '../conformance/harness.ts';
import type { ServicePort } from '../../model/cluster.ts';
import { NO_SERVICE_EXTRAS } from '../../model/cluster.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import { Rng } from '../../sim/rng.ts';
import { createUserspaceEngine } from './engine.ts';

const VIP = '10.96.0.1:80';
const POD = '10.244.1.9:4000';
const PODS = ['10.244.1.1:8080', '10.244.1.2:8080', '10.244.1.3:8080'];
const web = service({ name: 'web', at: VIP, nodePort: 30080, endpoints: PODS });
const dns = service({ id: 1, name: 'dns', udp: true, at: '10.96.0.2:53', endpoints: PODS });

function engineWith(services: readonly ServicePort[], options: Partial<EngineOptions> = {}): Engine {
  const engine = makeEngine(createUserspaceEngine, options);
  engine.sync({ servicePorts: services }, 0);
  return engine;
}

const syn = (at: number, src = POD, dst = VIP): PacketWords => ({ at, src, dst, flags: 'SYN', origin: 'pod' });

describe('a proxied connection', () => {
  it('comes from the node to the endpoint, and its answers from the virtual address', () => {
    const engine = engineWith([web]);
    const first = send(engine, syn(1));
    expect(first).toMatchObject({
      outcome: 'endpoint',
      first: true,
      masqueraded: true,
      src: '192.168.0.1:32768',
      service: 0,
    });
    expect(PODS).toContain(first.dst);
    // Two look-ups and two checks of the reply tuple but for leg 1, which a local process takes; walks of PREROUTING and of OUTPUT.
    expect(first.work).toMatchObject({
      conntrack_lookups: 3,
      conntrack_inserts: 2,
      nat_setups: 1,
      userspace_copies: 0,
    });
    const reply = send(engine, answer(first, { at: 1.1, flags: 'SYN+ACK', origin: 'external' }));
    expect(reply).toMatchObject({ outcome: 'reply', src: VIP, dst: POD, first: false });
    const data = send(engine, { ...syn(1.2), flags: 'ACK' });
    expect(data).toMatchObject({ outcome: 'endpoint', src: first.src, dst: first.dst, first: false });
    expect(data.work).toMatchObject({ conntrack_lookups: 2, conntrack_inserts: 0, userspace_copies: 1 });
  });

  it('takes the endpoints in turn', () => {
    const engine = engineWith([web]);
    const dsts = Array.from({ length: 6 }, (_, i) => send(engine, syn(1, `10.244.1.9:${4000 + i}`)).dst);
    expect([...new Set(dsts)].sort((a, b) => (a < b ? -1 : 1))).toEqual(PODS);
    expect(dsts.slice(3)).toEqual(dsts.slice(0, 3));
  });

  it('is cut by a restart, and lives on while endpoints and other services change', () => {
    const engine = engineWith([web, dns]);
    const first = send(engine, syn(1));
    send(engine, answer(first, { at: 1, flags: 'SYN+ACK', origin: 'external' }));
    engine.apply({ upserted: [{ ...web, endpoints: [] }], removedIds: [1] }, 2e9);
    expect(send(engine, { ...syn(3), flags: 'ACK' })).toMatchObject({ outcome: 'endpoint', dst: first.dst });
    expect(send(engine, syn(3, '10.244.1.9:4999'))).toMatchObject({ outcome: 'reject', reason: 'no_endpoints' });
    engine.interrupt?.(4e9);
    expect(send(engine, { ...syn(5), flags: 'ACK' })).toMatchObject({ outcome: 'reject', reason: 'no_answer' });
    expect(send(engine, syn(5, '10.244.1.9:5000'))).toMatchObject({ outcome: 'accept', service: -1 });
    engine.sync({ servicePorts: [web] }, 6e9);
    expect(send(engine, { ...syn(7), flags: 'ACK' })).toMatchObject({ outcome: 'reject', reason: 'no_answer' });
    expect(send(engine, syn(7, '10.244.1.9:5001'))).toMatchObject({ outcome: 'endpoint' });
  });

  it('goes to the next endpoint when one does not answer, four times at most', () => {
    const dead = new Set([ipv4('10.244.1.1'), ipv4('10.244.1.2')]);
    const world = {
      node: CASE_NODE,
      options: DEFAULT_ENGINE_OPTIONS,
      rng: new Rng(1),
      answers: (ip: number) => !dead.has(ip),
    };
    const engine = createUserspaceEngine(world);
    engine.sync({ servicePorts: [web] }, 0);
    const verdicts = Array.from({ length: 4 }, (_, i) => send(engine, syn(1, `10.244.1.9:${4000 + i}`)));
    for (const verdict of verdicts) expect(verdict).toMatchObject({ outcome: 'endpoint', dst: PODS[2] });
    // Each dial is a look-up, a walk and a check: the round robin begins anywhere, then passes two dead ones each time.
    expect(verdicts[1].work.conntrack_lookups).toBe(1 + 3 * 2);
    dead.add(ipv4('10.244.1.3'));
    const refused = send(engine, syn(2, '10.244.1.9:5000'));
    expect(refused).toMatchObject({ outcome: 'reject', reason: 'no_answer', service: 0 });
    expect(refused.work.conntrack_lookups).toBe(1 + 4 * 2);
    expect(refused.work.conntrack_inserts).toBe(1);
  });

  it('lets go of a UDP client after 250 ms', () => {
    const engine = engineWith([dns]);
    const query = (at: number): PacketWords => ({ at, udp: true, src: POD, dst: '10.96.0.2:53', origin: 'pod' });
    const first = send(engine, query(1));
    expect(first.work.userspace_copies).toBe(1);
    expect(send(engine, query(1.2))).toMatchObject({ dst: first.dst, src: first.src });
    const next = send(engine, query(1.45));
    expect(next).toMatchObject({ outcome: 'endpoint', first: false });
    expect(next.dst).not.toBe(first.dst);
    const late = send(engine, answer(next, { at: 1.7, udp: true, origin: 'external' }));
    expect(late).toMatchObject({ outcome: 'reject', reason: 'no_answer' });
  });

  it('keeps a client on its endpoint with session affinity', () => {
    const sticky = { ...web, extras: { ...NO_SERVICE_EXTRAS, affinitySeconds: 10 } };
    const engine = engineWith([sticky]);
    const dst = (at: number, port: number): string => send(engine, syn(at, `10.244.1.9:${port}`)).dst;
    const first = dst(1, 1);
    expect([dst(5, 2), dst(14.9, 3)]).toEqual([first, first]);
    expect(dst(25, 4)).not.toBe(first);
  });

  it('serves node ports and external addresses', () => {
    const exposed = {
      ...web,
      extras: { ...NO_SERVICE_EXTRAS, externalIps: [ipv4('203.0.113.10')], loadBalancerVips: [ipv4('198.51.100.7')] },
    };
    const engine = engineWith([exposed]);
    for (const [i, dst] of ['192.168.0.2:30080', '203.0.113.10:80', '198.51.100.7:80'].entries()) {
      const packet: PacketWords = { at: 1, src: `203.0.113.99:${100 + i}`, dst, flags: 'SYN', origin: 'external' };
      expect(send(engine, packet)).toMatchObject({ outcome: 'endpoint', service: 0 });
    }
    expect(send(engine, { ...syn(1, '192.168.0.1:7', '203.0.113.10:80'), origin: 'host' })).toMatchObject({
      outcome: 'accept',
    });
  });
});

describe('proxy ports', () => {
  it('run out; a service port without one has no rule, and a port that is given back is used again', () => {
    const PORTS = 60_999 - 32_768 + 1;
    const services = Array.from({ length: PORTS + 1 }, (_, id) =>
      service({ id, name: `dns-${id}`, udp: true, at: `10.100.${id >> 8}.${id & 255}:53`, endpoints: PODS }),
    );
    const engine = makeEngine(createUserspaceEngine, { conntrackMax: 1_000_000 });
    expect(engine.sync({ servicePorts: services }, 0).rules).toBe(5 + 2 * PORTS);
    const query = (at: string): PacketWords => ({ at: 0, udp: true, src: POD, dst: at, origin: 'pod' });
    const verdicts = sendAll(
      engine,
      services.map((_, id) => query(`10.100.${id >> 8}.${id & 255}:53`)),
    );
    const unserved = verdicts.flatMap(({ outcome }, id) => (outcome === 'accept' ? [id] : []));
    expect(unserved).toHaveLength(1);
    const served = unserved[0] === 7 ? 8 : 7;
    // unmergeService does not know a service port for which the process does not listen, and leaves its flows.
    expect(engine.apply({ upserted: [], removedIds: unserved }, 1)).toMatchObject({ conntrackDeletes: 0 });
    const proxyPort = new RegExp(`dns-${served} .* -j REDIRECT --to-ports (\\d+)$`, 'm').exec(
      engine.dump('kernel'),
    )?.[1];
    expect(engine.apply({ upserted: [], removedIds: [served] }, 1)).toMatchObject({ conntrackDeletes: 1 });
    const fresh = service({ id: PORTS + 1, name: 'fresh', udp: true, at: '10.200.0.1:53', endpoints: PODS });
    engine.apply({ upserted: [fresh], removedIds: [] }, 1);
    expect(engine.dump('kernel')).toMatch(new RegExp(`shop/fresh .* -j REDIRECT --to-ports ${proxyPort}$`, 'm'));
  });
});

describe('SyncReport', () => {
  it('counts the iptables commands of each pass, and none for endpoints alone', () => {
    const engine = makeEngine(createUserspaceEngine);
    // web: 5 rules, dns: 2. The process starts: 5 chains, 5 jumps twice, 5 chains flushed. First pass: each rule twice and once more.
    expect(engine.sync({ servicePorts: [web, dns] }, 0)).toMatchObject({
      iptablesCommands: 20 + 10 + 2 * 7 + 7,
      rules: 12,
    });
    expect(engine.apply({ upserted: [{ ...web, endpoints: [] }], removedIds: [] }, 1)).toMatchObject({
      iptablesCommands: 0,
    });
    expect(engine.apply({ upserted: [], removedIds: [] }, 2)).toMatchObject({ iptablesCommands: 10 + 7 });
    // Closed and opened again: each of 5 rules deleted and added.
    expect(engine.apply({ upserted: [{ ...web, port: 81 }], removedIds: [] }, 3)).toMatchObject({
      iptablesCommands: 10 + 2 * 5 + 2 * 5 + 7,
    });
    expect(engine.apply({ upserted: [], removedIds: [1] }, 4)).toMatchObject({
      iptablesCommands: 10 + 2 * 2 + 5,
      rules: 10,
    });
    expect(engine.sync({ servicePorts: [web] }, 5)).toMatchObject({ iptablesCommands: 15 + 10 + 2 * 5 + 5 });
  });
});

describe('dump', () => {
  it('prints loadable tables, and the commands that make them', () => {
    const engine = engineWith([web]);
    const kernel = engine.dump('kernel');
    expect(kernel).toContain(
      '-A KUBE-PORTALS-CONTAINER -m comment --comment shop/web -p tcp -m tcp --dport 80 -d 10.96.0.1/32 -j REDIRECT --to-ports 32768\n',
    );
    expect(kernel).toContain(
      '-A KUBE-NODEPORT-HOST -m comment --comment shop/web -p tcp -m tcp --dport 30080 -j DNAT --to-destination 192.168.0.1:32768\n',
    );
    expect(kernel).toContain(
      '-A KUBE-NODEPORT-NON-LOCAL -m comment --comment shop/web -p tcp -m tcp --dport 32768 -m state --state NEW -j ACCEPT\n',
    );
    expect(
      engine
        .dump('restore')
        .split('\n')
        .filter((line) => line.includes('shop/web')),
    ).toHaveLength(5);
  });
});

/** What look-ups cost and when they end, in worlds small enough to know the answer by hand. */
import { describe, expect, it } from 'vitest';
import { CART, DB, DNS_POD, playDns, POD, VIP, type DnsPacket, type PlayedDns } from './dns-fixtures.ts';
import { OUTSIDE_HOST } from './dns-names.ts';

const once = [{ at_s: 0 }];
const OTHER = DNS_POD + 1;
const engines = ['iptables', 'ipvs', 'nftables'] as const;

const queries = ({ packets }: PlayedDns): readonly DnsPacket[] => packets.filter((packet) => !packet.reply);
const ports = (played: PlayedDns): number => new Set(queries(played).map((packet) => packet.port)).size;

describe('forms of a name', () => {
  // Names asked for, the last of which is there; two queries each.
  it.each([
    [{ name: 'service' }, 1],
    [{ name: 'namespace' }, 2],
    [{ name: 'fqdn' }, 4],
    [{ name: 'fqdn', ndots: 4 }, 1],
    [{ name: 'absolute' }, 1],
    [{ name: 'external' }, 4],
    [{ name: 'external', ndots: 2 }, 1],
    [{ name: 'external', externalName: 'api.example.com.' }, 1],
    [{ name: 'external', search: ['corp.test', 'a.test'] }, 6],
    [{ name: 'service', clientNamespace: 'other' }, 4],
  ] as const)('%j: %i names', (spec, names) => {
    const played = playDns({ lookups: once, spec });
    const { metrics, ends, trial } = played;
    const resolves = !('clientNamespace' in spec);
    const missing = resolves ? names - 1 : names;
    expect(metrics).toMatchObject({
      dns_queries: 2 * names,
      dns_queries_per_connection_mean: 2 * names,
      dns_nxdomain_answers: 2 * missing,
      dns_timeouts: 0,
    });
    // A query and an answer each; a name has a socket of its own.
    expect(trial.packets).toBe(4 * names);
    expect(ports(played)).toBe(names);
    const outside = spec.name === 'external';
    if (resolves) {
      expect(ends[0].found).toEqual({ address: outside ? OUTSIDE_HOST : VIP, port: 80, direct: outside });
    } else expect(ends[0].found).toBeUndefined();
    // 1 ms a name, and 10 ms more for one that is asked outside.
    const listed = 'search' in spec ? 2 : 0;
    const upstream = outside || !resolves ? 1 + listed : 0;
    expect(metrics['dns_delay_mean_ms']).toBeCloseTo(names + 10 * upstream, 6);
  });

  it('without AAAA need half the queries', () => {
    expect(playDns({ lookups: once, spec: { name: 'external', aaaa: false } }).metrics).toMatchObject({
      dns_queries: 4,
      dns_nxdomain_answers: 3,
    });
  });

  it('an SRV record gives the port, and a name to look up', () => {
    const service = playDns({ lookups: once, spec: { name: 'srv' } });
    expect(service.ends[0].found).toEqual({ address: VIP, port: 80, direct: false });
    expect(service.metrics).toMatchObject({ dns_queries: 3, dns_nxdomain_answers: 0 });
    const headless = playDns({ lookups: [{ at_s: 0, target: DB }], spec: { name: 'srv' } });
    expect(headless.ends[0].found).toMatchObject({ port: 8080, direct: true });
    expect([POD, POD + 1]).toContain(headless.ends[0].found?.address);
  });
});

describe.each(engines)('%s: a CoreDNS pod that is gone', (engine) => {
  const gone = (address: number, at_s: number) =>
    address === DNS_POD && at_s >= 1 ? ('gone' as const) : ('serving' as const);

  it('costs 5 s an attempt, all from one socket; then the bare name is tried', () => {
    const played = playDns({ engine, lookups: [{ at_s: 2 }], condition: gone });
    expect(queries(played).map((packet) => packet.at_s)).toEqual([2, 2, 7, 7, 12, 12, 17, 17]);
    expect(played.ends).toEqual([{ at_s: 22, found: undefined }]);
    expect(played.metrics).toMatchObject({ dns_queries: 8, dns_timeouts: 4, dns_delay_mean_ms: 20_000 });
    expect(ports(played)).toBe(2);
    const absolute = playDns({ engine, lookups: [{ at_s: 2 }], condition: gone, spec: { name: 'absolute' } });
    expect(absolute.ends[0].at_s).toBe(12);
    const hasty = { name: 'absolute', timeoutSeconds: 1, attempts: 3 } as const;
    expect(playDns({ engine, lookups: [{ at_s: 2 }], condition: gone, spec: hasty }).ends[0].at_s).toBe(5);
  });

  it('keeps an attempt that is made again, from the same port, until its flow is cleaned up', () => {
    const lookups = Array.from({ length: 40 }, (_, i) => ({ at_s: 2 + i / 100 }));
    const world = { engine, lookups, condition: gone, spec: { name: 'absolute' as const } };
    const stays = playDns({ ...world, servers: [{ at_s: 0, pods: [DNS_POD, OTHER] }] });
    const first = queries(stays).filter((packet) => packet.at_s < 3 && packet.server === DNS_POD);
    const lost = new Set(first.map((packet) => packet.port));
    expect(lost.size).toBeGreaterThan(5);
    expect(lost.size).toBeLessThan(35);
    // Half of the rules' choices are good, and no second attempt has one.
    const second = queries(stays).filter((packet) => packet.at_s >= 6);
    expect(second).toHaveLength(2 * lost.size);
    expect(second.every((packet) => packet.server === DNS_POD)).toBe(true);
    expect(stays.ends.filter((end) => end.found === undefined)).toHaveLength(lost.size);
    expect(stays.metrics).toMatchObject({ dns_timeouts: 2 * lost.size });

    const servers = [
      { at_s: 0, pods: [DNS_POD, OTHER] },
      { at_s: 4, pods: [OTHER] },
    ];
    const cleaned = playDns({ ...world, servers });
    expect(cleaned.ends.every((end) => end.found?.address === VIP)).toBe(true);
    const late = cleaned.ends.filter((end) => end.at_s > 6);
    expect(late).toHaveLength(lost.size);
    // The second attempt, 5 s after the first.
    const wait = 5;
    for (const { at_s } of late) expect(at_s).toBeGreaterThan(2 + wait);
    expect(Math.max(...late.map((end) => end.at_s))).toBeLessThan(2.4 + wait + 0.01);
  });

  it('is no server of a connected socket any more, once its flow is forgotten', () => {
    const servers = [
      { at_s: 0, pods: [DNS_POD] },
      { at_s: 2.5, pods: [OTHER] },
    ];
    // The answer takes a second, within which the rules change; the pod itself still serves.
    const serverDelaySeconds = { kind: 'constant', value: 1 } as const;
    const played = playDns({ engine, lookups: [{ at_s: 2 }], servers, spec: { name: 'absolute', serverDelaySeconds } });
    expect(played.ends[0].found?.address).toBe(VIP);
    // An IPVS connection outlives its real server on the way back [ip_vs_out]; elsewhere the answer comes from a stranger.
    expect(played.metrics).toMatchObject({ dns_timeouts: engine === 'ipvs' ? 0 : 1 });
    expect(played.ends[0].at_s).toBe(engine === 'ipvs' ? 3 : 8);
  });
});

describe('a CoreDNS pod that does not listen', () => {
  const closed = { lookups: [{ at_s: 2 }], condition: () => 'not_listening' as const };

  it('refuses at once; each attempt has another socket, and the search ends', () => {
    const played = playDns(closed);
    expect(played.ends).toEqual([{ at_s: 2, found: undefined }]);
    expect(played.metrics).toMatchObject({ dns_queries: 4, dns_timeouts: 0, dns_delay_mean_ms: 0 });
    expect(ports(played)).toBe(2);
  });

  it('refuses in place of the rules where there is no pod at all', () => {
    const played = playDns({ lookups: once, servers: [{ at_s: 0, pods: [] }] });
    expect(played.ends).toEqual([{ at_s: 0, found: undefined }]);
    expect(played.metrics).toMatchObject({ dns_queries: 4, dns_timeouts: 0 });
  });

  it('costs one attempt where the next one meets another pod', () => {
    const lookups = Array.from({ length: 60 }, (_, i) => ({ at_s: i }));
    const condition = (address: number) => (address === OTHER ? ('serving' as const) : ('not_listening' as const));
    const { ends } = playDns({ lookups, condition, servers: [{ at_s: 0, pods: [DNS_POD, OTHER] }] });
    const failed = ends.filter((end) => end.found === undefined).length;
    // Both attempts at the bad pod: a quarter of 60.
    expect(failed).toBeGreaterThan(5);
    expect(failed).toBeLessThan(26);
    expect(ends.every((end) => end.at_s % 1 < 0.01)).toBe(true);
  });
});

describe('one answer of two', () => {
  it('leads to both questions again, one after the other, then from a socket each, and is enough in the end', () => {
    // Asked at each packet to or from the pod: AAAA meets nobody; then A, its answer, and AAAA meets nobody; then A, its answer, AAAA,
    // whose answer is not sent.
    let asked = 0;
    const condition = () => (++asked % 4 === 2 ? ('gone' as const) : ('serving' as const));
    const played = playDns({ lookups: once, spec: { name: 'absolute' }, condition, until_s: 60 });
    const sent = queries(played);
    expect(sent.map((packet) => Math.round(packet.at_s * 1000))).toEqual([0, 0, 5000, 5001, 10_000, 10_001]);
    expect(new Set(sent.slice(0, 4).map((packet) => packet.port)).size).toBe(1);
    expect(ports(played)).toBe(3);
    expect(played.metrics).toMatchObject({ dns_queries: 6, dns_timeouts: 3 });
    expect(played.ends).toEqual([{ at_s: 15, found: { address: VIP, port: 80, direct: false } }]);
  });
});

describe('caches', () => {
  const every = (seconds: number, n: number, client = 0x0a000101) =>
    Array.from({ length: n }, (_, i) => ({ at_s: i * seconds, client }));

  it('save exactly the look-ups within the TTL', () => {
    // Answers come 1 ms after 0, 6, 12, .. s and are good for 5 s: of each six look-ups at 0, 1, .. 5 s five are saved.
    const cached = playDns({ lookups: every(1, 60), spec: { cache: 'client' } });
    expect(cached.metrics).toMatchObject({ dns_queries: 2 * 10, dns_queries_per_connection_mean: 1 / 3 });
    expect(cached.metrics['dns_delay_mean_ms']).toBeCloseTo(1 / 6, 6);
    expect(playDns({ lookups: every(1, 60) }).metrics).toMatchObject({ dns_queries: 120 });
    expect(playDns({ lookups: every(1, 60), spec: { cache: 'client', ttlSeconds: 0 } }).metrics).toMatchObject({
      dns_queries: 120,
    });
    expect(playDns({ lookups: every(1, 60), spec: { cache: 'client', ttlSeconds: 30 } }).metrics).toMatchObject({
      dns_queries: 4,
    });
  });

  it('are of a client, or of the node for all its clients', () => {
    const lookups = [...every(1, 3), ...every(1, 3, 0x0a000102)].sort((a, b) => a.at_s - b.at_s);
    expect(playDns({ lookups, spec: { cache: 'client' } }).metrics).toMatchObject({ dns_queries: 4 });
    // The two first ask at one instant, before anything is kept.
    const apart = lookups.map((each, i) => ({ ...each, at_s: each.at_s + i / 100 }));
    expect(playDns({ lookups: apart, spec: { cache: 'node' } }).metrics).toMatchObject({ dns_queries: 2 });
  });

  it('keep names that are not there as well, and outside names for their own TTL', () => {
    const lookups = every(1, 12);
    const { metrics } = playDns({ lookups, spec: { cache: 'client', name: 'external' } });
    // Three missing names at 0 and 6 s (and not at 5 s, when they are 1 to 3 ms short of their TTL), the outside name once.
    expect(metrics).toMatchObject({ dns_queries: 2 * (3 * 2 + 1), dns_nxdomain_answers: 12 });
  });
});

describe('a headless Service', () => {
  const lookups = Array.from({ length: 300 }, (_, i) => ({ at_s: i / 10, target: DB }));
  const condition = (address: number, at_s: number) =>
    address === POD && at_s >= 10 ? ('gone' as const) : ('serving' as const);
  // CoreDNS hears of it a second later.
  const endpoints = (at_s: number) => (at_s >= 11 ? [POD + 1] : [POD, POD + 1]);
  const stale = ({ ends }: PlayedDns) => ends.filter((end) => end.at_s >= 10 && end.found?.address === POD);

  it('spreads clients over its pods, straight to their port', () => {
    const { ends, metrics } = playDns({ lookups });
    const first = ends.filter((end) => end.found?.address === POD).length;
    expect(ends.every((end) => end.found?.direct === true && end.found.port === 8080)).toBe(true);
    expect(first).toBeGreaterThan(115);
    expect(first).toBeLessThan(185);
    expect(metrics).toMatchObject({ dns_stale_answers: 0, dns_queries: 600 });
  });

  it('sends them to a pod that is gone until CoreDNS has heard of it', () => {
    const played = playDns({ lookups, condition, endpoints });
    const late = stale(played);
    expect(late.length).toBeGreaterThan(1);
    expect(played.metrics['dns_stale_answers']).toBe(late.length);
    expect(Math.max(...late.map((end) => end.at_s))).toBeLessThan(11.01);
  });

  it('and for a TTL more where answers are kept', () => {
    const played = playDns({ lookups, condition, endpoints, spec: { cache: 'client' } });
    const late = stale(played);
    expect(played.metrics['dns_stale_answers']).toBe(late.length);
    const last = Math.max(...late.map((end) => end.at_s));
    expect(last).toBeGreaterThan(11.01);
    expect(last).toBeLessThan(11 + 5 + 0.01);
  });

  it('does not exist without a ready endpoint', () => {
    const { ends, metrics } = playDns({ lookups: lookups.slice(0, 1), endpoints: () => [] });
    expect(ends[0].found).toBeUndefined();
    // Three names of the list and the bare one.
    expect(metrics).toMatchObject({ dns_queries: 8, dns_nxdomain_answers: 8 });
  });
});

it('gives equal worlds equal numbers, and each look-up chance of its own', () => {
  const lookups = Array.from({ length: 50 }, (_, i) => ({ at_s: i / 10, target: i % 2 === 0 ? CART : DB }));
  const servers = [{ at_s: 0, pods: [DNS_POD, OTHER] }];
  const [a, b] = [playDns({ lookups, servers }), playDns({ lookups, servers })];
  expect(a.packets).toEqual(b.packets);
  expect(a.trial.digest()).toBe(b.trial.digest());
  // The first look-up takes much longer by itself; the others choose as before.
  const slow = playDns({ lookups, servers, spec: { name: 'fqdn' } });
  const chosen = (played: PlayedDns) => played.ends.filter((end) => end.found?.direct === true).length;
  expect(chosen(slow)).toBe(chosen(a));
});

it('fails a look-up of a client that has no source port left, and goes on when it has', () => {
  const lookups = Array.from({ length: 28_300 }, (_, i) => ({ at_s: 2 + i / 1e6 }));
  const condition = (_: number, at_s: number) => (at_s < 10 ? ('gone' as const) : ('serving' as const));
  const spec = { name: 'absolute', attempts: 1, aaaa: false } as const;
  const { ends, metrics } = playDns({ lookups: [...lookups, { at_s: 20 }], condition, spec });
  expect(ends.filter((end) => end.at_s < 3)).toHaveLength(28_300 - 28_232);
  expect(metrics).toMatchObject({ dns_queries: 28_233, dns_timeouts: 28_232 });
  expect(ends.at(-1)?.found?.address).toBe(VIP);
});

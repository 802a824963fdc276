/** Checks against the shared upstream expectations, where they are present. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { parseCidr, parseIpv4 } from '../../model/address.ts';
import type { Endpoint, ServicePort } from '../../model/cluster.ts';
import { PROTOCOL_TCP } from '../../model/protocol.ts';
import { Rng } from '../../sim/rng.ts';
import type { Engine } from '../engine.ts';
import { DEFAULT_ENGINE_OPTIONS } from '../engine.ts';
import { readyEndpoint, syntheticService } from '../synthetic.ts';
import { createIptablesEngine } from './engine.ts';
import { keyAddress, keyPort } from '../proxy/endpoint-order.ts';
import { EndpointChooser } from './endpoints.ts';
import { hash16 } from './names.ts';
import { probabilityText, statisticThresholds } from './probability.ts';
import { formatIpv4 } from '../../model/address.ts';

const goldens = join(process.env.CHAINWALK_SHARED ?? '../shared', 'goldens', 'iptables');
const present = existsSync(goldens);

function read(path: string): string {
  return readFileSync(join(goldens, path), 'utf8');
}

function address(text: string): number {
  const parsed = parseIpv4(text);
  if (parsed === undefined) throw new Error(`"${text}" is not an address`);
  return parsed;
}

function engineWith(masqueradeAll = false): Engine {
  const clusterCidr = parseCidr('10.0.0.0/8');
  if (clusterCidr === undefined) throw new Error('10.0.0.0/8 is a CIDR');
  const node = { name: 'test-node', addresses: [address('192.168.0.2')], clusterCidr };
  const options = {
    ...DEFAULT_ENGINE_OPTIONS,
    masqueradeAll,
    masqueradeRandomFully: false,
    nfacct: { ctStateInvalid: true, localhostNodePorts: false },
  };
  return createIptablesEngine({ node, options, rng: new Rng(1) });
}

function service(id: number, namespace: string, name: string, portName: string, ip: string, port: number) {
  return (endpoints: readonly Endpoint[], nodePort = 0): ServicePort => ({
    id,
    namespace,
    name,
    portName,
    protocol: PROTOCOL_TCP,
    clusterIp: address(ip),
    port,
    nodePort,
    endpoints,
  });
}

/** The upstream tests print the mark in the short form. */
function asUpstream(dump: string): string {
  return dump.replaceAll('0x00004000', '0x4000');
}

const skipped = present ? '' : ' (skipped: not present)';

describe.skipIf(!present)(`upstream goldens${skipped}`, () => {
  it('chain-name-hashes', () => {
    const { cases } = JSON.parse(read('chain-name-hashes/expected.json')) as {
      cases: { servicePortName: string; protocol: string; endpoint: string | null; hash16: string }[];
    };
    expect(cases.length).toBeGreaterThan(20);
    for (const row of cases) expect(hash16(row.servicePortName + row.protocol + (row.endpoint ?? ''))).toBe(row.hash16);
  });

  it('compute-probability', () => {
    const { probability } = JSON.parse(read('compute-probability/expected.json')) as {
      probability: Record<string, string>;
    };
    for (const [n, text] of Object.entries(probability)) expect(probabilityText(Number(n))).toBe(text);
  });

  it('endpoints-map-order', () => {
    const { cases } = JSON.parse(read('endpoints-map-order/expected.json')) as {
      cases: { endpoints: Record<string, string[]> }[];
    };
    const chooser = new EndpointChooser({ name: 'test-node', addresses: [] });
    for (const expected of cases.flatMap((row) => Object.values(row.endpoints))) {
      const texts = expected.map((text) => text.replace('*', ''));
      const given = [...texts].reverse().map((text) => {
        const [ip, port] = text.split(':');
        return readyEndpoint(address(ip), Number(port));
      });
      chooser.choose(syntheticService({ id: 1, endpoints: given }));
      const keys = [...chooser.used.keys.subarray(0, chooser.used.count)];
      expect(keys.map((key) => `${formatIpv4(keyAddress(key))}:${keyPort(key)}`)).toEqual(texts);
    }
  });

  it('rule-counts-clusterip, with the KUBE-FIREWALL rule that its version did not write', () => {
    const { cases } = JSON.parse(read('rule-counts-clusterip/expected.json')) as {
      cases: { services: number; endpointsPerService: number; filterRules: number; natRules: number }[];
    };
    for (const row of cases) {
      const servicePorts = Array.from({ length: row.services }, (_, i) =>
        service(
          i,
          'namespace',
          `svc${i}`,
          '8080',
          '10.0.0.1',
          80 + i,
        )(
          Array.from({ length: row.endpointsPerService }, (_unused, j) =>
            readyEndpoint(address('172.16.0.1') + j, 8080),
          ),
        ),
      );
      const engine = engineWith();
      engine.sync({ servicePorts }, 0);
      const [filter, nat] = engine.dump('restore').split('*nat');
      expect(filter.split('\n').filter((line) => line.startsWith('-A')).length - 1).toBe(row.filterRules);
      expect(nat.split('\n').filter((line) => line.startsWith('-A')).length).toBe(row.natRules);
    }
  });

  it('repeated-syncs-partial: the first dump whole, and the number of nat rules after each change', () => {
    const svc1 = service(1, 'ns1', 'svc1', 'p80', '172.30.0.41', 80);
    const svc2 = service(2, 'ns2', 'svc2', 'p8080', '172.30.0.42', 8080);
    const svc3 = service(3, 'ns3', 'svc3', 'p80', '172.30.0.43', 80);
    const svc4 = service(4, 'ns4', 'svc4', 'p80', '172.30.0.44', 80);
    const at = (text: string, port: number): Endpoint => readyEndpoint(address(text), port);
    const engine = engineWith();
    const servicePorts = [svc1([at('10.0.1.1', 80)]), svc2([at('10.0.2.1', 8080)])];
    engine.sync({ servicePorts }, 0);
    expect(asUpstream(engine.dump('restore'))).toBe(`${read('repeated-syncs-partial/expected-01.txt').trimEnd()}\n`);
    const steps = [
      { upserted: [svc3([at('10.0.3.1', 80)])], removedIds: [] },
      { upserted: [], removedIds: [2] },
      { upserted: [svc4([])], removedIds: [] },
      { upserted: [svc4([at('10.0.4.1', 80)])], removedIds: [] },
      { upserted: [svc3([at('10.0.3.2', 80)])], removedIds: [] },
      { upserted: [svc3([at('10.0.3.2', 80), at('10.0.3.3', 80)])], removedIds: [] },
      { upserted: [], removedIds: [] },
    ];
    const input = parse(read('repeated-syncs-partial/input.yaml')) as { steps: { natRulesTotalMetric: number }[] };
    steps.forEach((delta, k) => {
      const report = engine.apply(delta, 0);
      const rules = engine
        .dump('restore')
        .split('*nat')[1]
        .split('\n')
        .filter((line) => line.startsWith('-A'));
      expect(rules.length).toBe(input.steps[k + 1].natRulesTotalMetric);
      // The upstream dump of a partial sync is the restore input itself.
      const lines = read(`repeated-syncs-partial/expected-0${k + 2}.txt`)
        .trimEnd()
        .split('\n');
      expect(report.restoreLines).toBe(lines.length);
    });
    const last = [svc1([at('10.0.1.1', 80)]), svc3([at('10.0.3.2', 80), at('10.0.3.3', 80)])];
    const full = engine.sync({ servicePorts: last }, 0);
    const lines = read('repeated-syncs-partial/expected-09.txt').trimEnd().split('\n');
    expect(full.restoreLines).toBe(lines.length);
  });

  it('large-cluster-mode: comments of endpoint rules', () => {
    const svc1 = service(1, 'ns1', 'svc1', 'p80', '172.30.0.41', 80);
    const svc2 = service(2, 'ns2', 'svc2', 'p8080', '172.30.0.42', 8080);
    const svc3 = service(3, 'ns3', 'svc3', 'p8081', '172.30.0.43', 8081);
    const many = (second: number, port: number): Endpoint[] =>
      Array.from({ length: 499 }, (_, i) =>
        readyEndpoint(address(`10.${second}.${i % 256}.${Math.floor(i / 256)}`), port),
      );
    const engine = engineWith(true);
    engine.sync({ servicePorts: [svc1(many(0, 80)), svc2(many(1, 8080)), svc3([])] }, 0);
    const dnats = (): string[] =>
      engine
        .dump('kernel')
        .split('\n')
        .filter((line) => line.startsWith('-A KUBE-SEP') && line.includes('-j DNAT'));
    expect([dnats().length, dnats().filter((line) => line.includes('--comment')).length]).toEqual([998, 998]);
    expect(engine.dump('kernel')).toContain(
      '-A KUBE-SEP-DKGQUZGBKLTPAR56 -m comment --comment ns1/svc1:p80 -m tcp -p tcp -j DNAT --to-destination 10.0.0.0:80',
    );
    const added = ['203.0.113.4', '203.0.113.8', '203.0.113.12'].map((ip) => readyEndpoint(address(ip), 8081));
    engine.apply({ upserted: [svc3(added)], removedIds: [] }, 0);
    // Only the service port that this partial sync wrote lost its comments.
    expect([dnats().length, dnats().filter((line) => line.includes('--comment')).length]).toEqual([1001, 998]);
    expect(engine.dump('restore')).not.toContain('--comment ns1/svc1:p80 -s');
  });
});

describe('statistic probabilities', () => {
  it('fall strictly, and round the one tie as Go does', () => {
    expect(probabilityText(2048)).toBe('0.0004882812');
    const thresholds = statisticThresholds(5000);
    expect([thresholds[2], thresholds[3], thresholds[4]]).toEqual([1073741824, 715827883, 536870912]);
    for (let n = 3; n <= 5000; n++) expect(thresholds[n]).toBeLessThan(thresholds[n - 1]);
  });
});

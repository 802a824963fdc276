import { mkdtempSync, rmSync, writeFileSync, mkdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readGoldenCase } from './golden-case.ts';
import { expandEndpoints, readGenerator } from './golden-generate.ts';

const scratch = mkdtempSync(join(tmpdir(), 'chainwalk-golden-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let cases = 0;

/** A folder with these files, `input.yaml` among them; values other than text become JSON, which is YAML too. */
function read(files: Readonly<Record<string, unknown>>) {
  const folder = join(scratch, `case-${cases++}`);
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  return readGoldenCase(folder);
}

const heading = { golden: 'iptables/own', source: 'here' };
const proxy = { mode: 'iptables', ipFamily: 'IPv4' };
const flow = { sourceIP: '10.0.0.1', protocol: 'tcp', destIP: '10.0.0.2', destPort: 80, output: '', masq: false };
const flows = { localIPs: ['192.168.0.2'], flows: [flow] };
const svc = {
  apiVersion: 'v1',
  kind: 'Service',
  metadata: { name: 'a', namespace: 'ns1' },
  spec: { clusterIP: '10.0.0.1', ports: [{ port: 80 }] },
};

describe('golden cases', () => {
  it('reads objects with flows', () => {
    const { name, mode, body } = read({ 'input.yaml': { ...heading, proxy, objects: [svc] }, 'cases.json': flows });
    expect({ name, mode, kind: body.kind }).toEqual({ name: 'iptables/own', mode: 'iptables', kind: 'sync' });
    if (body.kind !== 'sync') throw new Error('not a sync case');
    expect(body.localIps).toEqual(['192.168.0.2']);
    expect(body.steps).toHaveLength(1);
    expect(body.steps[0]).toMatchObject({ apply: [svc], flows: [flow], sync: undefined });
  });

  it('reads steps with their own dumps, and what is to hold after deletions', () => {
    const remove = [{ kind: 'Service', namespace: 'ns1', name: 'a' }];
    const { body } = read({
      'input.yaml': {
        ...heading,
        proxy,
        steps: [
          { step: 1, sync: 'full', apply: [svc], expected: 'expected-01.txt' },
          { step: 2, sync: 'partial', secondsSinceLastChainCleanup: 31, expect: { sepDnatLines: 0 } },
          { step: 3, sync: 'full-after-failed-partial', delete: [] },
        ],
        then: [{ delete: remove, flow }],
      },
      'expected-01.txt': 'one\n',
      'expected-03.txt': 'three\n',
    });
    if (body.kind !== 'sync') throw new Error('not a sync case');
    expect(body.steps.map((step) => [step.label, step.sync, step.dump])).toEqual([
      ['step 1', 'full', 'one\n'],
      ['step 2', 'partial', undefined],
      ['step 3', 'full', 'three\n'],
      ['then 1', undefined, undefined],
    ]);
    expect(body.steps[1].secondsSinceCleanup).toBe(31);
    expect(body.steps[3]).toMatchObject({ remove: [{ kind: 'Service', key: 'ns1/a' }], flows: [flow] });
  });

  it('takes a set of IPVS mode by its own name, in steps and outside', () => {
    const { body } = read({
      'input.yaml': { ...heading, proxy: { mode: 'ipvs' }, steps: [{ step: 1 }, { step: 2 }] },
      'expected.json': {
        steps: [{ step: 1, 'KUBE-CLUSTER-IP': ['x'], ipsets: { 'KUBE-LOOP-BACK': [] } }],
        virtualServerCount: 3,
      },
    });
    if (body.kind !== 'sync') throw new Error('not a sync case');
    expect(body.steps[0].ipvs?.ipsets).toEqual({ 'KUBE-CLUSTER-IP': ['x'], 'KUBE-LOOP-BACK': [] });
    expect(body.steps[1].ipvs).toEqual({ virtualServerCount: 3 });
  });

  const good = { ...heading, proxy, objects: [svc] };
  it.each([
    ['at the top', { ...good, surprise: 1 }, 'surprise'],
    ['in proxy', { ...good, proxy: { ...proxy, surprise: 1 } }, 'surprise'],
    ['in nfacct', { ...good, proxy: { ...proxy, nfacct: { surprise: true } } }, 'surprise'],
    ['in expect', { ...good, expect: { surprise: 1 } }, 'surprise'],
    ['in a step', { ...heading, proxy, steps: [{ step: 1, surprise: 1 }] }, 'surprise'],
    ['in what follows', { ...good, then: [{ surprise: 1 }] }, 'surprise'],
    ['in a flow of what follows', { ...good, then: [{ flow: { ...flow, surprise: 1 } }] }, 'surprise'],
    ['in a deletion', { ...good, then: [{ delete: [{ kind: 'Service', name: 'a', surprise: 1 }] }] }, 'surprise'],
    ['in an object', { ...good, objects: [{ ...svc, surprise: 1 }] }, 'surprise'],
    ['in a spec', { ...good, objects: [{ ...svc, spec: { ...svc.spec, surprise: 1 } }] }, 'surprise'],
    ['in a port', { ...good, objects: [{ ...svc, spec: { ports: [{ surprise: 1 }] } }] }, 'surprise'],
  ])('names an unknown key %s', (_where, input, key) => {
    expect(() => read({ 'input.yaml': input, 'cases.json': flows })).toThrow(`Unknown key "${key}"`);
  });

  it('names unknown keys of the other files, and files without a meaning', () => {
    const input = { 'input.yaml': good };
    expect(() => read({ ...input, 'cases.json': { ...flows, surprise: 1 } })).toThrow('Unknown key "surprise"');
    expect(() => read({ ...input, 'cases.json': { ...flows, flows: [{ ...flow, surprise: 1 }] } })).toThrow(
      'Unknown key "surprise"',
    );
    const ipvs = { 'input.yaml': { ...good, proxy: { mode: 'ipvs' } } };
    expect(() => read({ ...ipvs, 'expected.json': { surprise: 1 } })).toThrow('Unknown key "surprise"');
    expect(() => read({ ...input, 'cases.json': flows, 'notes.md': 'x' })).toThrow('no meaning for the case');
    expect(() => read({ ...input, 'cases.json': flows, 'expected.json': {} })).toThrow('no meaning for the case');
  });

  it('refuses a case that can check nothing, and one with neither or both of objects and steps', () => {
    expect(() => read({ 'input.yaml': good })).toThrow('expects nothing');
    expect(() => read({ 'input.yaml': { ...good, expect: { note: 'x' } } })).toThrow('expects nothing');
    expect(() => read({ 'input.yaml': { ...heading, proxy } })).toThrow('either "objects" or "steps"');
    expect(() => read({ 'input.yaml': { ...good, steps: [] } })).toThrow('either "objects" or "steps"');
  });

  it('refuses a mode and an object kind that it does not know', () => {
    expect(() => read({ 'input.yaml': { ...good, golden: 'userspace/x', proxy: {} } })).toThrow('The mode must be');
    expect(() => read({ 'input.yaml': { ...good, objects: [{ kind: 'Pod' }] } })).toThrow('got "Pod"');
  });

  it('wants input and expectation to speak of the same things', () => {
    const input = { ...heading, golden: 'nftables/names', names: ['a', 'b'] };
    const expected = { cases: [{ name: 'a', hash8: 'x' }] };
    expect(() => read({ 'input.yaml': input, 'expected.json': expected })).toThrow('"b" stands in input.yaml');
    expect(read({ 'input.yaml': { ...input, names: ['a'] }, 'expected.json': expected }).body).toEqual({
      kind: 'names',
      cases: expected.cases,
    });
  });
});

describe('what golden cases leave out or get wrong', () => {
  it('takes TCP and no masquerading for a flow that says neither, and null for a setting that is not made', () => {
    const { sourceIP, destIP, destPort, output } = flow;
    const nothing = { nodeName: null, nodePortAddresses: null, serviceCIDRs: null, masqueradeMark: null };
    const { body } = read({
      'input.yaml': { ...heading, proxy: { ...proxy, ...nothing }, objects: [svc] },
      'cases.json': { localIPs: [], flows: [{ sourceIP, destIP, destPort, output }] },
    });
    if (body.kind !== 'sync') throw new Error('not a sync case');
    expect(body.steps[0].flows[0]).toMatchObject({ protocol: 'tcp', masq: false });
  });

  it('takes an empty dump for a kernel that holds nothing', () => {
    const input = { ...heading, golden: 'ipvs/own', proxy: {}, objects: [] };
    const { body } = read({ 'input.yaml': input, 'expected.txt': '', 'kernel-before.txt': '\n' });
    if (body.kind !== 'sync') throw new Error('not a sync case');
    expect([body.steps[0].dump, body.kernelBefore]).toEqual(['', '\n']);
    expect(() => read({ 'input.yaml': '' })).toThrow('The file is empty');
  });

  it('finds the kernel state by its usual name, in modes that have one', () => {
    const kernel = { 'kernel-before.txt': '-A -t 10.0.0.9:80 -s rr\n' };
    const input = { ...heading, golden: 'ipvs/own', proxy: {}, objects: [svc], expect: { contains: ['x'] } };
    const { body } = read({ 'input.yaml': input, ...kernel });
    expect(body).toMatchObject({ kernelBefore: kernel['kernel-before.txt'] });
    expect(() => read({ 'input.yaml': { ...input, golden: 'iptables/own' }, ...kernel })).toThrow('"kernelBefore" is');
  });

  const service = (spec: unknown) => ({ ...svc, spec: { clusterIP: '10.0.0.1', ...(spec as object) } });
  it.each([
    [service({}), 'In Service ns1/a: "spec.ports" is missing or empty'],
    [service({ type: 'NodePort', ports: [] }), 'In Service ns1/a: "spec.ports" is missing or empty'],
    [service({ clusterIPs: ['10.0.0.1'], ports: null }), 'In Service ns1/a: "spec.ports" is missing or empty'],
    [service({ ports: [{ port: 80, protocol: 'ICMP' }] }), 'In Service ns1/a: "spec.ports.0.protocol" must be one of'],
    [
      service({
        ports: [
          { name: 'a', port: 80 },
          { name: 'b', port: 80 },
        ],
      }),
      'In Service ns1/a: "spec.ports.1.port" 80/TCP stands twice',
    ],
    [service({ ports: [{ port: 80 }, { port: 81 }] }), '"spec.ports.1.name" "" of TCP stands twice'],
    [
      service({
        type: 'NodePort',
        ports: [
          { name: 'a', port: 80, nodePort: 30080 },
          { name: 'b', port: 81, nodePort: 30080 },
        ],
      }),
      '"spec.ports.1.nodePort" 30080/TCP stands twice',
    ],
    [{ ...svc, metadata: {} }, 'In Service: "metadata.name" is missing'],
    [{ kind: 'EndpointSlice', metadata: { name: 's' } }, 'In EndpointSlice s: "apiVersion"'],
  ])('names the object and the field of %j', (object, message) => {
    const input = { ...heading, proxy, objects: [object], expect: { contains: ['x'] } };
    expect(() => read({ 'input.yaml': input })).toThrow(message);
  });

  it.each([
    service({ clusterIP: 'None' }),
    service({ clusterIP: 'None', ports: [] }),
    service({ type: 'ExternalName', externalName: 'example.org' }),
    service({
      ports: [
        { name: 'a', port: 80 },
        { name: 'b', port: 80, protocol: 'UDP' },
      ],
    }),
    service({ ports: [{ name: 'a', targetPort: 80 }, { name: 'b' }] }),
  ])('takes %j', (object) => {
    const input = { ...heading, proxy, objects: [object], expect: { contains: ['x'] } };
    expect(read({ 'input.yaml': input }).body.kind).toBe('sync');
  });
});

describe('what golden cases generate', () => {
  it('fills templates of endpoint addresses', () => {
    const slice = { endpoints: { generate: { count: 258, address: '10.0.{i mod 256}.{floor(i/256)}', note: 'x' } } };
    const { endpoints } = expandEndpoints(slice) as { endpoints: { addresses: string[] }[] };
    expect(endpoints).toHaveLength(258);
    expect([0, 255, 257].map((i) => endpoints[i].addresses[0])).toEqual(['10.0.0.0', '10.0.255.0', '10.0.1.1']);
    expect(expandEndpoints({ endpoints: [] })).toEqual({ endpoints: [] });
  });

  it.each([
    [{ generate: { count: 1, address: '10.0.0.{i * 2}' } }, 'Cannot read "i * 2"'],
    [{ generate: { count: -1, address: 'x' } }, 'count'],
    [{ generate: { count: 1, address: 'x', step: 2 } }, 'Unknown key "step"'],
    [{ generated: {} }, 'Unknown key "generated"'],
  ])('names what it cannot read in %j', (endpoints, message) => {
    expect(() => expandEndpoints({ endpoints })).toThrow(message);
  });

  it('reads the description of a series of Services', () => {
    const text = 'namespace/svc{i}, clusterIP 10.0.0.255 + i, one UDP port named "8080", port 80 + i';
    const generator = readGenerator(text, '172.16.0.1 + j, port 8080, no node name');
    expect(generator.service(1).spec).toEqual({
      clusterIP: '10.0.1.0',
      ports: [{ name: '8080', protocol: 'UDP', port: 81 }],
    });
    expect(generator.slice(1, 2).endpoints).toEqual([{ addresses: ['172.16.0.1'] }, { addresses: ['172.16.0.2'] }]);
    expect(() => readGenerator('something else', '172.16.0.1 + j, port 1, no node name')).toThrow('Cannot read');
    expect(() => readGenerator(text, 'elsewhere')).toThrow('Cannot read');
  });
});

import { describe, expect, it } from 'vitest';
import { NameCache, hash8, isAffinitySetName, isServiceChainName, nameBase } from './names.ts';
import { testEndpoint, testServicePort } from './test-objects.ts';

describe('names', () => {
  it('puts the hash before the readable name', () => {
    const names = new NameCache().service(testServicePort());
    expect(names).toEqual({
      cluster: 'service-ULMVA6XW-ns1/svc1/tcp/p80',
      local: 'local-ULMVA6XW-ns1/svc1/tcp/p80',
      external: 'external-ULMVA6XW-ns1/svc1/tcp/p80',
      firewall: 'firewall-ULMVA6XW-ns1/svc1/tcp/p80',
    });
  });

  it('hashes the whole name of an endpoint, and leaves the last part empty for an unnamed port', () => {
    const names = new NameCache();
    expect(names.endpoint(testServicePort(), testEndpoint('10.180.0.1', 80))).toEqual({
      chain: 'endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80',
      affinitySet: 'affinity-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80',
    });
    const unnamed = names.service(testServicePort({ portName: '' })).cluster;
    expect(unnamed).toBe(`service-${hash8('ns1/svc1/tcp/')}-ns1/svc1/tcp/`);
  });

  it('writes the colons of an IPv6 address as dots before it hashes', () => {
    const { chain } = new NameCache().endpoint(testServicePort(), testEndpoint('fd00:10::1', 80));
    expect(chain).toBe(`endpoint-${hash8('ns1/svc1/tcp/p80__fd00.10..1/80')}-ns1/svc1/tcp/p80__fd00.10..1/80`);
  });

  it('cuts a base at 240 bytes and keeps names apart that are cut alike', () => {
    const fits = 'a'.repeat(240 - 9);
    expect(nameBase(fits)).toBe(`${hash8(fits)}-${fits}`);
    const long = nameBase(`${fits}b`);
    expect(long).toHaveLength(240);
    expect(long.endsWith('aaa...')).toBe(true);
    expect(nameBase(`${fits}c`)).not.toBe(long);
  });

  it('tells its own chains and sets by their names', () => {
    expect(isServiceChainName('service-endpoints-check')).toBe(false);
    expect(isServiceChainName('endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80')).toBe(true);
    expect(isAffinitySetName('cluster-ips')).toBe(false);
    expect(isAffinitySetName('affinity-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80')).toBe(true);
  });

  it('remembers from sync to sync without changing an answer', () => {
    const names = new NameCache();
    const first = names.service(testServicePort());
    names.endSync();
    expect(names.service(testServicePort())).toEqual(first);
    names.endSync();
    names.endSync();
    expect(names.service(testServicePort())).toEqual(first);
  });
});

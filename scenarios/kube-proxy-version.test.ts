import { describe, expect, it } from 'vitest';
import { kubeProxyBehaviour } from '../model/kube-proxy-versions.ts';
import { CURRENT_KUBE_PROXY } from '../model/kube-proxy.ts';
import { CLUSTER, fails, HEAD, load } from './load-fixtures.ts';

describe('kubeProxy of an experiment', () => {
  it('is the current one unless given', () => {
    expect(load(`${HEAD}${CLUSTER}`).resolvePoint({}).proxy.kubeProxy).toEqual(CURRENT_KUBE_PROXY);
  });

  it.each(['v1.31', '1.31', '"1.31"', 'v1.31.2'])('may be written %s', (text) => {
    const loaded = load(`${HEAD}${CLUSTER}kubeProxy: ${text}\n`);
    expect(loaded.resolvePoint({}).proxy.kubeProxy).toEqual(kubeProxyBehaviour(31));
  });

  it('may be an axis', () => {
    const loaded = load(`${HEAD}${CLUSTER}sweep:\n  kubeProxy: [v1.21, v1.22, 1.35]\n`);
    const [axis] = loaded.axes;
    const rules = axis.values.map(
      (version) => loaded.resolvePoint({ kubeProxy: version }).proxy.kubeProxy.masqueradeRules,
    );
    expect(rules).toEqual(['dispatch', 'service', 'service']);
  });

  it.each([
    [
      'kubeProxy: v1.17',
      'e.yaml:6:12: "kubeProxy" must be a version of kube-proxy from v1.18 to v1.35, such as v1.31, got "v1.17".',
    ],
    [
      'kubeProxy: 1.3',
      'e.yaml:6:12: "kubeProxy" must be a version of kube-proxy from v1.18 to v1.35, such as v1.31, got 1.3. Without quotes 1.30 is the number 1.3: write v1.30.',
    ],
    [
      'kubeProxy: 31',
      'e.yaml:6:12: "kubeProxy" must be a version of kube-proxy from v1.18 to v1.35, such as v1.31, got 31. Did you mean "v1.31"?',
    ],
    [
      'kubeProxy: v1.35.0-rc.1',
      'e.yaml:6:12: "kubeProxy" must be a version of kube-proxy from v1.18 to v1.35, such as v1.31, got "v1.35.0-rc.1". Pre-releases are not told apart.',
    ],
    ['kubeProxy: [v1.31]', 'e.yaml:6:12: "kubeProxy" must be text or a number, got a list (["v1.31"]).'],
    ['kube_proxy: v1.31', /^e\.yaml:6:1: Unknown key "kube_proxy" in the experiment\. .* Did you mean "kubeProxy"\?$/],
    [
      'sweep: { kubeProxy: [v1.31, v1.99] }',
      'e.yaml:6:21: "kubeProxy" must be a version of kube-proxy from v1.18 to v1.35, such as v1.31, got "v1.99".',
    ],
  ])('refuses %s', (line, message) => {
    const got = fails(`${HEAD}${CLUSTER}${line}\n`);
    if (typeof message === 'string') expect(got).toBe(message);
    else expect(got).toMatch(message);
  });
});

describe('engines and their versions', () => {
  it.each([
    [
      'engines: [ipvs, nftables]\nkubeProxy: v1.28',
      'e.yaml:6:17: kube-proxy v1.28 has no nftables mode; it came with v1.29. Take "nftables" out of "engines", or another version by "kubeProxy".',
    ],
    [
      'engines: [userspace]\nkubeProxy: v1.26',
      'e.yaml:6:11: kube-proxy v1.26 has no userspace mode; v1.25 was the last with it. Take "userspace" out of "engines", or another version by "kubeProxy".',
    ],
    [
      'engines: [userspace]',
      'e.yaml:6:11: kube-proxy v1.35 has no userspace mode; v1.25 was the last with it. Take "userspace" out of "engines", or another version by "kubeProxy".',
    ],
    [
      'engines: [nftables]\nsweep: { kubeProxy: [v1.35, v1.20] }',
      /^e\.yaml:6:11: kube-proxy v1\.20 has no nftables mode/,
    ],
  ])('refuses %j', (lines, message) => {
    const got = fails(`${HEAD}${CLUSTER}${lines}\n`);
    if (typeof message === 'string') expect(got).toBe(message);
    else expect(got).toMatch(message);
  });

  it('takes every mode in its time', () => {
    const old = load(`${HEAD}${CLUSTER}engines: [iptables, ipvs, userspace]\nkubeProxy: v1.25\n`);
    expect(old.engines).toEqual(['iptables', 'ipvs', 'userspace']);
    expect(old.warnings).toEqual([]);
    const now = load(`${HEAD}${CLUSTER}engines: [nftables]\n`);
    expect(now.engines).toEqual(['nftables']);
  });

  it('warns of deprecation and of alpha rules, where somebody names the version', () => {
    const both = 'engines: [ipvs, nftables]\n';
    expect(load(`${HEAD}${CLUSTER}${both}`).warnings).toEqual([]);
    expect(load(`${HEAD}${CLUSTER}${both}kubeProxy: v1.35\n`).warnings).toEqual([
      'IPVS mode is deprecated in kube-proxy v1.35.',
    ]);
    expect(load(`${HEAD}${CLUSTER}${both}kubeProxy: v1.30\n`).warnings).toEqual([
      'nftables mode of kube-proxy v1.30 (alpha) is taken to be that of v1.31.',
    ]);
  });

  it('never defaults to a mode that a version does not have', () => {
    for (const version of ['v1.18', 'v1.28', 'v1.35']) {
      const loaded = load(`${HEAD}${CLUSTER}kubeProxy: ${version}\n`);
      expect(loaded.engines).toEqual(expect.arrayContaining(['iptables', 'ipvs']));
      expect(loaded.engines).not.toContain('userspace');
    }
    expect(load(`${HEAD}${CLUSTER}sweep: { kubeProxy: [v1.35, v1.28] }\n`).engines).not.toContain('nftables');
  });
});

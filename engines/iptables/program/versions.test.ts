/** What older versions of kube-proxy write differently (KubeProxyBehaviour). */
import { describe, expect, it } from 'vitest';
import { kubeProxyBehaviour } from '../../../model/kube-proxy-versions.ts';
import { portProtoHash } from './chain-names.ts';
import { IptablesProgrammer } from './programmer.ts';
import { chainRules, firstSync, local, remote, servicePort, testConfig } from './test-services.ts';

const HASH = portProtoHash('ns/web:http', 'tcp');
const OLD = { kubeProxy: kubeProxyBehaviour(21) };
const CLUSTER_IP = '-m comment --comment "ns/web:http cluster IP" -m tcp -p tcp -d 172.30.0.1 --dport 80';

describe('masquerade rules before v1.22', () => {
  it('stand in front of the cluster IP jump and not in KUBE-SVC', () => {
    const program = firstSync([servicePort()], OLD);
    expect(chainRules(program, 'nat/KUBE-SERVICES')?.slice(0, 2)).toEqual([
      `${CLUSTER_IP} ! -s 10.0.0.0/8 -j KUBE-MARK-MASQ`,
      `${CLUSTER_IP} -j KUBE-SVC-${HASH}`,
    ]);
    expect(chainRules(program, `nat/KUBE-SVC-${HASH}`)?.join('\n')).not.toContain('KUBE-MARK-MASQ');
  });

  it('are as many as today: only their place differs', () => {
    const svc = servicePort({ nodePort: 30000, externalIps: ['198.51.100.1'] });
    const before = firstSync([svc], OLD).counts;
    const after = firstSync([svc]).counts;
    // The one rule of KUBE-EXT becomes two: one for the node port, one for the external IP.
    expect(before).toEqual({ ...after, natRules: after.natRules + 1 });
  });

  it('need no rule where nothing is masqueraded', () => {
    const program = firstSync([servicePort()], { ...OLD, localDetector: { kind: 'none' } });
    expect(chainRules(program, 'nat/KUBE-SERVICES')?.[0]).toBe(`${CLUSTER_IP} -j KUBE-SVC-${HASH}`);
  });

  it('stay in KUBE-EXT under a Local policy, whose marks depend on the source', () => {
    const svc = servicePort({ nodePort: 30000, externalPolicyLocal: true, endpoints: [local('10.1.0.1')] });
    const old = firstSync([svc], OLD);
    expect(chainRules(old, `nat/KUBE-EXT-${HASH}`)).toEqual(chainRules(firstSync([svc]), `nat/KUBE-EXT-${HASH}`));
    expect(chainRules(old, 'nat/KUBE-NODEPORTS')).toHaveLength(1);
  });
});

describe('syncs before v1.27', () => {
  it.each([
    [26, true],
    [27, false],
  ])('of v1.%i write unchanged services: %s', (minor, writes) => {
    const programmer = new IptablesProgrammer(testConfig({ kubeProxy: kubeProxyBehaviour(minor) }));
    const other = servicePort({ name: 'other', clusterIp: '172.30.0.2' });
    const sync = (endpoints: string[], full: boolean) =>
      programmer.sync([servicePort(), { ...other, endpoints: endpoints.map((each) => remote(each)) }], {
        full,
        changed: new Set(['ns/other']),
        nowSeconds: 0,
      });
    sync(['10.1.0.2'], true);
    const second = sync(['10.1.0.2', '10.1.0.3'], false);
    expect(second.full).toBe(writes);
    expect(second.restoreText().includes(`:KUBE-SVC-${HASH} `)).toBe(writes);
  });
});

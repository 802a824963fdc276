import { describe, expect, it } from 'vitest';
import type { ChurnEvent } from '../model/churn.ts';
import { NS_PER_S } from '../model/time.ts';
import { DnsWatch } from './dns-watch.ts';
import type { SliceWrite } from './endpoint-slices.ts';
import { constantly, FIRST_POD, HEADLESS, stateOf, planOf, deploymentOf, WEB, worldOf } from './test-world.ts';

const at = (seconds: number): number => Math.round(seconds * NS_PER_S);

describe('DnsWatch', () => {
  const endpoint = (address: number, ready: boolean) => ({
    address,
    nodeName: 'node-1',
    ready,
    serving: ready,
    terminating: false,
    changedAt: 0,
  });
  const write = (sliceId: number, ports: SliceWrite['ports'], ...endpoints: SliceWrite['endpoints']): SliceWrite => ({
    sliceId,
    servicePortIds: [WEB],
    ports,
    endpoints,
    triggers: [],
  });
  const ports = [{ servicePortId: WEB, targetPort: 8080 }];

  it('has the ready endpoints of all slices of a Service, and those that no pod stands behind', () => {
    const { servicePorts } = stateOf(planOf(deploymentOf()));
    const watch = new DnsWatch(
      servicePorts,
      [write(0, ports, endpoint(1, true), endpoint(2, false))],
      (address) => address >= FIRST_POD && address < FIRST_POD + 3,
    );
    const addresses = (id: number) => watch.endpointsOf(id).map((each) => each.address);
    expect(addresses(WEB)).toEqual([1]);
    watch.receive(write(1, ports, endpoint(3, true)));
    expect(addresses(WEB)).toEqual([1, 3]);
    // A slice that was deleted has no ports.
    watch.receive(write(0, [], ...[]));
    expect(addresses(WEB)).toEqual([3]);
    expect(watch.endpointsOf(9)).toEqual([{ address: 0x0a020001, port: 8080 }]);
    expect(watch.endpointsOf(77)).toEqual([]);
  });
});

describe('CoreDNS in a control plane', () => {
  const shrink: ChurnEvent = { kind: 'scale', at: at(10), deployment: 0, replicas: 2 };

  it('hears of a pod later than the API server, over a watch of its own', () => {
    const world = worldOf({ withDns: true, churn: [shrink], watch: constantly(0.5) });
    const seen = (seconds: number): number[] => {
      world.simulation.runUntil(at(seconds));
      return [
        world.plane.readyEndpoints(WEB),
        world.plane.dnsEndpoints(WEB).length,
        world.plane.dnsEndpoints(HEADLESS).length,
      ];
    };
    expect(seen(9)).toEqual([3, 3, 3]);
    // The slices are written 10 ms after the deletion, and come half a second later.
    expect(seen(10.02)).toEqual([2, 3, 3]);
    expect(seen(10.509)).toEqual([2, 3, 3]);
    expect(seen(10.511)).toEqual([2, 2, 2]);
    expect(world.plane.dnsEndpoints(HEADLESS)[0].port).toBe(9090);
  });

  it('changes nothing of what kube-proxy meets', () => {
    const churn: ChurnEvent[] = [shrink, { kind: 'rolling_update', at: at(20), deployment: 0 }];
    const [plain, named] = [worldOf({ churn }), worldOf({ churn, withDns: true })];
    for (const world of [plain, named]) world.simulation.runUntil(at(120));
    expect(named.committed.map((commit) => [commit.at, commit.request.delta])).toEqual(
      plain.committed.map((commit) => [commit.at, commit.request.delta]),
    );
    expect(named.plane.latencies()).toEqual(plain.plane.latencies());
    // The headless Service has as many writes of its own, of which no kube-proxy gets an event.
    expect(named.plane.endpointSliceWrites).toBe(2 * plain.plane.endpointSliceWrites);
    expect(named.plane.endpointSliceEvents).toBe(plain.plane.endpointSliceEvents);
    expect(plain.plane.dnsEndpoints(WEB)).toEqual([]);
  });
});

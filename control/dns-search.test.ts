import { describe, expect, it } from 'vitest';
import { nextStep, podSearchList, searchSteps } from './dns-search.ts';

const LIST = podSearchList('shop', 'cluster.local', []);
const names = (written: string, ndots = 5, list = LIST) => searchSteps(written, list, ndots).map((step) => step.name);

describe('searchSteps', () => {
  it('asks within the list first while a name has fewer dots than ndots', () => {
    expect(LIST).toEqual(['shop.svc.cluster.local', 'svc.cluster.local', 'cluster.local']);
    expect(names('api.example.com')).toEqual([
      'api.example.com.shop.svc.cluster.local',
      'api.example.com.svc.cluster.local',
      'api.example.com.cluster.local',
      'api.example.com',
    ]);
    expect(names('cart.shop.svc.cluster.local')).toHaveLength(4);
    expect(names('cart.shop.svc.cluster.local')[3]).toBe('cart.shop.svc.cluster.local');
  });

  it('asks for the name as it is first from ndots dots on', () => {
    expect(names('api.example.com', 2)[0]).toBe('api.example.com');
    expect(names('api.example.com', 3)[0]).toBe('api.example.com.shop.svc.cluster.local');
    expect(names('cart', 0)).toEqual(['cart', ...LIST.map((domain) => `cart.${domain}`)]);
    expect(searchSteps('a.b', ['x', 'y.'], 1)).toEqual([
      { name: 'a.b', asIs: true },
      { name: 'a.b.x', asIs: false },
      { name: 'a.b.y', asIs: false },
    ]);
  });

  it('asks once for a name with a dot at its end, and for one without a list', () => {
    expect(names('api.example.com.')).toEqual(['api.example.com']);
    expect(names('api.example.com', 5, [])).toEqual(['api.example.com']);
  });

  it('takes domains of the node behind those of the cluster', () => {
    expect(podSearchList('a', 'k8s.test', ['corp.test'])).toEqual([
      'a.svc.k8s.test',
      'svc.k8s.test',
      'k8s.test',
      'corp.test',
    ]);
  });
});

describe('nextStep', () => {
  const listFirst = searchSteps('cart', LIST, 5);
  const asIsFirst = searchSteps('api.example.com', LIST, 2);

  it('goes on to the next name after one that is not there', () => {
    expect([0, 1, 2, 3].map((i) => nextStep(listFirst, i, 'none'))).toEqual([1, 2, 3, undefined]);
    expect([0, 3].map((i) => nextStep(asIsFirst, i, 'none'))).toEqual([1, undefined]);
  });

  it('leaves the list after a time-out and tries the name as it is', () => {
    expect([0, 1, 3].map((i) => nextStep(listFirst, i, 'timeout'))).toEqual([3, 3, undefined]);
    // Tried before: nothing is left.
    expect(nextStep(asIsFirst, 1, 'timeout')).toBeUndefined();
    // h_errno of the first query is only kept for later.
    expect(nextStep(asIsFirst, 0, 'timeout')).toBe(1);
  });

  it('ends after a refusal within the list', () => {
    expect([0, 3].map((i) => nextStep(listFirst, i, 'refused'))).toEqual([undefined, undefined]);
    expect([0, 1].map((i) => nextStep(asIsFirst, i, 'refused'))).toEqual([1, undefined]);
  });
});

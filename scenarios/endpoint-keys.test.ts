/** Keys of an experiment for what endpoints are written into: good values, and mistakes with their place. */
import { describe, expect, it } from 'vitest';
import { CLUSTER, fails, HEAD, load } from './load-fixtures.ts';

const text = (propagation: string, others = '') => `${HEAD}${CLUSTER}propagation: { ${propagation} }\n${others}`;
const endpoints = (keys: string) => load(text(keys)).resolvePoint({}).propagation.endpoints;

describe('keys of endpoints', () => {
  it("are kube-controller-manager's defaults unless given", () => {
    expect(endpoints('watch_s: 0.1')).toEqual({ api: 'slices', truncation: true, maxPerSlice: 100, batchSeconds: 0 });
  });

  it('reach the spec', () => {
    expect(
      endpoints(
        'endpoints_api: endpoints, endpoints_truncation: false, max_endpoints_per_slice: 1000, endpoint_batch_s: 0.5',
      ),
    ).toEqual({ api: 'endpoints', truncation: false, maxPerSlice: 1000, batchSeconds: 0.5 });
  });

  it('may be swept', () => {
    const sweep =
      'sweep: { propagation.endpoints_api: [slices, endpoints], propagation.max_endpoints_per_slice: [1, 10] }\n';
    const loaded = load(text('watch_s: 0.1', sweep));
    const values = { 'propagation.endpoints_api': 'endpoints', 'propagation.max_endpoints_per_slice': 10 };
    expect(loaded.resolvePoint(values).propagation.endpoints).toMatchObject({ api: 'endpoints', maxPerSlice: 10 });
  });

  it.each([
    ['endpoints_api: slice', '6:31', '"propagation.endpoints_api" must be'],
    ['endpoints_truncation: 1000', '6:38', '"propagation.endpoints_truncation" must be'],
    ['max_endpoints_per_slice: 0', '6:41', '"propagation.max_endpoints_per_slice" must be'],
    ['max_endpoints_per_slice: 1001', '6:41', '"propagation.max_endpoints_per_slice" must be'],
    ['endpoint_batch_s: -1', '6:34', '"propagation.endpoint_batch_s" must be'],
    ['endpoint_batch: 1', '6:16', 'Did you mean "endpoint_batch_s"?'],
  ])('refuse %s', (keys, place, message) => {
    const failure = fails(text(keys));
    expect(failure).toContain(`e.yaml:${place}: `);
    expect(failure).toContain(message);
  });
});

import { describe, expect, it } from 'vitest';
import { referenceSchema } from './manifest.ts';

describe('references of a manifest', () => {
  const reference = {
    source: 'S',
    label: 'text',
    engine: 'iptables',
    metric: 'cost_first_packet_mean_ns',
    at: { services: 5000 },
    value: 35,
    predicted: 14.2,
    error_ratio: -0.59,
  };

  it('are turned from the unit of their source into that of their column', () => {
    const { value, predicted } = referenceSchema.parse({ ...reference, unit: 'us', unit_per_metric: 1e-3 });
    expect(value).toBeCloseTo(35_000, 6);
    expect(predicted).toBeCloseTo(14_200, 6);
  });

  it('stay as they are without a factor, and without a prediction', () => {
    expect(referenceSchema.parse(reference)).toEqual(reference);
    expect(referenceSchema.parse({ ...reference, predicted: null }).predicted).toBeNull();
  });
});

import { describe, expect, it } from 'vitest';
import { loadExperiment, scenariosFolder } from '../scenarios/load.ts';
import { fitRig, isAsked, RIG_FITS } from './published-fit.ts';

/** Where the searches begin, as a share of the committed numbers: elsewhere where one is quick, so that it has to find the way. */
const STARTS: Readonly<Record<string, number>> = {
  'published-2025-sync': 3,
  'published-2026': 1.04,
  'era-2019': 1.05,
  'published-2025': 1.03,
  'scale-test': 1,
};

describe("the published rigs' numbers", () => {
  it.each(Object.keys(RIG_FITS))('of %s are found again', { timeout: 240_000 }, async (name) => {
    const { parameters } = await fitRig(RIG_FITS[name], STARTS[name]);
    for (const { path, committed, reach, fitted } of parameters) {
      expect(Math.abs(fitted - committed), path).toBeLessThan(0.02 * Math.max(committed, reach));
    }
  });

  it('are fitted to points marked calibrate alone, of which there are no fewer than numbers', () => {
    for (const fit of Object.values(RIG_FITS)) {
      const references = fit.experiments.flatMap((name) =>
        loadExperiment(`${scenariosFolder()}/experiments/${name}.yaml`).references.map((reference) => ({
          reference,
          name,
        })),
      );
      const asked = references.filter(({ reference, name }) => isAsked(fit, reference, name));
      expect(asked.map(({ reference }) => reference.use)).not.toContain('validate');
      expect(asked.length).toBeGreaterThanOrEqual(fit.parameters.length);
    }
  });
});

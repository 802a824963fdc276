import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{model,sim,scenarios,control,engines,costs,kernel,runner,reports}/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 180_000,
    hookTimeout: 180_000,
    reporters: ['default', './vitest-reporter.ts'],
  },
});

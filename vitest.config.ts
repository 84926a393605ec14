import { defineConfig } from 'vitest/config';

// Forks: an addon is best loaded once per process, as a user has it, and a crash ends only its own file.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});

import { defineConfig } from 'vitest/config';

// Forks: an addon is best loaded once per process, as a user has it, and a crash ends only its own file.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Vitest leaves one processor free, which on two of them is half of the time lost.
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});

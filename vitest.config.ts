import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Forks: an addon is best loaded once per process, as a user has it, and a crash ends only its own file.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    // Two at least: many files wait for the kernel or for other processes most of their time.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});

import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Node before 22 parses the file of this variable at every start, for a tenth of a second, and the tests start commands by
// the hundred; none needs it: those that speak TLS have an authority of their own. The set-up, with npm in it, keeps it.
delete process.env.NODE_EXTRA_CA_CERTS;

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

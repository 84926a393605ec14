import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// Node before 22 parses the file of this variable at every start, for a tenth of a second, and the tests start commands by
// the hundred; none needs it: those that speak TLS have an authority of their own. The set-up, with npm in it, keeps it.
delete process.env.NODE_EXTRA_CA_CERTS;

// Files that share processes: they change nothing of their process and measure nothing of it. A process and what it loads
// cost more than the tests of most of them.
const together = [
  'test/*.test.ts',
  'test/bench/{compare,report,statistics}.test.ts',
  'test/bolt/*.test.ts',
  'test/cli/*.test.ts',
  'test/conformance/{model,table,tar-builder}.test.ts',
  'test/containerd/*.test.ts',
  'test/containers/*.test.ts',
  'test/content/*.test.ts',
  'test/docker/*.test.ts',
  'test/doctor/*.test.ts',
  'test/explain/*.test.ts',
  'test/metadata/*.test.ts',
  'test/oci/*.test.ts',
  'test/registry/{challenge,client,credentials,hosts}.test.ts',
  'test/security/*.test.ts',
  'test/source/{docker-archive,oci-layout,resolve-image,skopeo,tar-index}.test.ts',
  'test/store/{foreign-root,space,store,verify}.test.ts',
  'test/unpack/{destination,failures,image-json,inspect-image,mount-image,options,unpack-layer,watched}.test.ts',
  'test/verify/*.test.ts',
];

// Forks: an addon is best loaded once per process, as a user has it, and a crash ends only its own file.
export default defineConfig({
  test: {
    pool: 'forks',
    // Two at least: many files wait for the kernel or for other processes most of their time.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    testTimeout: 60_000,
    hookTimeout: 120_000,
    projects: [
      { extends: true, test: { name: 'apart', include: ['test/**/*.test.ts'], exclude: together } },
      { extends: true, test: { name: 'together', include: together, isolate: false } },
    ],
  },
});

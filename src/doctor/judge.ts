// What several probes mean together, which none of them can know alone.

import type { Probe } from '../native/index.js';

/** The first release that does not copy opaque marks up. */
const fixedKernel = [4, 8] as const;

/** The probes, some of them with another status. */
export function judged(probes: readonly Probe[]): Probe[] {
  const refused = (id: string) =>
    probes.some((probe) => probe.id === id && ['warn', 'fail'].includes(probe.status));
  // A mark can be written in two ways: where neither works, what a layer deletes comes back.
  const impossible = new Set([
    ...(refused('whiteout-device') && refused('xattr-whiteout') ? ['whiteout-device'] : []),
    ...(refused('xattr-trusted') && refused('xattr-user') ? ['xattr-trusted'] : []),
  ]);
  const release = probes.find(({ id }) => id === 'kernel')?.value ?? '';
  return probes.map((probe) => {
    if (impossible.has(probe.id)) {
      return { ...probe, status: 'fail' };
    }
    if (probe.id === 'opaque-copy-up-bug' && probe.status === 'unknown' && isFixed(release)) {
      const evidence = `Linux ${release} has the fix of 4.8 (not tried: ${probe.evidence})`;
      return { ...probe, status: 'ok', value: 'no', evidence };
    }
    return probe;
  });
}

/** Distributions take fixes back into older kernels, and do not take them out of newer ones. */
function isFixed(release: string): boolean {
  const [major = 0, minor = 0] = release.split('.').map(Number.parseFloat);
  return major > fixedKernel[0] || (major === fixedKernel[0] && minor >= fixedKernel[1]);
}

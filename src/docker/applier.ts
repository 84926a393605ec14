// Where a layer of Docker's, undamaged, has something else on the disk than its tar says: as a containerd's; and any layer
// may be one that was built here.

import { acceptApplied } from '../containerd/applier.js';
import type { Difference } from '../native/index.js';
import type { LayerTruth } from '../verify/index.js';

/** The differences that are not of Docker's making. */
export function acceptDocker(
  differences: readonly Difference[],
  layer: LayerTruth & { directory: string; lowers: readonly string[] },
): Promise<Difference[]> {
  return acceptApplied(differences, {
    ...layer,
    snapshotter: 'overlay2',
    inUserNamespace: false,
    wasMounted: false,
    mayBeBuilt: true,
  });
}

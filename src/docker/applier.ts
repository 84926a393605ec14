// Where a layer of Docker's, undamaged, has something else on the disk than its tar says: what containerd's applier does
// otherwise too, and what a layer shows that was not applied but built: its directory was written by a container, and
// the tar made of it has less (moby's pkg/archive: whole seconds, no sockets, of xattrs capabilities alone).

import { acceptApplied } from '../containerd/applier.js';
import type { Difference, Note } from '../native/index.js';

/** The differences that are not of Docker's making. */
export async function acceptDocker(
  differences: readonly Difference[],
  layer: { directory: string; lowers: readonly string[]; notes: readonly Note[] },
): Promise<Difference[]> {
  const left = await acceptApplied(differences, {
    ...layer,
    snapshotter: 'overlay2',
    inUserNamespace: false,
  });
  const wasBuilt = left.some(hasFraction);
  return left.flatMap((difference) => {
    const { expected, found, fields } = difference;
    if (expected === null && found?.type === 'socket') {
      return [];
    }
    const rest = fields.filter(
      (field) =>
        !(field === 'mtime' && hasFraction(difference)) &&
        !(wasBuilt && isUnrecorded(field, difference)),
    );
    return fields.length > 0 && rest.length === 0 ? [] : [{ ...difference, fields: rest }];
  });
}

/** Whether the times are of the same second, and the tar has no fraction of it. */
function hasFraction({ expected, found }: Difference): boolean {
  return (
    expected !== null &&
    expected.mtimeSeconds === found?.mtimeSeconds &&
    expected.mtimeNanoseconds === 0 &&
    found.mtimeNanoseconds !== 0
  );
}

/** An xattr that the tar of a built layer does not have; overlayfs' own marks it has in its way. */
function isUnrecorded(field: string, { expected }: Difference): boolean {
  const name = field.startsWith('xattr:') ? field.slice('xattr:'.length) : undefined;
  return (
    name !== undefined &&
    expected?.xattrs[name] === undefined &&
    !/^(user|trusted)\.overlay\./.test(name)
  );
}

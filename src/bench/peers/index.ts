// Every contender, and the choice of `--peers`.

import { UnpackError } from '../../index.js';
import type { Contender } from '../contender.js';
import { floorContender } from '../floor.js';
import { javaScriptContenders } from '../javascript.js';
import { type OwnMode, ownContenders } from '../ours.js';
import { containerdContender } from './containerd.js';
import { skopeoContender } from './skopeo.js';
import { tarContenders } from './tar.js';
import { umociContender } from './umoci.js';

/** All contenders in the order of the table: ours first, the floor last. */
export function allContenders(mode: OwnMode): Contender[] {
  return [
    ...ownContenders(mode),
    ...javaScriptContenders(mode.privileged),
    ...tarContenders(),
    umociContender(),
    containerdContender(),
    skopeoContender(),
    floorContender(mode.mounts),
  ];
}

/**
 * The contenders that `peers` asks for: `all`, `none`, or names with commas between them; `tar` means everything that
 * begins with `tar-`. oci-unpack and the floor always take part.
 *
 * @throws UnpackError `ERR_INVALID_ARGUMENT` for a name that nobody has.
 */
export function chooseContenders(contenders: readonly Contender[], peers: string): Contender[] {
  const others = contenders.filter(({ kind }) => kind === 'javascript' || kind === 'peer');
  const names = peers === 'all' || peers === 'none' ? [] : peers.split(',').filter(Boolean);
  const fits = (id: string, name: string) => id === name || id.startsWith(`${name}-`);
  for (const name of names) {
    if (!contenders.some(({ id }) => fits(id, name))) {
      const known = others.map(({ id }) => id).join(', ');
      throw new UnpackError(
        'ERR_INVALID_ARGUMENT',
        `--peers: ${name} is not known; write all, none, or a list of ${known}`,
      );
    }
  }
  const chosen = (id: string) => peers === 'all' || names.some((name) => fits(id, name));
  return contenders.filter((one) => !others.includes(one) || chosen(one.id));
}

// Every contender, and the choice of `--peers`.

import { UnpackError } from '../../index.js';
import type { Contender } from '../contender.js';
import { floorContender } from '../floor.js';
import { javaScriptContenders } from '../javascript.js';
import { type OwnMode, ownContenders } from '../ours.js';
import { containerdContender, parallelContainerdContender } from './containerd.js';
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
    parallelContainerdContender(),
    skopeoContender(),
    floorContender(mode.mounts),
  ];
}

/**
 * The contenders that `peers` asks for: `all`, `none`, or names with commas between them; `tar` means everything that
 * begins with `tar-`. oci-unpack and the floor always take part; a list that names some of oci-unpack's own rows
 * leaves out the others, but for the first, which every tree is compared with.
 *
 * @throws UnpackError `ERR_INVALID_ARGUMENT` for a name that nobody has.
 */
export function chooseContenders(contenders: readonly Contender[], peers: string): Contender[] {
  const names = peers === 'all' || peers === 'none' ? [] : peers.split(',').filter(Boolean);
  const fits = ({ id, kind }: Contender, name: string) =>
    id === name || (kind !== 'ours' && id.startsWith(`${name}-`));
  for (const name of names) {
    if (!contenders.some((one) => fits(one, name))) {
      const known = contenders.map(({ id }) => id).join(', ');
      throw new UnpackError(
        'ERR_INVALID_ARGUMENT',
        `--peers: ${name} is not known; write all, none, or a list of ${known}`,
      );
    }
  }
  const named = (one: Contender) => names.some((name) => fits(one, name));
  const someOurs = contenders.some((one) => one.kind === 'ours' && named(one));
  return contenders.filter((one, index) => {
    switch (one.kind) {
      case 'floor':
        return true;
      case 'ours':
        return index === 0 || !someOurs || named(one);
      default:
        return peers === 'all' || named(one);
    }
  });
}

/** Throws as {@link chooseContenders} would, before anything is done. */
export function checkPeers(peers: string): void {
  const mode: OwnMode = { format: 'overlay', policies: {}, mounts: true, privileged: true };
  chooseContenders(allContenders(mode), peers);
}

// `oci-unpack mount WHAT TARGET` and `oci-unpack umount TARGET`: an unpacked image, or what the store has.

import { existsSync } from 'node:fs';
import path from 'node:path';
import { Command } from 'commander';
import {
  defaultStoreRoot,
  type Mount,
  mountImage,
  type Store,
  UnpackError,
  unmount,
} from '../../index.js';
import { shellPath } from '../../text.js';
import type { RunContext } from '../run-context.js';
import { addStoreOptions, type StoreArguments, withStore } from '../store/options.js';

const mountExample = `
Examples:
  $ oci-unpack mount ./unpacked /mnt
  $ oci-unpack mount ./unpacked /mnt --upper ./changes
  $ oci-unpack mount web /mnt            (a container of the store, for writing)
  $ oci-unpack mount debian:latest /mnt  (an image of the store, read-only)

Without --upper the mount of an unpacked image is read-only. With it, changes go
to that directory (made where missing); the work directory of overlayfs is made
beside it, DIR.work.`;

/** The command `mount`. */
export function mountCommand(context: RunContext): Command {
  const command = new Command('mount')
    .description('mount an unpacked image, or a container or image of the store')
    .argument('<what>', 'where an image was unpacked to; else a container, else an image')
    .argument('<target>', 'an existing directory')
    .option('-u, --upper <dir>', 'a directory for changes; without one the mount is read-only');
  return addStoreOptions(command)
    .addHelpText('after', mountExample)
    .action(async (what: string, target: string, given: { upper?: string } & StoreArguments) => {
      const { upper } = given;
      const [mount, mode] =
        given.root === undefined && (upper !== undefined || isUnpacked(what))
          ? [
              await mountImage(what, target, {
                upper,
                onWarning: (message) => context.warn(given, message),
              }),
              upper === undefined ? 'read-only' : `changes go to ${upper}`,
            ]
          : await withStore(given, 'write', (store) => mountStored(store, what, target, upper));
      context.print(given, { ...mount, target }, () => {
        const undo = `oci-unpack umount ${shellPath(target)}`;
        return `mounted at ${target} (${mount.type}, ${mode}); undo: ${undo}`;
      });
    });
}

/** A path, or the directory of an unpacked image; where there is no store, nothing else can be meant. */
function isUnpacked(what: string): boolean {
  return (
    /^\.{0,2}\//.test(what) ||
    existsSync(path.join(what, 'image.json')) ||
    !existsSync(path.join(defaultStoreRoot(), 'metadata', 'data.mdb'))
  );
}

async function mountStored(
  store: Store,
  what: string,
  target: string,
  upper: string | undefined,
): Promise<[Mount, string]> {
  if (upper !== undefined) {
    const problem =
      '--upper is for an unpacked image; what the store has is written to as a container';
    throw new UnpackError('ERR_INVALID_ARGUMENT', problem);
  }
  const isContainer = store.containers.list().some(({ id }) => id === what);
  const mounts = isContainer
    ? await store.containers.mount(what, target)
    : await store.containers.mountImage(what, target).catch((error: unknown) => {
        if (error instanceof UnpackError && error.code === 'ERR_STORE_NOT_FOUND') {
          const problem = 'is neither an unpacked image nor a container or image of the store';
          throw new UnpackError('ERR_NOT_FOUND', `${what}: ${problem}`, { path: what });
        }
        throw error;
      });
  return [mounts.at(-1) as Mount, isContainer ? 'changes go to the container' : 'read-only'];
}

/** The command `umount`. */
export function umountCommand(context: RunContext): Command {
  const command = new Command('umount')
    .description('undo a mount')
    .argument('<target>', 'where it is mounted, or the container');
  return addStoreOptions(command)
    .addHelpText('after', '\nExample:\n  $ oci-unpack umount /mnt')
    .action(async (target: string, given: StoreArguments) => {
      const root = given.root ?? defaultStoreRoot();
      const ofStore =
        existsSync(path.join(root, 'metadata', 'data.mdb')) &&
        (await withStore(given, 'write', (store) => store.containers.umount(target)));
      if (!ofStore) {
        await unmount(target);
      }
      context.print(given, { target }, () => `unmounted ${target}`);
    });
}

// `oci-unpack mount DEST TARGET` and `oci-unpack umount TARGET`.

import { Command } from 'commander';
import { mountImage, unmount } from '../../index.js';
import { addOutputOptions, type OutputOptions } from '../arguments.js';
import type { RunContext } from '../run-context.js';

const mountExample = `
Examples:
  $ oci-unpack mount ./unpacked /mnt
  $ oci-unpack mount ./unpacked /mnt --upper ./changes

Without --upper the mount is read-only. With it, changes go to that directory (made where missing); the
work directory of overlayfs is made beside it, DIR.work.`;

/** The command `mount`. */
export function mountCommand(context: RunContext): Command {
  const command = new Command('mount')
    .description('mount an unpacked image')
    .argument('<dest>', 'where the image was unpacked to')
    .argument('<target>', 'an existing directory')
    .option('-u, --upper <dir>', 'a directory for changes; without one the mount is read-only');
  return addOutputOptions(command)
    .addHelpText('after', mountExample)
    .action(async (dest: string, target: string, given: { upper?: string } & OutputOptions) => {
      const { upper } = given;
      const mount = await mountImage(dest, target, { upper });
      context.print(given, { ...mount, target }, () => {
        const mode = upper === undefined ? 'read-only' : `changes go to ${upper}`;
        return `mounted at ${target} (${mount.type}, ${mode}); undo: oci-unpack umount ${target}`;
      });
    });
}

/** The command `umount`. */
export function umountCommand(context: RunContext): Command {
  const command = new Command('umount')
    .description('undo a mount')
    .argument('<target>', 'where it is mounted');
  return addOutputOptions(command)
    .addHelpText('after', '\nExample:\n  $ oci-unpack umount /mnt')
    .action(async (target: string, given: OutputOptions) => {
      await unmount(target);
      context.print(given, { target }, () => `unmounted ${target}`);
    });
}

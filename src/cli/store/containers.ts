// `oci-unpack containers create|ls|rm`, `bundle` and `run`.

import { Command, Option } from 'commander';
import type { BundleOptions, Store } from '../../index.js';
import { printable, shellPath } from '../../text.js';
import type { CommandFactory } from '../program.js';
import type { RunContext } from '../run-context.js';
import { type ImportArguments, storedName } from './import.js';
import { addStoreOptions, addUnpackStoreOptions, withStore } from './options.js';
import { listCommand, type RecordKind, removeCommand } from './record-commands.js';
import { ago, listing, shortKey } from './tables.js';

const imageHelp = 'an image of the store, or oci:..., which is imported first';

/** The command `containers`. */
export const containersCommand: CommandFactory = (context) =>
  addStoreOptions(new Command('containers'))
    .description('containers: writable snapshots on top of images')
    .addHelpText('after', '\nExample:\n  $ oci-unpack containers create debian:latest web')
    .addCommand(listCommand(context, containers), { isDefault: true })
    .addCommand(create(context))
    .addCommand(removeCommand(context, containers));

type ContainerRecord = ReturnType<Store['containers']['get']>;

const containers: RecordKind<ContainerRecord> = {
  name: 'containers',
  example: 'web',
  filters: 'image==debian:latest, labels.team==web',
  removal: 'remove containers with all that was changed in them',
  list: (store, filters) => store.containers.list(filters),
  remove: (store, id) => store.containers.remove(id),
  show: (context, found) =>
    listing(context, found, [
      { head: 'ID', text: ({ id }) => id, most: 24 },
      { head: 'IMAGE', text: ({ image }) => image, most: 30 },
      { head: 'SNAPSHOT', text: ({ snapshotKey }) => shortKey(snapshotKey), most: 20 },
      { head: 'CREATED', text: ({ createdAt }) => ago(createdAt) },
    ]),
};

function create(context: RunContext): Command {
  return addUnpackStoreOptions(new Command('create'))
    .description('make a container of an image; prints its id')
    .argument('<image>', imageHelp)
    .argument('[id]', 'default: made of the name of the image')
    .option('-p, --platform <platform>', 'os/arch[/variant] (default: as imported)')
    .addHelpText('after', '\nExample:\n  $ oci-unpack containers create debian:latest web')
    .action(async (image: string, id: string | undefined, given: ImportArguments) => {
      const { platform } = given;
      const container = await withStore(given, 'write', async (store) => {
        const name = await storedName(context, store, image, given);
        return store.containers.create(name, { id, platform, signal: context.signal });
      });
      context.print(given, container, () => container.id);
    });
}

interface ProcessArguments extends ImportArguments {
  id?: string;
  env?: string[];
  workdir?: string;
  user?: string;
  entrypoint?: string;
  net?: 'none' | 'host';
  readOnly?: boolean;
  tty?: boolean;
  newPrivileges?: boolean;
  keep?: boolean;
  runtime?: string;
}

function addProcessOptions(command: Command): Command {
  return command
    .option('--id <id>', 'of the container (default: made of the name of the image)')
    .option('-p, --platform <platform>', 'os/arch[/variant] (default: as imported)')
    .option('-e, --env <name=value>', 'repeatable; NAME alone takes it from here', collect)
    .option('-w, --workdir <dir>', 'working directory')
    .option('-u, --user <user>', 'user[:group], names of the image or numbers')
    .option('--entrypoint <command>', "instead of the image's; empty for none")
    .addOption(new Option('--net <network>', 'network').choices(['none', 'host']).default('none'))
    .option('--read-only', 'the root file system cannot be changed')
    .option('--no-new-privileges', 'no more rights by set-user-ID programs and file capabilities');
}

/** The command `bundle`. */
export function bundleCommand(context: RunContext): Command {
  const command = new Command('bundle')
    .description('write an OCI runtime bundle of a new container: rootfs, mounted, and config.json')
    .argument('<image>', imageHelp)
    .argument('<dir>', 'a missing or empty directory')
    .argument('[cmd...]', "instead of the image's command (after --)");
  return addProcessOptions(addUnpackStoreOptions(command))
    .option('-t, --tty', 'the process gets a terminal')
    .addHelpText(
      'after',
      '\nExample:\n  $ oci-unpack bundle debian:latest ./web --id web\n  $ runc run -b ./web web\n  $ oci-unpack containers rm web',
    )
    .action(async (image: string, directory: string, args: string[], given: ProcessArguments) => {
      const bundle = await withStore(given, 'write', async (store) => {
        const name = await storedName(context, store, image, given);
        const options = { ...processOptions(context, args, given), terminal: given.tty ?? false };
        return store.containers.bundle(name, directory, options);
      });
      const where = printable(directory);
      context.print(given, bundle, () => [
        `container ${bundle.id}: ${where}/config.json, root at ${printable(bundle.rootfs)}`,
        `run it:    runc run -b ${shellPath(directory)} ${bundle.id}`,
        `remove it: oci-unpack containers rm ${bundle.id}`,
      ]);
    });
}

/** The command `run`. */
export function runCommand(context: RunContext): Command {
  const command = new Command('run')
    .description("run an image with the host's runc or crun, and remove the container after")
    .argument('<image>', imageHelp)
    .argument('[cmd...]', "instead of the image's command")
    .passThroughOptions();
  return addProcessOptions(addUnpackStoreOptions(command))
    .option('--keep', 'keep the container when it has ended')
    .option('-t, --tty', 'a terminal (default: when stdin and stdout are one)')
    .option('-T, --no-tty', 'no terminal')
    .option('--runtime <runtime>', 'name or path of an OCI runtime (default: runc, else crun)')
    .addHelpText(
      'after',
      "\nExample:\n  $ oci-unpack run debian:latest echo hello\n\nIts exit code is that of the process, 128 + N after signal N.\nWith --json the result is printed after the process's own output.",
    )
    .action(async (image: string, args: string[], given: ProcessArguments) => {
      const result = await withStore(given, 'write', async (store: Store) => {
        const name = await storedName(context, store, image, { ...given, quiet: true });
        const { stdin, stdout } = process;
        const terminal = given.tty ?? (stdin.isTTY === true && stdout.isTTY === true);
        const release = () => context.releaseSignals();
        return store.containers.run(name, {
          ...processOptions(context, args, given),
          terminal,
          keep: given.keep,
          runtime: given.runtime,
          forwardSignals: true,
          onStart: release,
        });
      });
      if (given.json) {
        context.print(given, result, () => '');
      } else if (given.keep && !given.quiet) {
        context.stderr.write(`kept as ${result.id}\n`);
      }
      process.exitCode = result.exitCode;
    });
}

function processOptions(
  context: RunContext,
  args: string[],
  given: ProcessArguments,
): BundleOptions {
  const { id, platform, env, workdir, user, entrypoint, net, readOnly, newPrivileges } = given;
  return {
    id,
    platform,
    args,
    env,
    cwd: workdir,
    user,
    ...(entrypoint !== undefined && { entrypoint: entrypoint === '' ? [] : [entrypoint] }),
    network: net,
    readonly: readOnly,
    noNewPrivileges: newPrivileges === false,
    signal: context.signal,
  };
}

function collect(text: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), text];
}

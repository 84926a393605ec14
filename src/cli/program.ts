// The command `oci-unpack`: puts the commands together, runs one, and gives the exit code.

import { Command, CommanderError } from 'commander';
import { version } from '../index.js';
import { benchCommand } from './commands/bench.js';
import { demoCommand } from './commands/demo.js';
import { doctorCommand } from './commands/doctor.js';
import { inspectCommand } from './commands/inspect.js';
import { mountCommand, umountCommand } from './commands/mount.js';
import { unpackCommand } from './commands/unpack.js';
import { exitUsage, RunContext } from './run-context.js';
import { StopSignals } from './stop-signals.js';
import { bundleCommand, containersCommand, runCommand } from './store/containers.js';
import { contentCommand } from './store/content.js';
import { gcCommand, whyCommand } from './store/gc.js';
import { imagesCommand } from './store/images.js';
import { importCommand } from './store/import.js';
import { leasesCommand } from './store/leases.js';
import { snapshotsCommand } from './store/snapshots.js';

/** Makes a command whose action returns an exit code, or nothing for 0. */
export type CommandFactory = (context: RunContext) => Command;

const factories: readonly CommandFactory[] = [
  unpackCommand,
  inspectCommand,
  mountCommand,
  umountCommand,
  importCommand,
  imagesCommand,
  runCommand,
  bundleCommand,
  containersCommand,
  snapshotsCommand,
  contentCommand,
  leasesCommand,
  gcCommand,
  whyCommand,
  demoCommand,
  doctorCommand,
  benchCommand,
];

/** Parses `args` (without node and script), runs the command, and resolves to its exit code. */
export async function run(args: readonly string[]): Promise<number> {
  const stops = new StopSignals().listen();
  const context = new RunContext(process, stops.signal, () => stops.close());
  const program = new Command('oci-unpack')
    .description('Unpacks container images into layers that overlayfs mounts, exactly and fast.')
    .version(version, '-V, --version')
    .showHelpAfterError('(--help shows the usage)')
    .enablePositionalOptions()
    .exitOverride();
  program.addHelpText('after', '\nExample:\n  $ oci-unpack unpack oci:./image:latest ./unpacked');
  for (const factory of factories) {
    program.addCommand(factory(context).copyInheritedSettings(program));
  }
  try {
    await program.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) {
      // It has printed its message; help and version are no errors.
      return error.exitCode === 0 ? 0 : exitUsage;
    }
    const code = context.fail(error, args.includes('--json'));
    return stops.exitCode ?? code;
  } finally {
    stops.close();
  }
}

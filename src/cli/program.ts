// The command `oci-unpack`: puts the commands together, runs one, and gives the exit code.

import { isUtf8 } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { Command, CommanderError } from 'commander';
import { UnpackError } from '../errors.js';
import { packageVersion } from '../version.js';
import type { Output } from './output.js';
import { exitUsage, RunContext } from './run-context.js';
import { StopSignals } from './stop-signals.js';

/** Makes a command whose action returns an exit code, or nothing for 0. */
export type CommandFactory = (context: RunContext) => Command;

/** The commands in the order of --help. Only what is run is loaded: a command should start at once. */
const commands: Readonly<Record<string, () => Promise<CommandFactory>>> = {
  unpack: async () => (await import('./commands/unpack.js')).unpackCommand,
  inspect: async () => (await import('./commands/inspect.js')).inspectCommand,
  mount: async () => (await import('./commands/mount.js')).mountCommand,
  umount: async () => (await import('./commands/mount.js')).umountCommand,
  pull: async () => (await import('./store/pull.js')).pullCommand,
  import: async () => (await import('./store/import.js')).importCommand,
  images: async () => (await import('./store/images.js')).imagesCommand,
  run: async () => (await import('./store/containers.js')).runCommand,
  bundle: async () => (await import('./store/containers.js')).bundleCommand,
  containers: async () => (await import('./store/containers.js')).containersCommand,
  snapshots: async () => (await import('./store/snapshots.js')).snapshotsCommand,
  content: async () => (await import('./store/content.js')).contentCommand,
  leases: async () => (await import('./store/leases.js')).leasesCommand,
  gc: async () => (await import('./store/gc.js')).gcCommand,
  verify: async () => (await import('./store/verify.js')).verifyCommand,
  why: async () => (await import('./store/gc.js')).whyCommand,
  demo: async () => (await import('./commands/demo.js')).demoCommand,
  doctor: async () => (await import('./commands/doctor.js')).doctorCommand,
  explain: async () => (await import('./commands/explain.js')).explainCommand,
  bench: async () => (await import('./commands/bench.js')).benchCommand,
};

/**
 * Adds the command that `args` begin with alone, else (for --help, for options before the command, and for what is
 * mistyped) all of them, and the options that may stand before any.
 */
async function addCommands(
  program: Command,
  args: readonly string[],
  context: RunContext,
): Promise<void> {
  const [first = ''] = args;
  if (args.length === 1 && ['--version', '-V'].includes(first)) {
    return;
  }
  const named = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (named === undefined) {
    const { addStoreOptions } = await import('./store/options.js');
    addStoreOptions(program);
  }
  for (const load of named ? [named] : Object.values(commands)) {
    program.addCommand((await load())(context));
  }
  settle(program);
}

/** Gives the settings of `parent`, and what is written before a sub-command, to all below it. */
function settle(parent: Command): void {
  parent.hook('preSubcommand', passOn);
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    settle(command);
  }
}

/** Gives `command` the options that were written before its name, as in `--root DIR images ls`. */
function passOn(parent: Command, command: Command): void {
  const [word = ''] = parent.args;
  // A default command would take what is mistyped, `images delete`, for a filter that fits nothing.
  if (/^[a-z-]+$/i.test(word) && ![command.name(), ...command.aliases()].includes(word)) {
    parent.error(`error: unknown command '${word}'`, { code: 'commander.unknownCommand' });
  }
  for (const option of parent.options) {
    const name = option.attributeName();
    if (parent.getOptionValueSource(name) !== 'cli') {
      continue;
    }
    if (!command.options.some((own) => own.attributeName() === name)) {
      command.error(`error: unknown option '${option.long}'`, { code: 'commander.unknownOption' });
    }
    command.setOptionValueWithSource(name, parent.getOptionValue(name), 'cli');
  }
}

/** Node reads arguments as UTF-8, and puts U+FFFD for bytes that are not: it would be the name of another file. */
function checkEncoding(args: readonly string[]): void {
  if (args.some((arg) => arg.includes('\ufffd')) && !isUtf8(readFileSync('/proc/self/cmdline'))) {
    throw new UnpackError('ERR_INVALID_ARGUMENT', 'an argument is not UTF-8');
  }
}

/** What the parser has found wrong, as the other errors are. */
function usageError({ code, message }: CommanderError): UnpackError {
  const what = code === 'commander.help' ? 'a command is missing' : message.replace(/^error: /, '');
  return new UnpackError('ERR_INVALID_ARGUMENT', what);
}

/** Parses `args` (without node and script), runs the command, and resolves to its exit code. */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const stops = new StopSignals().listen();
  const context = new RunContext(output, process.env, stops);
  const json = args.includes('--json');
  const program = new Command('oci-unpack')
    .description('Unpacks container images into layers that overlayfs mounts, exactly and fast.')
    .version(packageVersion(), '-V, --version')
    .showHelpAfterError('(--help shows the usage)')
    .enablePositionalOptions()
    // 80 columns less the longest command leave 35 for what it does: wrapped too, not cut by the terminal.
    .configureHelp({ minWidthToWrap: 30 })
    .configureOutput({
      writeOut: (text) => output.write(text),
      writeErr: (text) => output.stderr.write(text),
    })
    .exitOverride();
  program.addHelpText('after', '\nExample:\n  $ oci-unpack unpack oci:./image:latest ./unpacked');
  await addCommands(program, args, context);
  program.hook('preSubcommand', (_, command) => {
    context.eventLines = command.name() === 'pull';
  });
  try {
    checkEncoding(args);
    await program.parseAsync(args, { from: 'user' });
    return Number(process.exitCode ?? 0);
  } catch (error) {
    if (error instanceof CommanderError) {
      // It has printed its message; help and version are no errors.
      if (error.exitCode === 0) {
        return 0;
      }
      if (json) {
        context.printJsonError(usageError(error));
      }
      return exitUsage;
    }
    const code = context.fail(error, json);
    return stops.exitCode ?? code;
  } finally {
    stops.close();
  }
}

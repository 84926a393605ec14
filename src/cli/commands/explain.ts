// `oci-unpack explain TOPIC`.

import { Argument, Command } from 'commander';
import { explainOpaque, explanationLines } from '../../explain/index.js';
import { version } from '../../index.js';
import { addOutputOptions, type OutputOptions } from '../arguments.js';
import { exitFailed, type RunContext } from '../run-context.js';

const example = `
Examples:
  $ sudo oci-unpack explain opaque
  $ unshare -Urm oci-unpack explain opaque      (without root; Linux 5.11)
  $ sudo oci-unpack explain opaque --keep --dir /tmp

Topics:
  opaque   why images unpacked by containerd 1.2 lacked files on some kernels:
           one image is unpacked through a mount, the same with the kernel's bug
           emulated, and by oci-unpack; the three trees are mounted and shown
           side by side with their attributes. Then the damage is done to a
           store, verify finds it, and --repair heals it.

Everything is made in a directory of its own that is removed again, also on
Ctrl-C. The exit code is 1 when oci-unpack itself would lose a file. The whole
story: docs/lost-files.md.`;

interface ExplainArguments extends OutputOptions {
  dir?: string;
  keep?: boolean;
}

/** The command. */
export function explainCommand(context: RunContext): Command {
  const command = new Command('explain')
    .description('show how images lose files, and how that is found and healed')
    .addArgument(new Argument('<topic>', 'what to explain').choices(['opaque']))
    .option('-d, --dir <dir>', 'where to work (default: a tmpfs with room, else $TMPDIR)')
    .option('-k, --keep', 'leave what was made, to look at it');
  return addOutputOptions(command)
    .addHelpText('after', example)
    .action(async (_topic: string, given: ExplainArguments) => {
      const { dir, keep } = given;
      const { signal } = context;
      const explanation = await explainOpaque({ directory: dir, keep, signal });
      context.print(given, { version, ...explanation }, () =>
        explanationLines(explanation, context.style),
      );
      if (!explanation.ok) {
        process.exitCode = exitFailed;
      }
    });
}

// `oci-unpack demo`.

import { Command } from 'commander';
import { demoLines, runDemo } from '../../demo/index.js';
import { addOutputOptions, type OutputOptions, parseCount } from '../arguments.js';
import { exitFailed, type RunContext } from '../run-context.js';

const example = `
Examples:
  $ oci-unpack demo
  $ oci-unpack demo --dir /mnt/scratch --json

An image is made of real files of this machine: Node, npm, this project's
node_modules and a layer of changes. It is unpacked, mounted where this process
may, and compared with the files path by path; then the same is done in pure
JavaScript. The exit code is 1 when a path differs. What it makes is removed
again.`;

interface DemoArguments extends OutputOptions {
  dir?: string;
  runs: number;
}

/** The command. */
export function demoCommand(context: RunContext): Command {
  const command = new Command('demo')
    .description(
      'unpack an image of real files, check every path, and compare with pure JavaScript',
    )
    .option('-d, --dir <dir>', 'where to work (default: a tmpfs with room, else $TMPDIR)')
    .option('-n, --runs <n>', 'timed runs of each', parseCount(1, 1000), 3);
  return addOutputOptions(command)
    .addHelpText('after', example)
    .action(async (given: DemoArguments) => {
      const region = context.liveRegion(given);
      try {
        const report = await runDemo({
          directory: given.dir,
          runs: given.runs,
          signal: context.signal,
          ...(region && { onStep: (text) => region.draw([text]) }),
        });
        region?.clear();
        context.print(given, report, () => demoLines(report));
        if (!report.equal) {
          process.exitCode = exitFailed;
        }
      } finally {
        region?.clear();
      }
    });
}

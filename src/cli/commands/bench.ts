// `oci-unpack bench [IMAGE...]`.

import { Command } from 'commander';
import { benchLines, runBench } from '../../bench/index.js';
import { addOutputOptions, type OutputOptions, parseCount } from '../arguments.js';
import { exitFailed, type RunContext } from '../run-context.js';

const example = `
Examples:
  $ oci-unpack bench
  $ oci-unpack bench oci:./image:latest --dir /mnt/scratch --runs 9

Without an image one is made of real files of this machine. Every result is compared path by path before any
time is printed; the exit code is 1 when one differs.`;

interface BenchArguments extends OutputOptions {
  dir?: string;
  runs: number;
  smoke?: boolean;
}

/** The command. */
export function benchCommand(context: RunContext): Command {
  const command = new Command('bench')
    .description('measure what unpacking costs on this host, beside others')
    .argument('[image...]', 'oci:PATH[:TAG], oci-archive:PATH[:TAG] or docker-archive:PATH[:NAME]')
    .option('-d, --dir <dir>', 'where to work, which is the file system that is measured')
    .option('-n, --runs <n>', 'timed runs of each contender', parseCount(1, 1000), 5)
    .option('--smoke', 'one run on a small image: only to see that everything works');
  return addOutputOptions(command)
    .addHelpText('after', example)
    .action(async (images: string[], given: BenchArguments) => {
      const region = context.liveRegion(given);
      try {
        const report = await runBench({
          images,
          directory: given.dir,
          runs: given.runs,
          smoke: given.smoke,
          signal: context.signal,
          ...(region && { onStep: (text) => region.draw([text]) }),
        });
        region?.clear();
        context.print(given, report, () => benchLines(report));
        if (!report.equal) {
          process.exitCode = exitFailed;
        }
      } finally {
        region?.clear();
      }
    });
}

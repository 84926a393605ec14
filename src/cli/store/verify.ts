// `oci-unpack verify`: compares unpacked layers with what they came from, in the own store or, reading only, others'.

import { Command } from 'commander';
import { UnpackError } from '../../errors.js';
import type { VerifyProgress, VerifyReport } from '../../index.js';
import { exitFailed, type RunContext } from '../run-context.js';
import { VerifyView } from '../verify-view.js';
import { addStoreOptions, type StoreArguments, withStore } from './options.js';
import { verifyLines } from './verify-text.js';

interface VerifyArguments extends StoreArguments {
  all?: boolean;
  deep?: boolean;
  repair?: boolean;
  dryRun?: boolean;
  containerd?: string | true;
  docker?: string | true;
  repairScript?: boolean;
}

const example = `
Examples:
  $ oci-unpack verify --all
  $ oci-unpack verify debian:latest --deep
  $ oci-unpack verify debian:latest --repair --dry-run
  $ oci-unpack verify --containerd /var/lib/containerd --json
  $ oci-unpack verify --containerd --repair-script > repair.sh
  $ oci-unpack verify --docker /var/lib/docker

Every file is read and compared with the manifest that was written when its
layer was unpacked; a snapshot without one, and with --deep every snapshot,
with its blob, whose sha256 is the proof. Nothing is written but by --repair.
The exit code is 1 when something is damaged, and stays so.`;

/** The command `verify`. */
export function verifyCommand(context: RunContext): Command {
  return addStoreOptions(new Command('verify'))
    .description('find files that unpacked images lost or that changed, and repair them')
    .argument('[image...]', 'names in the store (default: all that is unpacked)')
    .option('--all', 'every unpacked layer of the store, which is the default')
    .option('--deep', 'read the blobs again, whose sha256 is the proof, not the manifests')
    .option('--repair', 'unpack damaged layers anew and swap them in')
    .option('--dry-run', 'with --repair: only say what would be done')
    .option('--containerd [root]', "a containerd's store, read only (default: /var/lib/containerd)")
    .option('--docker [root]', "a Docker's layers, read only (default: /var/lib/docker)")
    .option('--repair-script', 'of --containerd and --docker: print a shell script that repairs')
    .addHelpText('after', example)
    .action(async (images: string[], given: VerifyArguments) => {
      checkUsage(images, given);
      const live = given.json ? undefined : context.liveRegion(given);
      const view = live && new VerifyView(live);
      const onProgress = view && ((progress: VerifyProgress) => view.update(progress));
      const watch = { signal: context.signal, onProgress };
      try {
        const { report, script } =
          given.containerd === undefined && given.docker === undefined
            ? { report: await verifyOwn(images, given, watch), script: undefined }
            : await verifyOther(images, given, watch);
        view?.close();
        if (script !== undefined && !given.json) {
          context.write(script);
        } else {
          const value = script === undefined ? report : { ...report, repairScript: script };
          context.print(given, value, () => verifyLines(report, context));
        }
        process.exitCode = report.ok ? 0 : exitFailed;
      } finally {
        view?.close();
      }
    });
}

interface Watch {
  signal: AbortSignal;
  onProgress: ((progress: VerifyProgress) => void) | undefined;
}

function checkUsage(images: readonly string[], given: VerifyArguments): void {
  const wrong = (message: string) => new UnpackError('ERR_INVALID_ARGUMENT', message);
  if (given.all && images.length > 0) {
    throw wrong('--all is every image: name none');
  }
  if (given.dryRun && !given.repair) {
    throw wrong('--dry-run says what --repair would do: give both');
  }
  const isOther = given.containerd !== undefined || given.docker !== undefined;
  if (given.containerd !== undefined && given.docker !== undefined) {
    throw wrong('--containerd and --docker are two stores: give one');
  }
  if (!isOther && given.repairScript) {
    throw wrong('--repair-script is for --containerd and --docker; the own store has --repair');
  }
  if (isOther && given.repair) {
    throw wrong('the store of others is only read: --repair-script prints what repairs it');
  }
  if (isOther && images.length > 1) {
    throw wrong('--containerd and --docker take one image, or none for all');
  }
}

function verifyOwn(
  images: readonly string[],
  given: VerifyArguments,
  watch: Watch,
): Promise<VerifyReport> {
  const { deep, repair, dryRun } = given;
  return withStore(given, repair && !dryRun ? 'repair' : 'judge', (store) =>
    store.verify({ images, deep, repair, dryRun, ...watch }),
  );
}

/** A report of others' store, and where it is wanted the script that repairs. */
async function verifyOther(
  images: readonly string[],
  given: VerifyArguments,
  watch: Watch,
): Promise<{ report: VerifyReport; script: string | undefined }> {
  const { containerd, docker, namespace, repairScript } = given;
  const root = containerd ?? docker;
  const options = { root: root === true ? undefined : root, image: images[0], ...watch };
  if (containerd !== undefined) {
    const { verifyContainerd } = await import('../../containerd/verify.js');
    const { containerdRepairScript } = await import('../../containerd/repair-script.js');
    const found = await verifyContainerd({ namespace, ...options });
    return {
      report: found.report,
      script: repairScript ? await containerdRepairScript(found) : undefined,
    };
  }
  const { verifyDocker } = await import('../../docker/verify.js');
  const { dockerRepairScript } = await import('../../docker/repair-script.js');
  const found = await verifyDocker(options);
  return {
    report: found.report,
    script: repairScript ? await dockerRepairScript(found) : undefined,
  };
}

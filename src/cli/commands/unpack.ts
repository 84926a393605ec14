// `oci-unpack unpack IMAGE DEST`.

import path from 'node:path';
import { Command, Option } from 'commander';
import type { ImageReport } from '../../index.js';
import {
  formatBytes,
  formatCount,
  formatDuration,
  plural,
  printable,
  shellPath,
  shortDigest,
  table,
} from '../../text.js';
import { type UnpackDurability, unpackDurabilities } from '../../unpack/options.js';
import { unpackImage } from '../../unpack/unpack-image.js';
import {
  addOutputOptions,
  addUnpackOptions,
  type OutputOptions,
  type UnpackArguments,
  unpackOptions,
} from '../arguments.js';
import { ProgressView } from '../progress-view.js';
import type { RunContext } from '../run-context.js';
import { warningLines } from '../warnings-summary.js';

const example = `
Examples:
  $ oci-unpack unpack oci:./image:latest ./unpacked
  $ oci-unpack unpack docker-archive:./image.tar ./rootless \\
      --format overlay-userxattr --ownership ignore
  $ oci-unpack unpack 'containerd:[k8s.io]registry.k8s.io/pause:3.9' ./unpacked

containerd:NAME reads the store of a containerd, which may run: $CONTAINERD_ROOT
(default /var/lib/containerd), namespace $CONTAINERD_NAMESPACE (default
default), or containerd:[NAMESPACE@ROOT]NAME.

DEST/image.json lists the layers, the mounts and every warning. An interrupted
unpack is completed by the same command. A power loss can take what was not on
the disk yet: in another boot the same command makes all anew, unless it was
made with --durability wait.`;

type UnpackCommandArguments = UnpackArguments & OutputOptions & { durability?: UnpackDurability };

/** The command. */
export function unpackCommand(context: RunContext): Command {
  const command = new Command('unpack')
    .description('unpack an image: DEST/layers/000/fs and up, or DEST/rootfs with --format flat')
    .argument(
      '<image>',
      'oci:PATH[:TAG], oci-archive:PATH[:TAG], docker-archive:PATH[:NAME] or containerd:NAME',
    )
    .argument('<dest>', 'a missing or empty directory, or an earlier unpack of the same image')
    .option('-p, --platform <platform>', 'os/arch[/variant] (default: of this host)');
  addUnpackOptions(addOutputOptions(command));
  command.addOption(
    new Option(
      '--durability <when>',
      'when it is on the disk: whenever the kernel has written it, or at the end (wait)',
    )
      .choices([...unpackDurabilities])
      .default(unpackDurabilities[0]),
  );
  return command
    .addHelpText('after', example)
    .action(async (image: string, dest: string, given: UnpackCommandArguments) => {
      const region = context.liveRegion(given);
      const view = region && new ProgressView(region);
      let report: ImageReport;
      try {
        report = await unpackImage(image, dest, {
          ...unpackOptions(given),
          durability: given.durability,
          signal: context.signal,
          ...(view && { onProgress: (progress) => view.update(progress) }),
        });
      } finally {
        view?.close();
      }
      context.print(given, report, () => reportLines(report, dest, context));
    });
}

function reportLines(report: ImageReport, dest: string, context: RunContext): string[] {
  const { style, columns } = context;
  const lines = [
    `${style.bold(printable(report.reference))} ${report.status} in ${dest} (${report.platform}, ${report.format})`,
  ];
  const rows = report.layers.map((layer, index) => [
    String(index),
    shortDigest(layer.digest),
    formatBytes(layer.size),
    formatBytes(layer.uncompressedSize),
    formatCount(layer.counts.entries),
    layer.decoder,
    index < report.reusedLayers ? 'there' : '',
  ]);
  const head = ['layer', 'digest', 'blob', 'tar', 'entries', 'decoder', ''];
  lines.push(table([head, ...rows], ['>', '<', '>', '>', '>', '<', '<']));
  const made = report.layers.slice(report.reusedLayers);
  const bytes = made.reduce((sum, layer) => sum + layer.uncompressedSize, 0);
  const rate = bytes / (report.milliseconds / 1000);
  const what =
    made.length > 0
      ? `${plural(made.length, 'layer')}, ${formatBytes(bytes)} of tar in ${formatDuration(report.milliseconds)} (${formatBytes(rate)}/s)`
      : `${plural(report.layers.length, 'layer')} already there, nothing to do`;
  lines.push(what);
  if (report.warnings.length > 0) {
    lines.push(style.yellow(`${plural(report.warnings.length, 'warning')} (all in image.json):`));
    lines.push(...warningLines(report.warnings, columns).map((line) => `  ${line}`));
  }
  const shown = shellPath(path.relative('', path.resolve(dest)) || '.');
  lines.push(`mount it: oci-unpack mount ${shown} TARGET`);
  return lines;
}

// `oci-unpack inspect IMAGE`.

import { Command } from 'commander';
import type { ImageInfo } from '../../index.js';
import { formatBytes, plural, printable, shortDigest, table, truncate } from '../../text.js';
import { inspectImage } from '../../unpack/inspect-image.js';
import { addOutputOptions, type OutputOptions } from '../arguments.js';
import type { RunContext } from '../run-context.js';

const example = `
Examples:
  $ oci-unpack inspect oci:./image:latest
  $ oci-unpack inspect \\
      'containerd:[k8s.io@/var/lib/containerd]registry.k8s.io/pause:3.9'
  $ oci-unpack inspect oci-archive:./image.tar --platform linux/arm64 --json |
      jq .layers

With --quiet it checks the image and prints only its manifest digest.`;

/** The command. */
export function inspectCommand(context: RunContext): Command {
  const command = new Command('inspect')
    .description('show what an image is: platform, config, layers')
    .argument(
      '<image>',
      'oci:PATH[:TAG], oci-archive:PATH[:TAG], docker-archive:PATH[:NAME] or containerd:NAME',
    )
    .option('-p, --platform <platform>', 'os/arch[/variant] (default: of this host)');
  return addOutputOptions(command)
    .addHelpText('after', example)
    .action(async (image: string, given: { platform?: string } & OutputOptions) => {
      const info = await inspectImage(image, {
        platform: given.platform,
        signal: context.signal,
      });
      if (given.quiet && !given.json) {
        context.write(`${info.manifestDigest}\n`);
      }
      context.print(given, info, () => infoLines(info, context));
    });
}

function infoLines(info: ImageInfo, { style, columns }: RunContext): string[] {
  const facts: string[][] = [
    ['reference', info.reference],
    ['manifest', info.manifestDigest],
    ['config', info.configDigest],
    ['platform', info.platform],
    ['created', info.created],
    ...Object.entries(info.config)
      .filter(([, value]) => !isEmpty(value))
      .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  ].filter(([, value]) => value !== '');
  const rows = info.layers.map((layer, index) => [
    String(index),
    shortDigest(layer.digest),
    formatBytes(layer.size),
    printable(layer.createdBy),
  ]);
  const layers = table([['layer', 'digest', 'blob', 'made by'], ...rows], ['>', '<', '>', '<']);
  return [
    table(
      facts.map((row) => row.map(printable)),
      ['<', '<'],
    ),
    style.bold(`${plural(info.layers.length, 'layer')}, ${formatBytes(info.size)}`),
    ...layers.split('\n').map((line) => truncate(line, columns)),
  ];
}

function isEmpty(value: unknown): boolean {
  return (
    value === null || value === '' || (typeof value === 'object' && Object.keys(value).length === 0)
  );
}

// `oci-unpack images ls|rm|tag|inspect|unpack`.

import { Command } from 'commander';
import type { Image, ImageColumns, StoredImageInfo } from '../../index.js';
import {
  formatBytes,
  plural,
  printable,
  shortDigest,
  shortDigests,
  table,
  truncate,
} from '../../text.js';
import type { CommandFactory } from '../program.js';
import type { RunContext } from '../run-context.js';
import { unpackStoredCommand } from './import.js';
import { addStoreOptions, type StoreArguments, withStore } from './options.js';
import { removeEach } from './record-commands.js';
import { agoOfEach, listingOfLines, quietText } from './tables.js';

/** The command. */
export const imagesCommand: CommandFactory = (context) =>
  addStoreOptions(new Command('images'))
    .description('images of the store: list, look at, unpack, rename, remove')
    .addHelpText('after', '\nExample:\n  $ oci-unpack images ls')
    .addCommand(list(context), { isDefault: true })
    .addCommand(inspect(context))
    .addCommand(unpackStoredCommand(context))
    .addCommand(tag(context))
    .addCommand(remove(context));

function list(context: RunContext): Command {
  return addStoreOptions(new Command('ls'))
    .alias('list')
    .description('list images; with --quiet only their names')
    .argument('[filter...]', 'e.g. name~=debian, target.digest==sha256:..., labels.team==web')
    .addHelpText('after', '\nExample:\n  $ oci-unpack images ls --json | jq -r .[].name')
    .action(async (filters: string[], given: StoreArguments) => {
      if (given.json) {
        const images = await withStore(given, 'read', (store) => store.images.list(filters));
        context.print(given, images, () => []);
        return;
      }
      const images = await withStore(given, 'read', (store) =>
        filters.length > 0 ? columnsOf(store.images.list(filters)) : store.images.columns(),
      );
      if (given.quiet) {
        context.write(quietText(images.names));
      }
      context.print(given, images, () => imageLines(context, images));
    });
}

function columnsOf(images: readonly Image[]): ImageColumns {
  return {
    names: images.map(({ name }) => name).join('\n'),
    digests: images.map(({ target }) => target.digest).join('\n'),
    updatedAt: images.map(({ updatedAt }) => updatedAt).join('\n'),
  };
}

function imageLines(context: RunContext, { names, digests, updatedAt }: ImageColumns): string {
  const passed = agoOfEach();
  return listingOfLines(context, [
    { head: 'NAME', lines: names, most: 45 },
    { head: 'TARGET', lines: shortDigests(digests) },
    { head: 'UPDATED', lines: updatedAt.replace(/.+/g, (time) => passed(Number(time))) },
  ]);
}

function inspect(context: RunContext): Command {
  return addStoreOptions(new Command('inspect'))
    .description('show an image: config, layers, what of it is unpacked')
    .argument('<image>', 'a name, or the beginning of its digest')
    .option('-p, --platform <platform>', 'os/arch[/variant] (default: as imported)')
    .addHelpText('after', '\nExample:\n  $ oci-unpack images inspect debian:latest')
    .action(async (name: string, given: StoreArguments & { platform?: string }) => {
      const { platform } = given;
      const info = await withStore(given, 'read', (store) =>
        store.images.inspect(name, { platform }),
      );
      context.print(given, info, () => infoLines(context, info));
    });
}

function tag(context: RunContext): Command {
  return addStoreOptions(new Command('tag'))
    .description('give an image another name beside its own')
    .argument('<image>', 'a name, or the beginning of its digest')
    .argument('<name>', 'the other name; one that is taken then stands for this image')
    .addHelpText('after', '\nExample:\n  $ oci-unpack images tag debian:latest base')
    .action(async (name: string, other: string, given: StoreArguments) => {
      const image = await withStore(given, 'write', (store) => store.images.tag(name, other));
      context.print(given, image, () => `${printable(name)} is also ${printable(image.name)}`);
    });
}

function remove(context: RunContext): Command {
  return addStoreOptions(new Command('rm'))
    .alias('remove')
    .description("take names away; 'gc' frees what only they needed")
    .argument('<image...>', 'names, or beginnings of digests')
    .addHelpText('after', '\nExample:\n  $ oci-unpack images rm debian:latest && oci-unpack gc')
    .action((names: string[], given: StoreArguments) =>
      removeEach(context, given, names, async (store, text) => {
        const image = store.images.remove(text);
        return { shown: image, name: image.name };
      }),
    );
}

function infoLines({ style, columns }: RunContext, info: StoredImageInfo): string[] {
  const facts = [
    ['name', info.name],
    ['target', info.targetDigest],
    ['manifest', info.manifestDigest],
    ['config', info.configDigest],
    ['platform', info.platform],
    ['created', info.created],
    ['snapshot', info.snapshot],
    ['unpacked', info.unpacked ? 'yes' : 'no'],
    ...Object.entries(info.config)
      .filter(([, value]) => value !== null && value !== '')
      .map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  ].filter(([, value]) => value !== '');
  const rows = info.layers.map(({ digest, size, chainID, unpacked }, index) => [
    String(index),
    shortDigest(digest),
    formatBytes(size),
    shortDigest(chainID),
    unpacked ? 'yes' : 'no',
  ]);
  const head = ['LAYER', 'BLOB', 'SIZE', 'SNAPSHOT', 'UNPACKED'];
  return [
    ...table(
      facts.map((row) => row.map(printable)),
      ['<', '<'],
    ).split('\n'),
    style.bold(`${plural(info.layers.length, 'layer')}, ${formatBytes(info.size)}`),
    ...table([head, ...rows], ['>', '<', '>', '<', '<']).split('\n'),
  ].map((line) => truncate(line, columns));
}

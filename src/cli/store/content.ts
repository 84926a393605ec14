// `oci-unpack content ls|get|rm|ingests`.

import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { Command } from 'commander';
import { formatBytes } from '../../text.js';
import type { CommandFactory } from '../program.js';
import type { RunContext } from '../run-context.js';
import { addStoreOptions, type StoreArguments, withStore } from './options.js';
import { removeEach } from './record-commands.js';
import { ago, listing, quietLines } from './tables.js';

/** The command. */
export const contentCommand: CommandFactory = (context) =>
  addStoreOptions(new Command('content'))
    .description('blobs of the store: list, read, remove; unfinished ones')
    .addHelpText('after', '\nExample:\n  $ oci-unpack content ls')
    .addCommand(list(context), { isDefault: true })
    .addCommand(get(context))
    .addCommand(remove(context))
    .addCommand(ingests(context));

function list(context: RunContext): Command {
  return addStoreOptions(new Command('ls'))
    .alias('list')
    .description('list blobs; with --quiet only their digests')
    .argument('[filter...]', 'e.g. digest~=^sha256:ab, labels."containerd.io/uncompressed"')
    .addHelpText('after', '\nExample:\n  $ oci-unpack content ls --quiet')
    .action(async (filters: string[], given: StoreArguments) => {
      const blobs = await withStore(given, 'read', (store) => store.content.list(filters));
      if (given.quiet && !given.json) {
        context.write(quietLines(blobs.map(({ digest }) => digest)));
      }
      context.print(given, blobs, () =>
        listing(context, blobs, [
          { head: 'DIGEST', text: ({ digest }) => digest, most: 40 },
          { head: 'SIZE', text: ({ size }) => formatBytes(size), align: '>' },
          { head: 'CREATED', text: ({ createdAt }) => ago(createdAt) },
        ]),
      );
    });
}

function get(context: RunContext): Command {
  return addStoreOptions(new Command('get'))
    .description('write a blob to stdout; with --json or --quiet only where it lies')
    .argument('<digest>', 'sha256:...')
    .addHelpText('after', '\nExample:\n  $ oci-unpack content get sha256:... | jq .')
    .action(async (digest: string, given: StoreArguments) => {
      // There is nothing to clean up, and a reader that does not read must not keep us.
      context.signal.addEventListener('abort', () => process.exit(context.stopCode()));
      await withStore(given, 'read', async (store) => {
        const path = await store.content.path(digest);
        if (given.json) {
          context.print(given, { ...(await store.content.info(digest)), path }, () => '');
        } else if (given.quiet) {
          context.write(`${path}\n`);
        } else {
          await writeBlob(context, path);
        }
      });
    });
}

async function writeBlob(context: RunContext, path: string): Promise<void> {
  try {
    await pipeline(createReadStream(path), context.stdout, { end: false });
  } catch (error) {
    // What stdout refuses (`| head`, a full disk) is told, or not, where its errors are: main.ts.
    if ((error as NodeJS.ErrnoException).syscall !== 'write') {
      throw error;
    }
  }
}

function remove(context: RunContext): Command {
  return addStoreOptions(new Command('rm'))
    .alias('remove')
    .description('remove blobs, whatever needs them')
    .argument('<digest...>', 'sha256:...')
    .addHelpText(
      'after',
      '\nExample:\n  $ oci-unpack why sha256:... ; oci-unpack content rm sha256:...',
    )
    .action((digests: string[], given: StoreArguments) =>
      removeEach(context, given, digests, async (store, digest) => {
        await store.content.delete(digest);
        return { shown: digest, name: digest };
      }),
    );
}

function ingests(context: RunContext): Command {
  return addStoreOptions(new Command('ingests'))
    .description('list blobs that are being written, or whose writer was stopped')
    .addHelpText('after', '\nExample:\n  $ oci-unpack content ingests')
    .action(async (given: StoreArguments) => {
      const all = await withStore(given, 'read', (store) => store.content.ingests());
      if (given.quiet && !given.json) {
        context.write(quietLines(all.map(({ ref }) => ref)));
      }
      context.print(given, all, () =>
        listing(context, all, [
          { head: 'REF', text: ({ ref }) => ref, most: 40 },
          { head: 'WRITTEN', text: ({ offset }) => formatBytes(offset), align: '>' },
          {
            head: 'OF',
            text: ({ total }) => (total === undefined ? '' : formatBytes(total)),
            align: '>',
          },
          { head: 'UPDATED', text: ({ updatedAt }) => ago(updatedAt) },
        ]),
      );
    });
}

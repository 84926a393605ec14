// The sub-commands that the kinds of record have alike: `ls` and `rm`.

import { Command } from 'commander';
import type { Store } from '../../index.js';
import { printable } from '../../text.js';
import type { RunContext } from '../run-context.js';
import { addStoreOptions, type StoreArguments, withStore } from './options.js';
import { quietLines } from './tables.js';

/** What a kind of record is called, and how it is read and removed. */
export interface RecordKind<T extends { id: string }> {
  /** The command, as `leases`. */
  name: string;
  /** An id, for the examples. */
  example: string;
  /** Filters, for the help. */
  filters: string;
  removal: string;
  list(store: Store, filters: string[]): T[];
  remove(store: Store, id: string): void | Promise<void>;
  /** As a table. */
  show(context: RunContext, found: T[]): string | string[];
}

export function listCommand<T extends { id: string }>(
  context: RunContext,
  kind: RecordKind<T>,
): Command {
  return addStoreOptions(new Command('ls'))
    .alias('list')
    .description(`list ${kind.name}; with --quiet only their ids`)
    .argument('[filter...]', `e.g. ${kind.filters}`)
    .addHelpText('after', `\nExample:\n  $ oci-unpack ${kind.name} ls`)
    .action(async (filters: string[], given: StoreArguments) => {
      const found = await withStore(given, 'read', (store) => kind.list(store, filters));
      if (given.quiet && !given.json) {
        context.write(quietLines(found.map(({ id }) => id)));
      }
      context.print(given, found, () => kind.show(context, found));
    });
}

export function removeCommand<T extends { id: string }>(
  context: RunContext,
  kind: RecordKind<T>,
): Command {
  return addStoreOptions(new Command('rm'))
    .alias('remove')
    .description(kind.removal)
    .argument('<id...>', `of ${kind.name}`)
    .addHelpText('after', `\nExample:\n  $ oci-unpack ${kind.name} rm ${kind.example}`)
    .action((ids: string[], given: StoreArguments) =>
      removeEach(context, given, ids, async (store, id) => {
        await kind.remove(store, id);
        return { shown: id, name: id };
      }),
    );
}

/**
 * Removes one after the other until one fails, and prints what is gone, then too.
 *
 * @param remove what is shown of it with `--json`, and its name
 */
export async function removeEach(
  context: RunContext,
  given: StoreArguments,
  texts: readonly string[],
  remove: (store: Store, text: string) => Promise<{ shown: unknown; name: string }>,
): Promise<void> {
  const removed: { shown: unknown; name: string }[] = [];
  const print = () =>
    context.print(
      given,
      removed.map(({ shown }) => shown),
      () => removed.map(({ name }) => `removed ${printable(name)}`),
    );
  try {
    await withStore(given, 'write', async (store) => {
      for (const text of texts) {
        removed.push(await remove(store, text));
      }
    });
  } catch (error) {
    if (removed.length > 0 && !given.json) {
      print(); // with --json the failure is the one document
    }
    throw error;
  }
  print();
}

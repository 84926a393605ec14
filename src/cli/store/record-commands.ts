// The sub-commands that every kind of record has alike: `ls` and `rm`.

import { Command } from 'commander';
import type { Store } from '../../index.js';
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
        context.stdout.write(quietLines(found.map(({ id }) => id)));
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
    .action(async (ids: string[], given: StoreArguments) => {
      await withStore(given, 'write', async (store) => {
        for (const id of ids) {
          await kind.remove(store, id);
        }
      });
      context.print(given, ids, () => ids.map((id) => `removed ${id}`));
    });
}

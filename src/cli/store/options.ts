// What the commands of the store have in common: their options, and the store while a command runs.

import { accessSync } from 'node:fs';
import path from 'node:path';
import { type Command, Option } from 'commander';
import { UnpackError } from '../../errors.js';
import type { SnapshotterKind, Store, StoreDurability } from '../../index.js';
import { snapshotterKinds } from '../../snapshots/snapshotter.js';
import { storeDurabilities } from '../../store/context.js';
import { addOutputOptions, type OutputOptions } from '../arguments.js';

/** Where the store is, and how it is opened. */
export interface StoreArguments extends OutputOptions {
  root?: string;
  namespace?: string;
  snapshotter?: SnapshotterKind;
  durability?: StoreDurability;
}

/** `--root`, `--namespace`, `--snapshotter`, and those of every command. */
export function addStoreOptions(command: Command): Command {
  command
    .option('--root <dir>', 'directory of the store (default: /var/lib/oci-unpack as root)')
    .option('--namespace <name>', 'namespace of images, containers, leases (default: default)')
    .addOption(
      new Option(
        '--snapshotter <kind>',
        'kind of snapshots (default: overlayfs as root, else native)',
      ).choices([...snapshotterKinds]),
    );
  return addOutputOptions(command);
}

/** As {@link addStoreOptions}, with `--durability`, for commands that unpack. */
export function addUnpackStoreOptions(command: Command): Command {
  return addStoreOptions(command).addOption(
    new Option(
      '--durability <when>',
      'when new layers are on the disk: soon after (background), at the end (wait), whenever (none)',
    ).choices([...storeDurabilities]),
  );
}

/**
 * How a command opens the store. `read`: for reading, unless there is none yet, which is then made: an empty store is not
 * an error. `judge`, `repair`: for reading and for writing where there is one: one that is made at a mistyped path would
 * be said to be in order.
 */
export type StoreAccess = 'read' | 'write' | 'judge' | 'repair';

/**
 * Runs `work` with the store and closes it.
 *
 * @throws UnpackError `ERR_NOT_FOUND` for none to `judge` or `repair`
 */
export async function withStore<T>(
  given: StoreArguments,
  access: StoreAccess,
  work: (store: Store) => Promise<T> | T,
): Promise<T> {
  const store = await openStore(given, access);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

/** The store that the arguments name. @throws as {@link withStore} */
export async function openStore(given: StoreArguments, access: StoreAccess): Promise<Store> {
  const { defaultStoreRoot, Store } = await import('../../store/store.js');
  const root = given.root ?? defaultStoreRoot();
  if (access === 'judge' || access === 'repair') {
    requireStore(root);
  }
  const open = (readOnly: boolean) =>
    Store.open(root, {
      namespace: given.namespace,
      kind: given.snapshotter,
      durability: given.durability,
      readOnly,
    });
  if (access === 'read') {
    try {
      return await open(true);
    } catch (error) {
      if ((error as UnpackError).code !== 'ERR_NOT_FOUND') {
        throw error;
      }
    }
  }
  return open(access === 'judge');
}

function requireStore(root: string): void {
  try {
    accessSync(dataFile(root));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw UnpackError.fromSystem(error);
    }
    const problem = 'there is no store; name its directory with --root';
    throw new UnpackError('ERR_NOT_FOUND', `${root}: ${problem}`, { path: root });
  }
}

function dataFile(root: string): string {
  return path.join(root, 'metadata', 'data.mdb');
}

// `oci-unpack snapshots ls|tree|mounts|usage|rm|diff`.

import { Command } from 'commander';
import { UnpackError } from '../../errors.js';
import type { SnapshotInfo, Store } from '../../index.js';
import { formatBytes, formatCount, printable, shellWord, truncate } from '../../text.js';
import type { CommandFactory } from '../program.js';
import type { RunContext } from '../run-context.js';
import { addStoreOptions, type StoreArguments, withStore } from './options.js';
import { removeEach } from './record-commands.js';
import { listing, quietLines, shortKey } from './tables.js';

/** The command. */
export const snapshotsCommand: CommandFactory = (context) =>
  addStoreOptions(new Command('snapshots'))
    .description('snapshots of the store: list, measure, remove, compare')
    .addHelpText('after', '\nExample:\n  $ oci-unpack snapshots tree')
    .addCommand(list(context), { isDefault: true })
    .addCommand(tree(context))
    .addCommand(mounts(context))
    .addCommand(usage(context))
    .addCommand(remove(context))
    .addCommand(diff(context));

async function all(store: Store, filters: readonly string[] = []): Promise<SnapshotInfo[]> {
  const found: SnapshotInfo[] = [];
  await store.snapshots.walk(
    (info) => {
      found.push(info);
    },
    ...filters,
  );
  return found;
}

/**
 * The key that a text stands for: itself, or that of the layer whose digest begins with it, as tables shorten it. Keys of
 * other snapshots must be whole: who removes one removes what a container has written.
 */
async function keyOf(store: Store, text: string): Promise<string> {
  const [, digits] = /^(?:sha256:)?([0-9a-f]{6,})$/.exec(text) ?? [];
  if (digits === undefined) {
    return text;
  }
  const names = (await all(store)).map(({ name }) => name);
  const found = names.filter((name) => name === text || name.startsWith(`sha256:${digits}`));
  if (found.length > 1 && !found.includes(text)) {
    const message = `snapshot ${text}: may be ${found.join(', ')}`;
    throw new UnpackError('ERR_AMBIGUOUS_REFERENCE', message);
  }
  return found.includes(text) ? text : (found[0] ?? text);
}

function list(context: RunContext): Command {
  return addStoreOptions(new Command('ls'))
    .alias('list')
    .description('list snapshots; with --quiet only their keys')
    .argument('[filter...]', 'e.g. kind==active, durability==unsynced, parent==sha256:...')
    .addHelpText('after', '\nExample:\n  $ oci-unpack snapshots ls kind==active')
    .action(async (filters: string[], given: StoreArguments) => {
      const found = await withStore(given, 'read', (store) => all(store, filters));
      if (given.quiet && !given.json) {
        context.write(quietLines(found.map(({ name }) => name)));
      }
      context.print(given, found, () =>
        listing(context, found, [
          { head: 'KEY', text: ({ name }) => shortKey(name), most: 24 },
          { head: 'PARENT', text: ({ parent }) => shortKey(parent ?? ''), most: 20 },
          { head: 'KIND', text: ({ kind }) => kind },
          {
            head: 'SIZE',
            text: ({ usage }) => (usage === undefined ? '' : formatBytes(usage.size)),
            align: '>',
          },
          {
            head: 'ON DISK',
            text: ({ kind, durability }) => (kind === 'committed' ? durability : ''),
          },
        ]),
      );
    });
}

function tree(context: RunContext): Command {
  return addStoreOptions(new Command('tree'))
    .description('show which snapshot lies on which')
    .addHelpText('after', '\nExample:\n  $ oci-unpack snapshots tree')
    .action(async (given: StoreArguments) => {
      const found = await withStore(given, 'read', (store) => all(store));
      const children = new Map<string, SnapshotInfo[]>();
      for (const info of found) {
        const parent = info.parent ?? '';
        children.set(parent, [...(children.get(parent) ?? []), info]);
      }
      const lines: string[] = [];
      // A chain has up to hundreds of snapshots: only where it branches the indent grows.
      const draw = (info: SnapshotInfo, lead: string, isLast: boolean, branches: boolean): void => {
        const mark = branches ? (isLast ? '└─ ' : '├─ ') : '';
        const kind = info.kind === 'committed' ? '' : ` (${info.kind})`;
        lines.push(`${lead}${mark}${printable(shortKey(info.name))}${kind}`);
        const own = children.get(info.name) ?? [];
        const next = branches ? `${lead}${isLast ? '   ' : '│  '}` : lead;
        for (const [index, child] of own.entries()) {
          draw(child, next, index === own.length - 1, own.length > 1 || branches);
        }
      };
      const nested = (info: SnapshotInfo): unknown => ({
        name: info.name,
        kind: info.kind,
        children: (children.get(info.name) ?? []).map(nested),
      });
      const roots = children.get('') ?? [];
      context.print(given, roots.map(nested), () => {
        for (const root of roots) {
          draw(root, '', true, false);
        }
        return lines.map((line) => truncate(line, context.columns));
      });
    });
}

function mounts(context: RunContext): Command {
  return addStoreOptions(new Command('mounts'))
    .description('print how to mount an active snapshot or a view')
    .argument('<key>', 'of a snapshot')
    .argument('[target]', 'a directory, for the printed command', 'TARGET')
    .addHelpText('after', '\nExample:\n  $ oci-unpack snapshots mounts default/web /mnt | sh')
    .action(async (key: string, target: string, given: StoreArguments) => {
      const found = await withStore(given, 'read', async (store) =>
        store.snapshots.mounts(await keyOf(store, key)),
      );
      context.print(given, found, () =>
        found.map(
          ({ type, source, options }) =>
            `mount -t ${type} ${shellWord(source)} ${shellWord(target)} -o ${shellWord(options.join(','))}`,
        ),
      );
    });
}

function usage(context: RunContext): Command {
  return addStoreOptions(new Command('usage'))
    .description('show what snapshots take by themselves, without their parents')
    .argument('[key...]', 'of snapshots; default all')
    .addHelpText('after', '\nExample:\n  $ oci-unpack snapshots usage default/web')
    .action(async (keys: string[], given: StoreArguments) => {
      const found = await withStore(given, 'read', async (store) => {
        const wanted =
          keys.length > 0
            ? await Promise.all(keys.map((key) => keyOf(store, key)))
            : (await all(store)).map(({ name }) => name);
        const measured = [];
        for (const key of wanted) {
          measured.push({ key, ...(await store.snapshots.usage(key)) });
        }
        return measured;
      });
      context.print(given, found, () =>
        listing(context, found, [
          { head: 'KEY', text: ({ key }) => shortKey(key), most: 40 },
          { head: 'SIZE', text: ({ size }) => formatBytes(size), align: '>' },
          { head: 'INODES', text: ({ inodes }) => formatCount(inodes), align: '>' },
        ]),
      );
    });
}

function remove(context: RunContext): Command {
  return addStoreOptions(new Command('rm'))
    .alias('remove')
    .description('remove snapshots that nothing lies on')
    .argument('<key...>', 'of snapshots')
    .addHelpText('after', '\nExample:\n  $ oci-unpack snapshots rm default/web')
    .action((keys: string[], given: StoreArguments) =>
      removeEach(context, given, keys, async (store, text) => {
        const key = await keyOf(store, text);
        await store.snapshots.remove(key);
        return { shown: key, name: key };
      }),
    );
}

function diff(context: RunContext): Command {
  return addStoreOptions(new Command('diff'))
    .description('list what a snapshot changes: A added, C changed, D deleted')
    .argument('<key>', 'of a snapshot')
    .addHelpText('after', '\nExample:\n  $ oci-unpack snapshots diff default/web')
    .action(async (key: string, given: StoreArguments) => {
      const changes = await withStore(given, 'read', async (store) =>
        store.diff(await keyOf(store, key)),
      );
      context.print(given, changes, () =>
        changes.map(({ kind, path }) => `${letters[kind]} ${printable(path)}`),
      );
    });
}

const letters = { added: 'A', changed: 'C', deleted: 'D' } as const;

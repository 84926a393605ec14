// `oci-unpack leases ls|create|rm`.

import { Command, InvalidArgumentError } from 'commander';
import type { LeaseResource, Store } from '../../index.js';
import { formatDuration } from '../../text.js';
import type { CommandFactory } from '../program.js';
import type { RunContext } from '../run-context.js';
import { addStoreOptions, type StoreArguments, withStore } from './options.js';
import { listCommand, type RecordKind, removeCommand } from './record-commands.js';
import { ago, listing } from './tables.js';

/** The command. */
export const leasesCommand: CommandFactory = (context) =>
  addStoreOptions(new Command('leases'))
    .description('leases, which keep blobs and snapshots from garbage collection')
    .addHelpText('after', '\nExample:\n  $ oci-unpack leases ls')
    .addCommand(listCommand(context, leases), { isDefault: true })
    .addCommand(create(context))
    .addCommand(removeCommand(context, leases));

type LeaseRecord = ReturnType<Store['leases']['get']>;

const leases: RecordKind<LeaseRecord> = {
  name: 'leases',
  example: 'build',
  filters: 'id==build, labels.team==web',
  removal: "end leases; 'gc' frees what only they held",
  list: (store, filters) => store.leases.list(filters).map(({ id }) => store.leases.get(id)),
  remove: (store, id) => store.leases.remove(id),
  show: (context, found) =>
    listing(context, found, [
      { head: 'ID', text: ({ id }) => id, most: 40 },
      { head: 'CREATED', text: ({ createdAt }) => ago(createdAt) },
      {
        head: 'EXPIRES',
        text: ({ expiresAt }) =>
          expiresAt === undefined ? 'never' : `in ${formatDuration(expiresAt - Date.now())}`,
      },
      { head: 'HOLDS', text: ({ resources }) => String(resources.length), align: '>' },
    ]),
};

interface CreateArguments extends StoreArguments {
  expires?: number;
  hold?: LeaseResource[];
  label?: Record<string, string>;
}

function create(context: RunContext): Command {
  return addStoreOptions(new Command('create'))
    .description('make a lease; prints its id')
    .argument('[id]', 'default: a random one')
    .option('--expires <duration>', 'e.g. 30s, 10m, 24h, 7d (default: never)', parseDuration)
    .option('--hold <resource>', 'a digest, or KIND/KEY of a snapshot; repeatable', parseResource)
    .option('--label <name=value>', 'repeatable', parseLabel)
    .addHelpText(
      'after',
      '\nExample:\n  $ oci-unpack leases create build --expires 1h --hold overlayfs/sha256:...',
    )
    .action(async (id: string | undefined, given: CreateArguments) => {
      const lease = await withStore(given, 'write', (store) =>
        store.leases.create({
          id,
          expiresIn: given.expires,
          labels: given.label,
          resources: given.hold,
        }),
      );
      context.print(given, lease, () => lease.id);
    });
}

function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  const value = Number(match?.[1]) * units[(match?.[2] ?? 's') as keyof typeof units];
  if (match === null || !(value > 0)) {
    throw new InvalidArgumentError('Write a duration such as 30s, 10m, 24h or 7d.');
  }
  return Math.round(value);
}

function parseResource(text: string, previous: LeaseResource[] | undefined): LeaseResource[] {
  const match = /^(overlayfs|native|aufs)\/(.+)$/.exec(text);
  const resource =
    match === null
      ? { type: 'content', id: text }
      : { type: `snapshots/${match[1]}`, id: match[2] ?? '' };
  return [...(previous ?? []), resource];
}

function parseLabel(
  text: string,
  previous: Record<string, string> | undefined,
): Record<string, string> {
  const at = text.indexOf('=');
  if (at < 1) {
    throw new InvalidArgumentError('Write NAME=VALUE.');
  }
  return { ...previous, [text.slice(0, at)]: text.slice(at + 1) };
}

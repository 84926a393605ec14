// A session: an open store that may write. It has a file that it has locked while it lives, so that what it held by a
// lease can be told from what a killed one has left behind.

import { randomBytes } from 'node:crypto';
import { readdir, unlink } from 'node:fs/promises';
import path from 'node:path';
import { cleanUp, rollBack } from '../clean-up.js';
import { UnpackError } from '../errors.js';
import type { Database, LeaseResource, Transaction } from '../metadata/index.js';
import { type FileLock, makeDirectory, tryLockFile } from '../native/index.js';

/** Of leases: the session that they are of. */
const sessionLabel = 'oci-unpack.io/session';

/** Should its session never be told to be dead (another host's, say), a lease ends by itself: containerd's time. */
const leaseMilliseconds = 24 * 3600 * 1000;

export class Session {
  readonly #directory: string;
  readonly #id: string;
  /** Or why there is none: no inode is left for it, of which removing needs none. */
  readonly #lock: FileLock | UnpackError;
  /** Leases that have ended and could not be deleted then. */
  readonly #ended = new Set<string>();

  private constructor(directory: string, id: string, lock: FileLock | UnpackError) {
    this.#directory = directory;
    this.#id = id;
    this.#lock = lock;
  }

  static async open(root: string): Promise<Session> {
    const directory = path.join(root, 'sessions');
    for (;;) {
      const id = randomBytes(8).toString('hex');
      const lock = await lockSession(directory, id).catch(noSpace);
      if (lock !== undefined) {
        return new Session(directory, id, lock);
      }
    }
  }

  /**
   * Runs `work` with a lease that holds `resources` and what is added to it; the lease is gone when it ends, unless
   * `work` has deleted it with what it has written.
   */
  async withLease<T>(
    database: Database,
    resources: readonly LeaseResource[],
    work: (lease: string) => Promise<T>,
  ): Promise<T> {
    if (this.#lock instanceof UnpackError) {
      throw this.#lock;
    }
    this.#deleteEnded(database);
    const id = `oci-unpack-${randomBytes(8).toString('hex')}`;
    database.update((tx) => {
      tx.leases.create({
        id,
        expiresAt: tx.now + leaseMilliseconds,
        labels: { [sessionLabel]: this.#id },
        resources,
      });
    });
    try {
      return await work(id);
    } finally {
      // What was done is done; should the lease stay, it goes with the next one, or with its session.
      this.#ended.add(id);
      await rollBack(() => this.#deleteEnded(database));
    }
  }

  #deleteEnded(database: Database): void {
    const isThere = (tx: Transaction) => [...this.#ended].filter((id) => tx.leases.find(id));
    if (database.view((tx) => isThere(tx).length > 0)) {
      database.update((tx) => {
        for (const id of isThere(tx)) {
          tx.leases.delete(id);
        }
      });
    }
    this.#ended.clear();
  }

  /** Deletes the leases of sessions that have ended, and their files. @returns how many sessions that were */
  async sweep(database: Database): Promise<number> {
    const dead = new Set<string>();
    const alive = new Set([this.#id]);
    const candidates = new Set(await names(this.#directory));
    for (const { session } of sessionLeases(database)) {
      candidates.add(session);
    }
    const locks: FileLock[] = [];
    try {
      for (const id of candidates) {
        const lock = alive.has(id)
          ? undefined
          : await lockSession(this.#directory, id).catch(noSpace);
        if (lock !== undefined && !(lock instanceof UnpackError)) {
          locks.push(lock);
          dead.add(id);
        }
      }
      const orphans = sessionLeases(database).filter(({ session }) => dead.has(session));
      if (orphans.length > 0) {
        database.update((tx) => {
          for (const { namespace, id } of orphans) {
            const { leases } = tx.in(namespace);
            if (leases.find(id) !== undefined) {
              leases.delete(id);
            }
          }
        });
      }
      for (const id of dead) {
        await unlink(path.join(this.#directory, id)).catch(() => undefined);
      }
    } finally {
      await cleanUp(...locks.map((lock) => () => lock.release()));
    }
    return dead.size;
  }

  async close(): Promise<void> {
    if (!(this.#lock instanceof UnpackError)) {
      await unlink(path.join(this.#directory, this.#id)).catch(() => undefined);
      await this.#lock.release();
    }
  }
}

/** The leases of sessions, in all namespaces. */
function sessionLeases(database: Database): { namespace: string; id: string; session: string }[] {
  return database.view((tx) =>
    tx.namespaces.list().flatMap(({ name: namespace }) =>
      tx
        .in(namespace)
        .leases.list()
        .flatMap(({ id, labels }) => {
          const session = labels[sessionLabel];
          return session === undefined || !isID(session) ? [] : [{ namespace, id, session }];
        }),
    ),
  );
}

function isID(text: string): boolean {
  return /^[0-9a-f]{16}$/.test(text);
}

/** The error, where it is that the disk is full; others are thrown. */
function noSpace(error: unknown): UnpackError {
  const known = UnpackError.from(error);
  if (known.code !== 'ERR_NO_SPACE') {
    throw known;
  }
  return known;
}

async function lockSession(directory: string, id: string): Promise<FileLock | undefined> {
  return tryLockFile(path.join(directory, id), async () => {
    try {
      await makeDirectory(directory, 0o700);
    } catch (error) {
      throw UnpackError.fromSystem(error, directory);
    }
  });
}

async function names(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).filter(isID);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      return []; // a full disk had no room for it
    }
    throw UnpackError.fromSystem(error, directory);
  }
}

// Three ways to write regular files in Node: with blocking calls; on libuv's threads, several files at a time; and by
// a write stream for each, as most programs do.

import { once } from 'node:events';
import fs, { constants } from 'node:fs';
import { promisify } from 'node:util';

/** A file to create; it must not exist. */
export interface NewFile {
  path: string;
  /** All twelve bits. */
  mode: number;
  /** Seconds. */
  mtime: number;
  /** Undefined where it is this process's own. */
  owner: { uid: number; gid: number } | undefined;
}

/** Where the body of an entry goes. A promise asks to wait before the next call. */
export interface BodySink {
  write(chunk: Buffer): Promise<void> | undefined;
  close(): Promise<void> | undefined;
}

/** Creates files. */
export interface FileWriter {
  create(file: NewFile): BodySink;
  /** Resolves when every file is complete; rejects with the first failure. */
  drain(): Promise<void>;
}

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
const createFlags = O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY;

/** Whether the mode that open() gave must be set once more: the umask, the special bits, a change of owner. */
function needsMode({ mode, owner }: NewFile, umask: number): boolean {
  return owner !== undefined || (mode & 0o777 & ~umask) !== mode;
}

/** Blocking calls, one file after the other. */
export class SyncFileWriter implements FileWriter {
  readonly #umask: number;

  constructor(umask: number) {
    this.#umask = umask;
  }

  create(file: NewFile): BodySink {
    const fd = fs.openSync(file.path, createFlags, file.mode & 0o777);
    return {
      write: (chunk) => {
        for (let done = 0; done < chunk.length; ) {
          done += fs.writeSync(fd, chunk, done);
        }
        return undefined;
      },
      close: () => {
        if (file.owner !== undefined) {
          fs.fchownSync(fd, file.owner.uid, file.owner.gid);
        }
        if (needsMode(file, this.#umask)) {
          fs.fchmodSync(fd, file.mode);
        }
        fs.futimesSync(fd, file.mtime, file.mtime);
        fs.closeSync(fd);
        return undefined;
      },
    };
  }

  async drain(): Promise<void> {}
}

// Plain descriptors: a FileHandle for each file costs as much again.
const open = promisify(fs.open);
const write = promisify(fs.write);
const fchown = promisify(fs.fchown);
const fchmod = promisify(fs.fchmod);
const futimes = promisify(fs.futimes);
const close = promisify(fs.close);

const maxRunning = 16;
const wholeFile = 1 << 20;

/** Small files are collected and then written, some 16 at a time; big ones chunk by chunk. */
export class AsyncFileWriter implements FileWriter {
  readonly #umask: number;
  readonly #running = new Set<Promise<void>>();
  /** Those who wait for one of the running to end, each for one: woken all at once, they would outrun the writing. */
  readonly #waiting: (() => void)[] = [];
  #failure: { error: unknown } | undefined;

  constructor(umask: number) {
    this.#umask = umask;
  }

  create(file: NewFile): BodySink {
    let chunks: Buffer[] = [];
    let size = 0;
    let opened: Promise<number> | undefined;
    // A stream may hand on chunks after it was paused: they queue up here, in order.
    let tail = Promise.resolve();
    const flush = async (waiting: Buffer[]): Promise<void> => {
      opened ??= open(file.path, createFlags, file.mode & 0o777);
      await writeAll(await opened, waiting);
    };
    const finish = async (): Promise<void> => {
      await tail;
      opened ??= open(file.path, createFlags, file.mode & 0o777);
      await this.#finish(await opened, file, chunks);
    };
    return {
      write: (chunk) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size <= wholeFile) {
          return undefined;
        }
        const waiting = chunks;
        chunks = [];
        tail = tail.then(() => flush(waiting));
        return tail;
      },
      close: () => this.#enqueue(finish()),
    };
  }

  async drain(): Promise<void> {
    await Promise.all(this.#running);
    if (this.#failure !== undefined) {
      throw this.#failure.error;
    }
  }

  /** Counts a running write; a promise when there are so many that the reader should wait. */
  #enqueue(work: Promise<void>): Promise<void> | undefined {
    const counted = work
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#running.delete(counted);
        this.#waiting.shift()?.();
      });
    this.#running.add(counted);
    if (this.#failure !== undefined) {
      throw this.#failure.error;
    }
    return this.#running.size < maxRunning
      ? undefined
      : new Promise((resolve) => this.#waiting.push(resolve));
  }

  async #finish(fd: number, file: NewFile, rest: Buffer[]): Promise<void> {
    try {
      await writeAll(fd, rest);
      if (file.owner !== undefined) {
        await fchown(fd, file.owner.uid, file.owner.gid);
      }
      if (needsMode(file, this.#umask)) {
        await fchmod(fd, file.mode);
      }
      await futimes(fd, file.mtime, file.mtime);
    } finally {
      await close(fd);
    }
  }
}

/** A write stream for each file, one file of a layer after the other. */
export class StreamFileWriter implements FileWriter {
  readonly #umask: number;

  constructor(umask: number) {
    this.#umask = umask;
  }

  create(file: NewFile): BodySink {
    const { path, mode, mtime, owner } = file;
    const stream = fs.createWriteStream(path, { flags: 'wx', mode: mode & 0o777 });
    const failed = once(stream, 'error').then(([error]) => Promise.reject(error));
    failed.catch(() => {}); // told to whoever waits next
    return {
      write: (chunk) => {
        const waits = !stream.write(chunk);
        return waits ? Promise.race([once(stream, 'drain').then(() => {}), failed]) : undefined;
      },
      close: async () => {
        stream.end();
        await Promise.race([once(stream, 'close'), failed]);
        if (owner !== undefined) {
          await fs.promises.chown(path, owner.uid, owner.gid);
        }
        if (needsMode(file, this.#umask)) {
          await fs.promises.chmod(path, mode);
        }
        await fs.promises.utimes(path, mtime, mtime);
      },
    };
  }

  async drain(): Promise<void> {}
}

async function writeAll(fd: number, chunks: Buffer[]): Promise<void> {
  for (const chunk of chunks) {
    for (let done = 0; done < chunk.length; ) {
      done += (await write(fd, chunk, done)).bytesWritten;
    }
  }
}

// The contract of the addon (native/addon/). It carries no policy and no defaults: what is not said to be
// optional must be given. A wrong type is a TypeError that names the field; everything else that
// fails is a NativeError.

/** What the addon throws or rejects with; `UnpackError.from` understands it. */
export interface NativeError extends Error {
  /** One of {@link Binding.errorCodes}. */
  code: string;
  /** The system call that failed, when one did. */
  syscall?: string;
  /** Its errno by name, `ENOSPC`. */
  errno?: string;
  /** A path inside the layer, or of the host; bytes that are not UTF-8 are written `\xNN`. */
  path?: string;
}

/** Bounds how many tasks of its jobs run at once. Opaque. */
export interface Group {
  readonly __group: unique symbol;
}

/** The merged view of a settled layer on top of those below it. Opaque, immutable; holds its directory open. */
export interface LayerTree {
  readonly __tree: unique symbol;
}

/** One reader and writer of a store's metadata, with the transaction that it is in. Opaque. */
export interface MetadataSession {
  readonly __metadata: unique symbol;
}

/** See {@link Binding.readPage}. */
export interface MetadataRange {
  prefix: string;
  after: string;
  limit: number;
}

/** Texts of `count` lines each: to split one takes less than to make or parse its strings one by one. */
export interface MetadataColumns {
  /** Of each entry the key without the prefix. */
  keys: string;
  /** Numbers as they are written, strings without their quotes. */
  columns: string[];
  count: number;
  more: boolean;
}

/** A column of a table for a terminal. */
export interface TableColumn {
  /** A line each, the heading first; safe to print. */
  cells: string;
  alignRight: boolean;
  /** Characters of a cell: the middle of a longer one is cut out; no limit where it is not given. */
  most?: number | undefined;
}

/** A window of a file; `length` is to its end where it is not given. */
export interface FileWindow {
  path: string;
  offset?: number;
  length?: number;
}

export interface LayerOptions {
  /**
   * A file; a descriptor, which is duplicated; or chunks that are given to {@link LayerJob.write}. `replay`: where a
   * stream's bytes can be read again, should the layer have to be read twice (ERR_UNSUPPORTED without).
   */
  source:
    | FileWindow
    | { fd: number; offset?: number; length?: number }
    | { stream: true; replay?: FileWindow };
  /** An existing, empty directory of the caller's own; not given for a `dry` job. */
  directory?: string | undefined;
  /**
   * Reads, checks and plans only: nothing is made or written (but `indexPath`), and the resulting trees have no files.
   * Policies that need no file system hold as ever, and are noted. `flatRoot` must not be given.
   */
  dry?: boolean;
  format: 'overlay' | 'overlay-userxattr' | 'aufs' | 'flat';
  /** Whether {@link SettleResult.usage} is wanted; not with format `flat`. */
  countUsage?: boolean;
  /** Whether `settle` will be given a tree of layers below. */
  hasLower: boolean;
  /** Checked when given: digest and bytes of the blob, digest of the uncompressed tar. */
  digest?: string | undefined;
  size?: number | undefined;
  diffID?: string | undefined;
  /** For messages of the caller. */
  label: string;
  group: Group;
  policies: {
    symlinkParents: 'follow' | 'replace' | 'error';
    overlayXattrs: 'escape' | 'strip' | 'error';
    xattrs: 'strict' | 'best-effort';
    devices: 'create' | 'skip' | 'error';
    deviceWhiteouts: 'error' | 'accept';
    trailingGarbage: 'error' | 'ignore';
    ownership: 'apply' | 'map' | 'ignore';
    uidMap?: { containerID: number; hostID: number; size: number }[];
    gidMap?: { containerID: number; hostID: number; size: number }[];
  };
  /** What is not given has the default of native/base/limits.h. */
  limits: {
    maxBytes?: number;
    maxRatio?: number;
    maxEntries?: number;
    maxPathBytes?: number;
    maxPathDepth?: number;
    maxPaxBytes?: number;
    maxXattrBytes?: number;
    maxGlobalXattrs?: number;
    maxSparseEntries?: number;
  };
}

/** Milliseconds, of all threads together but for `wall`. */
export interface StageTimes {
  read: number;
  decode: number;
  hash: number;
  parse: number;
  /** Making files (openat, mknod). */
  create: number;
  /** Their content and metadata; links, symlinks, devices. */
  write: number;
  finish: number;
  settle: number;
  wall: number;
}

/** What a layer holds, by kind of entry; `bytes` is the content of its files. */
export interface LayerCounts {
  entries: number;
  files: number;
  directories: number;
  symlinks: number;
  hardlinks: number;
  devices: number;
  fifos: number;
  whiteouts: number;
  opaques: number;
  bytes: number;
}

export interface LayerResult {
  digest: string;
  diffID: string;
  size: number;
  uncompressedSize: number;
  compression: 'gzip' | 'zstd' | 'none' | 'empty';
  decoder: 'isa-l' | 'zlib' | 'zstd' | 'identity';
  counts: LayerCounts;
  times: StageTimes;
}

/**
 * Something that was skipped, dropped, escaped, clamped or settled. Kinds: `entry-skipped`, `xattr-dropped`,
 * `xattr-escaped`, `xattr-failed`, `device-skipped`, `ownership-ignored`, `time-clamped`,
 * `whiteout-dropped`, `symlink-parent`, `hardlink-copied-up`.
 */
export interface Note {
  kind: string;
  path: string;
  detail: string;
}

export interface SettleResult {
  tree: LayerTree;
  /** The layer was read twice: a parent of some entry is a symlink in a lower layer. */
  replanned: boolean;
  /** As `done` gave it, with the time of settling (and of the second reading). */
  layer: LayerResult;
  notes: Note[];
  /** What the layer's directory takes; undefined where it was not counted: then measure it. */
  usage?: { bytes: number; inodes: number };
}

export interface LayerJob {
  /** Decoded, checked and written; the directory is not touched after that until `settle`. */
  readonly done: Promise<LayerResult>;
  /** Once, after `done`, and after the layer below has settled. `below` is null for a bottom layer. */
  settle(
    below: LayerTree | null,
    options: { indexPath?: string | undefined; flatRoot?: string | undefined },
  ): Promise<SettleResult>;
  /** Cheap; at most 20 times a second is plenty. */
  progress(): { bytesIn: number; bytesOut: number; entries: number };
  /** `done` or `settle` then rejects with ERR_ABORTED, when everything of the job has stopped. */
  cancel(): void;
  /**
   * Lets go of the layer's descriptors, which keep its file system busy until the job is collected: after `done`, and
   * after `settle` where it was called. Nothing while something runs.
   */
  close(): void;
  /** Stream sources: copies the chunk; false when no more should be written before `onDrain`. */
  write(chunk: Uint8Array): boolean;
  end(): void;
  /** The source failed: `done` rejects with ERR_IO and this message. */
  fail(message: string): void;
  onDrain(callback: () => void): void;
}

export interface CopyCounts {
  /** Names that were made. */
  entries: number;
  /** Files whose content is shared with the original. */
  reflinked: number;
  /** Copied, not shared. */
  bytes: number;
}

/**
 * What an audit compares. `expected` is what is to be on disk for an entry of a tree: owners are mapped, attributes
 * are named and escaped as an unpack would store them. Paths and targets that are not UTF-8 are written with `\\xNN`.
 */
export interface EntryFacts {
  type: 'directory' | 'file' | 'symlink' | 'char' | 'block' | 'fifo' | 'socket' | 'whiteout';
  /** The 12 permission bits. */
  mode: number;
  uid: number;
  gid: number;
  mtimeSeconds: number;
  mtimeNanoseconds: number;
  /** Of a file; else 0. */
  size: number;
  /** Of a symlink. */
  target?: string;
  /** Of a device, `MAJOR:MINOR`. */
  device?: string;
  /** Values in base64; `trusted.overlay.opaque` and its like too. None of whiteouts. */
  xattrs: Record<string, string>;
  /** Of a file's content, 8 hexadecimal digits; where it is known, or was read. */
  crc32c?: string;
  /** A directory that the layer did not name: its attributes are inherited, and other tools choose others. */
  implicit?: true;
  /** A file of a lower layer, copied because this layer has a hardlink to it. */
  copiedUp?: true;
  /** A directory that hides the layers below it. */
  opaque?: true;
  /** The other names of the inode in this directory tree, where a hardlink differs; at most 16. */
  links?: string[];
  /** Why it could not be read, by errno: `EIO`; `EXDEV` where something is mounted on it. */
  error?: string;
}

/** One entry that is not as expected. */
export interface Difference {
  /** Relative, `''` is the root. Of aufs' markers: of what they hide. */
  path: string;
  /** Null: nothing of that name is expected. */
  expected: EntryFacts | null;
  /** Null: it is missing. */
  found: EntryFacts | null;
  /**
   * `type`, `mode`, `owner`, `mtime`, `size`, `content`, `target`, `device`, `hardlink`, `xattr:NAME`, `opaque` (aufs' marker;
   * overlayfs' is `xattr:trusted.overlay.opaque`), or `unreadable` (`found.error` says why). Of another type, nothing
   * else is told. Empty for what is missing, and for what nothing expects.
   */
  fields: string[];
}

export interface AuditResult {
  /** Names found in the directory, the root included, aufs' markers and whiteouts too. */
  entries: number;
  /** Those that are regular files (a file of several names counts once for each). */
  files: number;
  /** Bytes of content that were read. */
  bytes: number;
  /**
   * Files whose size is right, but of whose content the tree knows no checksum, or whose mode, as it should be, closes
   * them to us, their owner. 0 without `content`.
   */
  unchecked: number;
  /** Sorted by path. */
  differences: Difference[];
  /** Differences beyond `mostDifferences`. At least: what lies below further entries that nothing expects is not counted. */
  moreDifferences: number;
}

export interface AuditJob {
  /** Rejects when the directory itself cannot be read, and with ERR_ABORTED. */
  readonly done: Promise<AuditResult>;
  /** So far: names, and bytes of content. Cheap. */
  progress(): { entries: number; bytes: number };
  cancel(): void;
}

/** A fact about the host; what it means is said in TypeScript. */
export interface Probe {
  id: string;
  status: 'ok' | 'warn' | 'fail' | 'unknown';
  value: string;
  evidence: string;
}

export interface Binding {
  /** The codes that a NativeError can have. */
  errorCodes(): string[];
  /** Who decodes: ISA-L where libisal.so.2 could be loaded; the version of zstd; and who takes sha256. */
  decoders(): {
    gzip: 'isa-l' | 'zlib';
    zstd: string;
    isal: boolean;
    sha256: 'sha-extensions' | 'openssl';
  };
  /** Processors that this process may use, by affinity and cgroup. */
  workers(): number;
  /**
   * Bytes of slabs (uncompressed tar between decoding and writing) that the whole process may hold: at least one slab
   * of 256 KiB. A lower budget takes effect as slabs come back.
   */
  setMemoryBudget(bytes: number): void;
  /** Bytes of slabs: what may be held, what is held, and the most that was. */
  memory(): { budget: number; inUse: number; peak: number };
  /** `concurrency` from 0 (as many as workers()) to 64. */
  createGroup(concurrency: number): Group;
  startLayer(options: LayerOptions): LayerJob;
  /**
   * How many layers one call should have in work at once (started, and not settled yet), by the descriptors that the
   * process may have.
   */
  layersAtOnce(): number;
  /** Reads an index that `settle` wrote; `directory` is where that layer lies now. */
  loadTree(indexPath: string, directory: string, below: LayerTree | null): LayerTree;
  /**
   * Where the directory of a tree that `settle` has made, or `loadTree` loaded, is moved to, or will be: files that layers above it
   * link to are looked for in both places.
   */
  moveTree(tree: LayerTree, directory: string): void;
  /** Lets go of a tree, as {@link LayerJob.close}; it must not be used any more. Trees above it live on. */
  closeTree(tree: LayerTree): void;
  /** An existing directory as a tree. */
  scanTree(directory: string): Promise<LayerTree>;
  /**
   * Compares a directory with what `tree` says is in it: with the layer's own tree, for format flat with the merged
   * view of it and all trees below. Reads only, follows no symlink, enters no mount, and sets no access time where that
   * can be helped. What changes meanwhile is compared as it was found. `content`: whether files are read and held
   * against their checksums. `policies` are those of the unpack: what they let be otherwise is no difference. Not differences
   * either: labels of the host (security.selinux, .ima, .evm), and what the kernel itself puts on a layer
   * that was mounted (overlay.origin, .impure, .nlink, .uuid, .upper). `threads` from 1 to 64, of its own.
   */
  auditTree(options: {
    tree: LayerTree;
    directory: string;
    format: LayerOptions['format'];
    content: boolean;
    threads: number;
    mostDifferences: number;
    policies?: LayerOptions['policies'] | undefined;
  }): AuditJob;
  /**
   * Every path that the merged view of `tree` and all below it shows at and below `path` (`''` for all; no symlink is
   * followed), sorted, at most `most` of them; `total` counts all. A tree of null shows nothing.
   */
  listMerged(
    tree: LayerTree | null,
    path: string,
    most: number,
  ): { paths: string[]; total: number };
  /** Removes a tree of any depth; crosses no mount, follows no symlink; nothing there is fine. */
  removeTree(path: string): Promise<void>;
  /**
   * Copies what lies in `from` into `to`, an empty directory, with all its metadata, hardlinks and holes; content is
   * shared where the file system can. On `threads` threads of its own (1 to 64). Neither may be changed meanwhile.
   */
  copyTree(options: { from: string; to: string; threads: number }): Promise<CopyCounts>;
  /** Gives the directory `to` owner, mode, xattrs and times of the directory `from`, without overlayfs' own xattrs. */
  copyDirectoryMetadata(options: { from: string; to: string }): Promise<void>;
  /**
   * What the tree takes: bytes of allocated blocks; an inode with several names counts once, the top counts, and what
   * lies in directories that are closed to the caller does not. On up to `threads` threads of its own (1 to 64); a small
   * tree is walked by one.
   */
  diskUsage(options: {
    directory: string;
    threads: number;
  }): Promise<{ bytes: number; inodes: number }>;
  /**
   * Exchanges what two paths of one file system name, in one step (renameat2, RENAME_EXCHANGE). Synchronous, for use in a
   * transaction. ERR_UNSUPPORTED where the file system cannot.
   */
  exchangePaths(a: string, b: string): void;
  /** syncfs(2) of the file system of `fd`; rejects when a write failed since `fd` was opened or last given here. */
  syncFileSystem(fd: number): Promise<void>;
  /** flock(2), exclusive, without waiting: whether it was got. Closing the descriptor lets go of it. */
  tryLock(fd: number): boolean;
  /**
   * Allocates the first `size` bytes of a file, though it stays as long as it is (fallocate, FALLOC_FL_KEEP_SIZE):
   * false where the file system cannot. Synchronous.
   */
  reserveSpace(fd: number, size: number): boolean;
  /**
   * Opens the LMDB environment in a directory that exists; a process has one per directory, whatever opens it. Fails with
   * an errno, ERR_STORE_CORRUPT for what is not one, ERR_STORE_BUSY when `maxReaders` read already, of all processes
   * and threads. All calls on a session are synchronous, and belong to the thread that has opened it.
   */
  openMetadata(options: {
    directory: string;
    readOnly: boolean;
    /** False: commits do not wait for the disk. */
    sync: boolean;
    maxReaders: number;
  }): MetadataSession;
  /** Takes back what is not committed. Using the session afterwards is a TypeError. */
  closeMetadata(session: MetadataSession): void;
  /** Until {@link Binding.endRead} all is read from one state; ERR_STORE_BUSY. */
  beginRead(session: MetadataSession): void;
  endRead(session: MetadataSession): void;
  /** Waits for the writers of other threads and processes. Until it ends, reads see what was written. */
  beginWrite(session: MetadataSession): void;
  /** When it fails nothing of the transaction is there. */
  commitWrite(session: MetadataSession): void;
  /** Of none, too. */
  abortWrite(session: MetadataSession): void;
  /** In a transaction, as all that follow: the value, JSON. */
  getValue(session: MetadataSession, key: string): string | undefined;
  putValue(session: MetadataSession, key: string, value: string): void;
  /** Of what is not there, too. */
  removeValue(session: MetadataSession, key: string): void;
  /**
   * A part of the entries whose keys begin with `prefix`, in order, as JSON: `{entries, more}`, an entry being `[rest,
   * value]`; `rest` is the key without the prefix. After the one whose rest is `after`, or from the first where that
   * is empty. `limit` 0: as many as make 256 KiB; `more` tells whether others follow them.
   */
  readPage(session: MetadataSession, range: MetadataRange): string;
  /**
   * The same of keys, and of values that are arrays the elements at the ascending numbers `columns`; `limit` 0: as many as
   * make 16 MiB. ERR_STORE_CORRUPT where an element is no number and no string without escapes.
   */
  readColumns(
    session: MetadataSession,
    range: MetadataRange & { columns: readonly number[] },
  ): MetadataColumns;
  countKeys(session: MetadataSession, prefix: string): number;
  /**
   * A table for a terminal of `width` characters, a line for each row, without the last one's end: cells as wide as the
   * widest of their column, two blanks between them, none at the end of a line; an ellipsis for what is cut. Synchronous.
   */
  drawTable(table: { columns: readonly TableColumn[]; width: number }): string;
  /** `lowers` top first; without `upper` read-only. Paths are absolute. ERR_MOUNT. */
  mountOverlay(options: {
    lowers: string[];
    upper?: string | undefined;
    work?: string | undefined;
    target: string;
    userxattr: boolean;
    /** Further ones, `index=off`, `volatile`. */
    options?: readonly string[];
  }): Promise<void>;
  mountBind(options: { source: string; target: string; readOnly: boolean }): Promise<void>;
  /** mount(2) as it is; `data` below a page. ERR_UNSUPPORTED where the kernel has no such file system. */
  mountPlain(options: {
    type: string;
    source: string;
    target: string;
    data: string;
    readOnly: boolean;
  }): Promise<void>;
  unmount(options: { target: string; lazy: boolean }): Promise<void>;
  /** An xattr of a path of the host, symlinks not followed; null where there is none of that name. Synchronous. */
  readXattr(options: { path: string; name: string }): Buffer | null;
  /** Sets one. Synchronous. */
  writeXattr(options: { path: string; name: string; value: string }): void;
  /** Facts about the kernel and the file system of `directory`. */
  probeHost(directory: string): Promise<Probe[]>;
}

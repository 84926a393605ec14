// The one error class of the library and the one table of its codes, which also makes docs/errors.md.
// Codes that come from native/ are the same strings as in native/base/error.h; a test compares the two.

/** What a code means and what to do about it. */
export interface ErrorInfo {
  /** What happened, one sentence. */
  readonly meaning: string;
  /** What to do about it, one or two sentences. */
  readonly fix: string;
}

/** Every code an {@link UnpackError} can have. Codes are stable: new ones may come, none changes its meaning. */
export const errorTable = {
  ERR_INVALID_ARGUMENT: {
    meaning: 'An argument or option has a wrong type, is out of range, or contradicts another one.',
    fix: 'Correct the argument that the message names.',
  },
  ERR_INVALID_REFERENCE: {
    meaning:
      'The text that should name an image is not a reference, or names an unknown transport.',
    fix: 'Write oci:PATH[:TAG], oci-archive:PATH[:TAG], docker-archive:PATH[:NAME] or containerd:NAME; to pull, [HOST/]NAME[:TAG][@DIGEST]. A path must not contain a colon.',
  },
  ERR_ABORTED: {
    meaning: 'The call was cancelled by its AbortSignal or by Ctrl-C. Nothing half done is left.',
    fix: 'Call again; layers that were finished are kept and not done twice.',
  },
  ERR_INTERNAL: {
    meaning: 'A defect in oci-unpack itself.',
    fix: 'Please report it with the message and the stack; OCI_UNPACK_DEBUG=1 makes the command print it.',
  },
  ERR_IO: {
    meaning: 'A system call failed for a reason that has no code of its own here.',
    fix: 'See the syscall and the errno of the error; the kernel log may say more.',
  },
  ERR_NOT_FOUND: {
    meaning: 'A file or directory that must exist is missing.',
    fix: 'Check the path that the message names.',
  },
  ERR_PERMISSION: {
    meaning:
      'The kernel, or the permission model of Node, refused an operation: permissions, a read-only file system, or a missing capability.',
    fix: 'Run as root or in a user namespace with the needed capabilities (docs/options.md, Rootless), or choose ownership "ignore", devices "skip" and xattrs "best-effort".',
  },
  ERR_NO_SPACE: {
    meaning: 'The file system (or the quota) is full: bytes or inodes.',
    fix: 'Free some space (df -h, df -i) or unpack elsewhere. Nothing half done is left.',
  },
  ERR_UNSUPPORTED: {
    meaning: 'This host, kernel, file system or Node version lacks something that is needed.',
    fix: 'Run oci-unpack doctor to see what this host can do.',
  },
  ERR_ADDON_LOAD: {
    meaning: 'The native addon could not be loaded.',
    fix: 'Build it with npm run setup; the message says what was tried on which platform.',
  },
  ERR_IMAGE_NOT_FOUND: {
    meaning: 'The registry, layout or archive holds no image of that name.',
    fix: 'Check the name and the tag; of a layout or archive the message lists the names.',
  },
  ERR_AMBIGUOUS_REFERENCE: {
    meaning: 'The layout or archive holds several images that the reference fits.',
    fix: 'Append one of the names that the message lists: oci:PATH:TAG, docker-archive:PATH:NAME, or :@N for the N-th.',
  },
  ERR_PLATFORM_NOT_FOUND: {
    meaning: 'The image has no variant for the wanted platform.',
    fix: 'Choose one of the platforms that the message lists, with --platform os/architecture[/variant].',
  },
  ERR_INVALID_IMAGE: {
    meaning: 'An index, manifest, config or layout file breaks its specification.',
    fix: 'The message names the blob and the field. Make or copy the image again.',
  },
  ERR_UNKNOWN_MEDIA_TYPE: {
    meaning:
      'A manifest, config or layer is of a kind that is not a container image, or is not supported.',
    fix: 'Docker schema 1 images: convert them with skopeo copy. Artifacts and encrypted layers cannot be unpacked.',
  },
  ERR_FOREIGN_LAYER: {
    meaning: 'A layer is not distributed with the image (foreign or nondistributable).',
    fix: 'Such layers are Windows base layers as a rule; make the image with the layer included.',
  },
  ERR_BLOB_NOT_FOUND: {
    meaning: 'A blob that the image names is not in the registry, layout, archive or store.',
    fix: 'The image is incomplete: copy it again, for the platform that is wanted.',
  },
  ERR_LAYER_COUNT: {
    meaning: 'The manifest names another number of layers than the config has diff_ids.',
    fix: 'The image is inconsistent: make or copy it again.',
  },
  ERR_SIZE_MISMATCH: {
    meaning: 'A blob is longer or shorter than its descriptor says.',
    fix: 'The blob is damaged or was cut off: copy the image again.',
  },
  ERR_DIGEST_MISMATCH: {
    meaning: 'The content of a blob does not have the digest that its descriptor says.',
    fix: 'The blob is damaged or was changed: copy the image again.',
  },
  ERR_DIFFID_MISMATCH: {
    meaning: 'The uncompressed layer does not have the diffID that the config says.',
    fix: 'The image is inconsistent or was changed: make or copy it again.',
  },
  ERR_TRUNCATED: {
    meaning: 'A layer or archive ends too early.',
    fix: 'The file was cut off: copy the image again.',
  },
  ERR_INVALID_GZIP: {
    meaning: 'Compressed data is not valid gzip, or its CRC or length is wrong.',
    fix: 'The blob is damaged: copy the image again.',
  },
  ERR_INVALID_ZSTD: {
    meaning:
      'Compressed data is not valid zstd, its checksum is wrong, or its window is larger than allowed.',
    fix: 'The blob is damaged: copy the image again. For windows above 128 MiB, compress without --long=28 and up.',
  },
  ERR_UNKNOWN_COMPRESSION: {
    meaning: 'A layer or archive is compressed with something other than gzip or zstd.',
    fix: 'Decompress it (xz -d, bzip2 -d, lz4 -d) or make the image with gzip or zstd.',
  },
  ERR_TRAILING_GARBAGE: {
    meaning:
      'Bytes that are neither zeros nor another member follow the end of the compressed data.',
    fix: "Choose trailingGarbage: 'ignore' when the generator is known to do this.",
  },
  ERR_INVALID_TAR: {
    meaning: 'A tar header or pax record is malformed.',
    fix: 'The message names the entry. The layer was made by a broken tool or is damaged.',
  },
  ERR_INVALID_ENTRY: {
    meaning:
      'A tar entry is refused: its name leaves the root or is empty, its type is unknown, its sparse map or a number is out of bounds, or it is a hardlink to a directory or to itself.',
    fix: 'The message names the entry. The layer is hostile or was made by a broken tool.',
  },
  ERR_LINK_TARGET: {
    meaning: 'A hardlink points at nothing, or at what lies in the directory that it replaces.',
    fix: 'The message names the entry. The layer was made by a broken tool.',
  },
  ERR_SYMLINK_PARENT: {
    meaning:
      'An entry lies below a symlink of a lower layer, and the policy symlinkParents is error.',
    fix: "Choose symlinkParents: 'follow' (what a sequential apply does) or 'replace'.",
  },
  ERR_OVERLAY_XATTR: {
    meaning: 'A layer carries overlayfs markers of its own, and the policy overlayXattrs is error.',
    fix: "Choose overlayXattrs: 'escape' or 'strip'.",
  },
  ERR_DEVICE: {
    meaning:
      'A device node cannot be made here, is out of range, or is a literal overlayfs whiteout.',
    fix: "Choose devices: 'skip', or deviceWhiteouts: 'accept' when the image comes from a raw overlay directory.",
  },
  ERR_XATTR_UNSUPPORTED: {
    meaning: 'The file system refuses an extended attribute, and the policy xattrs is strict.',
    fix: "Unpack to a file system with xattrs, or choose xattrs: 'best-effort' and read the warnings.",
  },
  ERR_OWNERSHIP: {
    meaning: 'An owner cannot be set, or has no mapping.',
    fix: "Run as root, give uidMap and gidMap that cover it, or choose ownership: 'ignore'.",
  },
  ERR_LIMIT_EXCEEDED: {
    meaning: 'The image goes beyond one of the limits that guard against hostile input.',
    fix: 'When the image is trusted, raise the limit that the message names.',
  },
  ERR_INVALID_INDEX: {
    meaning: 'The index file of an unpacked layer is damaged or of an unknown version.',
    fix: 'Remove the layer and unpack it again.',
  },
  ERR_DESTINATION_NOT_EMPTY: {
    meaning:
      'The destination holds something other than an unpack of the same image with the same options.',
    fix: 'Choose another destination or empty it.',
  },
  ERR_DESTINATION_BUSY: {
    meaning: 'Another unpack into the same destination is running.',
    fix: 'Wait for it to end.',
  },
  ERR_MOUNT: {
    meaning: 'Mounting or unmounting failed.',
    fix: 'The message says what the kernel said; run oci-unpack doctor to see what it can mount.',
  },
  ERR_STORE_NOT_FOUND: {
    meaning: 'The store has no image, blob, snapshot, container or lease of that name.',
    fix: 'List what there is: oci-unpack images ls, content ls, snapshots ls, containers ls, leases ls.',
  },
  ERR_STORE_EXISTS: {
    meaning: 'The store has something of that name already.',
    fix: 'Choose another name, or remove what has it.',
  },
  ERR_STORE_IN_USE: {
    meaning:
      'The state of what is in the store does not allow the operation: a snapshot has children, a parent is not committed, a snapshot is not active.',
    fix: 'The message says what is in the way; remove or commit that first.',
  },
  ERR_SNAPSHOT_LOST: {
    meaning:
      'A snapshot was not on the disk yet when an earlier boot ended; its files may be incomplete, and it is not served.',
    fix: 'Unpack its image again, which makes it anew; containers on top of it can be used then. One that is not committed must be removed and made again.',
  },
  ERR_SNAPSHOT_MOUNTED: {
    meaning:
      'A snapshot cannot be repaired, or made again, while it is mounted: whatever runs on it would see its files change.',
    fix: 'Stop the containers and take away the mounts that the message names, then call again.',
  },
  ERR_STORE_BUSY: {
    meaning: 'Another process or call is writing the same thing.',
    fix: 'Wait for it to end and call again.',
  },
  ERR_STORE_READ_ONLY: {
    meaning: 'The store was opened for reading only.',
    fix: 'Open it for writing.',
  },
  ERR_STORE_VERSION: {
    meaning:
      'The metadata of the store has a version that this release does not know, or must be migrated first.',
    fix: 'Use the release that wrote it or a newer one; open an older store once for writing to migrate it.',
  },
  ERR_STORE_CORRUPT: {
    meaning:
      'The metadata of the store is not a database, is damaged, or is not there beside what it names.',
    fix: 'Restore it, or name another directory (--root); a store that cannot be restored must be removed, and its images imported again.',
  },
  ERR_INVALID_STORE: {
    meaning: "The store of another program (containerd's) is damaged, incomplete, or is none.",
    fix: 'The message names the file and the place. Check the directory (CONTAINERD_ROOT); what is damaged, its owner must make again: remove the images there and pull them.',
  },
  ERR_UNKNOWN_STORE_VERSION: {
    meaning: "The store of another program (containerd's) has a version that is not known here.",
    fix: 'Use a newer release of oci-unpack, or export the image with the program itself: ctr images export, then oci-archive:PATH.',
  },
  ERR_REGISTRY_UNREACHABLE: {
    meaning:
      'A registry (or where it redirects to) cannot be reached: no such host, no connection, cut off or silent too often.',
    fix: 'Check the name, the network and the proxy (HTTPS_PROXY, NO_PROXY), and pull again: what has been downloaded is kept.',
  },
  ERR_TLS: {
    meaning: 'The TLS of a registry cannot be trusted, or it has none.',
    fix: 'Give the authority of its certificate with --ca FILE or in hosts.toml; for a registry without TLS choose --plain-http.',
  },
  ERR_REGISTRY_AUTH: {
    meaning: 'A registry denies access: it wants credentials, or others.',
    fix: 'Log in with docker login, podman login or skopeo login, or name the file with --auth-file. Many registries answer so for an image that is not there, too.',
  },
  ERR_CREDENTIALS: {
    meaning: 'A file of credentials, or a credential helper, cannot be read.',
    fix: 'The message names the file or the helper; log in again, or repair it.',
  },
  ERR_RATE_LIMITED: {
    meaning: 'A registry answers 429: too many requests.',
    fix: 'Wait as long as the message says and pull again; with credentials the limit is often higher.',
  },
  ERR_REGISTRY: {
    meaning:
      'A registry answers in a way that the distribution-spec does not know, or with an error of its own (5xx).',
    fix: 'The message has its answer. Pull again later, or ask who runs it.',
  },
  ERR_INVALID_HOSTS: {
    meaning: 'A hosts.toml is malformed, or none of its hosts can do what is needed.',
    fix: 'The message names the file and the place; containerd docs/hosts.md has the format.',
  },
  ERR_INVALID_FILTER: {
    meaning: 'A filter is malformed.',
    fix: 'Write FIELD==VALUE, FIELD!=VALUE, FIELD~=REGEXP or FIELD, joined by commas; quote what has other signs than letters and digits: labels."a/b"=="c d".',
  },
} as const satisfies Record<string, ErrorInfo>;

/** A stable error code; see docs/errors.md. */
export type UnpackErrorCode = keyof typeof errorTable;

/** All codes. */
export const errorCodes = Object.keys(errorTable) as readonly UnpackErrorCode[];

/** True for a string that is one of our codes. */
export function isErrorCode(value: unknown): value is UnpackErrorCode {
  return typeof value === 'string' && Object.hasOwn(errorTable, value);
}

/** Where an error happened. */
export interface UnpackErrorDetails {
  /** The system call that failed. */
  syscall?: string | undefined;
  /** Its symbolic errno, e.g. `ENOSPC`. */
  errno?: string | undefined;
  /** The path inside the layer, or of a host file. */
  path?: string | undefined;
  /** Digest (or, where unknown, the name) of the layer. */
  layer?: string | undefined;
  /** Of `ERR_NO_SPACE`, where it was told before anything was written: what it would take, and what there is. */
  needed?: { bytes: number; inodes: number } | undefined;
  available?: { bytes: number; inodes: number } | undefined;
  cause?: unknown;
}

/** Every error that the library rejects with or throws. `message` says what failed and where; `fix` what to do. */
export class UnpackError extends Error {
  readonly code: UnpackErrorCode;
  /** The system call that failed, where one did. */
  declare readonly syscall?: string;
  /** The symbolic errno of the system call, e.g. `ENOSPC`. */
  declare readonly errno?: string;
  /** The path inside the layer, or of a host file. */
  declare readonly path?: string;
  /** Digest (or, where unknown, the name) of the layer. */
  declare readonly layer?: string;
  /** Of `ERR_NO_SPACE`, where it was told before anything was written: what it would take. */
  declare readonly needed?: { bytes: number; inodes: number };
  /** Of `ERR_NO_SPACE`, beside {@link needed}: what there is. */
  declare readonly available?: { bytes: number; inodes: number };

  constructor(code: UnpackErrorCode, message: string, details: UnpackErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'UnpackError';
    this.code = code;
    for (const key of ['syscall', 'errno', 'path', 'layer', 'needed', 'available'] as const) {
      if (details[key] !== undefined) {
        Object.defineProperty(this, key, { value: details[key], enumerable: true });
      }
    }
  }

  /** What can be done about it, from the table of codes. */
  get fix(): string {
    return errorTable[this.code].fix;
  }

  /** A plain object for `--json` and logs. */
  toJSON(): Record<string, unknown> {
    const { code, message, syscall, errno, path, layer, needed, available, fix } = this;
    const all = { code, message, syscall, errno, path, layer, needed, available, fix };
    return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
  }

  /**
   * Makes an UnpackError of anything thrown: one of ours passes (a `layer` is added where it has none), an error of
   * the addon keeps its code, a system error of Node goes by its errno, an AbortError is `ERR_ABORTED`, and all
   * else is a defect, `ERR_INTERNAL`, with the error as `cause`.
   */
  static from(error: unknown, layer?: string): UnpackError {
    if (error instanceof UnpackError) {
      if (layer === undefined || error.layer !== undefined) {
        return error;
      }
      return remake(error, error.code, error, layer);
    }
    const fields = fieldsOf(error);
    if (isErrorCode(fields.code)) {
      return remake(fields, fields.code, error, layer);
    }
    if (typeof fields.code === 'string' && typeof fields.syscall === 'string') {
      return UnpackError.fromSystem(error, undefined, layer);
    }
    const message = textOf(fields.message) ?? String(error);
    if (fields.code === 'ERR_ACCESS_DENIED') {
      // Node was started with --permission, and without a right.
      return remake({ message, path: fields.resource }, 'ERR_PERMISSION', error, layer);
    }
    const code = fields.name === 'AbortError' ? 'ERR_ABORTED' : 'ERR_INTERNAL';
    return new UnpackError(code, withLayer(message, layer), { layer, cause: error });
  }

  /**
   * Makes an UnpackError of a system error of Node (`code` 'ENOENT', `syscall` 'open'), with the path of the error
   * or the given one. Anything that is not a system error goes the way of {@link UnpackError.from}.
   */
  static fromSystem(error: unknown, path?: string, layer?: string): UnpackError {
    const fields = fieldsOf(error);
    const errno = fields.code;
    const syscall = textOf(fields.syscall);
    if (error instanceof UnpackError || typeof errno !== 'string' || !/^E[A-Z0-9]+$/.test(errno)) {
      return UnpackError.from(error, layer);
    }
    const where = path ?? textOf(fields.path);
    const message = `${syscall ?? 'system call'}(${where ?? ''}): ${errno}`;
    const details = { syscall, errno, path: where, layer, cause: error };
    return new UnpackError(codeOfErrno(errno), withLayer(message, layer), details);
  }
}

/** The same rule as system_error() in native/base/error.cc. */
function codeOfErrno(errno: string): UnpackErrorCode {
  switch (errno) {
    case 'ENOSPC':
    case 'EDQUOT':
      return 'ERR_NO_SPACE';
    case 'EPERM':
    case 'EACCES':
    case 'EROFS':
      return 'ERR_PERMISSION';
    case 'ENOENT':
      return 'ERR_NOT_FOUND';
    default:
      return 'ERR_IO';
  }
}

function remake(
  fields: Record<string, unknown> | UnpackError,
  code: UnpackErrorCode,
  cause: unknown,
  layer: string | undefined,
): UnpackError {
  const label = textOf(fields.layer) ?? layer;
  return new UnpackError(code, withLayer(textOf(fields.message) ?? code, label), {
    syscall: textOf(fields.syscall),
    errno: textOf(fields.errno),
    path: textOf(fields.path),
    layer: label,
    cause: fields instanceof UnpackError ? (fields.cause ?? cause) : cause,
  });
}

function withLayer(message: string, layer: string | undefined): string {
  return layer === undefined || message.includes(layer) ? message : `layer ${layer}: ${message}`;
}

function fieldsOf(error: unknown): Record<string, unknown> {
  return typeof error === 'object' && error !== null ? (error as Record<string, unknown>) : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

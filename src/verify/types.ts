// What verifying says: findings, the signatures that they fit, and the report; its JSON is a contract (docs/verify.md).

import type { EntryFacts } from '../native/index.js';

export type { Difference, EntryFacts } from '../native/index.js';

/** Every kind of finding; stable. */
export const findingKinds = [
  'missing-entry',
  'extra-entry',
  'changed-content',
  'changed-size',
  'zero-length',
  'changed-type',
  'changed-mode',
  'changed-owner',
  'changed-time',
  'changed-xattr',
  'lost-xattr',
  'extra-xattr',
  'lost-capability',
  'changed-target',
  'changed-device',
  'broken-hardlink',
  /** A device, or a whiteout (which is one), that is an ordinary file. */
  'device-became-file',
  /** A directory that is opaque without a marker in its layer. */
  'leaked-opaque',
  'lost-opaque',
  'lost-whiteout',
  'stray-whiteout',
  /** An overlayfs marker of the other namespace: `user.overlay.` in a store of `trusted.overlay.`, or the reverse. */
  'foreign-marker',
  /** The kernel refuses to read it (EIO), or something is mounted on it (EXDEV). */
  'unreadable',
] as const;

export type FindingKind = (typeof findingKinds)[number];

/** One thing that is not as the layer says. */
export interface Finding {
  kind: FindingKind;
  /** Relative to the layer's root, which is ''. Bytes that are not UTF-8 are written `\xNN`, a backslash `\\`. */
  path: string;
  /** Number of the layer in its image, bottom 0. */
  layer: number;
  chainID: string;
  /** Name of the snapshot in its store. */
  snapshot: string;
  /** Where the snapshot's files lie. */
  directory: string;
  /** One clause for people: what was found instead of what. */
  detail: string;
  /** Entries below `path` that are missing, or extra, with it. */
  below?: number | undefined;
  /** The content ends in this many zero bytes; of `changed-content` and `changed-size`. */
  zeroTail?: number | undefined;
  /** As the layer says; null for what it does not have. */
  expected: EntryFacts | null;
  /** As it is on the disk; null for what is not there. */
  found: EntryFacts | null;
}

/** Every cause that can be told. */
export const signatureIDs = [
  'opaque-copy-up',
  'lost-whiteouts',
  'power-loss',
  'wrong-namespace',
  'tampering',
  'unknown',
] as const;

export type SignatureID = (typeof signatureIDs)[number];

/** A cause that fits some findings of a snapshot. Every finding is of one signature. */
export interface Signature {
  id: SignatureID;
  /** How many findings it explains. */
  findings: number;
  /** What it means and why it fits, for people. */
  explanation: string;
}

/** Paths of what a container sees. */
export interface PathList {
  /** In order of path, at most as many as were asked for. */
  paths: string[];
  /** How many there are. */
  total: number;
}

/** What the merged tree lacks, or has too much, because of findings. */
export interface Visibility {
  /** Cannot be seen, though the layers have it. */
  hidden: PathList;
  /** Can be seen, though the layers have deleted or replaced it. */
  revived: PathList;
}

/** What a snapshot was compared with: a checked manifest, the blob itself, or nothing but rules of structure. */
export type AuditSource = 'manifest' | 'blob' | 'structure';

/** What became of one snapshot. */
export interface SnapshotAudit extends Visibility {
  /** Number of the layer in its image, bottom 0. */
  layer: number;
  chainID: string;
  snapshot: string;
  directory: string;
  source: AuditSource;
  /** Entries that were compared. */
  entries: number;
  /** Files, and the bytes of their content that were compared. */
  files: number;
  bytes: number;
  /** Files whose content nothing is known of, or that their mode closes to this user: size and metadata were compared. */
  unchecked: number;
  findings: Finding[];
  /** Findings beyond the bound, which are not listed. */
  moreFindings: number;
  signatures: Signature[];
}

/** What became of an image. */
export interface ImageAudit extends Visibility {
  name: string;
  /** Digest of what the name stands for. */
  digest: string;
  ok: boolean;
  /** ChainIDs of its layers, bottom first. */
  layers: string[];
}

/** A layer's blob that was read and is not what its digest says, so that nothing can be made again from it. */
export interface DamagedBlob {
  digest: string;
  /** Names of the snapshots that were unpacked from it. */
  snapshots: string[];
  /** Of the error: `ERR_DIGEST_MISMATCH`, `ERR_SIZE_MISMATCH`, `ERR_IO`. */
  code: string;
  detail: string;
}

/** What was done, or would be done, to a snapshot. */
export interface RepairStep {
  chainID: string;
  snapshot: string;
  directory: string;
  /** `remake`: all of it from the blob, into a new directory that changes places with it. */
  action: 'remake';
  /** `impossible`: `reason` says why; the error code is in `code`. */
  status: 'planned' | 'done' | 'impossible';
  code?: string | undefined;
  reason?: string | undefined;
  /** What can be done about it. */
  fix?: string | undefined;
}

/** What verifying a store resolves to. */
export interface VerifyReport {
  version: 1;
  /** Nothing was found, or (with `repair`) all that was found is healed; no blob that was read is damaged. */
  ok: boolean;
  /** Directory of the store, and whose it is. */
  root: string;
  kind: 'oci-unpack' | 'containerd' | 'docker';
  images: ImageAudit[];
  snapshots: SnapshotAudit[];
  /** Of those that were read: with `deep`, and where there is no manifest. */
  damagedBlobs: DamagedBlob[];
  /** Of a store of our own, with `repair` or `dryRun`. `snapshots` is then as it was before. */
  repairs?: RepairStep[] | undefined;
  counts: {
    images: number;
    snapshots: number;
    entries: number;
    files: number;
    bytes: number;
    unchecked: number;
    findings: number;
    damagedBlobs: number;
    hidden: number;
    revived: number;
  };
  /** What could not be compared, and why; for people. At most 100, then one that says how many more there are. */
  notes: string[];
  milliseconds: number;
}

/** Bytes and entries that were compared so far. */
export interface VerifyProgress {
  /** Snapshots that are done, and all of them. */
  done: number;
  snapshots: number;
  entries: number;
  bytes: number;
  /** Bytes of blobs that are read again, and all of them. */
  blobBytes: number;
  blobSize: number;
}

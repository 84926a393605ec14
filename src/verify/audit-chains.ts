// Audits any number of snapshots, each once: as many at a time as pays, the biggest first, with progress.

import { stat } from 'node:fs/promises';
import { UnpackError } from '../errors.js';
import type { AuditJob, Difference, LayerTree, Note } from '../native/index.js';
import { Slots } from '../slots.js';
import { Ticker } from '../unpack/ticker.js';
import { type AuditLayerOptions, auditLayer, type LayerAudit } from './audit-layer.js';
import { type Answer, type ChainNode, Oracle } from './oracle.js';
import { signaturesOf } from './signatures.js';
import type { DamagedBlob, SnapshotAudit, VerifyProgress, Visibility } from './types.js';
import { inImage, pathLists, type VisiblePaths, visiblePaths } from './visibility.js';

/** What a layer should be. */
export interface LayerTruth {
  /** Of the blob, as reading it told. */
  notes: readonly Note[];
  /** The merged view with the layer, and without; null for no layer below. */
  tree: LayerTree;
  below: LayerTree | null;
}

/** A snapshot that is to be audited. */
export interface AuditNode extends ChainNode {
  /** Number of the layer in its image, bottom 0. */
  layer: number;
  /** Name in its store. */
  snapshot: string;
  parent: AuditNode | undefined;
  /** Takes out what another unpacker does otherwise. */
  accept?: (
    differences: readonly Difference[],
    truth: LayerTruth,
  ) => Promise<readonly Difference[]>;
}

export interface AuditChainsOptions extends Pick<AuditLayerOptions, 'content' | 'mostDifferences'> {
  /** Blobs rather than manifests. Default false. */
  deep?: boolean | undefined;
  /** Hidden paths that are listed of each snapshot and image; all are counted. Default 100. */
  mostPaths?: number | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: VerifyProgress) => void) | undefined;
}

export const defaultMostPaths = 100;

/** Snapshots that are compared at once: the reading of each has threads of its own. */
const mostAudits = 2;

const nothing = { hidden: new Set<string>(), revived: new Set<string>() };

/**
 * Audits `nodes`, parents before their children in that list, and hands the result to `work`, during which what images
 * lack can be asked.
 */
export async function withAudit<T>(
  nodes: readonly AuditNode[],
  options: AuditChainsOptions,
  work: (audit: ChainsAudit) => Promise<T> | T,
): Promise<T> {
  const audit = new ChainsAudit(nodes, options);
  try {
    await audit.run();
    return await work(audit);
  } finally {
    await audit.close();
  }
}

export class ChainsAudit {
  /** Of each node, in their order; none of those that could not be audited. */
  readonly snapshots: SnapshotAudit[] = [];
  /** Blobs that were read, and are damaged. */
  readonly damagedBlobs: DamagedBlob[] = [];
  /** What could not be compared, and why. */
  readonly notes: string[] = [];
  /** Nodes whose manifest is absent or damaged. */
  readonly withoutManifest = new Set<AuditNode>();
  readonly #nodes: readonly AuditNode[];
  readonly #options: AuditChainsOptions;
  readonly #oracle: Oracle;
  readonly #visible = new Map<AuditNode, VisiblePaths>();
  readonly #jobs = new Set<AuditJob>();
  readonly #over = { done: 0, entries: 0, bytes: 0 };

  constructor(nodes: readonly AuditNode[], options: AuditChainsOptions) {
    this.#nodes = nodes;
    this.#options = options;
    this.#oracle = new Oracle({ deep: options.deep ?? false, signal: options.signal });
  }

  /** @throws UnpackError `ERR_ABORTED`, or what makes auditing impossible altogether */
  async run(): Promise<void> {
    const { onProgress } = this.#options;
    const ticker = new Ticker(() => onProgress?.(this.#progress()));
    if (onProgress !== undefined) {
      ticker.start();
    }
    try {
      const slots = new Slots(mostAudits);
      const audits = new Map<AuditNode, SnapshotAudit>();
      const bySize = [...this.#nodes].sort((a, b) => b.size - a.size);
      const running = bySize.map(async (node) => {
        const audit = await this.#auditOne(node, slots);
        this.#over.done++;
        if (audit !== undefined) {
          audits.set(node, audit);
        }
      });
      const failed = (await Promise.allSettled(running)).find(
        ({ status }) => status === 'rejected',
      );
      if (failed?.status === 'rejected') {
        throw failed.reason;
      }
      this.snapshots.push(...this.#nodes.flatMap((node) => audits.get(node) ?? []));
      this.damagedBlobs.push(...this.#listDamagedBlobs());
      this.notes.sort();
    } finally {
      ticker.stop();
    }
  }

  /** What an image lacks whose layers are `chain`, bottom first; of those that could be audited. */
  async imageVisibility(chain: readonly AuditNode[]): Promise<Visibility> {
    const { mostPaths = defaultMostPaths } = this.#options;
    const top = chain.at(-1);
    const tree = top && (await this.#oracle.ask(top).catch(() => undefined))?.tree;
    const hidden = new Set<string>();
    const revived = new Set<string>();
    if (top !== undefined && tree !== undefined) {
      const shown = top.format === 'flat' ? [top] : chain;
      for (const node of shown) {
        const above = shown.slice(shown.indexOf(node) + 1);
        const seen = inImage(this.#visible.get(node) ?? nothing, tree, above);
        for (const path of seen.hidden) {
          hidden.add(path);
        }
        for (const path of seen.revived) {
          revived.add(path);
        }
      }
    }
    return pathLists({ hidden, revived }, mostPaths);
  }

  close(): Promise<void> {
    return this.#oracle.close();
  }

  #listDamagedBlobs(): DamagedBlob[] {
    return [...this.#oracle.damaged].map(([digest, { code, message }]) => {
      const snapshots = this.#nodes.filter((node) => node.digest === digest);
      return {
        digest,
        snapshots: snapshots.map(({ snapshot }) => snapshot),
        code,
        detail: message,
      };
    });
  }

  async #auditOne(node: AuditNode, slots: Slots): Promise<SnapshotAudit | undefined> {
    const { signal, mostPaths = defaultMostPaths } = this.#options;
    let answer: Awaited<ReturnType<Oracle['ask']>>;
    try {
      answer = await this.#oracle.ask(node);
    } catch (error) {
      if (signal?.aborted) {
        throw error;
      }
      const why = (error as Error).message;
      this.notes.push(`snapshot ${node.snapshot}: cannot be compared with anything: ${why}`);
      this.withoutManifest.add(node);
      return undefined;
    }
    const { tree, source, manifestError, blobError } = answer;
    if (manifestError !== undefined && node.treeIndex !== undefined) {
      const why = manifestError.message;
      this.notes.push(
        `snapshot ${node.snapshot}: has no sound manifest (${why}); its blob was read instead`,
      );
      this.withoutManifest.add(node);
    }
    if (blobError !== undefined) {
      const why = this.#oracle.damaged.has(node.digest)
        ? 'its blob is damaged'
        : `its blob cannot be read (${blobError.message})`;
      this.notes.push(
        `snapshot ${node.snapshot}: ${why}; it was compared with the manifest of its unpack, which proves nothing against who could change that too`,
      );
    }
    const audit = await slots.run(signal, () => this.#compare(node, answer));
    const below = await this.#oracle.below(node);
    const { chainID, snapshot, directory, layer, format } = node;
    const place = { tree, below: below ?? null, directory, flat: format === 'flat' };
    const visible = audit.findings.length === 0 ? nothing : visiblePaths(audit.findings, place);
    this.#visible.set(node, visible);
    return {
      layer,
      chainID,
      snapshot,
      directory,
      source,
      ...audit,
      signatures: signaturesOf(audit.findings, below),
      ...pathLists(visible, mostPaths),
    };
  }

  async #compare(node: AuditNode, { tree, notes }: Answer): Promise<LayerAudit> {
    const { content, mostDifferences, signal } = this.#options;
    const { policies } = node;
    let job: AuditJob | undefined;
    try {
      if (!(await isDirectory(node.directory))) {
        return rootIsGone(node);
      }
      return await auditLayer(tree, node, {
        content,
        mostDifferences,
        accept:
          node.accept &&
          (async (differences) => {
            const below = (await this.#oracle.below(node)) ?? null;
            return node.accept?.(differences, { notes, tree, below }) ?? [];
          }),
        signal,
        policies,
        onJob: (started) => {
          job = started;
          this.#jobs.add(started);
        },
      });
    } finally {
      if (job !== undefined) {
        const { entries, bytes } = job.progress();
        this.#jobs.delete(job);
        this.#over.entries += entries;
        this.#over.bytes += bytes;
      }
    }
  }

  #progress(): VerifyProgress {
    const sum = { ...this.#over };
    for (const job of this.#jobs) {
      const { entries, bytes } = job.progress();
      sum.entries += entries;
      sum.bytes += bytes;
    }
    return { ...sum, snapshots: this.#nodes.length, ...this.#oracle.progress() };
  }
}

/** Where not even the directory is left, all of it is missing. */
function rootIsGone({ layer, chainID, snapshot, directory }: AuditNode): LayerAudit {
  const detail = 'the directory of the snapshot is missing, with all that was in it';
  return {
    entries: 0,
    files: 0,
    bytes: 0,
    unchecked: 0,
    moreFindings: 0,
    findings: [
      {
        kind: 'missing-entry',
        path: '',
        layer,
        chainID,
        snapshot,
        directory,
        detail,
        expected: null,
        found: null,
      },
    ],
  };
}

async function isDirectory(directory: string): Promise<boolean> {
  try {
    return (await stat(directory)).isDirectory();
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) {
      return false;
    }
    throw UnpackError.fromSystem(error, directory);
  }
}

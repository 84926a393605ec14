// What snapshots should hold: the tree of each layer on top of those below it, out of the manifest that was written
// at unpack time, or by reading the layer's blob again without writing anything. Blobs are read in parallel and
// settled bottom-up, each once, whoever needs it.

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import {
  type FileWindow,
  type Group,
  type LayerJob,
  type LayerOptions,
  type LayerResult,
  type LayerTree,
  loadBinding,
  type Note,
} from '../native/index.js';
import { Slots } from '../slots.js';
import { feedJob, iteratorReader } from '../unpack/layer-source.js';
import type { AuditSource } from './types.js';

/** A layer on top of others, and where what is known of it lies. */
export interface ChainNode {
  chainID: string;
  parent: ChainNode | undefined;
  /** Where its files are. */
  directory: string;
  format: LayerOptions['format'];
  policies: LayerOptions['policies'];
  limits: LayerOptions['limits'];
  digest: string;
  size: number;
  diffID: string;
  /** The manifest of the unpack; undefined in stores that have none. */
  treeIndex?: string | undefined;
  /** Where the blob can be read. Rejects, or is undefined, where it cannot. */
  blob?: (() => Promise<FileWindow>) | undefined;
  /** Instead of a blob: the layer as a tar, put together. `done`: what was read; its digests are the caller's to check. */
  tar?:
    | { chunks: () => AsyncIterable<Uint8Array>; done: (result: LayerResult) => void }
    | undefined;
}

/** A layer and those below it, bottom first. */
export function chainOf<Node extends { parent: Node | undefined }>(node: Node): Node[] {
  const chain: Node[] = [];
  for (let at: Node | undefined = node; at !== undefined; at = at.parent) {
    chain.unshift(at);
  }
  return chain;
}

/** What the oracle says of a layer. */
export interface Answer {
  /** The merged view with the layer on top. */
  tree: LayerTree;
  source: Exclude<AuditSource, 'structure'>;
  /** Of the blob, where it was read: what the planner dropped or settled. */
  notes: readonly Note[];
  /** The manifest is not there, or damaged: why. */
  manifestError?: UnpackError | undefined;
  /** The blob was wanted and could not be had: why. */
  blobError?: UnpackError | undefined;
}

export interface OracleOptions {
  /** Blobs rather than manifests, where there are blobs. */
  deep: boolean;
  signal?: AbortSignal | undefined;
}

/** What says of a blob that is there that it is not what it should be, or that the disk does not give it back. */
const damageCodes: readonly string[] = ['ERR_DIGEST_MISMATCH', 'ERR_SIZE_MISMATCH', 'ERR_IO'];

/** Blobs that are read at once. */
const mostJobs = 8;

export class Oracle {
  /** Blobs that were read and are damaged, by digest: what is wrong. */
  readonly damaged = new Map<string, UnpackError>();
  readonly #deep: boolean;
  readonly #signal: AbortSignal | undefined;
  readonly #answers = new Map<ChainNode, Promise<Answer>>();
  readonly #trees: LayerTree[] = [];
  readonly #jobs: { job: LayerJob; size: number }[] = [];
  readonly #slots = new Slots(mostJobs);
  #group: Group | undefined;

  constructor({ deep, signal }: OracleOptions) {
    this.#deep = deep;
    this.#signal = signal;
  }

  /**
   * What the layer should be.
   *
   * @throws UnpackError of the blob where neither it nor the manifest can be read; with `ERR_ABORTED`
   */
  ask(node: ChainNode): Promise<Answer> {
    let answer = this.#answers.get(node);
    if (answer === undefined) {
      answer = this.#find(node);
      answer.catch(() => undefined);
      this.#answers.set(node, answer);
    }
    return answer;
  }

  /** The view of the layers below; null for none, undefined where it is not known. */
  async below(node: ChainNode): Promise<LayerTree | null | undefined> {
    return node.parent === undefined
      ? null
      : this.ask(node.parent).then(
          ({ tree }) => tree,
          () => undefined,
        );
  }

  /** Bytes of blobs that were read, of those that are being read or were. */
  progress(): { blobBytes: number; blobSize: number } {
    let blobBytes = 0;
    let blobSize = 0;
    for (const { job, size } of this.#jobs) {
      blobBytes += job.progress().bytesIn;
      blobSize += size;
    }
    return { blobBytes, blobSize };
  }

  /** Lets go of all trees; waits until nothing is read any more. */
  async close(): Promise<void> {
    for (const { job } of this.#jobs) {
      job.cancel();
    }
    await Promise.allSettled(this.#answers.values());
    await Promise.allSettled(this.#jobs.map(({ job }) => job.done));
    for (const { job } of this.#jobs) {
      job.close();
    }
    for (const tree of this.#trees) {
      loadBinding().closeTree(tree);
    }
    this.#trees.length = 0;
  }

  async #find(node: ChainNode): Promise<Answer> {
    let blobError: UnpackError | undefined;
    if (this.#deep) {
      try {
        return { ...(await this.#read(node)), source: 'blob' };
      } catch (error) {
        blobError = this.#passOver(error, node);
      }
    }
    try {
      return { tree: await this.#load(node), source: 'manifest', notes: [], blobError };
    } catch (error) {
      const manifestError = this.#passOver(error, node);
      if (blobError !== undefined) {
        throw blobError;
      }
      return { ...(await this.#read(node)), source: 'blob', manifestError };
    }
  }

  async #load({ treeIndex, directory, format, ...node }: ChainNode): Promise<LayerTree> {
    if (treeIndex === undefined) {
      throw new UnpackError('ERR_NOT_FOUND', 'there is no manifest');
    }
    const { parent } = node;
    const answer = parent && this.ask(parent);
    // A layer's own tree does not need the ones below, but for what they show.
    const below = await (format === 'flat' ? answer : answer?.catch(() => undefined));
    return this.#keep(loadBinding().loadTree(treeIndex, directory, below?.tree ?? null));
  }

  async #read(node: ChainNode): Promise<Pick<Answer, 'tree' | 'notes'>> {
    const { parent, digest, tar } = node;
    if (node.blob === undefined && tar === undefined) {
      throw new UnpackError('ERR_BLOB_NOT_FOUND', `${digest}: is not in the store`);
    }
    const below = parent && this.ask(parent);
    const job = await this.#decode(node).catch((error) => {
      const failure = this.#passOver(error, node);
      if (tar === undefined && damageCodes.includes(failure.code)) {
        this.damaged.set(digest, failure);
      }
      throw failure;
    });
    const lower = (await below)?.tree ?? null;
    try {
      return await this.#settle(job, lower);
    } catch (error) {
      if (tar === undefined || UnpackError.from(error).code !== 'ERR_UNSUPPORTED') {
        throw error;
      }
      return await this.#readTwice(node, tar.chunks(), lower);
    }
  }

  async #settle(job: LayerJob, lower: LayerTree | null): Promise<Pick<Answer, 'tree' | 'notes'>> {
    const { tree, notes } = await job.settle(lower, { indexPath: undefined, flatRoot: undefined });
    return { tree: this.#keep(tree), notes };
  }

  /** What must be read twice (a hardlink through a symlink of a layer below) is put together in a file; few layers are. */
  async #readTwice(
    node: ChainNode,
    chunks: AsyncIterable<Uint8Array>,
    lower: LayerTree | null,
  ): Promise<Pick<Answer, 'tree' | 'notes'>> {
    const scratch = await mkdtemp(path.join(tmpdir(), 'oci-unpack-verify-'));
    try {
      const file = path.join(scratch, 'layer.tar');
      await writeFile(file, chunks, { signal: this.#signal });
      const blob = async () => ({ path: file });
      return await this.#settle(await this.#decode({ ...node, blob }), lower);
    } catch (error) {
      throw this.#passOver(UnpackError.fromSystem(error, scratch), node);
    } finally {
      await rm(scratch, { recursive: true });
    }
  }

  /** Reads the whole blob, or tar, which checks it. */
  async #decode(node: ChainNode): Promise<LayerJob> {
    const { parent, format, policies, limits, digest, size, diffID, tar } = node;
    const blob = await node.blob?.();
    return this.#slots.run(this.#signal, async () => {
      this.#throwIfAborted();
      this.#group ??= loadBinding().createGroup(0);
      const started = loadBinding().startLayer({
        source: blob ?? { stream: true },
        dry: true,
        format,
        hasLower: parent !== undefined,
        ...(tar === undefined && { digest, size, diffID }),
        label: digest,
        group: this.#group,
        policies,
        limits,
      });
      this.#jobs.push({ job: started, size });
      const cancel = () => started.cancel();
      this.#signal?.addEventListener('abort', cancel, { once: true });
      try {
        if (tar !== undefined && blob === undefined) {
          await feedJob(started, iteratorReader(tar.chunks()));
        }
        const result = await started.done;
        tar?.done(result);
      } finally {
        this.#signal?.removeEventListener('abort', cancel);
      }
      return started;
    });
  }

  /** The error, unless all was cancelled. */
  #passOver(error: unknown, { digest }: ChainNode): UnpackError {
    this.#throwIfAborted();
    return UnpackError.from(error, digest);
  }

  #throwIfAborted(): void {
    if (this.#signal?.aborted) {
      const cause = this.#signal.reason;
      throw new UnpackError('ERR_ABORTED', 'verifying was cancelled', { cause });
    }
  }

  #keep(tree: LayerTree): LayerTree {
    this.#trees.push(tree);
    return tree;
  }
}

// Repairs damaged snapshots of a store: each is unpacked again from its blob into a new directory, compared with what it
// should be, and changes places with the damaged one in one step. Bottom-up, since a layer may hold copies of files
// of lower ones; never under a live mount. It is the unpack of store-layers.ts, told that these are not there.

import { UnpackError } from '../errors.js';
import { loadBinding } from '../native/index.js';
import {
  type AdoptOptions,
  type LayerSnapshotter,
  liveMounts,
  type MountUse,
  mountedError,
  type SnapshotInfo,
  type Staging,
} from '../snapshots/index.js';
import type { Policies } from '../unpack/options.js';
import { unpackStoreLayers } from '../unpack/store-layers.js';
import { auditLayer, chainOf, isDamaged, type RepairStep, withAudit } from '../verify/index.js';
import { resolveStoreOptions, type StoreContext } from './context.js';
import { checkRoom, snapshotResources } from './unpack-image.js';
import type { StoreNode, VerifyOptions } from './verify.js';

export class RepairCall {
  readonly notes: string[] = [];
  readonly #context: StoreContext;
  readonly #options: VerifyOptions;
  readonly #steps = new Map<StoreNode, RepairStep>();

  constructor(context: StoreContext, options: VerifyOptions) {
    this.#context = context;
    this.#options = options;
  }

  /** Repairs `damaged`, some of `all`; bottom first. With `dryRun` only what would be done is told. */
  async run(
    damaged: readonly StoreNode[],
    all: readonly StoreNode[],
    dryRun: boolean,
  ): Promise<RepairStep[]> {
    const ordered = [...damaged].sort((a, b) => a.layer - b.layer);
    const uses = await liveMounts(ordered.map(({ info }) => info.directory));
    for (const node of ordered) {
      this.#steps.set(node, await this.#plan(node, uses.get(node.info.directory)));
    }
    const possible = ordered.filter((node) => this.#steps.get(node)?.status === 'planned');
    if (!dryRun && possible.length > 0) {
      await this.#repair(possible);
      await this.#auditAgain(possible, all);
    }
    return ordered.map((node) => this.#steps.get(node) as RepairStep);
  }

  async #plan(node: StoreNode, uses: readonly MountUse[] | undefined): Promise<RepairStep> {
    const { chainID, snapshot, directory, blob } = node;
    const step = { chainID, snapshot, directory, action: 'remake' } as const;
    if (uses !== undefined) {
      return { ...step, ...impossible(mountedError(snapshot, uses)) };
    }
    try {
      await blob?.();
    } catch (error) {
      return { ...step, ...impossible(UnpackError.from(error), node) };
    }
    return { ...step, status: 'planned' };
  }

  /** Chain by chain, the ones with most layers first: what is done for one is done for those that share it. */
  async #repair(nodes: readonly StoreNode[]): Promise<void> {
    const { database } = this.#context;
    const pending = new Set(nodes.map(({ chainID }) => chainID));
    const byName = new Map(nodes.map((node) => [node.chainID, node]));
    const mending = new MendingSnapshotter(
      this.#context.snapshotter,
      pending,
      (name) => byName.get(name)?.policies,
      (name) => this.#done(byName.get(name)),
    );
    const resources = nodes.flatMap((node) => {
      const layers = chainOf(node).map(({ origin }) => origin);
      return [
        ...snapshotResources(this.#context, { configDigest: '', layers }),
        ...layers.map(({ descriptor }) => ({ type: 'content', id: descriptor.digest })),
      ];
    });
    await this.#context.session().withLease(database, resources, async (lease) => {
      for (const top of [...nodes].sort((a, b) => b.layer - a.layer)) {
        if (!pending.has(top.chainID)) {
          continue;
        }
        if (await this.#tryChain(top, mending, lease)) {
          continue;
        }
        // One of them cannot be made again, which must not keep the others: each by itself, the lower ones first.
        for (const node of chainOf(top).filter(({ chainID }) => pending.has(chainID))) {
          await this.#tryChain(node, mending, lease);
        }
      }
      await this.#context.sync();
    });
  }

  /** Whether all of the chain that was pending is made again, or, where it was one layer alone, it is told why not. */
  async #tryChain(top: StoreNode, mending: MendingSnapshotter, lease: string): Promise<boolean> {
    try {
      await this.#repairChain(top, mending, lease);
      return true;
    } catch (error) {
      if (this.#options.signal?.aborted) {
        throw error;
      }
      const { pending } = mending;
      const left = chainOf(top).filter(({ chainID }) => pending.has(chainID));
      const [only] = left;
      if (only !== undefined && left.length === 1) {
        pending.delete(only.chainID);
        Object.assign(this.#steps.get(only) ?? {}, impossible(UnpackError.from(error), only));
      }
      return left.length <= 1;
    }
  }

  async #repairChain(top: StoreNode, mending: MendingSnapshotter, lease: string): Promise<void> {
    const context = this.#context;
    const { signal } = this.#options;
    const chain = chainOf(top);
    const nodes = new Map(chain.map((node) => [node.chainID, node]));
    const missing = chain.filter(({ chainID }) => mending.pending.has(chainID));
    const locate = (descriptor: StoreNode['origin']['descriptor']) =>
      context.content.locateBlob(descriptor);
    await checkRoom(
      context,
      { bytes: 0, inodes: 0 },
      missing.map(({ origin }) => origin),
      locate,
    );
    await unpackStoreLayers(
      chain.map(({ origin }) => origin),
      {
        snapshotter: mending,
        locks: context.locks,
        lease,
        options: resolveStoreOptions(context, {}),
        optionsOf: ({ chainID }) => (nodes.get(chainID) as StoreNode).choices,
        signal,
        locate,
      },
    );
  }

  #done(node: StoreNode | undefined): void {
    const step = node && this.#steps.get(node);
    if (step !== undefined) {
      step.status = 'done';
    }
  }

  /** What was repaired, and all that lies on it: a layer may hold copies of files of a lower one. */
  async #auditAgain(nodes: readonly StoreNode[], all: readonly StoreNode[]): Promise<void> {
    const done = new Set(nodes.filter((node) => this.#steps.get(node)?.status === 'done'));
    const affected = all.filter((node) => chainOf(node).some((below) => done.has(below)));
    const { signal, mostDifferences } = this.#options;
    await withAudit(affected, { signal, mostDifferences }, (audit) => {
      for (const snapshot of audit.snapshots.filter(isDamaged)) {
        const node = affected.find(({ chainID }) => chainID === snapshot.chainID) as StoreNode;
        const step = this.#steps.get(node);
        const [first] = snapshot.findings;
        const what = `${first?.kind ?? 'differences'} at ${JSON.stringify(first?.path ?? '')}`;
        if (step?.status === 'done') {
          const message = `it still differs after it was made again: ${what}; the disk may be failing`;
          Object.assign(step, impossible(new UnpackError('ERR_IO', message)));
        } else if (step === undefined) {
          this.notes.push(`snapshot ${snapshot.snapshot}: differs now: ${what}; verify it again`);
        }
      }
    });
  }
}

function impossible(
  { code, message, fix }: UnpackError,
  node?: StoreNode,
): Pick<RepairStep, 'status' | 'code' | 'reason' | 'fix'> {
  const reason = { status: 'impossible', code, reason: message } as const;
  // A blob that is there is not copied again.
  return node !== undefined && (code === 'ERR_DIGEST_MISMATCH' || code === 'ERR_SIZE_MISMATCH')
    ? {
        ...reason,
        fix: `Remove the blob (oci-unpack content rm ${node.origin.descriptor.digest}), then import or pull the image again.`,
      }
    : { ...reason, fix };
}

/** A snapshotter that says of what is to be repaired that it is lost, and lets it be made again in its place. */
class MendingSnapshotter
  implements
    Pick<
      LayerSnapshotter,
      'kind' | 'format' | 'flat' | 'stat' | 'stage' | 'seed' | 'adopt' | 'layer'
    >
{
  readonly kind: LayerSnapshotter['kind'];
  readonly format: LayerSnapshotter['format'];
  readonly flat: boolean;
  /** What is still to be made. */
  readonly pending: Set<string>;
  readonly #inner: LayerSnapshotter;
  readonly #policiesOf: (name: string) => Policies | undefined;
  readonly #onDone: (name: string) => void;

  constructor(
    inner: LayerSnapshotter,
    pending: Set<string>,
    policiesOf: (name: string) => Policies | undefined,
    onDone: (name: string) => void,
  ) {
    this.#inner = inner;
    this.pending = pending;
    this.#policiesOf = policiesOf;
    this.#onDone = onDone;
    this.kind = inner.kind;
    this.format = inner.format;
    this.flat = inner.flat;
  }

  async stat(key: string): Promise<SnapshotInfo> {
    const info = await this.#inner.stat(key);
    return this.pending.has(key) ? { ...info, durability: 'lost' } : info;
  }

  stage(): Promise<Staging> {
    return this.#inner.stage();
  }

  seed(staging: Staging, parent: string): Promise<void> {
    return this.#inner.seed(staging, parent);
  }

  layer(name: string): ReturnType<LayerSnapshotter['layer']> {
    return this.#inner.layer(name);
  }

  async adopt(
    name: string,
    parent: string | undefined,
    staging: Staging,
    options?: AdoptOptions,
  ): Promise<SnapshotInfo> {
    const before = await this.#inner.stat(name);
    await this.#check(name, parent, staging);
    const uses = await liveMounts([before.directory]);
    for (const mounts of uses.values()) {
      throw mountedError(name, mounts);
    }
    const info =
      before.durability === 'lost'
        ? await this.#inner.adopt(name, parent, staging, options)
        : await this.#inner.refresh(name, staging);
    this.pending.delete(name);
    this.#onDone(name);
    return info;
  }

  /** Compares what was made with what it should be: the disk may be what damaged it. */
  async #check(name: string, parent: string | undefined, staging: Staging): Promise<void> {
    const binding = loadBinding();
    const trees: ReturnType<typeof binding.loadTree>[] = [];
    try {
      const below = await this.#chain(this.flat ? parent : undefined);
      for (const { treeIndex, fs } of [...below, staging]) {
        trees.push(binding.loadTree(treeIndex, fs, trees.at(-1) ?? null));
      }
      const audited = { chainID: name, snapshot: name, layer: 0, format: this.format };
      const { findings } = await auditLayer(
        trees.at(-1) as (typeof trees)[number],
        { ...audited, directory: staging.fs },
        { policies: this.#policiesOf(name) },
      );
      const [first] = findings;
      if (first !== undefined) {
        throw new UnpackError(
          'ERR_IO',
          `snapshot ${name}: what was unpacked does not hold what it should: ${first.kind} at ${JSON.stringify(first.path)}`,
        );
      }
    } finally {
      for (const tree of trees) {
        binding.closeTree(tree);
      }
    }
  }

  /** Where a snapshot and those below it lie, bottom first. */
  async #chain(name: string | undefined): Promise<{ treeIndex: string; fs: string }[]> {
    if (name === undefined) {
      return [];
    }
    const { parent } = await this.#inner.stat(name);
    return [...(await this.#chain(parent)), await this.#inner.layer(name)];
  }
}

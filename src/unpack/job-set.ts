// The jobs and trees of one call that unpacks several layers: the first failure stops all of them, and their
// descriptors are let go of together.

import { UnpackError } from '../errors.js';
import { type LayerJob, type LayerOptions, type LayerTree, loadBinding } from '../native/index.js';

export class JobSet {
  readonly #jobs: LayerJob[] = [];
  readonly #trees = new Set<LayerTree>();
  #failure: { error: unknown } | undefined;

  /** Starts a job; when it fails, all stop. `label` of the options is the layer of the error. */
  start(options: LayerOptions): LayerJob {
    const job = loadBinding().startLayer(options);
    this.#jobs.push(job);
    job.done.catch((error: unknown) => this.fail(UnpackError.from(error, options.label)));
    return job;
  }

  /** Closes `tree` with the others. */
  keep(tree: LayerTree): LayerTree {
    this.#trees.add(tree);
    return tree;
  }

  /** Closes a tree that is kept before the others are. */
  drop(tree: LayerTree): void {
    if (this.#trees.delete(tree)) {
      loadBinding().closeTree(tree);
    }
  }

  /** Keeps the first failure, the cause of the ones that follow, and stops every job. */
  fail(error: unknown): void {
    if (this.#failure === undefined) {
      this.#failure = { error };
      for (const job of this.#jobs) {
        job.cancel();
      }
    }
  }

  throwIfFailed(): void {
    if (this.#failure !== undefined) {
      throw this.#failure.error;
    }
  }

  /** Stops all for `error`, waits until nothing writes any more, and throws the first failure. */
  async stop(error: unknown): Promise<never> {
    this.fail(error);
    // All of them: cleaning up below a job that still writes would leave half a layer.
    await Promise.allSettled(this.#jobs.map((job) => job.done));
    throw this.#failure?.error ?? error;
  }

  /** Lets go of every descriptor of the jobs and trees, which keep their file system busy. */
  close(): void {
    for (const job of this.#jobs) {
      job.close();
    }
    for (const tree of this.#trees) {
      loadBinding().closeTree(tree);
    }
  }
}

// Containers: what was made of an image, with which snapshot.

import { decodeContainer, encodeContainer } from './codec.js';
import { labelField } from './filters.js';
import { checkIdentifier, checkLabels, checkName, mergeLabels } from './names.js';
import { type RecordKind, RecordStore } from './record-store.js';
import { buckets, type Container, type LabelChanges, type Labels } from './schema.js';
import type { Tree } from './tree.js';

const containerKind: RecordKind<Container> = {
  noun: 'container',
  decode: decodeContainer,
  encode: encodeContainer,
  fieldOf: (container, path) => {
    switch (path[0]) {
      case 'id':
        return container.id;
      case 'image':
        return container.image;
      case 'snapshotter':
        return container.snapshotter;
      case 'snapshotkey':
      case 'snapshotKey':
        return container.snapshotKey;
      case 'labels':
        return labelField(container.labels, path);
      default:
        return undefined;
    }
  },
};

/** The containers of a namespace, in a transaction. */
export class ContainerStore {
  readonly #records: RecordStore<Container>;

  constructor(tree: Tree, namespace: string) {
    const prefix = `${buckets.containers}\t${namespace}\t`;
    this.#records = new RecordStore(tree, prefix, containerKind, (id) => {
      checkIdentifier('container id', id);
    });
  }

  /** @throws UnpackError `ERR_STORE_NOT_FOUND` */
  get(id: string): Container {
    return this.#records.get(id);
  }

  find(id: string): Container | undefined {
    return this.#records.find(id);
  }

  /** By id. @param filters on `id`, `image`, `snapshotter`, `snapshotkey`, `labels.<name>` */
  list(filters?: readonly string[]): Container[] {
    return this.#records.list(filters);
  }

  /** @throws UnpackError `ERR_STORE_EXISTS` */
  create(container: {
    id: string;
    image?: string | undefined;
    snapshotter?: string | undefined;
    snapshotKey?: string | undefined;
    spec?: unknown;
    labels?: Labels | undefined;
  }): Container {
    const { id, image = '', snapshotter = '', snapshotKey = '', spec = null } = container;
    if (snapshotter !== '' || snapshotKey !== '') {
      checkIdentifier('snapshotter', snapshotter);
      checkName('snapshot key', snapshotKey);
    }
    const now = Date.now();
    return this.#records.create(id, {
      id,
      image,
      snapshotter,
      snapshotKey,
      spec,
      labels: checkLabels(container.labels),
      createdAt: now,
      updatedAt: now,
    });
  }

  /** Changes the image's name and the spec, merges labels. @throws UnpackError `ERR_STORE_NOT_FOUND` */
  update(
    id: string,
    changes: { image?: string; spec?: unknown; labels?: LabelChanges },
  ): Container {
    const container = this.get(id);
    const updated = {
      ...container,
      image: changes.image ?? container.image,
      spec: changes.spec === undefined ? container.spec : changes.spec,
      labels: mergeLabels(container.labels, changes.labels),
      updatedAt: Date.now(),
    };
    this.#records.put(id, updated);
    return updated;
  }

  /** Its snapshot stays. @throws UnpackError `ERR_STORE_NOT_FOUND` */
  delete(id: string): Container {
    return this.#records.remove(id);
  }
}

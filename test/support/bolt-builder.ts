// Writes bbolt databases, independently of the reader: pages of any size, trees of any depth, inline buckets where bbolt
// would write them.

/** A bucket: keys with values or buckets. */
export type BoltTree = { [key: string]: string | BoltTree };

export interface BoltBuildOptions {
  /** Default 4096. */
  pageSize?: number;
  /** The transaction; its last bit says which meta page has it. Default 7. */
  transaction?: bigint;
}

interface Inode {
  flags: number;
  key: Buffer;
  value: Buffer;
  child: bigint;
}

/** The offset of a page's meta, and its length without the checksum. */
const metaAt = 16;
const checked = 56;

/** The bytes of a database. */
export function buildBolt(tree: BoltTree, options: BoltBuildOptions = {}): Buffer {
  const { pageSize = 4096, transaction = 7n } = options;
  const pages: Buffer[] = [Buffer.alloc(pageSize), Buffer.alloc(pageSize), Buffer.alloc(pageSize)];

  const addPage = (content: (id: number) => Buffer): number => {
    const id = pages.length;
    const bytes = content(id);
    const count = Math.max(Math.ceil(bytes.length / pageSize), 1);
    const padded = Buffer.concat([bytes], count * pageSize);
    padded.writeUInt32LE(count - 1, 12);
    for (let i = 0; i < count; i++) {
      pages.push(padded.subarray(i * pageSize, (i + 1) * pageSize));
    }
    return id;
  };

  /** Pages of one level of a tree, and the level above, up to the root. */
  const addTree = (inodes: Inode[], isLeaf: boolean): number => {
    const groups: Inode[][] = [[]];
    let size = 16;
    for (const inode of inodes) {
      const more = 16 + inode.key.length + inode.value.length;
      const group = groups.at(-1) as Inode[];
      if (size + more > pageSize && group.length >= 2) {
        groups.push([inode]);
        size = 16 + more;
      } else {
        group.push(inode);
        size += more;
      }
    }
    const ids = groups.map((group) => addPage((id) => pageOf(id, group, isLeaf)));
    if (ids.length === 1) {
      return ids[0] as number;
    }
    const above = groups.map((group, index) => ({
      flags: 0,
      key: (group[0] as Inode).key,
      value: Buffer.alloc(0),
      child: BigInt(ids[index] as number),
    }));
    return addTree(above, false);
  };

  const inodesOf = (bucket: BoltTree): Inode[] =>
    Object.entries(bucket)
      .map(([key, value]) =>
        typeof value === 'string'
          ? { flags: 0, key: Buffer.from(key), value: Buffer.from(value), child: 0n }
          : { flags: 1, key: Buffer.from(key), value: bucketOf(value), child: 0n },
      )
      .sort((a, b) => Buffer.compare(a.key, b.key));

  const bucketOf = (bucket: BoltTree): Buffer => {
    const inodes = inodesOf(bucket);
    const header = Buffer.alloc(16);
    const page = pageOf(0, inodes, true);
    if (page.length <= pageSize / 4 && inodes.every(({ flags }) => flags === 0)) {
      return Buffer.concat([header, page]);
    }
    header.writeBigUInt64LE(BigInt(addTree(inodes, true)));
    return header;
  };

  const root = addTree(inodesOf(tree), true);
  pages[2]?.writeBigUInt64LE(2n, 0);
  pages[2]?.writeUInt16LE(0x10, 8);
  for (const slot of [0, 1] as const) {
    const page = pages[slot] as Buffer;
    page.writeBigUInt64LE(BigInt(slot), 0);
    page.writeUInt16LE(0x04, 8);
    const meta = page.subarray(metaAt);
    meta.writeUInt32LE(0xed0cdaed, 0);
    meta.writeUInt32LE(2, 4);
    meta.writeUInt32LE(pageSize, 8);
    meta.writeBigUInt64LE(BigInt(root), 16);
    meta.writeBigUInt64LE(2n, 32);
    meta.writeBigUInt64LE(BigInt(pages.length), 40);
    const isCurrent = BigInt(slot) === transaction % 2n;
    meta.writeBigUInt64LE(isCurrent ? transaction : transaction - 1n, 48);
    sealMeta(page);
  }
  return Buffer.concat(pages);
}

/** Writes the right checksum into a meta page. */
export function sealMeta(page: Buffer): void {
  const meta = page.subarray(metaAt);
  let hash = 0xcbf29ce484222325n;
  for (const byte of meta.subarray(0, checked)) {
    hash = ((hash ^ BigInt(byte)) * 0x100000001b3n) & 0xffff_ffff_ffff_ffffn;
  }
  meta.writeBigUInt64LE(hash, checked);
}

function pageOf(id: number, inodes: readonly Inode[], isLeaf: boolean): Buffer {
  const table = Buffer.alloc(16 + 16 * inodes.length);
  table.writeBigUInt64LE(BigInt(id), 0);
  table.writeUInt16LE(isLeaf ? 2 : 1, 8);
  table.writeUInt16LE(inodes.length, 10);
  let end = table.length;
  for (const [index, { flags, key, value, child }] of inodes.entries()) {
    const at = 16 + 16 * index;
    if (isLeaf) {
      table.writeUInt32LE(flags, at);
      table.writeUInt32LE(end - at, at + 4);
      table.writeUInt32LE(key.length, at + 8);
      table.writeUInt32LE(value.length, at + 12);
    } else {
      table.writeUInt32LE(end - at, at);
      table.writeUInt32LE(key.length, at + 4);
      table.writeBigUInt64LE(child, at + 8);
    }
    end += key.length + value.length;
  }
  return Buffer.concat([table, ...inodes.flatMap(({ key, value }) => [key, value])]);
}

// The four ways in which tars hold sparse files (GNU tar manual, "Storing Sparse Files"): old GNU
// headers with extension blocks, and the pax forms 0.0, 0.1 and 1.0.

import type { Bytes, SparseExtent } from './layer-entry.js';
import { blockSize, type HeaderOverrides, number, padded } from './tar-header.js';

export type SparseForm = 'old-gnu' | '0.0' | '0.1' | '1.0';

export interface SparseParts {
  /** Fields to set in the header. */
  fields: HeaderOverrides;
  /** Blocks that follow the header at once (old GNU). */
  extension: Buffer;
  pax: [string, Bytes][];
  /** The packed data, with the map in front of it in form 1.0. */
  body: Buffer;
}

const extentsInHeader = 4;
const extentsInBlock = 21;

export function sparseParts(
  form: SparseForm,
  name: Bytes,
  size: number,
  extents: readonly SparseExtent[],
): SparseParts {
  const map: [number, number][] = extents.map(({ offset, data }) => [offset, data.length]);
  const last = map.at(-1);
  if (last === undefined || last[0] + last[1] < size) {
    map.push([size, 0]); // as GNU tar writes a hole at the end, and needs it
  }
  const data = Buffer.concat(extents.map((extent) => extent.data));
  if (form === 'old-gnu') {
    return { ...oldGnu(map, size), pax: [], body: data };
  }
  const none = { fields: {}, extension: Buffer.alloc(0) };
  const numbers = map.flat().join(',');
  if (form === '0.0') {
    const pax: [string, Bytes][] = [
      ['GNU.sparse.size', String(size)],
      ['GNU.sparse.numblocks', String(map.length)],
    ];
    for (const [offset, length] of map) {
      pax.push(['GNU.sparse.offset', String(offset)], ['GNU.sparse.numbytes', String(length)]);
    }
    return { ...none, pax, body: data };
  }
  if (form === '0.1') {
    const pax: [string, Bytes][] = [
      ['GNU.sparse.name', name],
      ['GNU.sparse.size', String(size)],
      ['GNU.sparse.numblocks', String(map.length)],
      ['GNU.sparse.map', numbers],
    ];
    return { ...none, pax, body: data };
  }
  const pax: [string, Bytes][] = [
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', name],
    ['GNU.sparse.realsize', String(size)],
  ];
  const lines = [map.length, ...map.flat()].map((value) => `${value}\n`).join('');
  return { ...none, pax, body: Buffer.concat([padded(Buffer.from(lines)), data]) };
}

function oldGnu(
  map: readonly (readonly [number, number])[],
  size: number,
): Pick<SparseParts, 'fields' | 'extension'> {
  const blocks: Buffer[] = [];
  for (let i = extentsInHeader; i < map.length; i += extentsInBlock) {
    const block = Buffer.alloc(blockSize);
    sparseMap(map.slice(i, i + extentsInBlock)).copy(block);
    block[extentsInBlock * 24] = i + extentsInBlock < map.length ? 1 : 0;
    blocks.push(block);
  }
  return {
    fields: {
      typeflag: 'S',
      gnuSparse: sparseMap(map.slice(0, extentsInHeader)),
      gnuIsExtended: Buffer.from([blocks.length > 0 ? 1 : 0]),
      gnuRealSize: number(size, 12),
    },
    extension: Buffer.concat(blocks),
  };
}

function sparseMap(map: readonly (readonly [number, number])[]): Buffer {
  return Buffer.concat(map.flat().map((value) => number(value, 12)));
}

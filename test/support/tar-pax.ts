// pax extended headers: records of `LENGTH KEYWORD=VALUE\n`, where the length counts itself.

import { type Bytes, toBytes } from './layer-entry.js';
import { header, magics, octal, padded } from './tar-header.js';

export type PaxRecords = readonly (readonly [keyword: Bytes, value: Bytes])[];

export function paxRecord(keyword: Bytes, value: Bytes): Buffer {
  const body = Buffer.concat([
    Buffer.from(' '),
    toBytes(keyword),
    Buffer.from('='),
    toBytes(value),
    Buffer.from('\n'),
  ]);
  let length = body.length + 1;
  while (String(length).length + body.length !== length) {
    length = String(length).length + body.length;
  }
  return Buffer.concat([Buffer.from(String(length)), body]);
}

export function paxBody(records: PaxRecords): Buffer {
  return Buffer.concat(records.map(([keyword, value]) => paxRecord(keyword, value)));
}

/** A pax header with any body, well-formed or not; typeflag `g` makes it global. */
export function paxHeader(body: Buffer, typeflag: 'x' | 'g' = 'x'): Buffer {
  const block = header({
    name: typeflag === 'g' ? 'pax_global_header' : 'PaxHeaders/entry',
    mode: octal(0o644, 8),
    uid: octal(0, 8),
    gid: octal(0, 8),
    size: octal(body.length, 12),
    mtime: octal(0, 12),
    typeflag,
    magic: magics.ustar,
  });
  return Buffer.concat([block, padded(body)]);
}

/** Nanoseconds as pax writes times: `-1.5` is one and a half seconds before the epoch. */
export function paxTime(nanoseconds: bigint): string {
  const sign = nanoseconds < 0n ? '-' : '';
  const absolute = nanoseconds < 0n ? -nanoseconds : nanoseconds;
  const fraction = (absolute % 1_000_000_000n).toString().padStart(9, '0').replace(/0+$/, '');
  return `${sign}${absolute / 1_000_000_000n}${fraction === '' ? '' : `.${fraction}`}`;
}

// The encodings of Go that containerd's records use: varints (encoding/binary) and times (time.Time.MarshalBinary).

/** An unsigned varint that takes all of the bytes; undefined for anything else. At most 64 bits. */
export function decodeUvarint(bytes: Buffer): bigint | undefined {
  let value = 0n;
  for (const [index, byte] of bytes.entries()) {
    value |= BigInt(byte & 0x7f) << BigInt(7 * index);
    if (byte < 0x80) {
      return index === bytes.length - 1 && value < 1n << 64n ? value : undefined;
    }
    if (index === 9) {
      return undefined;
    }
  }
  return undefined;
}

/** A signed (zigzag) varint; undefined for anything else. */
export function decodeVarint(bytes: Buffer): bigint | undefined {
  const value = decodeUvarint(bytes);
  return value === undefined ? undefined : BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
}

/** Seconds from 1 January of the year 1, where Go begins to count, to 1970. */
const unixEpoch = 62_135_596_800n;
/** What a Date can hold, in seconds on either side of 1970. */
const maxSeconds = 8_640_000_000_000n;

/**
 * A time as RFC 3339 in UTC, with as many digits of the fraction as it needs, up to nine; undefined for bytes that are
 * no time.
 */
export function decodeTime(bytes: Buffer): string | undefined {
  // Version 1: seconds, nanoseconds, minutes of the zone; version 2 has the zone's seconds too. The zone is how the
  // time was shown, not which it is.
  const version = bytes[0];
  if (!((version === 1 && bytes.length === 15) || (version === 2 && bytes.length === 16))) {
    return undefined;
  }
  const seconds = bytes.readBigInt64BE(1) - unixEpoch;
  const nanoseconds = bytes.readUInt32BE(9);
  if (seconds > maxSeconds || seconds < -maxSeconds || nanoseconds >= 1_000_000_000) {
    return undefined;
  }
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, -'.000Z'.length);
  const fraction = String(nanoseconds).padStart(9, '0').replace(/0+$/, '');
  return `${whole}${fraction === '' ? '' : `.${fraction}`}Z`;
}

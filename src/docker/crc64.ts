// CRC-64 with the polynomial of ISO 3309, as Go's hash/crc64 has it: tar-split's checksum of files. In halves of 32
// bits, since BigInt would take minutes for a layer.

/** x^64 + x^4 + x^3 + x + 1, reflected: only the high half has bits. */
const polynomial = 0xd8000000;

const high = new Uint32Array(256);
const low = new Uint32Array(256);
for (let byte = 0; byte < 256; byte++) {
  let [h, l] = [0, byte];
  for (let bit = 0; bit < 8; bit++) {
    const carry = l & 1;
    l = ((l >>> 1) | (h << 31)) >>> 0;
    h >>>= 1;
    if (carry) {
      h = (h ^ polynomial) >>> 0;
    }
  }
  high[byte] = h;
  low[byte] = l;
}

/** A running sum. */
export class Crc64 {
  #high = 0xffffffff;
  #low = 0xffffffff;

  update(bytes: Uint8Array): void {
    let [h, l] = [this.#high, this.#low];
    for (let at = 0; at < bytes.length; at++) {
      const index = (l ^ (bytes[at] as number)) & 0xff;
      l = ((l >>> 8) | (h << 24)) ^ (low[index] as number);
      h = (h >>> 8) ^ (high[index] as number);
    }
    this.#high = h >>> 0;
    this.#low = l >>> 0;
  }

  /** 16 digits, the highest first. */
  hex(): string {
    return [this.#high, this.#low]
      .map((half) => (~half >>> 0).toString(16).padStart(8, '0'))
      .join('');
  }
}

// Connections that receive into one buffer, used again for every piece. What Node allocates for each piece otherwise, and
// collects later, costs more than the network does.

import type { Socket } from 'node:net';

/** What `net.connect` and `tls.connect` take as `onread`. */
export interface OneBuffer {
  buffer: Buffer;
  callback(this: Socket, length: number, buffer: Buffer): boolean;
}

/**
 * Two of them, and what is made of their bytes, stay in the processor's nearer caches. No more than a job takes at once
 * (`sliceBytes` of its feed): a lent piece is to be copied before who takes it returns.
 */
export const bufferBytes = 128 * 1024;
/**
 * Smaller pieces are copied: undici keeps the part of a header that a piece ends with until the next one comes. A header
 * block has 16 KiB at most (its `maxHeaderSize`) and begins a piece, so that none is cut off at the end of a larger one.
 */
const lentFrom = 32 * 1024;

/**
 * Makes sockets readable piece by piece: `read()` in a listener of `readable` gives what has just come. A large piece is
 * not copied, and valid until the listener returns. What nobody reads then is copied into the socket's own queue, which is
 * read first, and nothing more is received until it has been.
 */
export function receiveIntoOneBuffer(): OneBuffer {
  return {
    buffer: Buffer.allocUnsafeSlow(bufferBytes),
    callback(length, buffer) {
      const piece = buffer.subarray(0, length);
      const isTaken = length >= lentFrom && this.readableLength === 0 && lend(this, piece);
      if (!isTaken) {
        this.push(Buffer.from(piece));
      }
      return this.readableLength === 0;
    },
  };
}

/** Lets the listeners of a socket that holds nothing read a piece; whether one has. */
function lend(socket: Socket, piece: Buffer): boolean {
  const { read, unshift } = socket;
  let isTaken = false;
  socket.read = (size) => {
    if (isTaken || size !== undefined) {
      return read.call(socket, size);
    }
    isTaken = true;
    return piece;
  };
  // What is given back, when it is too much for now, stays beyond this piece.
  socket.unshift = (bytes: Buffer) => unshift.call(socket, Buffer.from(bytes));
  try {
    socket.emit('readable');
  } finally {
    socket.read = read;
    socket.unshift = unshift;
  }
  return isTaken;
}

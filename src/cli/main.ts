#!/usr/bin/env node
// Entry of the command `oci-unpack`.

import { setFlagsFromString } from 'node:v8';
import { run } from './program.js';

// The HTTP client's parser is WebAssembly; V8 would soon compile it anew with all optimizations, which takes longer than the
// parsing of a whole pull, and 30 MB.
setFlagsFromString('--wasm-tiering-budget=1000000000');

for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    // A reader that has seen enough (`| head`) is no failure; a full disk behind stdout is.
    if (error.code !== 'EPIPE') {
      process.exitCode = 1;
      if (stream === process.stdout) {
        process.stderr.write(`oci-unpack: ERR_IO: stdout: ${error.message}\n`);
      }
    }
  });
}

// Not by await: in the bundle this is a CommonJS module.
run(process.argv.slice(2)).then((code) => {
  process.exitCode ||= code;
});

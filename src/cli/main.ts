// Entry of the command `oci-unpack`, which its built main.js loads (scripts/lib/bundled/main.cjs).

import { run } from './program.js';

const streams = [process.stdout, process.stderr];

for (const stream of streams) {
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
  // Node would free what it has made piece by piece, which takes as long as a list does. Not at once: what the streams
  // have to tell comes first; and not where a pipe has not taken all yet: Node waits for that.
  setImmediate(() => {
    if (streams.every(({ writableLength }) => writableLength === 0)) {
      process.exit();
    }
  });
});

// Entry of the command `oci-unpack`, which its built main.js loads (scripts/lib/bundled/main.cjs).

import { Output } from './output.js';
import { run } from './program.js';

const output = new Output(process);

// Not by await: in the bundle this is a CommonJS module.
run(process.argv.slice(2), output).then((code) => {
  process.exitCode ||= code;
  // Node would free what it has made piece by piece, which takes as long as a list does. Not at once: what the streams
  // have to tell comes first; and not where a pipe has not taken all yet: Node waits for that.
  setImmediate(() => {
    if (output.isWritten) {
      process.exit();
    }
  });
});

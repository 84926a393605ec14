// The set-up: Debian packages, node_modules, the addon and dist/, each only when it is missing or stale.

import { buildAddon } from './build-addon.mjs';
import { buildTypeScript } from './build-typescript.mjs';
import { withLock } from './lock.mjs';
import { installNodeModules } from './node-modules.mjs';
import { ScriptError, say, seconds } from './process.mjs';

const oldestNode = [20, 19];

/**
 * Makes everything ready to run; throws a ScriptError that says what to do where it cannot.
 * @param {{ tests?: boolean, always?: boolean }} [options] `tests`: also the native test program; `always`:
 *   say so when there was nothing to do
 */
export async function setup({ tests = false, always = false } = {}) {
  checkHost();
  const started = performance.now();
  await withLock(async () => {
    const installed = await installNodeModules();
    // At once, and both to their end, so that a fault in one does not keep the other from being ready.
    const builds = await Promise.allSettled([buildTypeScript(), buildAddon({ tests })]);
    const faults = builds.flatMap((build) => (build.status === 'rejected' ? [build.reason] : []));
    if (faults.length > 0) {
      const unknown = faults.find((fault) => !(fault instanceof ScriptError));
      throw unknown ?? new ScriptError(faults.map((fault) => fault.message).join('\n\n'));
    }
    if (installed || builds.some((build) => build.status === 'fulfilled' && build.value)) {
      say(`set-up: done in ${seconds(started)}`);
    } else if (always) {
      say(`set-up: nothing to do (${seconds(started)})`);
    }
  });
}

function checkHost() {
  if (process.platform !== 'linux') {
    throw new ScriptError(
      `oci-unpack works on Linux only (overlayfs, device nodes, xattrs); this is ${process.platform}.`,
    );
  }
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [oldMajor = 0, oldMinor = 0] = oldestNode;
  if (major < oldMajor || (major === oldMajor && minor < oldMinor)) {
    throw new ScriptError(
      `oci-unpack needs Node ${oldestNode.join('.')} or newer; this is ${process.versions.node} ` +
        `(${process.execPath}).\nInstall a newer one, e.g. from https://nodejs.org, and run this again.`,
    );
  }
}

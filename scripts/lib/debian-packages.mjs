// Debian packages that a script needs: found missing, they are installed with apt-get where this process
// may (root, or sudo without a password), else the one line to type is printed.

import { outputOf, runQuietly, ScriptError, say, which } from './process.mjs';

/**
 * How this process may become root: a command prefix, or undefined.
 * @returns {readonly string[] | undefined}
 */
function rootPrefix() {
  if (process.getuid?.() === 0) {
    return [];
  }
  return which('sudo') && outputOf('sudo', ['-n', 'true']) !== undefined
    ? ['sudo', '-n']
    : undefined;
}

/**
 * Which of `names` dpkg does not have; all of them where there is no dpkg.
 * @param {readonly string[]} names
 */
export function missingPackages(names) {
  // dpkg-query fails when one name is unknown, but lists the others all the same.
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is dpkg that replaces these
  const format = '${binary:Package} ${db:Status-Status}\n';
  const command = 'dpkg-query -W -f "$0" "$@" 2>/dev/null; true';
  const listed = outputOf('sh', ['-c', command, format, ...names]);
  const installed = new Set(
    (listed ?? '')
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(/[: ]/, 1)[0]),
  );
  return names.filter((name) => !installed.has(name));
}

/**
 * Installs packages, or throws a ScriptError with the line to type.
 * @param {string} why for people: what they are for
 * @param {readonly string[]} names
 */
export async function installPackages(why, names) {
  if (!which('apt-get')) {
    throw new ScriptError(
      `missing, needed ${why}: ${names.join(' ')} (Debian's names; this system has no apt-get)\n` +
        'Install the equivalents of this system, and run this again.',
    );
  }
  const prefix = rootPrefix();
  const line = `apt-get install -y --no-install-recommends ${names.join(' ')}`;
  if (prefix === undefined) {
    throw new ScriptError(
      `missing, needed ${why}: ${names.join(' ')}\nType this, and run it again:\n` +
        `  sudo sh -c 'apt-get update && ${line}'`,
    );
  }
  say(`missing, needed ${why}: ${names.join(' ')}; installing with apt-get`);
  const env = ['env', 'DEBIAN_FRONTEND=noninteractive'];
  const [command = '', ...before] = [...prefix, ...env, 'apt-get', '-o', 'DPkg::Lock::Timeout=120'];
  /** @param {readonly string[]} args */
  const aptGet = (...args) => runQuietly(`apt-get ${args[0]}`, command, [...before, ...args]);
  const install = () => aptGet('install', '-y', '--no-install-recommends', ...names);
  try {
    await install();
  } catch {
    // No or old package lists: the usual reason on a fresh machine.
    await aptGet('update');
    await install();
  }
}

/**
 * Installs what is missing of `names` where this process may; says what is left out elsewhere. For what
 * things work without.
 * @param {string} why
 * @param {readonly string[]} names
 */
export async function tryPackages(why, names) {
  const missing = missingPackages(names);
  if (missing.length === 0) {
    return;
  }
  if (!which('apt-get') || rootPrefix() === undefined) {
    say(`hint: ${why}: ${missing.join(' ')} (apt-get install ${missing.join(' ')})`);
    return;
  }
  try {
    await installPackages(why, missing);
  } catch (error) {
    if (!(error instanceof ScriptError)) {
      throw error;
    }
    say(`hint: ${why}: ${missing.join(' ')} could not be installed; going on without`);
  }
}

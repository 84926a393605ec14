import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { inspectImage, limitDefaults, policyValues, version } from '../../src/index.js';
import { commandPath, runCommand } from '../support/command.js';
import { withScratch } from '../support/scratch.js';
import { dir, file, type TarItem } from '../support/tar-builder.js';
import { writeImage } from '../support/write-image.js';

const run = promisify(execFile);
const commands = ['unpack', 'inspect', 'mount', 'umount', 'demo', 'doctor', 'bench'];
const platform = ['-p', 'linux/amd64'];
const layers: TarItem[][] = [
  [dir('etc'), file('etc/hosts', 'localhost\n')],
  [file('etc/new', 'new', { xattrs: { 'trusted.overlay.opaque': 'y' } })],
];

async function withImage(
  work: (reference: string, scratch: string) => Promise<void>,
  items: TarItem[][] = layers,
): Promise<void> {
  await withScratch(async (scratch) => {
    await work(await writeImage(path.join(scratch, 'layout'), items), scratch);
  });
}

describe('help', () => {
  test('lists the commands', async () => {
    const { code, stdout, stderr } = await runCommand(['--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    for (const command of commands) {
      expect(stdout).toMatch(new RegExp(`^  ${command} `, 'm'));
    }
  });

  test.each(commands)('of %s has an example, --json and --quiet', async (command) => {
    const { code, stdout, stderr } = await runCommand([command, '--help']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain(`$ oci-unpack ${command}`);
    expect(stdout).toContain('--json');
    expect(stdout).toContain('--quiet');
  });

  test('fits 80 columns', async () => {
    const { stdout: overview } = await runCommand(['--help']);
    const listed = [...overview.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name as string);
    expect(listed).toEqual(expect.arrayContaining(commands));
    const long: string[] = [];
    for (const args of [[], ...listed.map((name) => [name])]) {
      const { stdout } = await runCommand([...args, '--help']);
      long.push(...stdout.split('\n').filter((line) => line.length > 80));
    }
    expect(long).toEqual([]);
  });

  test('of unpack has every policy and limit with its default', async () => {
    const { stdout } = await runCommand(['unpack', '--help']);
    const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    for (const [name, values] of Object.entries(policyValues)) {
      expect(stdout).toContain(`--${kebab(name)} <policy>`);
      expect(stdout).toContain(`default: "${values[0]}"`);
    }
    for (const name of Object.keys(limitDefaults)) {
      expect(stdout).toContain(`--${kebab(name)} <`);
    }
    const page = await readFile('docs/options.md', 'utf8');
    for (const name of [...Object.keys(policyValues), ...Object.keys(limitDefaults)]) {
      expect(page).toContain(`\`${name}\``);
    }
  });

  test('--version', async () => {
    expect(await runCommand(['--version'])).toEqual({
      code: 0,
      stdout: `${version}\n`,
      stderr: '',
    });
  });
});

describe('wrong usage ends with 2', () => {
  test.each([
    [[]],
    [['nonsense']],
    [['unpack']],
    [['unpack', 'oci:x']],
    [['unpack', 'oci:x', 'y', 'z']],
    [['unpack', 'oci:x', 'y', '--format', 'tar']],
    [['unpack', 'oci:x', 'y', '--nonsense']],
    [['unpack', 'oci:x', 'y', '--max-bytes', '1.5.5']],
    [['unpack', 'oci:x', 'y', '--concurrency', '0']],
    [['unpack', 'oci:x', 'y', '--uid-map', '0:1']],
    [['unpack', 'oci:x', 'y', '--ownership', 'map']],
    [['unpack', 'nonsense:x', 'y']],
    [['inspect']],
    [['mount', 'x']],
    [['umount']],
    [['images', 'rm']],
    [['images', 'ls', '--snapshotter', 'nonsense']],
    [['images', 'delete', 'x']],
    [['containers', '--root', 'x', 'delete', 'y']],
    [['bench', 'compare']],
    [['bench', '--runs', '3', 'compare', 'x', 'y']],
    [['--root', 'x', 'unpack', 'oci:x', 'y']],
    [['--root', 'x', 'nonsense']],
  ])('%j', async (args) => {
    const { code, stdout, stderr } = await runCommand(args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).not.toBe('');
    expect(stderr).not.toMatch(/^ {4}at /m);
  });

  test.each([
    [['--json'], 'a command is missing'],
    [['nonsense', '--json'], "unknown command 'nonsense'"],
    [['images', 'delete', 'x', '--json'], "unknown command 'delete'"],
    [['unpack', '--json'], "missing required argument 'image'"],
    [['unpack', 'oci:x', 'y', '--nonsense', '--json'], "unknown option '--nonsense'"],
    [['--root', 'x', 'images', 'ls', '--nonsense', '--json'], "unknown option '--nonsense'"],
    [['pull', '--json'], "missing required argument 'image'"],
  ])('and with --json says so in JSON: %j', async (args, message) => {
    const { code, stdout, stderr } = await runCommand(args);
    expect(code).toBe(2);
    const event = args[0] === 'pull' ? { event: 'error' } : {};
    const error = { code: 'ERR_INVALID_ARGUMENT', message, fix: expect.any(String) };
    expect(JSON.parse(stdout)).toEqual({ ...event, error });
    expect(stdout.trim().split('\n').length === 1).toBe(args[0] === 'pull');
    expect(stderr).not.toBe('');
  });
});

describe('unpack', () => {
  test('prints a summary, with the warnings by kind', async () => {
    await withImage(async (reference, scratch) => {
      const dest = path.join(scratch, 'dest');
      const { code, stdout, stderr } = await runCommand(['unpack', reference, dest, ...platform]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain(`${reference} unpacked in ${dest} (linux/amd64, overlay)`);
      expect(stdout).toMatch(/^1 warning \(all in image\.json\):$/m);
      expect(stdout).toMatch(/^ {2}1 xattr-escaped/m);
      expect(stdout).toMatch(/etc\/new/);
      expect(stdout).toMatch(/mount it: oci-unpack mount .*dest TARGET\n$/);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: no colours where there is no terminal
      expect(stdout).not.toMatch(/\x1b/);
      const again = await runCommand(['unpack', reference, dest, ...platform]);
      expect(again.stdout).toContain('confirmed');
    });
  });

  test('--json prints the report, --quiet nothing', async () => {
    await withImage(async (reference, scratch) => {
      const args = ['unpack', reference, path.join(scratch, 'dest'), ...platform];
      const quiet = await runCommand([...args, '--quiet']);
      expect(quiet).toEqual({ code: 0, stdout: '', stderr: '' });
      const { code, stdout } = await runCommand([...args, '--json']);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ status: 'confirmed', reusedLayers: 2 });
    });
  });

  test('policies and limits reach the work', async () => {
    await withImage(async (reference, scratch) => {
      const dest = path.join(scratch, 'dest');
      const strict = ['unpack', reference, dest, ...platform, '--overlay-xattrs', 'error'];
      const refused = await runCommand(strict);
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain('ERR_OVERLAY_XATTR');
      const limited = await runCommand([
        'unpack',
        reference,
        dest,
        ...platform,
        '--max-entries',
        '1',
      ]);
      expect(limited.code).toBe(1);
      expect(limited.stderr).toContain('ERR_LIMIT_EXCEEDED');
      const stripped = [
        'unpack',
        reference,
        dest,
        ...platform,
        '--overlay-xattrs',
        'strip',
        '--json',
      ];
      const { warnings } = JSON.parse((await runCommand(stripped)).stdout);
      expect(warnings).toHaveLength(1);
    });
  });

  test('names that are hostile to terminals, or not UTF-8, are printed escaped', async () => {
    const names = ['\x1b[31mred', Buffer.from('bytes-\xff\xfe', 'latin1')];
    const items = names.map((name) => file(name, '', { xattrs: { 'user.overlay.x': 'y' } }));
    await withImage(
      async (reference, scratch) => {
        const dest = path.join(scratch, 'dest');
        const { code, stdout } = await runCommand(['unpack', reference, dest, ...platform]);
        expect(code).toBe(0);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what must not be printed
        expect(stdout).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f\ufffd]/);
        expect(stdout).toContain('\\x1b[31mred');
        expect(stdout).toContain('bytes-\\xff\\xfe');
      },
      [items],
    );
  });
});

describe('inspect', () => {
  test('prints the image, as text and as JSON', async () => {
    await withImage(async (reference) => {
      const info = await inspectImage(reference, { platform: 'linux/amd64' });
      const text = await runCommand(['inspect', reference, ...platform]);
      expect(text).toMatchObject({ code: 0, stderr: '' });
      expect(text.stdout).toContain(info.manifestDigest);
      expect(text.stdout).toMatch(/^2 layers, /m);
      const json = await runCommand(['inspect', reference, ...platform, '--json']);
      expect(JSON.parse(json.stdout)).toEqual(JSON.parse(JSON.stringify(info)));
      const quiet = await runCommand(['inspect', reference, ...platform, '-q']);
      expect(quiet.stdout).toBe(`${info.manifestDigest}\n`);
    });
  });

  test('an image that is not there: 1, and JSON on stdout with --json', async () => {
    const { code, stdout, stderr } = await runCommand(['inspect', 'oci:/nowhere', '--json']);
    expect(code).toBe(1);
    expect(JSON.parse(stdout).error).toMatchObject({
      code: 'ERR_NOT_FOUND',
      fix: expect.any(String),
    });
    expect(stderr).toMatch(/^oci-unpack: ERR_NOT_FOUND: .*\nfix: .*\n$/);
  });
});

test.each([
  [['demo', '--dir', 'file'], 1, 'ERR_IO'],
  [['bench', 'oci:x', '--report', '.'], 2, 'ERR_INVALID_ARGUMENT'],
  [['mount', './x', ''], 2, 'ERR_INVALID_ARGUMENT'],
] as const)('%j is told with what to do, before any work', async (args, exit, code) => {
  await withScratch(async (scratch) => {
    await writeFile(path.join(scratch, 'file'), '');
    const result = await runCommand(args, { cwd: scratch });
    expect([result.code, result.stderr]).toEqual([exit, expect.stringContaining(code)]);
    expect(result.stderr).toContain('fix:');
  });
});

test('a name that is not UTF-8 is refused: Node would read another', async () => {
  await withImage(async (reference, scratch) => {
    const wrapper = ['sh', '-c', 'exec "$@" "$(printf "dest\\377")"', 'sh'];
    const args = ['unpack', reference, ...platform];
    const { code, stderr } = await runCommand(args, { cwd: scratch, wrapper });
    expect([code, stderr]).toEqual([2, expect.stringContaining('ERR_INVALID_ARGUMENT')]);
    expect(await readdir(scratch)).toEqual(['layout']);
  });
});

test('a reader that goes away is no failure', async () => {
  await withImage(async (reference) => {
    const args = [process.execPath, commandPath, 'inspect', reference, ...platform, '--json'];
    const quoted = args.map((arg) => `'${arg}'`).join(' ');
    const { stderr } = await run('bash', ['-c', `set -o pipefail; ${quoted} | true`]);
    expect(stderr).toBe('');
  });
});

describe('on a terminal', () => {
  /** Runs the command on a pseudo terminal, by script(1), and gives all that it wrote. */
  async function onTerminal(args: string[], env: NodeJS.ProcessEnv = {}): Promise<string> {
    const quoted = [process.execPath, commandPath, ...args].map((arg) => `'${arg}'`).join(' ');
    const command = `stty cols 80 rows 24; ${quoted}`;
    const clean = { ...process.env, TERM: 'xterm', NO_COLOR: '', ...env };
    const options = { env: clean, maxBuffer: 2 ** 26 };
    return (await run('script', ['-qec', command, '/dev/null'], options)).stdout;
  }
  const big = Array.from({ length: 30 }, (_, index) => [
    file(`f${index}`, Buffer.alloc(2 * 2 ** 20, index)),
  ]);

  test('there are bars, and the cursor comes back', async () => {
    await withImage(async (reference, scratch) => {
      const written = await onTerminal([
        'unpack',
        reference,
        path.join(scratch, 'dest'),
        ...platform,
      ]);
      expect(written).toContain('\x1b[?25l');
      expect(written).toMatch(/\/30 layers +[█░]/);
      expect(written.lastIndexOf('\x1b[?25h')).toBeGreaterThan(written.lastIndexOf('\x1b[?25l'));
      expect(written).toContain('\x1b[1m');
    }, big);
  });

  test('NO_COLOR takes the colours, --quiet and TERM=dumb the bars', async () => {
    await withImage(async (reference, scratch) => {
      const unpack = (dest: string) => ['unpack', reference, path.join(scratch, dest), ...platform];
      expect(await onTerminal(unpack('a'), { NO_COLOR: '1' })).not.toContain('\x1b[1m');
      expect(await onTerminal([...unpack('b'), '--quiet'])).toBe('');
      expect(await onTerminal(unpack('c'), { TERM: 'dumb' })).not.toContain('\x1b');
    }, big);
  });
});

describe('doctor', () => {
  test('says what this host can do, as text and as JSON', async () => {
    const json = await runCommand(['doctor', '--json']);
    expect([0, 1]).toContain(json.code);
    expect(json.stderr).toBe('');
    const text = await runCommand(['doctor']);
    expect(text.code).toBe(json.code);
    const { checks } = JSON.parse(json.stdout);
    for (const check of checks) {
      expect(check).toMatchObject({ name: expect.any(String), status: expect.any(String) });
      expect(text.stdout).toContain(check.name);
    }
  });
});

test('umount of what is not mounted is a typed error', async () => {
  await withScratch(async (scratch) => {
    await mkdir(path.join(scratch, 'x'));
    const { code, stderr } = await runCommand(['umount', path.join(scratch, 'x')]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^oci-unpack: ERR_MOUNT: /);
    expect(await readdir(scratch)).toEqual(['x']);
  });
});

// Every file-system call of a store fails in its turn, in every way that it can, whoever makes it: the store's own code,
// LMDB, the addon. The operation then succeeds or fails with a typed error, no descriptor is left open, what is in the
// store is whole, and the same again succeeds. A few of the calls here; `npm run soak -- faults` takes all of them.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdtemp, readdir } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type SnapshotterKind, Store, type StoreDurability } from '../../src/index.js';
import { scratchRoot } from '../support/scratch.js';
import { writeImage } from '../support/write-image.js';
import { crashLayers, leftovers, snapshotsOf, soak, treeHash, wrongSnapshots } from './crash.js';
import { buildShim, type FaultName, FaultProcess, type FaultReport, faultKinds } from './faults.js';

/** What is in the store before. */
type State =
  | 'nothing'
  | 'empty'
  | 'stored'
  | 'unpacked'
  | 'container'
  | 'half'
  | 'active'
  | 'dirty';

interface Scenario {
  operation: string;
  before: State;
  snapshotter: SnapshotterKind;
  durability?: StoreDurability;
}

const kinds = ['overlayfs', 'native', 'aufs'] as const;
const scenarios: Scenario[] = [
  { operation: 'open', before: 'nothing', snapshotter: 'overlayfs' },
  { operation: 'open', before: 'dirty', snapshotter: 'overlayfs' },
  { operation: 'list', before: 'unpacked', snapshotter: 'overlayfs' },
  { operation: 'ingest', before: 'empty', snapshotter: 'overlayfs' },
  { operation: 'resume', before: 'half', snapshotter: 'overlayfs' },
  ...kinds.flatMap((snapshotter): Scenario[] => [
    { operation: 'import', before: 'empty', snapshotter, durability: 'wait' },
    { operation: 'unpack', before: 'stored', snapshotter },
    { operation: 'create', before: 'unpacked', snapshotter },
    { operation: 'remove container', before: 'container', snapshotter },
    { operation: 'remove image', before: 'unpacked', snapshotter },
    { operation: 'commit', before: 'active', snapshotter },
  ]),
];
const layerCount = 3;
const names = Object.keys(faultKinds) as FaultName[];
/** Of the long run: every N-th call alone. */
const sample = Math.max(1, Math.floor(Number(process.env.FAULT_SAMPLE ?? 1)) || 1);
const seed = Number(process.env.SEED ?? 1) || 1;
const only = process.env.FAULTS === undefined ? undefined : new RegExp(process.env.FAULTS);

describe.skipIf(process.geteuid?.() !== 0)('a call that fails', () => {
  let ground: Ground | undefined;

  beforeAll(async () => {
    ground = await Ground.prepare();
    if (ground === undefined) {
      console.log('skipped without a C compiler: calls fail by a library that is preloaded');
    }
  });
  afterAll(() => ground?.remove());

  for (const scenario of scenarios) {
    const { operation, before, snapshotter } = scenario;
    const title = `${operation}, ${before} before, ${snapshotter}`;
    it.skipIf(only !== undefined && !only.test(title))(
      title,
      { timeout: soak ? 7_200_000 : 120_000 },
      async () => {
        if (ground !== undefined) {
          await sweep(ground, scenario);
        }
      },
    );
  }
});

/** Runs a scenario with one call after the other failing. */
async function sweep(ground: Ground, scenario: Scenario): Promise<void> {
  const trial = await Trial.prepare(ground, scenario);
  const findings: string[] = [];
  let calls = 0;
  findings.push(...(await trial.run('EIO', 0))); // nothing fails: it warms up
  for (const [index, name] of names.entries()) {
    const turn = scenarios.indexOf(scenario) * (names.length + 1) + index;
    if (!soak && scenario.snapshotter !== 'overlayfs' && turn % 3 !== 0) {
      continue; // the other kinds share most of it
    }
    findings.push(...(await trial.run(name, 0)));
    const { count } = trial.last;
    expect(count, name).toBeGreaterThan(0);
    for (const at of chosen(count, turn)) {
      findings.push(...(await trial.run(name, at)));
      calls += Math.min(1, trial.last.hits);
    }
    if (name === 'ENOSPC' || (soak && name === 'EIO')) {
      for (const at of chosen(count, turn + 1)) {
        findings.push(...(await trial.run(name, at, true)));
        calls += Math.min(1, trial.last.hits);
      }
    }
  }
  console.log(`${scenario.operation}, ${scenario.snapshotter}: ${calls} calls have failed`);
  if (process.env.FAULT_LOG !== undefined) {
    writeFileSync(process.env.FAULT_LOG, `${findings.join('\n')}\n`, { flag: 'a' });
  }
  expect(findings.join('\n')).toBe('');
}

/**
 * All of them in the long run, and a few more: they are not always as many; with a sample every N-th from one that the
 * seed says. Else one, another for each `turn`.
 */
function chosen(count: number, turn: number): number[] {
  if (soak) {
    const spread = (Math.imul(seed * 1000 + turn, 0x9e3779b1) >>> 0) / 2 ** 32; // Knuth 6.4: of near numbers too
    const first = 1 + Math.floor(spread * sample);
    return Array.from(
      { length: Math.max(1, Math.ceil((count + 6 - first) / sample)) },
      (_, index) => first + index * sample,
    );
  }
  return [Math.ceil((((turn * 5) % 11) + 0.5) * (count / 11))];
}

/** What all scenarios share: the library, the process, the image, and what its snapshots must hold. */
class Ground {
  readonly scratch: string;
  readonly image: string;
  readonly process: FaultProcess;
  readonly #expected = new Map<SnapshotterKind, ReadonlyMap<string, string>>();

  private constructor(scratch: string, image: string, process: FaultProcess) {
    this.scratch = scratch;
    this.image = image;
    this.process = process;
  }

  /** Undefined where there is no C compiler. */
  static async prepare(): Promise<Ground | undefined> {
    const scratch = await mkdtemp(path.join(scratchRoot, 'oci-unpack-test-'));
    const library = buildShim(scratch);
    if (library === undefined) {
      rmSync(scratch, { recursive: true });
      return undefined;
    }
    const image = await writeImage(path.join(scratch, 'image'), crashLayers(1, layerCount, 4));
    return new Ground(scratch, image, new FaultProcess(scratch, library));
  }

  /** The hash of each snapshot, by its name. */
  async expected(kind: SnapshotterKind): Promise<ReadonlyMap<string, string>> {
    const known = this.#expected.get(kind);
    if (known !== undefined) {
      return known;
    }
    const root = path.join(this.scratch, `expected-${kind}`);
    const expected = new Map<string, string>();
    const store = await Store.open(root, { kind, durability: 'none' });
    await store.import(this.image);
    for (const info of await snapshotsOf(store)) {
      expected.set(info.name, await treeHash(path.join(info.directory, 'fs')));
    }
    await store.close();
    this.#expected.set(kind, expected);
    return expected;
  }

  remove(): void {
    this.process.stop();
    rmSync(this.scratch, { recursive: true, force: true });
  }
}

class Trial {
  readonly #before: string;
  readonly #scenario: Scenario;
  readonly #image: string;
  readonly #expected: ReadonlyMap<string, string>;
  readonly #process: FaultProcess;
  last: Partial<FaultReport> & Pick<FaultReport, 'count' | 'hits'> = { count: 0, hits: 0 };

  private constructor(
    ground: Ground,
    scenario: Scenario,
    before: string,
    expected: ReadonlyMap<string, string>,
  ) {
    this.#before = before;
    this.#scenario = scenario;
    this.#image = ground.image;
    this.#expected = expected;
    this.#process = ground.process;
  }

  static async prepare(ground: Ground, scenario: Scenario): Promise<Trial> {
    const { snapshotter: kind, before } = scenario;
    const expected = new Map(await ground.expected(kind));
    const root = path.join(ground.scratch, `before-${scenarios.indexOf(scenario)}`);
    if (before !== 'nothing') {
      await makeBefore(root, before, kind, ground.image, expected);
    }
    return new Trial(ground, scenario, root, expected);
  }

  /** One run; what is wrong. @param at the call that fails, 0 for none */
  async run(name: FaultName, at: number, sticky = false): Promise<string[]> {
    const root = this.#process.newRoot();
    if (this.#scenario.before !== 'nothing') {
      execFileSync('cp', ['-a', this.#before, root]);
    }
    const { operation, snapshotter, durability = 'background' } = this.#scenario;
    const report = await this.#process.run({
      operation,
      root,
      image: this.#image,
      snapshotter,
      durability,
      ...faultKinds[name],
      at,
      sticky,
    });
    this.last = report;
    const wrong = wrongIn(report, name, at);
    if (report.ended !== undefined) {
      // A new process; the shim has nothing to do.
      const task = { operation, root, image: this.#image, snapshotter, durability };
      const { error } = await this.#process.run({
        ...task,
        kind: 0,
        error: 0,
        at: 0,
        sticky: false,
      });
      // It may have ended after its work was done.
      const isDone = operation === 'create' && error?.code === 'ERR_STORE_EXISTS';
      wrong.push(...(error === undefined || isDone ? [] : [`fails again: ${error.text}`]));
    }
    try {
      wrong.push(...(await this.#wrongAfter(root)));
    } catch (error) {
      wrong.push(`after it: ${(error as Error).stack}`);
    }
    rmSync(root, { recursive: true, force: true });
    const which = `${operation} ${this.#scenario.before} ${snapshotter}: ${name} at ${at}${sticky ? ' and on' : ''}`;
    const where = `${which}, ${report.call}(${report.path.slice(root.length + 1)}) of ${path.basename(report.module)}`;
    return wrong.map((one) => `${where}: ${one}`);
  }

  /** What is wrong with the store, which nothing fails for now and where the operation has succeeded. */
  async #wrongAfter(root: string): Promise<string[]> {
    const { operation, snapshotter: kind } = this.#scenario;
    const wrong: string[] = [];
    const store = await Store.open(root, { kind });
    try {
      wrong.push(...(await wrongSnapshots(store, this.#expected)));
      for (const { digest, size } of store.content.list()) {
        const bytes = readFileSync(await store.content.path(digest));
        const actual = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
        if (actual !== digest || bytes.length !== size) {
          wrong.push(`blob ${digest} is ${actual}, ${bytes.length} bytes`);
        }
      }
      const leases = store.leases.list();
      if (leases.length > 0) {
        wrong.push(`leases: ${leases.map(({ id }) => id).join(' ')}`);
      }
      wrong.push(...(await resultOf(operation, store, layerCount)));
      await store.gc();
      wrong.push(...(await strangersIn(root, store)));
      for (const { id } of store.containers.list()) {
        await store.containers.remove(id);
      }
      for (const { name } of store.images.list()) {
        store.images.remove(name);
      }
      await store.gc();
      const rest = [
        ...(await snapshotsOf(store)).map((one) => one.name),
        ...store.content.list().map(({ digest }) => digest),
        ...(await leftovers(root)),
      ];
      if (rest.length > 0) {
        wrong.push(`left when all was removed: ${rest.join(' ')}`);
      }
    } finally {
      await store.close();
    }
    return wrong;
  }
}

/** Makes the store as it is before an operation. */
async function makeBefore(
  root: string,
  before: State,
  kind: SnapshotterKind,
  image: string,
  expected: Map<string, string>,
): Promise<void> {
  const store = await Store.open(root, { kind, durability: 'wait' });
  if (before !== 'empty' && before !== 'half') {
    await store.import(image, { unpack: before !== 'stored' });
  }
  switch (before) {
    case 'container':
      await store.containers.create('image:latest', { id: 'box' });
      await store.sync();
      break;
    case 'active': {
      const report = await store.unpack('image:latest');
      await store.snapshots.prepare('an active one', report.snapshot);
      await store.sync();
      const { directory } = await store.snapshots.stat('an active one');
      expected.set('a committed one', await treeHash(path.join(directory, 'fs')));
      break;
    }
    case 'half': {
      const writer = await store.content.writer('half');
      await writer.write(readFileSync(path.join(layoutOf(image), 'index.json')).subarray(0, 100));
      await writer.close();
      break;
    }
    default:
      break;
  }
  await store.close();
  if (before === 'dirty') {
    // As killed ones leave it.
    for (const directory of [
      'staging/1-dead/1/fs/d/e',
      'snapshots/999/fs/d',
      `ingest/${'0'.repeat(64)}`,
    ]) {
      mkdirSync(path.join(root, directory), { recursive: true });
    }
    for (const file of [
      'staging/1-dead/lock',
      'staging/1-dead/1/fs/d/e/f',
      `sessions/${'0'.repeat(16)}`,
      `blobs/sha256/${'0'.repeat(64)}`,
      'locks/overlayfs-sha256-0',
    ]) {
      writeFileSync(path.join(root, file), '');
    }
  }
}

function layoutOf(image: string): string {
  return image.slice('oci:'.length).replace(/:[^:]*$/, '');
}

/** What a report tells that must not be. */
function wrongIn(report: FaultReport, name: FaultName, at: number): string[] {
  const wrong: string[] = [];
  const { ended, error, again, left, stray, hits } = report;
  if (ended !== undefined) {
    wrong.push(`ended ${ended}`);
  }
  if (error !== undefined && at === 0) {
    wrong.push(`fails without a fault: ${error.text}`);
  } else if (error !== undefined && !isRight(error, name)) {
    wrong.push(`${error.typed ? 'is not told so' : 'is not typed'}: ${error.text}`);
  }
  if (again !== undefined) {
    wrong.push(`fails again: ${again.text}\n  first: ${error?.text}`);
  }
  if (left.length > 0) {
    wrong.push(`${hits} hits, left open: ${left.join(' ')}`);
  }
  if (stray.length > 0) {
    wrong.push(`not caught: ${stray.map(({ text }) => text).join(' ')}`);
  }
  return wrong;
}

/** Whether the error tells what has failed. */
function isRight(error: { typed: boolean; code?: string; errno?: string }, name: FaultName) {
  const { typed, code = '' } = error;
  const codes: Record<FaultName, string[]> = {
    EIO: ['ERR_IO'],
    ENOSPC: ['ERR_NO_SPACE'],
    EINTR: ['ERR_IO'],
    EMFILE: ['ERR_IO'],
    EACCES: ['ERR_PERMISSION'],
    'short write': ['ERR_IO', 'ERR_NO_SPACE'],
  };
  return typed && codes[name].includes(code);
}

/** What is missing of what the operation was to do. */
async function resultOf(operation: string, store: Store, layers: number): Promise<string[]> {
  const found = {
    images: store.images.list().length,
    blobs: store.content.list().length,
    snapshots: (await snapshotsOf(store)).length,
    containers: store.containers.list().length,
    ingests: (await store.content.ingests()).length,
  };
  const blobs = layers + 2;
  const whole = { images: 1, blobs, snapshots: layers, containers: 0, ingests: 0 };
  const nothing = { images: 0, blobs: 0, snapshots: 0, containers: 0, ingests: 0 };
  const wanted: Record<string, typeof found> = {
    import: whole,
    unpack: whole,
    list: whole,
    'remove container': whole,
    create: { ...whole, snapshots: layers + 1, containers: 1 },
    'remove image': nothing,
    ingest: { ...nothing, blobs: 1 },
    resume: { ...nothing, blobs: 1 },
    commit: { ...whole, snapshots: layers + 1 },
  };
  const expected = wanted[operation];
  const [is, should] = [JSON.stringify(found), JSON.stringify(expected)];
  return expected === undefined || is === should ? [] : [`has ${is}, not ${should}`];
}

/** Files of a collected store that no record names. */
async function strangersIn(root: string, store: Store): Promise<string[]> {
  const known = new Set([
    ...(await snapshotsOf(store)).map((one) => path.relative(root, one.directory)),
    ...store.content.list().map(({ digest }) => `blobs/sha256/${digest.slice('sha256:'.length)}`),
  ]);
  const strangers = (await leftovers(root)).filter((one) => !known.has(one));
  const top = (await readdir(root)).filter((name) => name.startsWith('swept.'));
  const missing = [...known].filter((one) => !existsSync(path.join(root, one)));
  return [
    ...[...strangers, ...top].map((one) => `left after gc: ${one}`),
    ...missing.map((one) => `has a record, and no file: ${one}`),
  ];
}

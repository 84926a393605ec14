// Numbers and texts that the terminal table and the HTML report have in common.

import { formatDuration } from '../text.js';
import type { BenchHost } from './host.js';
import type { Row } from './measure.js';
import type { ImageResult } from './run.js';

/** Seconds with three significant digits or so: `0.312 s`, `4.21 s`, `51.2 s`. */
export function formatSeconds(milliseconds: number): string {
  const seconds = milliseconds / 1000;
  if (seconds >= 100) {
    return formatDuration(milliseconds);
  }
  let digits = seconds < 1 ? 3 : 2;
  if (seconds >= 9.995) {
    digits = 1;
  }
  return `${seconds.toFixed(digits)} s`;
}

/** `1.31x`. */
export function formatRatio(ratio: number): string {
  return `${ratio.toFixed(ratio < 9.995 ? 2 : 1)}x`;
}

/** The row of the floor, where it was measured. */
export function floorRow({ rows }: ImageResult): Row | undefined {
  return rows.find(({ kind, wall }) => kind === 'floor' && wall !== undefined);
}

/** How many times the floor's wall time a row took. */
export function toFloor(row: Row, image: ImageResult): number | undefined {
  const floor = floorRow(image)?.wall?.median;
  return floor === undefined || row.wall === undefined ? undefined : row.wall.median / floor;
}

/** How many times the floor's processor time a row took. */
export function cpuToFloor(row: Row, image: ImageResult): number | undefined {
  const floor = floorRow(image)?.cpu?.median;
  return floor === undefined || row.cpu === undefined ? undefined : row.cpu.median / floor;
}

/** A stage of a row's work. */
export interface Stage {
  name: string;
  /** Milliseconds, summed over threads. */
  time: number;
}

/** The order of the way through the pipeline; what is not named here comes after. */
const stageOrder = ['read', 'inflate', 'hash', 'parse', 'create', 'write', 'finish', 'settle'];
/** What the reports call the native names. */
const stageNames: Record<string, string> = { decode: 'inflate' };

/**
 * The stages of a row, and `waiting`: what the workers' time had beyond them, the process's own start and end
 * included.
 */
export function stagesOf(row: Row, workers: number): Stage[] {
  if (row.stages === undefined || row.wall === undefined) {
    return [];
  }
  const position = (name: string) => {
    const at = stageOrder.indexOf(name);
    return at < 0 ? stageOrder.length : at;
  };
  const stages = Object.entries(row.stages)
    .filter(([name]) => name !== 'waiting')
    .map(([name, time]) => ({ name: stageNames[name] ?? name, time }))
    .sort((a, b) => position(a.name) - position(b.name));
  if (row.kind === 'floor') {
    return stages;
  }
  const busy = stages.reduce((sum, { time }) => sum + time, 0);
  const threads = row.id === 'oci-unpack-1' ? 1 : workers;
  const waiting = row.stages.waiting ?? Math.max(0, row.wall.median * threads - busy);
  return [...stages, { name: 'waiting', time: waiting }];
}

/** What a row says beside its numbers: what it lacks, what differs, what it complained of. */
export function remarks(row: Row): string[] {
  const found: string[] = [];
  if (row.lacks.length > 0 && row.kind !== 'floor') {
    found.push(`without ${row.lacks.join(', ')}`);
  }
  if (row.differenceCount > 0) {
    const [first] = row.differences;
    const example = first === undefined ? '' : `, such as ${first.path || '(root)'}: ${first.what}`;
    found.push(`differs in ${row.differenceCount} of ${row.paths} paths${example}`);
  }
  if (row.note !== undefined) {
    found.push(row.note);
  }
  return found;
}

/** Why times of this host say little, or are not those that its user sees. */
export function hostWarnings(host: BenchHost): string[] {
  const { fileSystem, load, workers, extraCertificates } = host;
  const found = fileSystem.warning === undefined ? [] : [fileSystem.warning];
  if (load > workers / 2) {
    found.push(
      `other work ran here when this began (load ${load.toFixed(1)}): wall times say little, ` +
        'processor times more',
    );
  }
  if (extraCertificates) {
    found.push(
      'NODE_EXTRA_CA_CERTS is set: Node before 22 parses that file at each start, which can take ' +
        'longer than all else of it; contenders ran without it',
    );
  }
  return found;
}

// Compares two results of the bench, row by row: `bench compare A.json B.json`.

import { printable, shortDigest, table, wrap } from '../text.js';
import { formatRatio, formatSeconds } from './format.js';
import type { Row } from './measure.js';
import type { BenchReport, ImageResult } from './run.js';
import { rankTest, statistics } from './statistics.js';

/** What became of a row. `same`: no difference that the samples could show. */
export type Verdict = 'faster' | 'slower' | 'same';

/** One contender on one image in both results. */
export interface ComparedRow {
  id: string;
  title: string;
  /** Medians in milliseconds. */
  before: number;
  after: number;
  /** `after / before`. */
  ratio: number;
  /** Of the same against the floor of its own result: what a faster or slower machine does not change. */
  floorRatio?: number;
  /** How likely the samples would be as far apart by chance (Mann-Whitney U). */
  chance: number;
  verdict: Verdict;
}

export interface ComparedImage {
  reference: string;
  manifestDigest: string;
  rows: ComparedRow[];
}

export interface Comparison {
  images: ComparedImage[];
  /** Why the two may not be comparable: other hosts, other images, few samples. */
  warnings: string[];
}

const significant = 0.05;
/** A change that nobody should care for, however sure it is. */
const leastChange = 0.01;

/** Compares `after` with `before`, by image digest and contender. */
export function compareReports(before: BenchReport, after: BenchReport): Comparison {
  const warnings = hostWarnings(before, after);
  const images: ComparedImage[] = [];
  for (const image of after.images) {
    const other = partnerOf(image, before, after);
    if (other === undefined) {
      warnings.push(`${image.reference}: only in the second`);
      continue;
    }
    if (other.manifestDigest !== image.manifestDigest) {
      warnings.push(
        `${image.reference}: the images differ (${shortDigest(other.manifestDigest)} and ` +
          `${shortDigest(image.manifestDigest)}); look at the times against the floor`,
      );
    }
    warnings.push(...unmatchedRows(image, other));
    images.push({
      reference: image.reference,
      manifestDigest: image.manifestDigest,
      rows: image.rows.flatMap((row) => {
        const partner = other.rows.find(({ id }) => id === row.id);
        const compared = partner && compareRows(partner, row, other, image);
        return compared === undefined ? [] : [compared];
      }),
    });
  }
  for (const image of before.images) {
    if (!after.images.some((one) => partnerOf(one, before, after) === image)) {
      warnings.push(`${image.reference}: only in the first`);
    }
  }
  const least = Math.min(
    ...[before, after].flatMap(({ images }) =>
      images.flatMap(({ rows }) => rows.flatMap(({ samples }) => samples.length || [])),
    ),
  );
  if (least < 4) {
    warnings.push(`only ${least} samples of some: no difference can be told from chance; --runs 5`);
  }
  return { images, warnings };
}

/** The same image; where each result has only one, that (the demo's image is made anew each time). */
function partnerOf(
  image: ImageResult,
  before: BenchReport,
  after: BenchReport,
): ImageResult | undefined {
  const same = before.images.find(({ manifestDigest }) => manifestDigest === image.manifestDigest);
  const alone = before.images.length === 1 && after.images.length === 1;
  return same ?? (alone ? before.images[0] : undefined);
}

/** Who was measured in one of the two only. */
function unmatchedRows(image: ImageResult, other: ImageResult): string[] {
  const measured = ({ rows }: ImageResult) => rows.filter(({ samples }) => samples.length > 0);
  const only = (these: ImageResult, those: ImageResult, where: string) => {
    const titles = measured(these)
      .filter(({ id }) => !measured(those).some((row) => row.id === id))
      .map(({ title }) => title);
    return titles.length === 0
      ? []
      : [`${image.reference}: only the ${where} has ${titles.join('; ')}`];
  };
  return [...only(other, image, 'first'), ...only(image, other, 'second')];
}

function compareRows(
  before: Row,
  after: Row,
  imageBefore: ImageResult,
  imageAfter: ImageResult,
): ComparedRow | undefined {
  const [a, b] = [before, after].map(({ samples }) => samples.map(({ wall }) => wall));
  if (!a?.length || !b?.length) {
    return undefined;
  }
  const ratio = statistics(b).median / statistics(a).median;
  const chance = rankTest(a, b);
  const [floorBefore, floorAfter] = [imageBefore, imageAfter].map(floorOf);
  return {
    id: after.id,
    title: after.title,
    before: statistics(a).median,
    after: statistics(b).median,
    ratio,
    ...(floorBefore && floorAfter && { floorRatio: (ratio * floorBefore) / floorAfter }),
    chance,
    verdict: verdictOf(ratio, chance),
  };
}

function verdictOf(ratio: number, chance: number): Verdict {
  if (chance > significant || Math.abs(ratio - 1) < leastChange) {
    return 'same';
  }
  return ratio < 1 ? 'faster' : 'slower';
}

function floorOf({ rows }: ImageResult): number | undefined {
  const samples = rows.find(({ kind }) => kind === 'floor')?.samples ?? [];
  return samples.length > 0 ? statistics(samples.map(({ wall }) => wall)).median : undefined;
}

function hostWarnings({ host: a, ...before }: BenchReport, { host: b, ...after }: BenchReport) {
  const facts: [string, unknown, unknown][] = [
    ['processor', a.cpu, b.cpu],
    ['threads', a.workers, b.workers],
    ['kernel', a.kernel, b.kernel],
    ['Node', a.node, b.node],
    ['decoder', a.decoder, b.decoder],
    ['file system', a.fileSystem.type, b.fileSystem.type],
    ['mount options', a.fileSystem.options.join(), b.fileSystem.options.join()],
    ['version of oci-unpack', before.version, after.version],
  ];
  return facts
    .filter(([, x, y]) => x !== y)
    .map(([what, x, y]) => `another ${what}: ${String(x)} and ${String(y)}`);
}

/** The comparison as lines of at most 80 columns. */
export function comparisonLines({ images, warnings }: Comparison): string[] {
  const lines: string[] = [];
  for (const { reference, manifestDigest, rows } of images) {
    const head = ['', 'before', 'after', 'change', 'to floor', 'chance', ''];
    const cells = rows.map((row) => [
      row.title,
      formatSeconds(row.before),
      formatSeconds(row.after),
      percent(row.ratio),
      row.floorRatio === undefined || row.id === 'floor' ? '' : percent(row.floorRatio),
      row.chance.toFixed(3),
      row.verdict === 'same' ? '' : row.verdict,
    ]);
    lines.push(
      ...wrap(`${printable(reference)} (${shortDigest(manifestDigest)})`),
      ...table([head, ...cells], ['<', '>', '>', '>', '>', '>', '<']).split('\n'),
      '',
    );
  }
  lines.push(
    ...wrap(
      'change: of the median; to floor: of its ratio to the floor; chance: how likely the samples would ' +
        'be as far apart without any difference (Mann-Whitney U); faster or slower: where that is below 5 %.',
    ),
    ...warnings.flatMap((warning) => wrap(`warning: ${printable(warning)}`)),
  );
  return lines;
}

/** `-12.3 %`, or `2.31x` for large ones. */
function percent(ratio: number): string {
  return ratio < 2
    ? `${ratio < 1 ? '' : '+'}${((ratio - 1) * 100).toFixed(1)}%`
    : formatRatio(ratio);
}

// The sums of a report.

import type { SnapshotAudit, VerifyReport } from './types.js';

/** How many things are wrong with a snapshot, listed or not. */
export function countFindings({ findings, moreFindings }: SnapshotAudit): number {
  return findings.length + moreFindings;
}

/** Whether something was found in it. */
export function isDamaged(audit: SnapshotAudit): boolean {
  return countFindings(audit) > 0;
}

/** Notes that a report has at most; of the rest it says how many. */
const mostNotes = 100;

/** The notes of a report: a store with many foreign things has as many. */
export function boundNotes(notes: readonly string[]): string[] {
  const more = notes.length - mostNotes;
  return more > 0 ? [...notes.slice(0, mostNotes), `and ${more} more notes`] : [...notes];
}

/** `counts` and `ok` of a report; `ok` as far as nothing was found. */
export function summarize(
  report: Pick<VerifyReport, 'images' | 'snapshots' | 'damagedBlobs'>,
): Pick<VerifyReport, 'ok' | 'counts'> {
  const { images, snapshots, damagedBlobs } = report;
  const sum = (of: (snapshot: (typeof snapshots)[number]) => number) =>
    snapshots.reduce((total, snapshot) => total + of(snapshot), 0);
  const findings = sum(countFindings);
  return {
    ok: findings === 0 && damagedBlobs.length === 0,
    counts: {
      images: images.length,
      snapshots: snapshots.length,
      entries: sum(({ entries }) => entries),
      files: sum(({ files }) => files),
      bytes: sum(({ bytes }) => bytes),
      unchecked: sum(({ unchecked }) => unchecked),
      findings,
      damagedBlobs: damagedBlobs.length,
      hidden: sum(({ hidden }) => hidden.total),
      revived: sum(({ revived }) => revived.total),
    },
  };
}

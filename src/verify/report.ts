// The sums of a report.

import type { VerifyReport } from './types.js';

/** `counts` and `ok` of a report; `ok` as far as nothing was found. */
export function summarize(
  report: Pick<VerifyReport, 'images' | 'snapshots'>,
): Pick<VerifyReport, 'ok' | 'counts'> {
  const { images, snapshots } = report;
  const sum = (of: (snapshot: (typeof snapshots)[number]) => number) =>
    snapshots.reduce((total, snapshot) => total + of(snapshot), 0);
  const findings = sum((snapshot) => snapshot.findings.length + snapshot.moreFindings);
  return {
    ok: findings === 0,
    counts: {
      images: images.length,
      snapshots: snapshots.length,
      entries: sum(({ entries }) => entries),
      files: sum(({ files }) => files),
      bytes: sum(({ bytes }) => bytes),
      unchecked: sum(({ unchecked }) => unchecked),
      findings,
      hidden: sum(({ hidden }) => hidden.total),
      revived: sum(({ revived }) => revived.total),
    },
  };
}

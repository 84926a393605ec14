// Compares the directory of one snapshot with its layer's tree, and names what differs.

import { UnpackError } from '../errors.js';
import { type AuditJob, type LayerOptions, type LayerTree, loadBinding } from '../native/index.js';
import { plural } from '../text.js';
import { findFile } from './disk-path.js';
import { type Audited, findingsOf } from './findings.js';
import { settleHardlinks } from './hardlinks.js';
import type { Difference, Finding, SnapshotAudit } from './types.js';
import { zeroTail } from './zero-tail.js';

/** How a directory is compared. */
export interface AuditLayerOptions {
  /** Files are read. Default true. */
  content?: boolean | undefined;
  /** 1 to 64. Default: the processors that this process may use. */
  threads?: number | undefined;
  /** Differences that are looked at. Default 10,000. */
  mostDifferences?: number | undefined;
  /** Of the unpack: what they let be otherwise is no difference. */
  policies?: LayerOptions['policies'] | undefined;
  signal?: AbortSignal | undefined;
  /** Gets the job, to ask it for its progress. */
  onJob?: ((job: AuditJob) => void) | undefined;
  /** Takes differences out, or changes them, before they are read: what another unpacker does otherwise. */
  accept?: ((differences: readonly Difference[]) => Promise<readonly Difference[]>) | undefined;
}

/** What comparing tells of a snapshot. */
export type LayerAudit = Pick<
  SnapshotAudit,
  'entries' | 'files' | 'bytes' | 'unchecked' | 'findings' | 'moreFindings'
>;

export const defaultMostDifferences = 10_000;

/** Fewer zeros at the end may well be chance. */
const leastZeroTail = 64;

/**
 * Compares `audited.directory` with `tree`.
 *
 * @throws UnpackError where the directory itself cannot be read; `ERR_ABORTED`
 */
export async function auditLayer(
  tree: LayerTree,
  audited: Audited,
  options: AuditLayerOptions = {},
): Promise<LayerAudit> {
  const { directory, format } = audited;
  const binding = loadBinding();
  const { signal, policies, mostDifferences = defaultMostDifferences } = options;
  const { content = true, threads = Math.min(64, binding.workers()) } = options;
  const job = binding.auditTree({
    tree,
    directory,
    format,
    content,
    threads,
    mostDifferences,
    policies,
  });
  options.onJob?.(job);
  const cancel = () => job.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  if (signal?.aborted) {
    cancel();
  }
  try {
    const { differences, moreDifferences, ...counts } = await job.done;
    const accepted = (await options.accept?.(differences)) ?? differences;
    const findings = findingsOf(await settleHardlinks(accepted, directory), audited);
    await noteZeroTails(findings);
    return { ...counts, findings, moreFindings: moreDifferences };
  } catch (error) {
    throw UnpackError.from(error, audited.chainID);
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}

async function noteZeroTails(findings: readonly Finding[]): Promise<void> {
  for (const finding of findings) {
    const { kind, path, directory } = finding;
    if (kind === 'changed-content' || kind === 'changed-size') {
      const file = await findFile(directory, path);
      const zeros = file === undefined ? 0 : await zeroTail(file.path);
      if (zeros >= leastZeroTail) {
        finding.zeroTail = zeros;
        finding.detail += `, ending in ${plural(zeros, 'zero byte')}`;
      }
    }
  }
}

// What the repair scripts for others' stores have in common: how they begin and end, and marks that are put right in place.

import type { LayerFormat } from './markers.js';
import { type DirectoryTime, markFunctions, repairMarks } from './repair-marks.js';
import { isDamaged } from './report.js';
import { ShellScript } from './shell-script.js';
import type { SnapshotAudit, VerifyReport } from './types.js';

/** Of {@link RepairScript}. */
export interface RepairScriptOptions {
  report: Pick<VerifyReport, 'root' | 'kind' | 'snapshots' | 'damagedBlobs'>;
  /** Says which variable holds the command that reaches the daemon. */
  command: string;
  /** Shell functions of this kind of store; `say` and `die` are there. */
  functions: readonly string[];
}

/** A snapshot whose marks are put right. */
export interface MarkRepair {
  audit: SnapshotAudit;
  /** What it is, for the comment. */
  title: string;
  format: LayerFormat;
  times: readonly DirectoryTime[] | undefined;
  /** Words of the shell: other names by which it may be mounted. */
  aliases: readonly string[];
}

const commonFunctions = `say() { printf '%s\\n' "$*"; }
die() { printf 'stopped: %s\\n' "$*" >&2; exit 1; }`.split('\n');

/** A POSIX shell script; one that does nothing where nothing was found. */
export class RepairScript extends ShellScript {
  /** The snapshots with findings. */
  readonly damaged: readonly SnapshotAudit[];
  readonly #report: RepairScriptOptions['report'];

  constructor({ report, command, functions }: RepairScriptOptions) {
    super();
    this.#report = report;
    this.damaged = report.snapshots.filter(isDamaged);
    this.add('#!/bin/sh');
    this.comment(
      `Repairs what oci-unpack verify found in ${report.root}. Read it before you run it: nothing has been changed so far.`,
    );
    this.comment(command);
    for (const { digest, code } of report.damagedBlobs) {
      this.comment(
        `The blob ${digest} is damaged (${code}): what needs it cannot be unpacked before it was removed and pulled again.`,
      );
    }
    if (this.damaged.length === 0) {
      const all = report.damagedBlobs.length === 0 ? 'Nothing' : 'Nothing else';
      this.comment(`${all} was found.`);
    } else {
      this.add('set -eu', ...commonFunctions, ...functions, ...markFunctions, '');
    }
  }

  /** Adds the commands for a snapshot of which only marks are wrong. */
  async repairInPlace({ audit, title, format, times, aliases }: MarkRepair): Promise<void> {
    const { directory, findings } = audit;
    this.comment(`${title}: its marks, in place.`);
    const quoted = this.word(directory);
    this.add(
      `! mounted ${[quoted, ...aliases].join(' ')} || [ "\${FORCE-}" = yes ] ||`,
      `  die ${quoted}' is mounted: stop the containers on it, or set FORCE=yes and restart them afterwards'`,
    );
    await repairMarks(this, findings, directory, format, times);
    this.add('');
  }

  /** Adds what is to be said at the end. */
  finish(): void {
    const { root, kind } = this.#report;
    const quoted = this.word(root);
    this.add(`say 'Done. See that it is clean: oci-unpack verify --${kind} '${quoted}`);
  }
}

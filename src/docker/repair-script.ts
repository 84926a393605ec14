// The commands by which an operator can put right what verifying a Docker found. Marks are put right in place. For more,
// Docker has nothing to make a layer from: its images must be removed and pulled, loaded or built again.

import {
  areMarks,
  markFunctions,
  repairMarks,
  ShellScript,
  type SnapshotAudit,
} from '../verify/index.js';
import type { DockerVerification } from './verify.js';

/** A POSIX shell script; one that does nothing where nothing was found. */
export async function dockerRepairScript({
  report,
  images,
  times,
}: DockerVerification): Promise<string> {
  const script = new ShellScript();
  script.add('#!/bin/sh');
  script.comment(
    `Repairs what oci-unpack verify found in ${report.root}. Read it before you run it: nothing has been changed so far.`,
  );
  script.comment(
    'DOCKER is the command that reaches this daemon: DOCKER="docker -H unix:///run/other.sock".',
  );
  const damaged = report.snapshots.filter((one) => one.findings.length + one.moreFindings > 0);
  if (damaged.length === 0) {
    script.comment('Nothing was found.');
    return script.toString();
  }
  script.add('set -eu', ...functions, ...markFunctions, '');
  const lost: SnapshotAudit[] = [];
  for (const audit of damaged) {
    if (areMarks(audit.findings) && audit.moreFindings === 0) {
      const { directory } = audit;
      script.comment(`Layer ${audit.chainID}: its marks, in place.`);
      const quoted = script.word(directory);
      const home = script.word(`${report.root}/overlay2`);
      script.add(
        `link=l/$(cat ${home}/${script.word(audit.snapshot)}/link)`,
        `! mounted ${quoted} "$link" ${home}/"$link" || [ "\${FORCE-}" = yes ] ||`,
        `  die ${quoted}' is mounted: stop the containers on it, or set FORCE=yes and restart them afterwards'`,
      );
      await repairMarks(script, audit.findings, directory, 'overlay', times.get(directory));
      script.add('');
    } else {
      lost.push(audit);
    }
  }
  const broken = new Set(lost.map(({ chainID }) => chainID));
  for (const { id, names, chainIDs } of images) {
    if (chainIDs.some((chainID) => broken.has(chainID))) {
      script.comment(
        `Image ${names[0] ?? id}: more than marks is damaged. Its containers must go before, all other images with the same layers too; then it is pulled again. One that was built or loaded must be so again.`,
      );
      for (const name of names.length > 0 ? names : [id]) {
        script.run('remove', name);
      }
      for (const name of names) {
        script.run('pull', name);
      }
      script.add('');
    }
  }
  const root = script.word(report.root);
  script.add(`say 'Done. See that it is clean: oci-unpack verify --docker '${root}`);
  return script.toString();
}

const functions = `: "\${DOCKER:=docker}"
say() { printf '%s\\n' "$*"; }
die() { printf 'stopped: %s\\n' "$*" >&2; exit 1; }
# remove IMAGE: fails while a container uses it.
remove() {
  $DOCKER image inspect -- "$1" >/dev/null 2>&1 || return 0
  $DOCKER image rm -- "$1"
}
pull() { $DOCKER pull -- "$1"; }`.split('\n');

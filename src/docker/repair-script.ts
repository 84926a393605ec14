// The commands by which an operator can put right what verifying a Docker found. Marks are put right in place. For more,
// Docker has nothing to make a layer from: its images must be removed and pulled, loaded or built again.

import { areMarks, RepairScript, type SnapshotAudit } from '../verify/index.js';
import type { DockerVerification } from './verify.js';

/** A POSIX shell script; one that does nothing where nothing was found. */
export async function dockerRepairScript({
  report,
  images,
  times,
}: DockerVerification): Promise<string> {
  const script = new RepairScript({
    report,
    command:
      'DOCKER is the command that reaches this daemon: DOCKER="docker -H unix:///run/other.sock".',
    functions,
  });
  if (script.damaged.length === 0) {
    return script.toString();
  }
  const lost: SnapshotAudit[] = [];
  for (const audit of script.damaged) {
    if (areMarks(audit.findings) && audit.moreFindings === 0) {
      const home = script.word(`${report.root}/overlay2`);
      script.add(`link=l/$(cat ${home}/${script.word(audit.snapshot)}/link)`);
      await script.repairInPlace({
        audit,
        title: `Layer ${audit.chainID}`,
        format: 'overlay',
        times: times.get(audit.directory),
        aliases: ['"$link"', `${home}/"$link"`],
      });
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
  script.finish();
  return script.toString();
}

const functions = `: "\${DOCKER:=docker}"
# remove IMAGE: fails while a container uses it.
remove() {
  $DOCKER image inspect -- "$1" >/dev/null 2>&1 || return 0
  $DOCKER image rm -- "$1"
}
pull() { $DOCKER pull -- "$1"; }`.split('\n');

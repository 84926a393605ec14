// The commands by which an operator can put right what verifying a Docker found. Marks are put right in place. For more,
// Docker has nothing to make a layer from: its images must be removed and pulled, loaded or built again.

import { areMarks, RepairScript, type SnapshotAudit } from '../verify/index.js';
import type { DockerImage } from './store.js';
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
  replace(script, brokenImages(images, new Set(lost.map(({ chainID }) => chainID))));
  script.finish();
  return script.toString();
}

/** The images with a layer of `broken`; but those without a name that others are built on, which go with these. */
function brokenImages(images: readonly DockerImage[], broken: ReadonlySet<string>): DockerImage[] {
  const parents = new Set(images.map(({ parent }) => parent));
  return images.filter(
    ({ id, names, chainIDs }) =>
      chainIDs.some((chainID) => broken.has(chainID)) && (names.length > 0 || !parents.has(id)),
  );
}

/** All are removed before any is pulled: Docker keeps a layer, and does not load it again, while one image has it. */
function replace(script: RepairScript, images: readonly DockerImage[]): void {
  if (images.length === 0) {
    return;
  }
  script.comment(
    'More than marks is damaged of the layers of these images. Their containers must go before; then all of them are removed, and pulled again. One that was built or loaded must be so again.',
  );
  const names = images.flatMap((image) => image.names);
  // By id first: Docker refuses that for what others are built on, where it takes a name away.
  const ids = images.filter((image) => image.names.length === 0).map(({ id }) => id);
  for (const step of ['unused', 'remove']) {
    for (const image of [...ids, ...names]) {
      script.run(step, image);
    }
  }
  for (const name of names) {
    script.run('pull', name);
  }
  script.add(
    '[ -z "$missing" ] || die "could not pull$missing: build, load or pull them again"',
    '',
  );
}

const functions = `: "\${DOCKER:=docker}"
# unused IMAGE: stops, before anything is removed, while there is a container of it.
unused() {
  [ -z "$($DOCKER ps -aq --filter "ancestor=$1")" ] || die "there are containers of $1: remove them first"
}
remove() {
  $DOCKER image inspect -- "$1" >/dev/null 2>&1 || return 0
  $DOCKER image rm -- "$1"
}
missing=
pull() { $DOCKER pull -- "$1" || missing="$missing $1"; }`.split('\n');

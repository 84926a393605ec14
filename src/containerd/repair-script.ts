// The commands by which an operator can put right what verifying a containerd found. They are printed, never run: who
// uses the images must be stopped first, and only the operator knows what may be. Marks are put right in place; where
// more is wrong, the snapshots are removed and unpacked again, by containerd, from its content store.

import { normalizeImageName } from '../oci/index.js';
import {
  areMarks,
  type DirectoryTime,
  type LayerFormat,
  RepairScript,
  type SnapshotAudit,
} from '../verify/index.js';
import type { NamespaceChains, UnpackedChain } from './chains.js';
import type { ContainerdSnapshot } from './records.js';
import type { ContainerdVerification } from './verify.js';

/** A POSIX shell script; one that does nothing where nothing was found. */
export async function containerdRepairScript({
  report,
  namespaces,
  times,
  inUserNamespace,
}: ContainerdVerification): Promise<string> {
  const format = inUserNamespace ? 'overlay-userxattr' : 'overlay';
  const script = new RepairScript({
    report,
    command:
      'CTR is the command that reaches this containerd: CTR="ctr --address /run/k3s/containerd/containerd.sock".',
    functions,
  });
  if (script.damaged.length === 0) {
    return script.toString();
  }
  const byDirectory = new Map(script.damaged.map((one) => [one.directory, one]));
  for (const namespace of namespaces) {
    for (const snapshotter of new Set(namespace.chains.map((chain) => chain.snapshotter))) {
      await repairSnapshotter(script, namespace, snapshotter, { byDirectory, times, format });
    }
  }
  script.add('');
  script.finish();
  return script.toString();
}

const functions = `: "\${CTR:=ctr}"
# in_use NAMESPACE SNAPSHOTTER SNAPSHOT CONTAINER: something stands on a snapshot that must go. With STOP_CONTAINERS=yes it
# is removed, and with it what the container has written.
in_use() {
  $CTR -n "$1" snapshots --snapshotter "$2" info "$3" >/dev/null 2>&1 || return 0
  [ "\${STOP_CONTAINERS-}" = yes ] ||
    die "snapshot $3 of container \${4:-(none)} is in use; remove it, or set STOP_CONTAINERS=yes"
  if [ -n "$4" ]; then
    $CTR -n "$1" tasks rm -f -- "$4" >/dev/null 2>&1 || :
    $CTR -n "$1" containers rm -- "$4" >/dev/null 2>&1 || :
  fi
  drop "$1" "$2" "$3"
}
# drop NAMESPACE SNAPSHOTTER SNAPSHOT: removes it, if that was not done before. With the last that stood on it gone,
# containerd's garbage collector may be quicker; what it has begun it is left to finish. And it alone can remove a snapshot
# on which one stood that it has collected: containerd counts that one for ever.
drop() {
  $CTR -n "$1" snapshots --snapshotter "$2" info "$3" >/dev/null 2>&1 || return 0
  problem=$($CTR -n "$1" snapshots --snapshotter "$2" rm -- "$3" 2>&1) && return 0
  collect "$1" "$2"
  for attempt in 1 2 3 4 5 6 7 8 9 10; do
    $CTR -n "$1" snapshots --snapshotter "$2" info "$3" >/dev/null 2>&1 || return 0
    sleep 1
  done
  die "$problem"
}
# collect NAMESPACE SNAPSHOTTER: has the garbage collector take the snapshots of the images with $configs. What keeps them is
# a label of the config, which unpacking sets again.
collect() {
  for config in $configs; do
    $CTR -n "$1" content label "$config" "containerd.io/gc.ref.snapshot.$2=" >/dev/null
  done
  $CTR -n "$1" leases create --id "oci-unpack-$$" >/dev/null
  $CTR -n "$1" leases delete --sync "oci-unpack-$$" >/dev/null
}
# unpack NAMESPACE SNAPSHOTTER PLATFORM IMAGE: has containerd unpack it out of its content store, by a look at it.
unpack() {
  say "unpacking $4"
  if [ "$2" = overlayfs ]; then
    look=$(mktemp -d)
    $CTR -n "$1" images mount --platform "$3" -- "$4" "$look" >/dev/null
    $CTR -n "$1" images unmount --rm "$look" >/dev/null
    rmdir "$look"
  else
    $CTR -n "$1" images export --platform "$3" -- - "$4" | $CTR -n "$1" images import --snapshotter "$2" --platform "$3" -
  fi
}`.split('\n');

async function repairSnapshotter(
  script: RepairScript,
  namespace: NamespaceChains,
  snapshotter: string,
  damaged: {
    byDirectory: ReadonlyMap<string, SnapshotAudit>;
    times: ReadonlyMap<string, readonly DirectoryTime[]>;
    format: LayerFormat;
  },
): Promise<void> {
  const { byDirectory, times, format } = damaged;
  const snapshots = namespace.snapshots.filter((one) => one.snapshotter === snapshotter);
  const doomed = new Set<string>();
  for (const { key, stored } of snapshots) {
    const audit = byDirectory.get(stored?.directory ?? '');
    if (audit === undefined || stored?.directory === undefined) {
      continue;
    }
    if (areMarks(audit.findings) && audit.moreFindings === 0) {
      const short = stored.directory.split('/').slice(-2).join('/');
      await script.repairInPlace({
        audit,
        title: `Snapshot ${key} of namespace ${namespace.namespace}`,
        format,
        times: times.get(stored.directory),
        aliases: [script.word(short)],
      });
    } else {
      doomed.add(key);
    }
  }
  if (doomed.size > 0) {
    remake(script, namespace, snapshotter, snapshots, doomed);
  }
}

/** Removes the snapshots and all on top of them, and has the images unpacked again. */
function remake(
  script: RepairScript,
  { namespace, chains, containers }: NamespaceChains,
  snapshotter: string,
  snapshots: readonly ContainerdSnapshot[],
  damaged: ReadonlySet<string>,
): void {
  const depths = depthsAbove(snapshots, damaged);
  const doomed = snapshots
    .filter(({ key }) => depths.has(key))
    .sort((a, b) => (depths.get(b.key) ?? 0) - (depths.get(a.key) ?? 0));
  script.comment(
    `Namespace ${namespace}, snapshotter ${snapshotter}: ${damaged.size} of the snapshots cannot be put right in place. They go, with all that stands on them, and are unpacked again.`,
  );
  const again = chains.filter(
    (chain) =>
      chain.snapshotter === snapshotter && chain.snapshots.some(({ key }) => depths.has(key)),
  );
  const configs = new Set(again.map(({ manifest }) => manifest.config));
  script.add(`configs=${script.word([...configs].join(' '))}`);
  for (const { key, stored } of doomed) {
    if (stored?.kind !== 'committed') {
      const container = containers.find((one) => one.snapshotKey === key)?.id ?? '';
      script.run('in_use', namespace, snapshotter, key, container);
    }
  }
  for (const { key, stored } of doomed) {
    if (stored?.kind === 'committed') {
      script.run('drop', namespace, snapshotter, key);
    }
  }
  for (const { image, manifest } of oneOfEach(again)) {
    script.run('unpack', namespace, snapshotter, manifest.platform, image.name);
  }
  script.add('');
}

/** The snapshots and all on top of them, with how far above the bottom they are. */
function depthsAbove(
  snapshots: readonly ContainerdSnapshot[],
  keys: ReadonlySet<string>,
): Map<string, number> {
  const byKey = new Map(snapshots.map((one) => [one.key, one]));
  const depths = new Map<string, number>();
  for (const { key } of snapshots) {
    const chain = [];
    for (let at = byKey.get(key); at !== undefined; at = byKey.get(at.parent)) {
      chain.push(at.key);
      if (chain.length > snapshots.length) {
        break; // A cycle, in a damaged database.
      }
    }
    if (chain.some((one) => keys.has(one))) {
      depths.set(key, chain.length);
    }
  }
  return depths;
}

/** One chain for each manifest: other names of it need not be unpacked again. Of those one that ctr can export. */
function oneOfEach(chains: readonly UnpackedChain[]): UnpackedChain[] {
  const isPlain = ({ image }: UnpackedChain) => normalizeImageName(image.name) !== undefined;
  const sorted = [...chains].sort((a, b) => Number(isPlain(a)) - Number(isPlain(b)));
  return [...new Map(sorted.map((chain) => [chain.manifest.digest, chain])).values()];
}

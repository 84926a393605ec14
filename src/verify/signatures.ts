// Which cause fits: every finding of a snapshot goes to one signature, and each says why.

import { type LayerTree, loadBinding } from '../native/index.js';
import { type Finding, type Signature, type SignatureID, signatureIDs } from './types.js';

/** The signatures of one snapshot's findings. @param below the merged view of the layers below; null for none */
export function signaturesOf(
  findings: readonly Finding[],
  below: LayerTree | null | undefined,
): Signature[] {
  const groups = new Map<SignatureID, Finding[]>();
  const crowded = new Set<string>();
  const paths = new Set<string>();
  for (const { path } of findings) {
    (paths.has(path) ? crowded : paths).add(path);
  }
  for (const finding of findings) {
    const id = signatureOf(finding, crowded.has(finding.path), below);
    groups.set(id, [...(groups.get(id) ?? []), finding]);
  }
  return signatureIDs.flatMap((id) => {
    const group = groups.get(id);
    return group === undefined
      ? []
      : [{ id, findings: group.length, explanation: explain(id, group) }];
  });
}

function signatureOf(
  finding: Finding,
  crowded: boolean,
  below: LayerTree | null | undefined,
): SignatureID {
  switch (finding.kind) {
    case 'leaked-opaque':
      return !crowded && isBelow(finding.path, below) ? 'opaque-copy-up' : 'tampering';
    case 'lost-whiteout':
    case 'lost-opaque':
      return 'lost-whiteouts';
    case 'zero-length':
      return 'power-loss';
    case 'foreign-marker':
      return 'wrong-namespace';
    case 'changed-content':
    case 'changed-size':
      return finding.zeroTail === undefined ? 'tampering' : 'power-loss';
    case 'extra-entry':
    case 'stray-whiteout':
    case 'changed-type':
    case 'changed-target':
    case 'changed-mode':
    case 'changed-owner':
    case 'changed-xattr':
    case 'extra-xattr':
    case 'lost-xattr':
    case 'lost-capability':
    case 'changed-device':
      return 'tampering';
    default:
      return 'unknown';
  }
}

/** Whether the layers below show something at `path`; where nothing is known of them, that they do. */
function isBelow(path: string, below: LayerTree | null | undefined): boolean {
  return below === undefined || loadBinding().listMerged(below, path, 1).total > 0;
}

function explain(id: SignatureID, findings: readonly Finding[]): string {
  switch (id) {
    case 'opaque-copy-up':
      return 'Directories that lower layers have too are opaque, and nothing else is wrong with them. So does a layer look that was applied through an overlay mount by a kernel that copies trusted.overlay.opaque up: Linux before 4.8 with several lower directories, RHEL and CentOS 3.10 before -693.';
    case 'lost-whiteouts':
      return 'Marks of deletion are missing, so that deleted files are back. So does a layer look that was unpacked before the layers below it by one who drops whiteouts of what he does not see: containerd 2.2.0 to 2.2.2 with parallel unpack.';
    case 'power-loss': {
      const kept = findings.filter(sameTime).length;
      const times =
        kept > 0
          ? ` ${kept} of them still ${kept === 1 ? 'has its' : 'have their'} recorded time: the content was lost, not overwritten.`
          : '';
      return `Files are empty or end in zeros. So do files look whose names reached the disk before their content did when the machine lost power.${times} Pulling the image again does not heal them: the layer counts as there.`;
    }
    case 'wrong-namespace':
      return 'Overlayfs markers are in the xattr namespace of the other kind of mount (user.overlay. for rootless, trusted.overlay. for root), which takes no notice of them. So does a layer look that was copied, or unpacked, between the two.';
    case 'tampering': {
      const silent = findings.filter(
        (finding) => finding.kind === 'changed-content' && sameTime(finding),
      ).length;
      const secret =
        silent > 0
          ? ` ${silent} ${silent === 1 ? 'file has' : 'files have'} other content of the same size and time, which does not happen by itself but for a failing disk.`
          : '';
      return `The snapshot was changed after it was unpacked, by somebody or something that had access to the store.${secret}`;
    }
    default:
      return 'None of the known causes fits: entries were removed, or unpacked or copied by a tool that cannot make them.';
  }
}

function sameTime({ expected, found }: Finding): boolean {
  return (
    expected !== null &&
    found !== null &&
    expected.mtimeSeconds === found.mtimeSeconds &&
    expected.mtimeNanoseconds === found.mtimeNanoseconds
  );
}

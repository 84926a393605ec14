// Labels as containerd's Update names them, by field paths.

import { UnpackError } from '../errors.js';
import type { LabelChanges, Labels } from '../metadata/index.js';

/** What makes labels `before` what `update` says, of all labels or those of `fieldPaths`. */
export function labelChanges(
  before: Labels,
  after: Labels,
  fieldPaths: string[] = [],
): LabelChanges {
  const changes: Record<string, string | null> = {};
  const paths = fieldPaths.length === 0 ? ['labels'] : fieldPaths;
  for (const fieldPath of paths) {
    if (fieldPath === 'labels') {
      for (const name of Object.keys(before)) {
        changes[name] = null;
      }
      Object.assign(changes, after);
    } else if (fieldPath.startsWith('labels.')) {
      const name = fieldPath.slice('labels.'.length);
      changes[name] = after[name] ?? null;
    } else {
      throw new UnpackError('ERR_INVALID_ARGUMENT', `${fieldPath}: cannot be updated, only labels`);
    }
  }
  return changes;
}

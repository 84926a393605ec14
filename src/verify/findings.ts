// From plain differences to findings: each damage by its name, once, and nothing that another one explains. A
// directory's time changes with the names in it, a file's with its content: neither is told beside its cause.

import { formatCount, plural } from '../text.js';
import { modeText, nounOf, timeText, xattrText } from './describe.js';
import { nearestAbove, parentOf } from './disk-path.js';
import { foreignMarker, type LayerFormat, markerPrefix } from './markers.js';
import type { Difference, EntryFacts, Finding, FindingKind } from './types.js';

/** The snapshot that was compared. */
export interface Audited {
  /** Number of the layer in its image, bottom 0. */
  layer: number;
  chainID: string;
  snapshot: string;
  directory: string;
  format: LayerFormat;
}

/** The findings that `differences` of one snapshot amount to, by path. */
export function findingsOf(differences: readonly Difference[], audited: Audited): Finding[] {
  const lost = new Map<string, number>();
  const added = new Map<string, number>();
  const disturbed = new Set<string>();
  for (const difference of differences) {
    const { path, expected, found } = difference;
    if (expected?.type === 'directory' && found?.type !== 'directory') {
      lost.set(path, 0);
    }
    if (found?.type === 'directory' && expected?.type !== 'directory') {
      added.set(path, 0);
    }
    const parent = parentOf(path);
    if (parent !== undefined && changesParent(difference)) {
      disturbed.add(parent);
    }
  }
  const shown = differences.filter(({ path, expected, found }) => {
    const above = found === null ? lost : expected === null ? added : undefined;
    const top = above && topmostAbove(path, above);
    if (above === undefined || top === undefined) {
      return true;
    }
    above.set(top, (above.get(top) ?? 0) + 1);
    return false;
  });
  return shown.flatMap((difference) =>
    new Reader(difference, audited, disturbed, lost, added).findings(),
  );
}

/** Whether it takes the directory's time along. */
function changesParent({ expected, found, fields }: Difference): boolean {
  const replaced = ['type', 'target', 'device', 'hardlink', 'content', 'size'];
  return expected === null || found === null || fields.some((field) => replaced.includes(field));
}

function topmostAbove(path: string, directories: ReadonlyMap<string, number>): string | undefined {
  let top: string | undefined;
  for (let at = nearestAbove(path, directories); at !== undefined; ) {
    top = at;
    at = nearestAbove(at, directories);
  }
  return top;
}

/** Reads one difference. */
class Reader {
  readonly #difference: Difference;
  readonly #audited: Audited;
  readonly #disturbed: ReadonlySet<string>;
  readonly #lost: ReadonlyMap<string, number>;
  readonly #added: ReadonlyMap<string, number>;
  readonly #findings: Finding[] = [];

  constructor(
    difference: Difference,
    audited: Audited,
    disturbed: ReadonlySet<string>,
    lost: ReadonlyMap<string, number>,
    added: ReadonlyMap<string, number>,
  ) {
    this.#difference = difference;
    this.#audited = audited;
    this.#disturbed = disturbed;
    this.#lost = lost;
    this.#added = added;
  }

  findings(): Finding[] {
    const { expected, found } = this.#difference;
    if (expected === null && found !== null) {
      this.#extra(found);
    } else if (expected !== null && found === null) {
      this.#missing(expected);
    } else if (expected !== null && found !== null) {
      this.#changed(expected, found);
    }
    return this.#findings;
  }

  #add(kind: FindingKind, detail: string, below?: number): void {
    const { path, expected, found } = this.#difference;
    const { layer, chainID, snapshot, directory } = this.#audited;
    const counted = below === undefined || below === 0 ? {} : { below };
    this.#findings.push({
      kind,
      path,
      layer,
      chainID,
      snapshot,
      directory,
      detail: counted.below === undefined ? detail : `${detail}, and ${entries(below)} below it`,
      ...counted,
      expected,
      found,
    });
  }

  #extra(found: EntryFacts): void {
    if (found.type === 'whiteout') {
      this.#add('stray-whiteout', 'a whiteout that the layer does not have');
      return;
    }
    if (this.#isForeignWhiteout(found)) {
      this.#add(
        'foreign-marker',
        'a whiteout of the other xattr namespace, which is an empty file',
      );
      return;
    }
    const below = this.#added.get(this.#difference.path);
    this.#add('extra-entry', `${nounOf(found)} that the layer does not have`, below);
  }

  #missing(expected: EntryFacts): void {
    if (expected.type === 'whiteout') {
      this.#add('lost-whiteout', 'the whiteout is missing');
      return;
    }
    const below = this.#lost.get(this.#difference.path);
    this.#add('missing-entry', `${nounOf(expected)} is missing`, below);
  }

  #changed(expected: EntryFacts, found: EntryFacts): void {
    const { fields } = this.#difference;
    if (fields.includes('unreadable')) {
      this.#add('unreadable', `cannot be read: ${found.error ?? 'unknown error'}`);
    }
    if (expected.type !== found.type) {
      this.#changedType(expected, found);
      return;
    }
    const replaced = this.#changedIdentity(expected, found);
    if (fields.includes('mode')) {
      this.#add('changed-mode', `mode ${modeText(found.mode)}, not ${modeText(expected.mode)}`);
    }
    if (fields.includes('owner')) {
      const owners = `${found.uid}:${found.gid}, not ${expected.uid}:${expected.gid}`;
      this.#add('changed-owner', `owned by ${owners}`);
    }
    this.#markers(expected, found);
    this.#xattrs(expected, found);
    const explained = replaced || this.#disturbed.has(this.#difference.path);
    if (fields.includes('mtime') && !explained) {
      this.#add('changed-time', `of ${timeText(found)}, not ${timeText(expected)}`);
    }
  }

  #changedType(expected: EntryFacts, found: EntryFacts): void {
    const { path } = this.#difference;
    const isDevice = ['char', 'block', 'whiteout'].includes(expected.type);
    const below = this.#lost.get(path) ?? this.#added.get(path);
    if (found.type === 'whiteout') {
      this.#add('stray-whiteout', `a whiteout, not ${nounOf(expected)}`, below);
    } else if (expected.type === 'whiteout' && this.#isForeignWhiteout(found)) {
      this.#add(
        'foreign-marker',
        'a whiteout of the other xattr namespace, which is an empty file',
      );
    } else if (isDevice && found.type === 'file') {
      this.#add('device-became-file', `${nounOf(found)}, not ${nounOf(expected)}`);
    } else if (expected.type === 'whiteout') {
      this.#add('lost-whiteout', `${nounOf(found)}, not a whiteout`, below);
    } else {
      this.#add('changed-type', `${nounOf(found)}, not ${nounOf(expected)}`, below);
    }
  }

  /** What makes it another file, and explains another time. @returns whether there was such */
  #changedIdentity(expected: EntryFacts, found: EntryFacts): boolean {
    const { fields } = this.#difference;
    const before = this.#findings.length;
    if (fields.includes('size') && found.size === 0) {
      this.#add('zero-length', `empty, not ${plural(expected.size, 'byte')}`);
    } else if (fields.includes('size')) {
      this.#add(
        'changed-size',
        `${plural(found.size, 'byte')}, not ${plural(expected.size, 'byte')}`,
      );
    } else if (fields.includes('content')) {
      const sums = expected.crc32c && found.crc32c;
      const detail = sums ? ` (CRC32C ${found.crc32c}, not ${expected.crc32c})` : '';
      this.#add('changed-content', `another content of the same size${detail}`);
    }
    if (fields.includes('target')) {
      const quoted = (facts: EntryFacts) => JSON.stringify(facts.target ?? '');
      this.#add('changed-target', `leads to ${quoted(found)}, not ${quoted(expected)}`);
    }
    if (fields.includes('device')) {
      this.#add('changed-device', `device ${found.device}, not ${expected.device}`);
    }
    if (fields.includes('hardlink')) {
      const [other, ...more] = expected.links ?? [];
      const [now] = found.links ?? [];
      const rest = more.length > 0 ? ` and ${more.length} more` : '';
      this.#add(
        'broken-hardlink',
        other === undefined
          ? `shares a file with ${now ?? 'another name'}, which it should not`
          : `is not the same file as ${other}${rest} any more`,
      );
    }
    return this.#findings.length > before;
  }

  /** Opaque directories. */
  #markers(expected: EntryFacts, found: EntryFacts): void {
    if (found.opaque && !expected.opaque) {
      this.#add('leaked-opaque', 'opaque, without a marker in the layer');
    } else if (expected.opaque && !found.opaque && this.#foreign(found).includes('opaque')) {
      const text = 'opaque in the other xattr namespace only, which is not opaque';
      this.#add('foreign-marker', text);
    } else if (expected.opaque && !found.opaque) {
      this.#add('lost-opaque', 'not opaque, though the layer says so');
    }
  }

  #xattrs(expected: EntryFacts, found: EntryFacts): void {
    const { format } = this.#audited;
    const opaque = `${markerPrefix(format) ?? '-'}opaque`;
    for (const field of this.#difference.fields) {
      const name = field.startsWith('xattr:') ? field.slice('xattr:'.length) : undefined;
      if (name === undefined || (name === opaque && expected.opaque !== found.opaque)) {
        continue;
      }
      const [was, is] = [expected.xattrs[name], found.xattrs[name]];
      const marker = foreignMarker(name, format);
      if (is === undefined) {
        const kind = name === 'security.capability' ? 'lost-capability' : 'lost-xattr';
        this.#add(kind, `lacks ${name}`);
      } else if (was !== undefined) {
        this.#add('changed-xattr', `${name} is ${xattrText(is)}, not ${xattrText(was)}`);
      } else if (marker === undefined) {
        this.#add('extra-xattr', `has ${name}, ${xattrText(is)}`);
      } else if (!this.#findings.some(({ kind }) => kind === 'foreign-marker')) {
        this.#add('foreign-marker', `has ${name}, a marker of the other xattr namespace`);
      }
    }
  }

  /** Names of markers of the other namespace that it has. */
  #foreign(found: EntryFacts): string[] {
    return Object.keys(found.xattrs).flatMap(
      (name) => foreignMarker(name, this.#audited.format) ?? [],
    );
  }

  #isForeignWhiteout(found: EntryFacts): boolean {
    return found.type === 'file' && found.size === 0 && this.#foreign(found).includes('whiteout');
  }
}

function entries(count = 0): string {
  return `${formatCount(count)} ${count === 1 ? 'entry' : 'entries'}`;
}

// The members of a tar by path, with links between them followed: old `docker save` writes a layer once, and
// `ID/layer.tar -> ../OTHER/layer.tar` for every further image that has it.

import { UnpackError } from '../errors.js';

/** A member of a tar. */
export type TarMember =
  | { kind: 'file' | 'sparse'; offset: number; length: number }
  | { kind: 'hardlink' | 'symlink'; target: string }
  | { kind: 'other' };

const maxLinks = 16;

/** Members by path; of several with one path the last counts. */
export class TarMembers {
  readonly #name: string;
  readonly #byPath = new Map<string, TarMember>();

  /** `name` of the archive stands in errors. */
  constructor(name: string) {
    this.#name = name;
  }

  /** Paths that leave the archive are no member's. */
  add(path: string, member: TarMember): void {
    const key = resolve('', path);
    if (key !== undefined) {
      this.#byPath.set(key, member);
    }
  }

  /** Where the bytes of a regular file lie, links followed; undefined where there is none. */
  find(path: string): { offset: number; length: number } | undefined {
    let key = resolve('', path);
    for (let links = 0; key !== undefined && links <= maxLinks; links++) {
      const member = this.#byPath.get(key);
      switch (member?.kind) {
        case 'file':
          return { offset: member.offset, length: member.length };
        case 'sparse':
          throw new UnpackError(
            'ERR_INVALID_TAR',
            `${this.#name}: ${path}: is stored as a sparse file; make the archive without --sparse`,
            { path },
          );
        case 'hardlink':
          key = resolve('', member.target);
          break;
        case 'symlink':
          key = member.target.startsWith('/') ? undefined : resolve(parentOf(key), member.target);
          break;
        default:
          return undefined;
      }
    }
    return undefined;
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(path.lastIndexOf('/'), 0));
}

/** A path below `base` without `.`, `..` and empty components; undefined when it leaves the archive. */
function resolve(base: string, path: string): string | undefined {
  const parts = base === '' ? [] : base.split('/');
  for (const part of path.split('/')) {
    if (part === '..') {
      if (parts.pop() === undefined) {
        return undefined;
      }
    } else if (part !== '' && part !== '.') {
      parts.push(part);
    }
  }
  return parts.join('/');
}

// The user of an image's process, by the image's own passwd and group, with containerd's rules (oci.WithUser,
// oci.WithAdditionalGIDs): a number is an id, the group is that of the passwd unless given, and the user's other groups
// come from group. But where a group is given, it is the only one (image-spec, config.md, User), as Docker and Podman
// have it; containerd adds the others there too.

import { UnpackError } from '../errors.js';
import { readRootedFile } from './rooted-file.js';

/** As in the runtime-spec. */
export interface ProcessUser {
  uid: number;
  gid: number;
  additionalGids: number[];
}

interface Account {
  name: string;
  uid: number;
  gid: number;
}

interface Group {
  name: string;
  gid: number;
  members: string[];
}

const maxID = 0x7fff_ffff;

/**
 * Resolves `user[:group]`, names or numbers; empty for root.
 *
 * @throws UnpackError `ERR_INVALID_ARGUMENT` for a name that the image does not know
 */
export async function resolveUser(root: string, text: string): Promise<ProcessUser> {
  const accounts = parsePasswd((await readRootedFile(root, 'etc/passwd')) ?? '');
  const groups = parseGroup((await readRootedFile(root, 'etc/group')) ?? '');
  return userOf(text, accounts, groups);
}

/**
 * The user that an image's config names; empty for none. Not passed over where it is no text: the process would be root's.
 *
 * @throws UnpackError `ERR_INVALID_IMAGE`
 */
export function userIn(run: Record<string, unknown> | undefined): string {
  const user = run?.User ?? '';
  if (typeof user !== 'string') {
    const problem = `config.User: ${JSON.stringify(user)} is not a string`;
    throw new UnpackError('ERR_INVALID_IMAGE', problem);
  }
  return user;
}

export function userOf(
  text: string,
  accounts: readonly Account[],
  groups: readonly Group[],
): ProcessUser {
  const [userText = '', groupText, ...rest] = text.split(':');
  if (rest.length > 0 || (userText === '' && text !== '')) {
    throw new UnpackError(
      'ERR_INVALID_ARGUMENT',
      `user ${JSON.stringify(text)}: is not user[:group]`,
    );
  }
  const number = userText === '' ? 0 : idOf(userText);
  const account =
    number === undefined
      ? accounts.find(({ name }) => name === userText)
      : accounts.find(({ uid }) => uid === number);
  const uid = number ?? account?.uid;
  if (uid === undefined) {
    throw unknown('user', userText, 'passwd');
  }
  const isGiven = groupText !== undefined && groupText !== '';
  const gid = isGiven
    ? (idOf(groupText) ?? groups.find(({ name }) => name === groupText)?.gid)
    : (account?.gid ?? 0);
  if (gid === undefined) {
    throw unknown('group', groupText ?? '', 'group');
  }
  const name = account?.name ?? (text === '' ? 'root' : undefined);
  const others = groups
    .filter((group) => name !== undefined && group.name !== name && group.members.includes(name))
    .map((group) => group.gid);
  return { uid, gid, additionalGids: [...new Set([gid, ...(isGiven ? [] : others)])] };
}

/** Lines that are malformed are passed over, as the C library does. */
export function parsePasswd(text: string): Account[] {
  return lines(text).flatMap(([name = '', , uidText = '', gidText = '']) => {
    const [uid, gid] = [idOf(uidText), idOf(gidText)];
    return name === '' || uid === undefined || gid === undefined ? [] : [{ name, uid, gid }];
  });
}

export function parseGroup(text: string): Group[] {
  return lines(text).flatMap(([name = '', , gidText = '', members = '']) => {
    const gid = idOf(gidText);
    return name === '' || gid === undefined
      ? []
      : [{ name, gid, members: members.split(',').filter((member) => member !== '') }];
  });
}

function lines(text: string): string[][] {
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'));
}

function idOf(text: string): number | undefined {
  const id = /^\d+$/.test(text) ? Number(text) : Number.NaN;
  return id <= maxID ? id : undefined;
}

function unknown(what: string, name: string, file: string): UnpackError {
  return new UnpackError(
    'ERR_INVALID_ARGUMENT',
    `${what} ${JSON.stringify(name)}: is not in the image's /etc/${file}; give a number`,
  );
}

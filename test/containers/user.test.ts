// The user of a process, by the image-spec's and containerd's rules.

import { mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readRootedFile } from '../../src/containers/rooted-file.js';
import { parseGroup, parsePasswd, resolveUser, userIn, userOf } from '../../src/containers/user.js';
import { withScratch } from '../support/scratch.js';

const accounts = parsePasswd(`root:x:0:0:root:/root:/bin/sh
# a comment
broken
daemon:x:1:1::/:/bin/false
node:x:1000:1001:,,,:/home/node:/bin/bash
5000:x:7:8::/:
huge:x:99999999999:1::/:
`);
const groups = parseGroup(`root:x:0:
wheel:x:10:root,node
node:x:1001:node
video:x:44:daemon,node,
docker:x:999:nobody
`);

describe('the user of a config', () => {
  it('is none where it is null, and refused where it is no text', () => {
    expect([undefined, {}, { User: null }, { User: 'x' }].map(userIn)).toEqual(['', '', '', 'x']);
    expect(() => userIn({ User: 1000 })).toThrow('config.User: 1000 is not a string');
  });
});

describe('userOf', () => {
  it.each([
    ['', { uid: 0, gid: 0, additionalGids: [0, 10] }],
    ['root', { uid: 0, gid: 0, additionalGids: [0, 10] }],
    ['node', { uid: 1000, gid: 1001, additionalGids: [1001, 10, 44] }],
    ['1000', { uid: 1000, gid: 1001, additionalGids: [1001, 10, 44] }],
    ['1234', { uid: 1234, gid: 0, additionalGids: [0] }],
    // A number is an id, also where a user has it as a name.
    ['5000', { uid: 5000, gid: 0, additionalGids: [0] }],
    ['node:', { uid: 1000, gid: 1001, additionalGids: [1001, 10, 44] }],
    // A group that is given is the only one.
    ['node:video', { uid: 1000, gid: 44, additionalGids: [44] }],
    ['1234:5678', { uid: 1234, gid: 5678, additionalGids: [5678] }],
    ['daemon:10', { uid: 1, gid: 10, additionalGids: [10] }],
  ])('%j', (text, user) => {
    expect({ ...userOf(text, accounts, groups) }).toEqual(
      expect.objectContaining({ uid: user.uid, gid: user.gid }),
    );
    const { additionalGids } = userOf(text, accounts, groups);
    expect(new Set(additionalGids)).toEqual(new Set(user.additionalGids));
    expect(additionalGids[0]).toBe(user.gid);
  });

  it.each(['nobody', 'node:nogroup', ':1', 'a:b:c', 'huge', '99999999999', '-1'])(
    'refuses %j',
    (text) => {
      expect(() => userOf(text, accounts, groups)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }),
      );
    },
  );
});

describe('files of the root', () => {
  it('are those inside, wherever symlinks point', async () => {
    await withScratch(async (scratch) => {
      const root = path.join(scratch, 'root');
      await mkdir(path.join(root, 'real'), { recursive: true });
      await writeFile(path.join(scratch, 'passwd'), 'evil:x:666:666::/:\n');
      await writeFile(path.join(root, 'real/passwd'), 'good:x:5:6::/:\n');
      await symlink('/real/../../../../real', path.join(root, 'etc'));
      expect(await resolveUser(root, 'good')).toEqual({ uid: 5, gid: 6, additionalGids: [6] });
      await symlink('../../passwd', path.join(root, 'real/outside'));
      await symlink(path.join(scratch, 'passwd'), path.join(root, 'real/absolute'));
      await symlink('loop', path.join(root, 'real/loop'));
      for (const name of ['outside', 'absolute', 'loop', 'missing', '', 'passwd/x']) {
        expect(await readRootedFile(root, `etc/${name}`)).toBeUndefined();
      }
    });
  });
});

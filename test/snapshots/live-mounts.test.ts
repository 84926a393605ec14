// Who has a directory mounted, seen from another mount namespace.

import { mkdir, rename } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { liveMounts } from '../../src/snapshots/index.js';
import { withMount } from '../support/mount.js';
import { withScratch } from '../support/scratch.js';

describe.skipIf(process.geteuid?.() !== 0)('live mounts', () => {
  it('are of the directories of an overlay, and of no other that is gone', async () => {
    await withScratch(async (scratch) => {
      const [lower = '', bottom = '', target = ''] = ['lower', 'bottom', 'target'].map((name) =>
        path.join(scratch, name),
      );
      await Promise.all([lower, bottom, target].map((directory) => mkdir(directory)));
      const options = [`lowerdir=${lower}:${bottom}`];
      await withMount({ type: 'overlay', source: 'overlay', options }, target, async () => {
        expect((await liveMounts([bottom])).get(bottom)).toMatchObject([{ target }]);
        await rename(lower, path.join(scratch, 'away'));
        // Neither can be looked at any more: that does not make them the same.
        expect([...(await liveMounts([path.join(scratch, 'gone')])).keys()]).toEqual([]);
      });
    });
  });
});

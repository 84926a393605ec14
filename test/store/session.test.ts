// Sessions: what is there when a full disk has let none be made.

import { rmSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { Database } from '../../src/metadata/index.js';
import { Session } from '../../src/store/session.js';
import { withScratch } from '../support/scratch.js';

it('sweeps nothing where their directory could not be made', () =>
  withScratch(async (root) => {
    const database = Database.open(root, { durability: 'none' });
    const session = await Session.open(root);
    rmSync(path.join(root, 'sessions'), { recursive: true });
    expect(await session.sweep(database)).toBe(0);
    await session.close();
    await database.close();
  }));

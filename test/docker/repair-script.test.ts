// The script that has Docker load images again, run with a docker that only writes down what it is told.

import { execFile } from 'node:child_process';
import { chmod, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { dockerRepairScript } from '../../src/docker/repair-script.js';
import type { DockerImage } from '../../src/docker/store.js';
import type { DockerVerification } from '../../src/docker/verify.js';
import { withScratch } from '../support/scratch.js';

const run = promisify(execFile);

/** Images by their layers; only layer 1 is damaged. */
const images: DockerImage[] = [
  image('sha256:base', ['base:1'], [1]),
  image('sha256:other', ['other:1'], [9]),
  image('sha256:web', ['web:1', 'web:2'], [1, 2], 'sha256:step'),
  image('sha256:left-over', [], [1, 3], 'sha256:step'),
  image('sha256:step', [], [1, 2], 'sha256:base'),
];

describe('the script for layers of which more than marks is damaged', () => {
  it('removes all images that have them, and only then pulls, since Docker keeps a layer that one has', async () => {
    expect(await runScript()).toEqual({
      calls: ['rm sha256:left-over', 'rm base:1', 'rm web:1', 'rm web:2']
        .concat(['pull base:1', 'pull web:1', 'pull web:2'])
        .map((call) => call.replace(/^rm/, 'image rm').replace(/(rm|pull) /, '$1 -- ')),
      said: expect.stringMatching(/^Done/),
    });
  });

  it('pulls the others where one is not to be had, and says so', async () => {
    const { calls, said } = await runScript('missing', 'pull -- web:1');
    expect(calls.slice(-3)).toEqual(['pull -- base:1', 'pull -- web:1', 'pull -- web:2']);
    expect(said).toBe('stopped: could not pull web:1: build, load or pull them again\n');
  });

  it('removes nothing while one of them has a container', async () => {
    expect(await runScript('used', 'ancestor=web:2')).toEqual({
      calls: [],
      said: 'stopped: there are containers of web:2: remove them first\n',
    });
  });
});

function image(id: string, names: string[], layers: number[], parent?: string): DockerImage {
  return { id, names, parent, diffIDs: [], chainIDs: layers.map(String) };
}

/** What docker was told to change, and what the script said last; `fault` happens to calls that end with `call`. */
async function runScript(fault = 'none', call = ''): Promise<{ calls: string[]; said: string }> {
  return withScratch(async (scratch) => {
    const [script, docker, log] = ['script', 'docker', 'log'].map((name) =>
      path.join(scratch, name),
    ) as [string, string, string];
    const audit = { directory: '/none', chainID: '1', snapshot: 's', moreFindings: 0 };
    const finding = { kind: 'zero-length', path: 'f' };
    await writeFile(
      script,
      await dockerRepairScript({
        report: {
          root: '/none',
          kind: 'docker',
          snapshots: [{ ...audit, findings: [finding] }],
          damagedBlobs: [],
        },
        images,
        times: new Map(),
      } as unknown as DockerVerification),
    );
    await writeFile(
      docker,
      `#!/bin/sh
case "$*" in ('image inspect'*) exit ;; (ps*) ;; (*) echo "$*" >> ${log} ;; esac
case "${fault} $*" in ('missing '*'${call}') exit 1 ;; ('used ps'*'${call}') echo container ;; esac
`,
    );
    await writeFile(log, '');
    await chmod(docker, 0o755);
    const said = await run('sh', [script], { env: { ...process.env, DOCKER: docker } }).then(
      ({ stdout }) => stdout,
      ({ stderr }: { stderr: string }) => stderr,
    );
    return { calls: (await readFile(log, 'utf8')).split('\n').filter(Boolean), said };
  });
}

// A real Docker daemon with a root of its own: no bridge, no iptables, nothing of the host's touched.

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { runProcess, which } from '../../src/bench/process.js';
import { isRoot } from './ids.js';
import { withScratch } from './scratch.js';

/** Why there is no Docker to test with; undefined where there is one. */
export const noDocker: string | undefined = !isRoot
  ? 'only root can run dockerd'
  : ['dockerd', 'docker', 'skopeo'].find((name) => which(name) === undefined) === undefined
    ? undefined
    : 'docker.io or skopeo is not installed';

/** A running daemon. */
export class TestDocker {
  readonly root: string;
  readonly #home: string;

  constructor(home: string) {
    this.#home = home;
    this.root = path.join(home, 'root');
  }

  /** How docker reaches it, for a script. */
  get command(): string {
    return `docker -H unix://${this.#home}/docker.sock`;
  }

  async docker(...args: string[]): Promise<string> {
    const [file = '', ...rest] = this.command.split(' ');
    return (await runProcess(file, [...rest, ...args])).stdout;
  }

  /** Loads a layout's image. */
  async load(layout: string, name: string): Promise<void> {
    const archive = path.join(this.#home, 'load.tar');
    await runProcess('skopeo', [
      'copy',
      '-q',
      `oci:${layout}:latest`,
      `docker-archive:${archive}:${name}`,
    ]);
    await this.docker('load', '-q', '-i', archive);
    await runProcess('rm', [archive]);
  }
}

/** Runs `work` with a daemon. */
export async function withDocker<T>(work: (docker: TestDocker) => Promise<T>): Promise<T> {
  return withScratch(async (home) => {
    const docker = new TestDocker(home);
    await mkdir(docker.root);
    const child = spawn(
      'dockerd',
      [
        ...['--data-root', docker.root, '--exec-root', `${home}/exec`, '--pidfile', `${home}/pid`],
        ...['-H', `unix://${home}/docker.sock`, '--storage-driver', 'overlay2', '--bridge=none'],
        ...['--iptables=false', '--ip6tables=false', '--ip-forward=false', '--log-level=error'],
      ],
      { stdio: ['ignore', 'ignore', 'pipe'] },
    );
    try {
      await ready(docker, child);
      return await work(docker);
    } finally {
      await stop(child);
    }
  });
}

async function ready(docker: TestDocker, child: ChildProcess): Promise<void> {
  let log = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    log += chunk.toString();
  });
  for (let attempt = 0; attempt < 300 && child.exitCode === null; attempt++) {
    const answers = await docker.docker('version').then(
      () => true,
      () => false,
    );
    if (answers) {
      return;
    }
    await sleep(100);
  }
  throw new Error(`dockerd did not start: ${log.slice(-2000)}`);
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) {
    const ended = new Promise((resolve) => {
      child.once('exit', resolve);
    });
    child.kill('SIGTERM');
    await ended;
  }
}

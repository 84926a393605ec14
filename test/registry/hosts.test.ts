import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { hostsFor } from '../../src/registry/hosts.js';
import { withScratch } from '../support/scratch.js';

/** The hosts with these files in a hosts directory. */
function hosts(domain: string, files: Record<string, string>, plainHttp = false) {
  return withScratch(async (directory) => {
    for (const [name, content] of Object.entries(files)) {
      await mkdir(path.dirname(path.join(directory, name)), { recursive: true });
      await writeFile(path.join(directory, name), content);
    }
    return hostsFor(domain, { plainHttp, hostsDirectories: [directory], ca: ['own'] });
  });
}

describe('hosts', () => {
  it('of a domain without a file', async () => {
    expect(await hosts('docker.io', {})).toMatchObject([
      { base: 'https://registry-1.docker.io/v2', capabilities: ['pull', 'resolve'] },
    ]);
    expect(await hosts('h.example:5000', {})).toMatchObject([
      { base: 'https://h.example:5000/v2' },
    ]);
    expect(await hosts('127.0.0.1:5000', {}, true)).toMatchObject([
      { base: 'http://127.0.0.1:5000/v2' },
    ]);
  });

  it.each(['h.example:65536', '256.1.1.1', '[:::]'])('none of %s', async (domain) => {
    await expect(hostsFor(domain, { hostsDirectories: [] })).rejects.toMatchObject({
      code: 'ERR_INVALID_REFERENCE',
    });
  });

  it('mirrors in their order, then the server', async () => {
    const found = await hosts('docker.io', {
      'docker.io/hosts.toml': `
server = "https://registry-1.docker.io"
[host."https://b.example"]
  capabilities = ["pull"]
  ca = "b.pem"
  [host."https://b.example".header]
    x-mirror = ["one", "two"]
[host."http://a.example:5000/path"]
  capabilities = ["pull", "resolve", "push"]
[host."https://c.example/v2/prefix"]
  override_path = true
  skip_verify = true
`,
      'docker.io/b.pem': 'authority of b',
    });
    expect(found).toEqual([
      {
        base: 'https://b.example/v2',
        capabilities: ['pull'],
        namespace: 'docker.io',
        headers: { 'x-mirror': 'one, two' },
        tls: { ca: ['own', 'authority of b'], client: [], skipVerify: false },
      },
      expect.objectContaining({
        base: 'http://a.example:5000/path/v2',
        capabilities: ['pull', 'resolve'],
        namespace: 'docker.io',
      }),
      expect.objectContaining({
        base: 'https://c.example/v2/prefix',
        tls: { ca: ['own'], client: [], skipVerify: true },
      }),
      expect.objectContaining({ base: 'https://registry-1.docker.io/v2', namespace: undefined }),
    ]);
  });

  it('of a domain with a port, and of all others', async () => {
    const files = {
      'h_5000_/hosts.toml': 'server = "http://one"',
      '_default/hosts.toml': 'server = "http://two"',
    };
    expect(await hosts('h:5000', files)).toMatchObject([
      { base: 'http://one/v2', namespace: 'h:5000' },
    ]);
    expect(await hosts('other', files)).toMatchObject([{ base: 'http://two/v2' }]);
  });

  it('certificates beside each other, as Docker has them', async () => {
    const files = { 'h/ca.crt': 'a', 'h/me.cert': 'c', 'h/me.key': 'k' };
    expect(await hosts('h', files)).toMatchObject([
      { base: 'https://h/v2', tls: { ca: ['own', 'a'], client: [{ cert: 'c', key: 'k' }] } },
    ]);
  });

  it.each([
    'server = ',
    'server = 3',
    '[host."https://u:p@h"]',
    '[host."ftp://h"]',
    '[host."https://h"]\ncapabilities = "pull"',
    '[host."https://h"]\nca = 3',
  ])('refuses %j', async (text) => {
    await expect(hosts('h', { 'h/hosts.toml': text })).rejects.toMatchObject({
      code: 'ERR_INVALID_HOSTS',
    });
  });
});

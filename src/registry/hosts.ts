// Which hosts serve the images of a domain, in which order, and how they are spoken to: the domain itself
// (docker.io is registry-1.docker.io), or what containerd's hosts.toml says (containerd docs/hosts.md).

import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { UnpackError } from '../errors.js';
import { parseHostsToml } from './hosts-toml.js';
import type { TlsOptions } from './transport.js';

/** What a host may be asked: for the content of digests, and for what a tag stands for. */
export type Capability = 'pull' | 'resolve';

/** A host that serves a domain's images. */
export interface RegistryHost {
  /** The root of its API without a slash at the end, `https://registry-1.docker.io/v2`. */
  base: string;
  capabilities: readonly Capability[];
  /** The domain whose images are wanted, told to a mirror in the query `ns`. */
  namespace?: string | undefined;
  /** Sent with every request to this host. */
  headers: Readonly<Record<string, string>>;
  tls: TlsOptions;
}

export interface HostOptions {
  /** The domain's own host is spoken to without TLS. */
  plainHttp?: boolean | undefined;
  /** Directories with a directory for each domain, searched in turn. Default containerd's and Docker's. */
  hostsDirectories?: readonly string[] | undefined;
  /** PEM of authorities that are trusted beside the system's. */
  ca?: readonly string[] | undefined;
}

/** Where containerd and Docker look. */
export const defaultHostsDirectories: readonly string[] = [
  '/etc/containerd/certs.d',
  '/etc/docker/certs.d',
];

/**
 * The hosts for `domain`, the one to ask first in front.
 *
 * @throws UnpackError `ERR_INVALID_HOSTS` for a hosts.toml that cannot be read; `ERR_INVALID_REFERENCE` for a domain that
 *   no host can have
 */
export async function hostsFor(
  domain: string,
  { plainHttp = false, hostsDirectories = defaultHostsDirectories, ca = [] }: HostOptions,
): Promise<RegistryHost[]> {
  const name = domain === 'docker.io' ? 'registry-1.docker.io' : domain;
  const own: RegistryHost = {
    base: `${plainHttp ? 'http' : 'https'}://${name}/v2`,
    capabilities: ['pull', 'resolve'],
    headers: {},
    tls: { ca },
  };
  // Names may say more than URLs: a port beyond 65,535, an address with 256 in it.
  if (!URL.canParse(own.base)) {
    const problem = 'is not a host name or address, with a port or without';
    throw new UnpackError('ERR_INVALID_REFERENCE', `${JSON.stringify(domain)} ${problem}`);
  }
  const names = directoriesOf(domain);
  const found = await Promise.all(hostsDirectories.map((root) => present(root, names)));
  for (const [index, root] of hostsDirectories.entries()) {
    for (const directory of found[index]?.map((part) => path.join(root, part)) ?? []) {
      const file = path.join(directory, 'hosts.toml');
      const text = await readIfThere(file);
      if (text !== undefined) {
        return await parseHostsToml(text, file, { domain, own, ca });
      }
      const certificates = await readCertificates(directory);
      if (certificates !== undefined) {
        return [{ ...own, tls: { ...certificates, ca: [...ca, ...(certificates.ca ?? [])] } }];
      }
    }
  }
  return [own];
}

/** Those of `names` that are in a directory, or may be: mostly not even that is there. */
async function present(directory: string, names: string[]): Promise<string[]> {
  try {
    const there = new Set(await readdir(directory));
    return names.filter((name) => there.has(name));
  } catch (error) {
    return isAbsent(error) ? [] : names; // its names may be open to who knows them
  }
}

/** As containerd: `host_port_` before `host:port`, then the one for all others. */
function directoriesOf(domain: string): string[] {
  const port = /^(.+):(\d+)$/.exec(domain);
  return [...(port === null ? [] : [`${port[1]}_${port[2]}_`]), domain, '_default'];
}

/** Docker's files: `*.crt` are authorities, `NAME.cert` and `NAME.key` say who we are. */
async function readCertificates(directory: string): Promise<TlsOptions | undefined> {
  const names = await readdir(directory).catch(() => []);
  const read = (name: string) => readText(path.join(directory, name));
  const ca = await Promise.all(names.filter((name) => name.endsWith('.crt')).map(read));
  const client = await Promise.all(
    names
      .filter((name) => name.endsWith('.cert'))
      .map(async (name) => ({
        cert: await read(name),
        key: await read(name.replace(/cert$/, 'key')),
      })),
  );
  return ca.length + client.length === 0 ? undefined : { ca, client };
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (isAbsent(error)) {
      return undefined;
    }
    throw UnpackError.fromSystem(error, file);
  }
}

function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** Reads a file that must be there. */
export async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw UnpackError.fromSystem(error, file);
  }
}

// containerd's hosts.toml: mirrors of a domain in their order, and the domain's own server last
// (containerd docs/hosts.md; core/remotes/docker/config/hosts.go).

import path from 'node:path';
import type { TomlTable } from 'smol-toml';
import { UnpackError } from '../errors.js';
import { type Capability, type RegistryHost, readText } from './hosts.js';
import type { TlsOptions } from './transport.js';

interface Surroundings {
  domain: string;
  /** The domain's own host, as it is without a file. */
  own: RegistryHost;
  ca: readonly string[];
}

/** @throws UnpackError `ERR_INVALID_HOSTS` */
export async function parseHostsToml(
  text: string,
  file: string,
  { domain, own, ca }: Surroundings,
): Promise<RegistryHost[]> {
  const { parse } = await import('smol-toml'); // few hosts have such a file
  let root: TomlTable;
  try {
    root = parse(text);
  } catch (cause) {
    const problem = (cause as Error).message.split('\n', 1)[0] ?? '';
    throw invalid(file, problem, cause);
  }
  const hosts: RegistryHost[] = [];
  const tables = isTable(root.host) ? root.host : {};
  for (const [name, table] of Object.entries(tables)) {
    if (!isTable(table)) {
      throw invalid(file, `host.${JSON.stringify(name)} is not a table`);
    }
    hosts.push(await readHost(table, name, { file, domain, own, ca }));
  }
  const { server } = root;
  if (server !== undefined && (typeof server !== 'string' || server === '')) {
    throw invalid(file, 'server is not a URL');
  }
  // Without a server of its own the file is about the domain's; its upper part says how to speak to it.
  const address = server ?? own.base.replace(/\/v2$/, '');
  hosts.push(await readHost(root, address, { file, domain, own, ca }));
  return hosts;
}

async function readHost(
  table: TomlTable,
  address: string,
  { file, domain, own, ca }: Surroundings & { file: string },
): Promise<RegistryHost> {
  const fail = (problem: string): never => {
    throw invalid(file, `${address}: ${problem}`);
  };
  const text = address.includes('://') ? address : `https://${address}`;
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    return fail('is not a URL');
  }
  if (!/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    fail('is not a URL of http or https without credentials');
  }
  const { capabilities = ['pull', 'resolve'], header = {} } = table;
  if (!Array.isArray(capabilities) || !capabilities.every((one) => typeof one === 'string')) {
    fail('capabilities are not a list of strings');
  }
  const overridePath = table.override_path === true;
  const prefix = url.pathname.replace(/\/+$/, '');
  const base = `${url.origin}${overridePath || prefix.endsWith('/v2') ? prefix : `${prefix}/v2`}`;
  const isOwn = new URL(own.base).host === url.host || url.host === domain;
  if (!isTable(header)) {
    return fail('header is not a table');
  }
  return {
    base,
    capabilities: (capabilities as string[]).filter(
      (one): one is Capability => one === 'pull' || one === 'resolve',
    ),
    namespace: isOwn ? undefined : domain,
    headers: Object.fromEntries(
      Object.entries(header).map(([name, value]) => [
        name.toLowerCase(),
        [value].flat().map(String).join(', '),
      ]),
    ),
    tls: await readTls(table, path.dirname(file), ca, fail),
  };
}

async function readTls(
  table: TomlTable,
  directory: string,
  common: readonly string[],
  fail: (problem: string) => never,
): Promise<TlsOptions> {
  const read = (file: unknown) =>
    typeof file === 'string' ? readText(path.resolve(directory, file)) : fail('names no file');
  const ca = await Promise.all([table.ca ?? []].flat().map(read));
  // `"both.pem"`, `["both.pem"]`, or `[["cert.pem", "key.pem"]]`.
  const client = await Promise.all(
    [table.client ?? []].flat().map(async (one) => {
      const [cert, key] = Array.isArray(one) ? one : [one, one];
      return { cert: await read(cert), key: await read(key === '' ? cert : (key ?? cert)) };
    }),
  );
  return { ca: [...common, ...ca], client, skipVerify: table.skip_verify === true };
}

function isTable(value: unknown): value is TomlTable {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date)
  );
}

function invalid(file: string, problem: string, cause?: unknown): UnpackError {
  return new UnpackError('ERR_INVALID_HOSTS', `${file}: ${problem}`, { path: file, cause });
}

// config.json of a bundle: the parts of the runtime-spec that are written here, made from an image's config (image-spec
// conversion.md).

import { UnpackError } from '../errors.js';
import type { ImageConfig } from '../oci/index.js';
import { defaultCapabilities, defaultPath, defaultSpec, makeRootless } from './default-spec.js';
import type { ProcessUser } from './user.js';

export interface RuntimeMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

interface IDMapping {
  containerID: number;
  hostID: number;
  size: number;
}

/** A config.json. */
export interface RuntimeSpec {
  ociVersion: string;
  process: {
    terminal: boolean;
    user: { uid: number; gid: number; additionalGids?: number[] };
    args: string[];
    env: string[];
    cwd: string;
    capabilities: Record<'bounding' | 'effective' | 'permitted', string[]>;
    rlimits: { type: string; hard: number; soft: number }[];
    noNewPrivileges: boolean;
  };
  root: { path: string; readonly: boolean };
  hostname: string;
  mounts: RuntimeMount[];
  annotations: Record<string, string>;
  linux: {
    resources?: { devices: { allow: boolean; access: string }[] };
    cgroupsPath?: string;
    namespaces: { type: string }[];
    uidMappings?: IDMapping[];
    gidMappings?: IDMapping[];
    maskedPaths: string[];
    readonlyPaths: string[];
  };
}

/** What a user may say about the process; the image's config says the rest. */
export interface ProcessOptions {
  /** Instead of the image's command; its entrypoint stays unless `entrypoint` is given. */
  args?: readonly string[] | undefined;
  /** Instead of the image's entrypoint; empty for none. The image's command is dropped with it. */
  entrypoint?: readonly string[] | undefined;
  /** `NAME=VALUE`, over those of the image; `NAME` takes it from this process. */
  env?: readonly string[] | undefined;
  /** Working directory, absolute. */
  cwd?: string | undefined;
  /** `user[:group]`, names of the image or numbers. */
  user?: string | undefined;
  /** The process gets a terminal. Default false. */
  terminal?: boolean | undefined;
  hostname?: string | undefined;
  /** The root file system is read-only. Default false. */
  readonly?: boolean | undefined;
  /** `none`: an own network with loopback alone; `host`: the host's. Default `none`; always `host` when not root. */
  network?: 'none' | 'host' | undefined;
  /** The process gets no more rights by set-user-ID programs and file capabilities. Default false. */
  noNewPrivileges?: boolean | undefined;
}

/** What a spec is made of. */
export interface SpecSource {
  id: string;
  namespace: string;
  image: ImageConfig;
  /** Absolute, or relative to the bundle. */
  rootfs: string;
  user: ProcessUser;
  /** The effective ids of the caller, where that is not root. */
  rootless?: { uid: number; gid: number } | undefined;
}

/**
 * Makes config.json.
 *
 * @throws UnpackError `ERR_INVALID_ARGUMENT` where there is nothing to run, or an option is malformed
 */
export function makeSpec(source: SpecSource, options: ProcessOptions = {}): RuntimeSpec {
  const { id, namespace, image, rootfs, user, rootless } = source;
  const run = image.config ?? {};
  const terminal = options.terminal ?? false;
  const spec: RuntimeSpec = {
    ...defaultSpec(),
    process: {
      terminal,
      user,
      args: argsOf(run, options),
      env: envOf(run, options, terminal),
      cwd: cwdOf(options.cwd ?? textOf(run.WorkingDir)),
      capabilities: {
        bounding: [...defaultCapabilities],
        effective: [...defaultCapabilities],
        permitted: [...defaultCapabilities],
      },
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: 1024, soft: 1024 }],
      noNewPrivileges: options.noNewPrivileges ?? false,
    },
    root: { path: rootfs, readonly: options.readonly ?? false },
    hostname: options.hostname ?? id.slice(0, 63),
    annotations: annotationsOf(image),
  };
  spec.linux.cgroupsPath = `/${namespace}/${id}`;
  if (rootless !== undefined) {
    makeRootless(spec, rootless);
  }
  if (options.network === 'host' || rootless !== undefined) {
    shareNetwork(spec);
  }
  return spec;
}

/** The host's network, with the files by which it is used. */
function shareNetwork(spec: RuntimeSpec): void {
  spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'network');
  for (const file of ['/etc/resolv.conf', '/etc/hosts']) {
    spec.mounts.push({
      destination: file,
      type: 'bind',
      source: file,
      options: ['rbind', 'ro', 'nosuid', 'noexec', 'nodev'],
    });
  }
}

function argsOf(run: Record<string, unknown>, options: ProcessOptions): string[] {
  const entrypoint = options.entrypoint ?? textsOf(run.Entrypoint);
  const given = options.args !== undefined && options.args.length > 0 ? options.args : undefined;
  const cmd = given ?? (options.entrypoint === undefined ? textsOf(run.Cmd) : []);
  const args = [...entrypoint, ...cmd];
  if (args.length === 0) {
    throw new UnpackError(
      'ERR_INVALID_ARGUMENT',
      'the image has neither entrypoint nor command: say what to run',
    );
  }
  return args;
}

function envOf(run: Record<string, unknown>, options: ProcessOptions, terminal: boolean): string[] {
  const env = new Map<string, string>([['PATH', defaultPath]]);
  if (terminal) {
    env.set('TERM', 'xterm');
  }
  for (const text of textsOf(run.Env)) {
    const at = text.indexOf('=');
    env.set(at < 0 ? text : text.slice(0, at), at < 0 ? '' : text.slice(at + 1));
  }
  for (const text of options.env ?? []) {
    const at = text.indexOf('=');
    const name = at < 0 ? text : text.slice(0, at);
    if (name === '' || text.includes('\0')) {
      throw new UnpackError(
        'ERR_INVALID_ARGUMENT',
        `env ${JSON.stringify(text)}: is not NAME=VALUE`,
      );
    }
    const value = at < 0 ? process.env[name] : text.slice(at + 1);
    if (value !== undefined) {
      env.set(name, value);
    }
  }
  return Array.from(env, ([name, value]) => `${name}=${value}`);
}

function cwdOf(cwd: string): string {
  if (cwd === '') {
    return '/';
  }
  if (!cwd.startsWith('/')) {
    throw new UnpackError('ERR_INVALID_ARGUMENT', `cwd ${JSON.stringify(cwd)}: is not absolute`);
  }
  return cwd;
}

/** conversion.md, "Annotation Fields": labels win over what is made of other fields. */
function annotationsOf(image: ImageConfig): Record<string, string> {
  const run = image.config ?? {};
  const annotations: Record<string, string> = {};
  const prefix = 'org.opencontainers.image.';
  for (const field of ['os', 'architecture', 'variant', 'author', 'created'] as const) {
    const value = image[field];
    if (value !== undefined) {
      annotations[`${prefix}${field}`] = value;
    }
  }
  const stopSignal = textOf(run.StopSignal);
  if (stopSignal !== '') {
    annotations[`${prefix}stopSignal`] = stopSignal;
  }
  const ports = Object.keys((run.ExposedPorts as object | undefined) ?? {});
  if (ports.length > 0) {
    annotations[`${prefix}exposedPorts`] = ports.join(',');
  }
  for (const [name, value] of Object.entries((run.Labels as object | undefined) ?? {})) {
    if (typeof value === 'string' && name !== '') {
      annotations[name] = value;
    }
  }
  return annotations;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function textsOf(value: unknown): string[] {
  if (typeof value === 'string') {
    return value === '' ? [] : [value];
  }
  return Array.isArray(value) ? value.filter((text) => typeof text === 'string') : [];
}

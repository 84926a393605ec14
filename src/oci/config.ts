// Image configs (image-spec config.md; Docker's are the same for what is read here).

import { isDigest } from './digest.js';
import { type JsonReader, parseJson } from './json-reader.js';

/** One step of an image's history. */
export interface HistoryStep {
  created?: string;
  created_by?: string;
  author?: string;
  comment?: string;
  /** True for steps that made no layer. */
  empty_layer?: boolean;
}

/** An image config. */
export interface ImageConfig {
  /** RFC 3339. */
  created?: string;
  author?: string;
  architecture?: string;
  os?: string;
  variant?: string;
  'os.version'?: string;
  /** How to run it: Env, Entrypoint, Cmd, User, Labels and so on; not checked further. */
  config?: Record<string, unknown>;
  rootfs: {
    type: 'layers';
    /** Digests of the uncompressed layers, bottom first. */
    diff_ids: string[];
  };
  history?: HistoryStep[];
}

const textFields = ['created', 'author', 'architecture', 'os', 'variant', 'os.version'] as const;
const stepFields = ['created', 'created_by', 'author', 'comment'] as const;

/**
 * Parses an image config.
 *
 * @param blob names it in errors, e.g. `config sha256:…`.
 * @throws UnpackError `ERR_INVALID_IMAGE`
 */
export function parseConfig(bytes: Uint8Array, blob: string): ImageConfig {
  const json = parseJson(bytes, blob);
  const rootfs = json.object('rootfs');
  if (rootfs.string('type') !== 'layers') {
    rootfs.fail('type', "is not 'layers'");
  }
  // Images without layers leave it out, or write null.
  const diffIDs = rootfs.optionalStrings('diff_ids') ?? [];
  for (const [index, diffID] of diffIDs.entries()) {
    if (!isDigest(diffID)) {
      rootfs.fail(
        `diff_ids[${index}]`,
        `${JSON.stringify(diffID)} is not a sha256 or sha512 digest`,
      );
    }
  }
  const config: ImageConfig = { rootfs: { type: 'layers', diff_ids: diffIDs } };
  copyStrings(json, config, textFields);
  const run = json.optionalObject('config');
  if (run !== undefined) {
    config.config = run.raw;
  }
  const history = json.optionalObjects('history');
  if (history !== undefined) {
    config.history = history.map((entry) => {
      const step: HistoryStep = {};
      copyStrings(entry, step, stepFields);
      if (entry.optionalBoolean('empty_layer') === true) {
        step.empty_layer = true;
      }
      return step;
    });
  }
  return config;
}

function copyStrings<Key extends string>(
  json: JsonReader,
  target: { [key in Key]?: string },
  fields: readonly Key[],
): void {
  for (const field of fields) {
    const value = json.optionalString(field);
    if (value !== undefined && value !== '') {
      target[field] = value;
    }
  }
}

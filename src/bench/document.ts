// Results as files: reading one back, with its form checked so far that the rest can be trusted.

import { readFile } from 'node:fs/promises';
import { UnpackError } from '../index.js';
import type { BenchReport } from './run.js';

/** The version of the form that this program writes and reads. */
export const schema = 2;

/**
 * Reads a file that `bench --json FILE` wrote.
 *
 * @throws UnpackError `ERR_NOT_FOUND`, `ERR_IO`, or `ERR_INVALID_ARGUMENT` for anything else than such a file.
 */
export async function readReport(file: string): Promise<BenchReport> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    throw UnpackError.from(error);
  }
  let value: Partial<BenchReport>;
  try {
    value = JSON.parse(text) as Partial<BenchReport>;
  } catch (error) {
    throw invalid(file, `it is not JSON (${(error as Error).message})`);
  }
  if ((value?.kind as string | undefined) === 'oci-unpack-bench-registry') {
    throw invalid(file, 'it is of bench --registry, of which nothing is compared');
  }
  if (value === null || typeof value !== 'object' || value.kind !== 'oci-unpack-bench') {
    throw invalid(file, 'it was not written by oci-unpack bench --json');
  }
  if (value.schema !== schema) {
    throw invalid(
      file,
      `its form has version ${String(value.schema)}, this program reads version ${schema}`,
    );
  }
  if (!isWhole(value)) {
    throw invalid(file, 'it is incomplete');
  }
  return value;
}

function isWhole(value: Partial<BenchReport>): value is BenchReport {
  const { host, images, date } = value;
  return (
    typeof date === 'string' &&
    typeof host?.cpu === 'string' &&
    typeof host.fileSystem?.type === 'string' &&
    Array.isArray(host.fileSystem.options) &&
    Array.isArray(images) &&
    images.every(
      (image) =>
        typeof image?.manifestDigest === 'string' &&
        typeof image.reference === 'string' &&
        Array.isArray(image.rows) &&
        image.rows.every(
          (row) =>
            typeof row?.id === 'string' &&
            typeof row.title === 'string' &&
            Array.isArray(row.samples) &&
            row.samples.every((sample) => typeof sample?.wall === 'number'),
        ),
    )
  );
}

function invalid(file: string, why: string): UnpackError {
  return new UnpackError('ERR_INVALID_ARGUMENT', `${file}: ${why}`);
}

import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { errorCodes, errorTable, UnpackError } from '../src/errors.js';

describe('the table of codes', () => {
  it('has every code of native/base/error.h', async () => {
    const header = await readFile(new URL('../native/base/error.h', import.meta.url), 'utf8');
    const native = [...header.matchAll(/^\s*X\((ERR_\w+)\)/gm)].map((match) => match[1]);
    expect(native.length).toBeGreaterThan(20);
    expect(errorCodes).toEqual(expect.arrayContaining(native));
  });

  it('is what docs/errors.md says (npx vitest run test/errors.test.ts -u writes it)', async () => {
    await expect(errorsDocument()).toMatchFileSnapshot('../docs/errors.md');
  });
});

describe('UnpackError', () => {
  it('carries only the details that it has', () => {
    const error = new UnpackError('ERR_IO', 'read(a): EIO', { syscall: 'read', errno: 'EIO' });
    expect(error).toBeInstanceOf(Error);
    expect(Object.keys(error)).toEqual(expect.arrayContaining(['code', 'syscall', 'errno']));
    expect('path' in error).toBe(false);
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      code: 'ERR_IO',
      message: 'read(a): EIO',
      syscall: 'read',
      errno: 'EIO',
      fix: errorTable.ERR_IO.fix,
    });
  });

  it('takes what the permission model of Node refuses for what it is', () => {
    const refused = Object.assign(new Error('Access to this API has been restricted'), {
      code: 'ERR_ACCESS_DENIED',
      permission: 'FileSystemWrite',
      resource: '/a',
    });
    const error = UnpackError.from(refused);
    expect(error).toMatchObject({ code: 'ERR_PERMISSION', path: '/a', cause: refused });
    expect(error.message).toContain('restricted');
  });

  it.each([
    ['ENOSPC', 'ERR_NO_SPACE'],
    ['EDQUOT', 'ERR_NO_SPACE'],
    ['EACCES', 'ERR_PERMISSION'],
    ['EPERM', 'ERR_PERMISSION'],
    ['EROFS', 'ERR_PERMISSION'],
    ['ENOENT', 'ERR_NOT_FOUND'],
    ['EMFILE', 'ERR_IO'],
  ])('makes %s of Node %s', (errno, code) => {
    const system = Object.assign(new Error('text'), { code: errno, syscall: 'open', path: '/p' });
    const error = UnpackError.from(system, 'sha256:1');
    expect(error).toMatchObject({ code, errno, syscall: 'open', path: '/p', layer: 'sha256:1' });
    expect(error.message).toBe(`layer sha256:1: open(/p): ${errno}`);
    expect(error.cause).toBe(system);
    expect(UnpackError.fromSystem(system, '/q').message).toBe(`open(/q): ${errno}`);
  });

  it('keeps the code and the details of an error of the addon', () => {
    const native = {
      code: 'ERR_NO_SPACE',
      message: 'write(a/b): ENOSPC',
      syscall: 'write',
      errno: 'ENOSPC',
      path: 'a/b',
    };
    expect(UnpackError.from(native, 'sha256:1')).toMatchObject({
      ...native,
      message: 'layer sha256:1: write(a/b): ENOSPC',
      layer: 'sha256:1',
    });
  });

  it('passes its own through and adds a layer only where there is none', () => {
    const error = new UnpackError('ERR_ABORTED', 'cancelled');
    expect(UnpackError.from(error)).toBe(error);
    const labelled = UnpackError.from(error, 'sha256:1');
    expect(labelled).toMatchObject({ code: 'ERR_ABORTED', layer: 'sha256:1' });
    expect(UnpackError.from(labelled, 'sha256:2')).toBe(labelled);
  });

  it('makes ERR_ABORTED of an AbortError and ERR_INTERNAL of all else', () => {
    const reason = AbortSignal.abort().reason as Error;
    expect(UnpackError.from(reason).code).toBe('ERR_ABORTED');
    for (const thrown of [
      new TypeError('x is not a function'),
      'text',
      null,
      undefined,
      { code: 'toString' },
    ]) {
      expect(UnpackError.from(thrown).code).toBe('ERR_INTERNAL');
    }
    expect(UnpackError.from(new TypeError('boom')).message).toBe('boom');
  });
});

function errorsDocument(): string {
  const sections = Object.entries(errorTable).map(
    ([code, { meaning, fix }]) => `## ${code}\n\n${meaning}\n\n${fix}\n`,
  );
  return `# Errors

Every error of the library is an \`UnpackError\` with a stable \`code\`; \`syscall\`, \`errno\`, \`path\` and \`layer\`
say where it happened, where they are known. The command prints the message, and with \`--json\` all fields.

This page is made from the table in \`src/errors.ts\`.

${sections.join('\n')}`;
}

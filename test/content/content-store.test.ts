import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { blobPath, ContentStore, type ContentStoreOptions } from '../../src/content/index.js';
import { Database } from '../../src/metadata/index.js';
import { digestOf } from '../../src/oci/index.js';
import { withScratch } from '../support/scratch.js';

interface Opened {
  content: ContentStore;
  database: Database;
  root: string;
}

async function withContent<T>(
  work: (opened: Opened) => Promise<T>,
  options: Partial<ContentStoreOptions> = {},
) {
  return withScratch(async (root) => {
    const database = Database.open(root, { durability: 'none' });
    try {
      return await work({
        content: new ContentStore({ root, database, ...options }),
        database,
        root,
      });
    } finally {
      await database.close();
    }
  });
}

const code = (expected: string) => expect.objectContaining({ code: expected });
const ingestNames = (root: string) =>
  existsSync(path.join(root, 'ingest')) ? readdirSync(path.join(root, 'ingest')) : [];

describe('writing a blob', () => {
  it('puts it under its digest, with size and labels in the metadata', () =>
    withContent(async ({ content, root }) => {
      const bytes = randomBytes(3_000_000);
      const digest = digestOf(bytes);
      const writer = await content.writer('layer', { size: bytes.length, digest });
      await writer.write(bytes.subarray(0, 1_000_000));
      expect(writer.status()).toMatchObject({ ref: 'layer', offset: 1_000_000, expected: digest });
      expect(existsSync(blobPath(root, digest))).toBe(false);
      await writer.write(bytes.subarray(1_000_000));
      const info = await writer.commit({ labels: { a: 'b' } });
      expect(info).toMatchObject({ digest, size: bytes.length, labels: { a: 'b' } });
      expect(await content.info(digest)).toEqual(info);
      expect(await content.path(digest)).toBe(
        path.join(root, 'blobs', 'sha256', digest.slice('sha256:'.length)),
      );
      expect(readFileSync(await content.path(digest)).equals(bytes)).toBe(true);
      expect(statSync(await content.path(digest)).mode & 0o777).toBe(0o444);
      expect(ingestNames(root)).toEqual([]);
      expect(content.list().map((blob) => blob.digest)).toEqual([digest]);
      expect(content.list(['labels.a==c'])).toEqual([]);
    }));

  it('works with sha512, given before or only at the end', () =>
    withContent(async ({ content }) => {
      for (const text of ['a', 'b']) {
        const digest = digestOf(text, 'sha512');
        const writer = await content.writer(text, text === 'a' ? { digest } : {});
        await writer.write(Buffer.from(text));
        expect((await writer.commit({ digest })).digest).toBe(digest);
      }
    }));

  it('goes on where it was, having hashed what is there', () =>
    withContent(async ({ content, root }) => {
      const bytes = randomBytes(2_500_000);
      const options = { size: bytes.length, digest: digestOf(bytes) };
      const first = await content.writer('layer', options);
      await first.write(bytes.subarray(0, 2_000_001));
      await first.close();
      await first.close();
      expect(await content.ingests()).toMatchObject([
        { ref: 'layer', offset: 2_000_001, total: bytes.length, expected: options.digest },
      ]);
      const second = await content.writer('layer', options);
      expect(second.offset).toBe(2_000_001);
      await second.write(bytes.subarray(second.offset));
      expect((await second.commit()).digest).toBe(options.digest);
      expect(ingestNames(root)).toEqual([]);
    }));

  it('forgets what is there when it belongs to other content', () =>
    withContent(async ({ content }) => {
      const first = await content.writer('layer', { digest: digestOf('abc') });
      await first.write(Buffer.from('ab'));
      await first.close();
      const second = await content.writer('layer', { digest: digestOf('xyz') });
      expect(second.offset).toBe(0);
      await second.write(Buffer.from('xyz'));
      await second.close();
      const third = await content.writer('layer', { size: 2 });
      expect(third.offset).toBe(0);
      await third.abort();
    }));

  it.each([
    ['digest', { digest: digestOf('abd') }, 'ERR_DIGEST_MISMATCH'],
    ['size', { size: 4 }, 'ERR_SIZE_MISMATCH'],
  ])('refuses another %s and leaves nothing', (_, options, expected) =>
    withContent(async ({ content, database, root }) => {
      const writer = await content.writer('layer', options);
      await writer.write(Buffer.from('abc'));
      await expect(writer.commit()).rejects.toEqual(code(expected));
      expect(ingestNames(root)).toEqual([]);
      expect(readdirSync(root)).not.toContain('blobs');
      expect(database.view((tx) => tx.content.digests())).toEqual([]);
      await expect(writer.write(Buffer.from('x'))).rejects.toEqual(code('ERR_INVALID_ARGUMENT'));
    }),
  );

  it('refuses more bytes than the size at once', () =>
    withContent(async ({ content, root }) => {
      const writer = await content.writer('layer', { size: 4 });
      await writer.write(Buffer.from('abc'));
      await expect(writer.write(Buffer.from('de'))).rejects.toEqual(code('ERR_SIZE_MISMATCH'));
      expect(ingestNames(root)).toEqual([]);
    }));

  it('lets one writer have a ref', () =>
    withContent(async ({ content, root }) => {
      const writer = await content.writer('layer');
      await writer.write(Buffer.from('abc'));
      await expect(content.writer('layer')).rejects.toEqual(code('ERR_STORE_BUSY'));
      await expect(content.abort('layer')).rejects.toEqual(code('ERR_STORE_BUSY'));
      const other = await content.writer('other');
      await writer.close();
      expect(await content.abort('layer')).toBe(true);
      expect(await content.abort('layer')).toBe(false);
      await other.abort();
      expect(ingestNames(root)).toEqual([]);
    }));

  it('keeps the blob that is there, with the labels of both', () =>
    withContent(async ({ content }) => {
      const digest = digestOf('abc');
      const writers = await Promise.all([content.writer('a'), content.writer('b')]);
      for (const writer of writers) {
        await writer.write(Buffer.from('abc'));
      }
      await writers[0].commit({ labels: { a: '1', x: '1' } });
      const inode = statSync(await content.path(digest)).ino;
      const info = await writers[1].commit({ labels: { b: '2', x: null } });
      expect(info.labels).toEqual({ a: '1', b: '2' });
      expect(statSync(await content.path(digest)).ino).toBe(inode);
      await expect(content.writer('c', { digest })).rejects.toEqual(code('ERR_STORE_EXISTS'));
    }));

  it('takes any ref, and refuses what is none', () =>
    withContent(async ({ content, root }) => {
      for (const ref of ['../../etc/passwd', 'a/b', '.', 'é'.repeat(100), "'"]) {
        await content.ingest(ref, [Buffer.from(ref)]);
      }
      expect(content.list().length).toBe(5);
      expect(readdirSync(root).sort()).toEqual(['blobs', 'ingest', 'metadata']);
      for (const ref of ['', 'a\0b', 'x'.repeat(1000), '\ud800']) {
        await expect(content.writer(ref)).rejects.toEqual(code('ERR_INVALID_ARGUMENT'));
      }
      for (const digest of ['sha256:../../etc', 'md5:abc', '']) {
        await expect(content.find(digest)).rejects.toEqual(code('ERR_INVALID_ARGUMENT'));
      }
    }));
});

describe('ingest', () => {
  it('does not read the source of a blob that is there, and gives it labels and a lease', () =>
    withContent(async ({ content, database }) => {
      database.update((tx) => tx.leases.create({ id: 'l' }));
      const digest = digestOf('abc');
      await content.ingest('a', [Buffer.from('abc')], { digest, size: 3 });
      const info = await content.ingest('b', () => expect.unreachable(), {
        digest,
        size: 3,
        labels: { a: 'b' },
        lease: 'l',
      });
      expect(info.labels).toEqual({ a: 'b' });
      expect(database.view((tx) => tx.leases.resources('l'))).toEqual([
        { type: 'content', id: digest },
      ]);
      await expect(content.ingest('b', [], { digest, size: 4 })).rejects.toEqual(
        code('ERR_SIZE_MISMATCH'),
      );
    }));

  it('goes on with what a killed one left, and begins anew when that is damaged', () =>
    withContent(async ({ content, root }) => {
      const bytes = randomBytes(2_000_000);
      const file = path.join(root, 'source');
      writeFileSync(file, Buffer.concat([Buffer.from('head'), bytes, Buffer.from('tail')]));
      const options = { digest: digestOf(bytes), size: bytes.length };
      for (const damaged of [false, true]) {
        const writer = await content.writer('a', options);
        await writer.write(damaged ? Buffer.alloc(1_200_000) : bytes.subarray(0, 1_200_000));
        await writer.close();
        const offsets: number[] = [];
        const info = await content.ingestFile(
          'a',
          { path: file, offset: 4, length: bytes.length },
          { ...options, onProgress: (offset) => offsets.push(offset) },
        );
        expect(info.size).toBe(bytes.length);
        expect(offsets[0]).toBe(2_000_000);
        expect(offsets.length).toBe(damaged ? 3 : 1);
        await content.delete(info.digest);
      }
    }));

  it('lets two calls for the same blob share one write', () =>
    withContent(async ({ content }) => {
      let reads = 0;
      const source = async function* () {
        reads++;
        for (let n = 0; n < 5; n++) {
          await new Promise((resolve) => setTimeout(resolve, 10));
          yield Buffer.from('abc');
        }
      };
      const options = { digest: digestOf('abc'.repeat(5)), size: 15 };
      const infos = await Promise.all([1, 2, 3].map(() => content.ingest('a', source, options)));
      expect(reads).toBe(1);
      expect(infos.map((info) => info.digest)).toEqual(infos.map(() => options.digest));
    }));

  it('leaves nothing when it is cancelled or its source fails', () =>
    withContent(async ({ content, root }) => {
      const abort = new AbortController();
      const endless = async function* () {
        for (let n = 0; ; n++) {
          if (n === 3) {
            abort.abort();
          }
          yield Buffer.from('abc');
        }
      };
      await expect(content.ingest('a', endless, { signal: abort.signal })).rejects.toEqual(
        code('ERR_ABORTED'),
      );
      const failing = function* () {
        yield Buffer.from('abc');
        throw Object.assign(new Error('read'), { code: 'EIO', syscall: 'read' });
      };
      await expect(content.ingest('a', failing())).rejects.toEqual(code('ERR_IO'));
      await expect(content.ingestFile('a', { path: path.join(root, 'nothing') })).rejects.toEqual(
        code('ERR_NOT_FOUND'),
      );
      expect(ingestNames(root)).toEqual([]);
      expect(content.list()).toEqual([]);
    }));

  it('knows an empty blob', () =>
    withContent(async ({ content }) => {
      const info = await content.ingest('a', [], { size: 0, digest: digestOf('') });
      expect(info.size).toBe(0);
      expect(await content.readBlob({ mediaType: 'a/b', digest: info.digest, size: 0 })).toEqual(
        Buffer.alloc(0),
      );
    }));
});

describe('reading', () => {
  const descriptor = { mediaType: 'a/b', digest: digestOf('abc'), size: 3 };

  it('checks size and digest', () =>
    withContent(async ({ content, root }) => {
      await expect(content.readBlob(descriptor)).rejects.toEqual(code('ERR_BLOB_NOT_FOUND'));
      await content.ingest('a', [Buffer.from('abc')]);
      expect((await content.readBlob(descriptor)).toString()).toBe('abc');
      expect(await content.locateBlob(descriptor)).toEqual({
        path: blobPath(root, descriptor.digest),
        offset: 0,
        length: 3,
      });
      await expect(content.locateBlob({ ...descriptor, size: 4 })).rejects.toEqual(
        code('ERR_SIZE_MISMATCH'),
      );
      writeFileSync(blobPath(root, descriptor.digest), 'abd');
      await expect(content.readBlob(descriptor)).rejects.toEqual(code('ERR_DIGEST_MISMATCH'));
    }));

  it('reads another directory beside its own, and never writes it', () =>
    withScratch(async (source) => {
      mkdirSync(path.join(source, 'blobs', 'sha256'), { recursive: true });
      writeFileSync(blobPath(source, descriptor.digest), 'abc');
      await withContent(
        async ({ content, root, database }) => {
          expect((await content.readBlob(descriptor)).toString()).toBe('abc');
          expect(await content.path(descriptor.digest)).toBe(blobPath(source, descriptor.digest));
          expect(await content.find(descriptor.digest)).toMatchObject({ size: 3, labels: {} });
          expect(content.list()).toEqual([]);
          await expect(content.writer('a', { digest: descriptor.digest })).rejects.toEqual(
            code('ERR_STORE_EXISTS'),
          );
          await content.ingest('a', () => expect.unreachable(), {
            digest: descriptor.digest,
            labels: { a: 'b' },
          });
          await content.update(descriptor.digest, { c: 'd' });
          expect((await content.info(descriptor.digest)).labels).toEqual({ a: 'b', c: 'd' });
          expect(existsSync(blobPath(root, descriptor.digest))).toBe(false);
          await content.delete(descriptor.digest);
          await content.cleanup({ ingestAge: 0 });
          expect(database.view((tx) => tx.content.digests())).toEqual([]);
          expect(readFileSync(blobPath(source, descriptor.digest), 'utf8')).toBe('abc');
        },
        { sources: [source] },
      );
    }));
});

describe('removing', () => {
  it('deletes record and file', () =>
    withContent(async ({ content, root }) => {
      const { digest } = await content.ingest('a', [Buffer.from('abc')]);
      await content.delete(digest);
      expect(existsSync(blobPath(root, digest))).toBe(false);
      await expect(content.delete(digest)).rejects.toEqual(code('ERR_STORE_NOT_FOUND'));
      await expect(content.info(digest)).rejects.toEqual(code('ERR_STORE_NOT_FOUND'));
      await expect(content.update(digest, {})).rejects.toEqual(code('ERR_STORE_NOT_FOUND'));
    }));

  it('cleans up files without a record and ingests without an owner, but no others', () =>
    withContent(async ({ content, database, root }) => {
      const kept = await content.ingest('a', [Buffer.from('abc')]);
      const lost = await content.ingest('b', [Buffer.from('lost')]);
      database.update((tx) => {
        tx.content.delete(lost.digest);
        tx.leases.create({ id: 'l', resources: [{ type: 'ingests', id: 'leased' }] });
        const old = { id: 'old', expiresAt: 5, resources: [{ type: 'ingests', id: 'dead' }] };
        tx.leases.create({ ...old, expiresAt: tx.now + 3_600_000 });
        tx.leases.update('old', { expiresAt: 5 });
      });
      expect(await content.find(lost.digest)).toBeUndefined();
      expect(await content.path(kept.digest)).toBe(blobPath(root, kept.digest));
      const active = await content.writer('active');
      for (const ref of ['leased', 'dead']) {
        const writer = await content.writer(ref);
        await writer.write(Buffer.from('x'));
        await writer.close();
      }
      mkdirSync(path.join(root, 'ingest', 'f'.repeat(64))); // killed before its first file
      expect((await content.cleanup()).ingests).toEqual([]);
      writeFileSync(blobPath(root, digestOf('x')), 'orphan');
      expect(await content.cleanup({ ingestAge: 0 })).toEqual({
        blobs: [digestOf('x')],
        bytes: 6,
        ingests: ['dead'],
      });
      expect((await content.ingests()).map((ingest) => ingest.ref)).toEqual(['active', 'leased']);
      expect(ingestNames(root).length).toBe(2);
      await active.abort();
      expect(existsSync(blobPath(root, kept.digest))).toBe(true);
    }));
});

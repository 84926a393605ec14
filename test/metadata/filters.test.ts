import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compileFilters, parseFilter } from '../../src/metadata/filters.js';
import { Database, labelField } from '../../src/metadata/index.js';
import { withScratch } from '../support/scratch.js';

interface Thing {
  name: string;
  labels: Record<string, string>;
}

const fieldOf = (thing: Thing, path: readonly string[]) =>
  path[0] === 'name'
    ? thing.name
    : path[0] === 'labels'
      ? labelField(thing.labels, path)
      : undefined;

const fits = (filters: string | string[], thing: Thing) =>
  compileFilters(typeof filters === 'string' ? [filters] : filters, fieldOf)(thing);

const thing: Thing = {
  name: 'docker.io/library/debian:12',
  labels: {
    plain: 'x',
    'a/b': 'c d',
    empty: '',
    'io.x.y': '1',
    __proto__x: 'p',
    sum: 'a=b',
    9: 'nine',
  },
};

describe('filters', () => {
  it.each([
    ['name==docker.io/library/debian:12', true],
    ['name==docker.io/library/debian', false],
    ['name!=docker.io/library/debian', true],
    ['name!=docker.io/library/debian:12', false],
    ['name~=^docker\\.io/', true],
    ['name~=/debian:[0-9]+$/', true],
    ['name~=|/library/|', true],
    ['name~=/docker.io\\/lib/', true],
    ['name~="library/(debian|ubuntu)"', true],
    ['name~=ubuntu', false],
    ['name', true],
    ['labels.plain', true],
    ['labels.empty', true],
    ['labels.missing', false],
    ['labels.plain==x', true],
    ['labels."plain"=="x"', true],
    ['labels."a/b"=="c d"', true],
    ['labels."a/b"==c', false],
    ['labels.io.x.y==1', true],
    ['labels."io.x.y"==1', true],
    ['labels.missing!=x', true],
    ['labels.missing==""', false],
    ['labels.empty==""', true],
    ['labels.missing~=.*', false],
    ['labels.plain==x,name~=debian', true],
    ['labels.plain==x,name~=ubuntu', false],
    ['labels.plain=="\\x78"', true],
    ['labels.plain=="\\u0078"', true],
    ['labels.toString', false],
    ['labels.__proto__', false],
    ['labels.sum==a=b', true],
    ['labels.sum!=a=b', false],
    ['name~=ubuntu|debian', true],
    ['name~=^docker.io/(library|x)/[^~!=]+$', true],
    ['labels.9==nine', true],
    ['name == docker.io/library/debian:12', true],
    ['labels.plain==x, labels.missing', false],
    [' labels.plain == "x" , name ~= |library| ', true],
    ['other==x', false],
    ['other!=x', true],
    ['', true],
  ])('%s: %s', (filter, expected) => {
    expect(fits(filter, thing)).toBe(expected);
  });

  it('of several one must fit, and none fit all', () => {
    expect(fits(['name==x', 'labels.plain==x'], thing)).toBe(true);
    expect(fits(['name==x', 'labels.plain==y'], thing)).toBe(false);
    expect(fits([], thing)).toBe(true);
    expect(compileFilters(undefined, fieldOf)(thing)).toBe(true);
  });

  it.each([
    'name==',
    'name=x',
    '==x',
    'name==x,',
    ',name==x',
    'name==x y',
    'name=="x',
    'name=="\\q"',
    'name=="\\ud800"',
    'name~="("',
    'name~=|x',
    'labels.',
    'labels."a',
    '.name',
    'name===x',
    'name = x',
    'name== ,name',
    'name x',
  ])('refuses %s, saying where', (filter) => {
    expect(() => fits(filter, thing)).toThrow(
      expect.objectContaining({
        code: 'ERR_INVALID_FILTER',
        message: expect.stringContaining(JSON.stringify(filter)),
      }),
    );
  });

  it('finds any label by any value, quoted', () => {
    const text = fc.string({ unit: 'grapheme' });
    fc.assert(
      fc.property(text, text, text, (label, value, other) => {
        const labelled = { name: 'n', labels: Object.fromEntries([[label, value]]) };
        const path = `labels.${JSON.stringify(label)}`;
        const parsed = parseFilter(`${path}==${JSON.stringify(value)}`);
        expect(parsed).toEqual([{ path: ['labels', label], operator: '==', value }]);
        expect(fits(`${path}==${JSON.stringify(value)}`, labelled)).toBe(true);
        expect(fits(`${path}==${JSON.stringify(other)}`, labelled)).toBe(other === value);
        expect(fits(`${path}!=${JSON.stringify(other)}`, labelled)).toBe(other !== value);
        expect(fits(path, labelled)).toBe(true);
      }),
    );
  });

  it('takes any text or refuses it as a filter, and nothing else', () => {
    const pieces = fc.constantFrom(
      'name',
      'labels',
      '.',
      '"',
      '==',
      '!=',
      '~=',
      ',',
      '|',
      '\\',
      'x',
    );
    const texts = fc.oneof(
      fc.string(),
      fc.array(pieces).map((all) => all.join('')),
    );
    fc.assert(
      fc.property(texts, (filter) => {
        try {
          expect(typeof fits(filter, thing)).toBe('boolean');
        } catch (error) {
          expect(error).toMatchObject({ code: 'ERR_INVALID_FILTER' });
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('the fields of records', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  it.each([
    ['images', 'name==i', 1],
    ['images', `target.digest==${digest}`, 1],
    ['images', 'target.mediatype==a/b', 1],
    ['images', 'target.size', 0],
    ['images', 'annotations.x==y', 1],
    ['images', 'labels.k==v', 1],
    ['images', 'labels.k==w', 0],
    ['content', `digest~=^sha256:a`, 1],
    ['content', 'size==7', 1],
    ['content', 'labels.k', 1],
    ['containers', 'id==c', 1],
    ['containers', 'image==i', 1],
    ['containers', 'snapshotter==native', 1],
    ['containers', 'snapshotkey==s', 1],
    ['containers', 'labels.k!=v', 0],
    ['leases', 'id==l', 1],
    ['leases', 'labels.k==v', 1],
    ['snapshots', 'name==s', 1],
    ['snapshots', 'kind==active', 1],
    ['snapshots', 'parent', 0],
    ['snapshots', 'labels.k==v', 1],
  ] as const)('%s: %s', (kind, filter, count) =>
    withScratch(async (root) => {
      const database = Database.open(root, { durability: 'none' });
      const labels = { k: 'v' };
      database.update((tx) => {
        const target = { mediaType: 'a/b', digest, size: 7, annotations: { x: 'y' } };
        tx.images.create({ name: 'i', target, labels });
        tx.content.create({ digest, size: 7, labels });
        tx.snapshots('native').create({ key: 's', kind: 'active', labels });
        tx.containers.create({
          id: 'c',
          image: 'i',
          snapshotter: 'native',
          snapshotKey: 's',
          labels,
        });
        tx.leases.create({ id: 'l', labels });
        const store = kind === 'snapshots' ? tx.snapshots('native') : tx[kind];
        expect(store.list([filter]).length).toBe(count);
      });
      await database.close();
    }),
  );
});

import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { compareReports, comparisonLines } from '../../src/bench/compare.js';
import { readReport } from '../../src/bench/document.js';
import { runCommand } from '../support/command.js';
import { withScratch } from '../support/scratch.js';
import { around, measuredRow, sampleReport } from './sample-report.js';

/** A result that lacks every field of that name. */
function without(name: string): unknown {
  return JSON.parse(
    JSON.stringify(sampleReport(), (key, value) => (key === name ? undefined : value)),
  );
}

describe('compare', () => {
  test('tells a change from chance', () => {
    const { images, warnings } = compareReports(sampleReport(3000), sampleReport(2400));
    const [image] = images;
    const own = image?.rows.find(({ id }) => id === 'oci-unpack');
    expect(own).toMatchObject({ before: 3000, after: 2400, verdict: 'faster' });
    expect(own?.ratio).toBeCloseTo(0.8, 10);
    expect(own?.floorRatio).toBeCloseTo(0.8, 10);
    expect(own?.chance).toBeCloseTo(2 / 252, 10);
    expect(
      image?.rows.filter(({ id }) => id !== 'oci-unpack').map(({ verdict }) => verdict),
    ).toEqual(['same', 'same', 'same']);
    expect(warnings).toEqual([]);
    const text = comparisonLines({ images, warnings }).join('\n');
    expect(text).toMatch(/^oci-unpack +3\.00 s +2\.40 s +-20\.0% +-20\.0% +0\.008 +faster$/m);
    expect(text.split('\n').filter((line) => line.length > 80)).toEqual([]);
  });

  test('overlapping samples are no change', () => {
    const { images } = compareReports(sampleReport(3000), sampleReport(3015));
    expect(images[0]?.rows[0]?.verdict).toBe('same');
  });

  test('a machine twice as fast leaves the ratio to the floor', () => {
    const after = sampleReport(1500);
    const rows = after.images[0]?.rows ?? [];
    rows[rows.length - 1] = measuredRow('floor', around(1250), { kind: 'floor' });
    const { images } = compareReports(sampleReport(3000), after);
    expect(images[0]?.rows[0]?.floorRatio).toBeCloseTo(1, 10);
    expect(images[0]?.rows[0]?.verdict).toBe('faster');
  });

  test('warns of other hosts, other images and few samples', () => {
    const after = sampleReport();
    after.host.kernel = '7.0.0';
    after.host.fileSystem.type = 'xfs';
    const [image] = after.images;
    if (image) {
      image.manifestDigest = `sha256:${'c'.repeat(64)}`;
      image.rows[0] = measuredRow('oci-unpack', [1, 2, 3]);
    }
    const { warnings } = compareReports(sampleReport(), after);
    expect(warnings.some((warning) => warning.includes('the images differ'))).toBe(true);
    expect(warnings).toContain('another kernel: 6.18.0 and 7.0.0');
    expect(warnings).toContain('another file system: ext4 and xfs');
    expect(warnings.some((warning) => warning.startsWith('only 3 samples'))).toBe(true);
  });
});

test('what only one of the two has is told', () => {
  const [before, after] = [sampleReport(), sampleReport()];
  const [image] = before.images;
  if (image) {
    before.images.push({ ...image, reference: 'oci:gone', manifestDigest: 'sha256:0' });
    image.rows.push(measuredRow('umoci', around(5000), { title: 'umoci raw unpack' }));
    after.images[0]?.rows.push(measuredRow('skopeo', around(5000)));
  }
  const { warnings } = compareReports(before, after);
  expect(warnings).toEqual([
    expect.stringMatching(/^oci:.*: only the first has umoci raw unpack$/),
    expect.stringMatching(/^oci:.*: only the second has skopeo$/),
    'oci:gone: only in the first',
  ]);
});

describe('reading results', () => {
  test.each([
    ['not JSON', '{', /it is not JSON/],
    ['other JSON', '{"a": 1}', /was not written by/],
    ['null', 'null', /was not written by/],
    ['an older form', JSON.stringify({ ...sampleReport(), schema: 1 }), /form has version 1/],
    ['that of pulls', '{"kind": "oci-unpack-bench-registry"}', /of bench --registry/],
    ['no mount options', JSON.stringify(without('options')), /incomplete/],
    ['no title', JSON.stringify(without('title')), /incomplete/],
    ['no rows', JSON.stringify({ ...sampleReport(), images: [{}] }), /incomplete/],
  ])('%s is refused', async (_, text, message) => {
    await withScratch(async (scratch) => {
      const file = path.join(scratch, 'a.json');
      await writeFile(file, text);
      await expect(readReport(file)).rejects.toMatchObject({
        code: 'ERR_INVALID_ARGUMENT',
        message: expect.stringMatching(message),
      });
    });
  });

  test('the command compares files, as text and as JSON', async () => {
    await withScratch(async (scratch) => {
      const [a, b] = ['a.json', 'b.json'].map((name) => path.join(scratch, name)) as [
        string,
        string,
      ];
      await writeFile(a, JSON.stringify(sampleReport(3000)));
      await writeFile(b, JSON.stringify(sampleReport(2000)));
      const text = await runCommand(['bench', 'compare', a, b]);
      expect(text).toMatchObject({ code: 0, stderr: '' });
      expect(text.stdout).toContain('-33.3%');
      const json = await runCommand(['bench', 'compare', a, b, '--json']);
      expect(JSON.parse(json.stdout).images[0].rows[0].verdict).toBe('faster');
      const missing = await runCommand(['bench', 'compare', a, path.join(scratch, 'none')]);
      expect(missing.code).toBe(1);
      expect(missing.stderr).toContain('ERR_NOT_FOUND');
    });
  });
});

// What the bench shows: the table of the terminal and the HTML report.

import { describe, expect, test } from 'vitest';
import { stagesOf } from '../../src/bench/format.js';
import { htmlReport } from '../../src/bench/report/html.js';
import { ticks } from '../../src/bench/report/svg.js';
import { benchLines } from '../../src/bench/text.js';
import { around, measuredRow, sampleReport } from './sample-report.js';

describe('the table', () => {
  const lines = benchLines(sampleReport());
  const text = lines.join('\n');

  test('fits 80 columns', () => {
    // One word alone may be longer: a path, an option.
    expect(lines.filter((line) => line.length > 80 && line.trim().includes(' '))).toEqual([]);
  });

  test('has everybody with the ratio to the floor', () => {
    expect(text).toMatch(/^oci-unpack +3\.00 s +±1% +\S+ +1\.20x +4\.50 s +1\.20x +50M$/m);
    expect(text).toMatch(/^JavaScript \* +24\.0 s .* 9\.60x/m);
    expect(text).toMatch(/^igzip \| GNU tar \*! +3\.30 s/m);
    expect(text).toMatch(/^floor +2\.50 s .* 1\.00x/m);
  });

  test('says what to install, who does less, and what differs', () => {
    const flowing = text.replace(/\n +/g, ' ');
    expect(flowing).toContain('umoci is not installed; to have it: apt-get install umoci');
    expect(flowing).toContain('JavaScript: without xattrs, devices');
    expect(flowing).toContain(
      'igzip | GNU tar: differs in 1 of 1234 paths, such as etc/<b>: is missing',
    );
  });

  test('breaks our own run into its stages', () => {
    expect(text).toMatch(/^ {2}inflate +1\.50 s +25% +█/m);
    expect(text).toMatch(/^ {2}waiting +1\.04 s/m);
    expect(text).toContain('477 MiB/s of tar, 21,811 files/s');
  });

  test('warns of a file system that cannot be timed', () => {
    const report = sampleReport();
    report.host.fileSystem = { type: 'overlay', options: [], warning: 'overlay: not honest' };
    expect(benchLines(report).join('\n')).toContain('warning: overlay: not honest');
    expect(htmlReport(report)).toContain('<p class="warn">overlay: not honest</p>');
    report.host.load = 3.21;
    expect(benchLines(report).join('\n')).toContain('(load 3.2)');
    expect(benchLines(sampleReport()).join('\n')).not.toContain('warning');
  });

  test('says that the starts of Node are faster than those that this user sees', () => {
    const report = sampleReport();
    report.host.extraCertificates = true;
    expect(benchLines(report).join('\n')).toContain('warning: NODE_EXTRA_CA_CERTS is set');
    expect(htmlReport(report)).toContain('<p class="warn">NODE_EXTRA_CA_CERTS is set');
  });
});

test('waiting is what the workers had beyond the stages', () => {
  const row = measuredRow('oci-unpack', [1000], { stages: { write: 500, decode: 700, odd: 100 } });
  expect(stagesOf(row, 2)).toEqual([
    { name: 'inflate', time: 700 },
    { name: 'write', time: 500 },
    { name: 'odd', time: 100 },
    { name: 'waiting', time: 700 },
  ]);
  expect(stagesOf({ ...row, stages: { write: 500, waiting: 20 } }, 2)).toEqual([
    { name: 'write', time: 500 },
    { name: 'waiting', time: 20 },
  ]);
});

describe('the HTML report', () => {
  const html = htmlReport(sampleReport());

  test('has nothing from the network and runs nothing', () => {
    expect(html).not.toMatch(/<(script|link|img|iframe|object|embed|base)\b/i);
    expect(html).not.toMatch(/\b(src|href|xlink:href)=/i);
    expect(html).not.toMatch(/url\(|@import|https?:\/\//i);
  });

  test('escapes what comes from outside', () => {
    expect(html).toContain('a&#60;script&#62;alert(1)&#60;/script&#62;');
    expect(html).toContain('etc/&#60;b&#62;: is missing');
    expect(html).not.toContain('<b>:');
  });

  test('is well-formed', () => {
    const open: string[] = [];
    for (const [, end, name = '', , closed] of html.matchAll(
      /<(\/?)([a-z0-9]+)([^<>]*?)(\/?)>/gi,
    )) {
      if (end) {
        expect(open.pop()).toBe(name);
      } else if (!closed) {
        open.push(name);
      }
    }
    expect(open).toEqual([]);
  });

  test('has a dot for every sample and a bar for every stage', () => {
    const dots = html.match(/<circle/g) ?? [];
    expect(dots).toHaveLength(4 * around(1).length);
    expect(html).toContain('<title>run 5: ');
    for (const stage of ['read', 'inflate', 'hash', 'parse', 'write', 'finish', 'waiting']) {
      expect(html).toMatch(new RegExp(`<rect[^>]*><title>${stage}: [0-9.]+ s</title>`));
    }
    expect(html).not.toMatch(/NaN|undefined|Infinity/);
  });

  test('knows dark and light', () => {
    expect(html).toContain('prefers-color-scheme: dark');
    expect(html).toContain('color-scheme: light dark');
  });
});

describe('ticks of an axis', () => {
  test.each([
    [0, 3.2, false, [0, 1, 2, 3]],
    [0, 0.41, false, [0, 0.1, 0.2, 0.30000000000000004, 0.4]],
    [2.1, 60, true, [5, 10, 20, 50]],
    [0.08, 1.2, true, [0.1, 0.2, 0.5, 1]],
  ])('from %d to %d, logarithmic %s', (least, most, log, expected) => {
    const found = ticks(least, most, log);
    expect(found).toHaveLength(expected.length);
    for (const [index, tick] of found.entries()) {
      expect(tick).toBeCloseTo(expected[index] ?? Number.NaN, 10);
    }
  });
});

// The explanation as lines of at most 80 columns: the image, the three trees and their marks side by side, and the healing.

import { printable, wrap } from '../text.js';
import { explainedLayers, replacedDirectory } from './image.js';
import { isWhole, type OpaqueExplanation } from './opaque.js';
import { markOf, type Way, type WayLayer } from './ways.js';

/** Colours, or none. */
export interface ExplainStyle {
  bold(text: string): string;
  dim(text: string): string;
  red(text: string): string;
  green(text: string): string;
}

const width = 80;
const titleOf: Record<Way['id'], [string, string]> = {
  'through-mount': ['(a) through a mount,', 'as containerd 1.2 did'],
  'old-kernel': ['(b) the same, and a kernel', 'with the bug (emulated)'],
  'oci-unpack': ['(c) by oci-unpack', ''],
};
const columnWidth = 26;

/** The lines. */
export function explanationLines(explanation: OpaqueExplanation, style: ExplainStyle): string[] {
  return [
    style.bold('How a mark on one directory makes files vanish'),
    '',
    ...introduction(explanation),
    '',
    ...imageLines(explanation, style),
    '',
    ...treeLines(explanation, style),
    '',
    ...markLines(explanation, style),
    '',
    ...meaningLines(explanation),
    '',
    ...healingLines(explanation, style),
    '',
    ...closing(explanation, style),
  ];
}

function paragraph(text: string): string[] {
  return wrap(text, width, '');
}

function introduction({ xattr }: OpaqueExplanation): string[] {
  return paragraph(
    `overlayfs shows several directories as one. A directory that carries the xattr ${xattr}=y is opaque: what the ` +
      'layers below have in a directory of that name is hidden. A layer that replaces a directory needs the mark; on a ' +
      'layer that only adds a file to it, the mark hides files that must be seen.',
  );
}

function imageLines({ image }: OpaqueExplanation, style: ExplainStyle): string[] {
  const lines = [style.bold('The image: two layers on a base')];
  for (const { name, made, entries } of image.layers) {
    lines.push(`  ${name.padEnd(8)} ${made}`);
    lines.push(
      ...wrap(`tar: ${entries.join(' ')}`, width - 11, '     ')
        .map(indented(11))
        .map(style.dim),
    );
  }
  return lines;
}

function indented(columns: number): (line: string) => string {
  return (line) => ' '.repeat(columns) + line;
}

/** Lines of three columns; a cell may be painted, which does not count. */
function columns(cells: readonly (readonly [string, ((text: string) => string)?])[]): string {
  return cells
    .map(([text, paint], column) => {
      const padded = column === cells.length - 1 ? text : text.padEnd(columnWidth);
      return paint === undefined ? padded : paint(padded);
    })
    .join(' ')
    .trimEnd();
}

function treeLines({ ways, image }: OpaqueExplanation, style: ExplainStyle): string[] {
  const titles = ways.map(({ id }) => titleOf[id]);
  const all = [...new Set([...image.expected, ...ways.flatMap(({ tree }) => tree)])].sort();
  return [
    style.bold('What a container sees, mounted and listed'),
    columns(titles.map(([first]) => [first])),
    columns(titles.map(([, second]) => [second ? `    ${second}` : ''])),
    columns(titles.map(() => ['-'.repeat(columnWidth - 1)])),
    ...all.map((one) => columns(ways.map((way) => treeCell(way, one, style)))),
  ];
}

function treeCell(
  { tree, missing, extra }: Way,
  path: string,
  style: ExplainStyle,
): readonly [string, ((text: string) => string)?] {
  const parts = path.split('/');
  const name = '  '.repeat(parts.length - 1) + (parts.at(-1) ?? '');
  if (missing.includes(path)) {
    return [`${name}  << MISSING`, style.red];
  }
  if (extra.includes(path)) {
    return [`${name}  << IS BACK`, style.red];
  }
  return [tree.includes(path) ? name : ''];
}

function markLines({ ways, xattr }: OpaqueExplanation, style: ExplainStyle): string[] {
  const lines = [style.bold(`${xattr} of ${replacedDirectory}, as read from each layer`)];
  for (let number = explainedLayers.length - 1; number >= 0; number--) {
    const name = explainedLayers[number]?.name ?? '';
    lines.push(
      columns(
        ways.map(({ layers }) => {
          const layer = layers[number] as WayLayer;
          const mark = markOf(layer);
          const leaked = mark === 'y' && name === 'add';
          const shown = mark === null ? 'none' : `y${leaked ? '  << LEAKED' : ''}`;
          return [`${name.padEnd(9)}${shown}`, leaked ? style.red : undefined];
        }),
      ),
    );
  }
  return lines;
}

function meaningLines({ kernelHasBug, kernel }: OpaqueExplanation): string[] {
  const a = kernelHasBug
    ? `(a) This kernel, ${kernel}, HAS the bug: it copied the mark from the layer "replace" to the layer "add". Update it.`
    : `(a) This kernel, ${kernel}, does not have the bug: it made the directory anew in the layer "add", and left the mark where it was.`;
  return [
    a,
    '(b) Linux before 4.8, and RHEL and CentOS 3.10 before -693, copied all xattrs of the directory, the mark too. Now "add" hides what "replace" has. Nobody is told: the pull succeeds.',
    '(c) No mount is asked. The layer is written to its directory, the mark set where the layer says so, and taken care that it is nowhere else. containerd does so since 1.3.',
  ].flatMap((text) => wrap(text, width, '    '));
}

function healingLines({ verify }: OpaqueExplanation, style: ExplainStyle): string[] {
  const { findings, signatures, hidden, damaged, clean, after } = verify;
  const lines = [style.bold('Found and healed: the damage of (b), done to the store of (c)')];
  const step = (label: string, text: string) => {
    const hanging = ' '.repeat(12);
    lines.push(...wrap(`  ${label.padEnd(10)}${printable(text)}`, width, hanging));
  };
  step('damaged', `${damaged.path} in the layer "add", by setting the mark`);
  for (const { kind, path, detail } of findings) {
    step('verify', `${kind} ${path}: ${detail}`);
  }
  for (const { id, explanation } of signatures) {
    step('cause', `${id}: ${explanation}`);
  }
  step('hidden', hidden.paths.join(' '));
  step(
    '--repair',
    clean ? 'the layer was made again from its blob; verify finds nothing' : 'failed',
  );
  step(
    'mounted',
    isWhole(after) ? 'every file is back' : `still missing: ${after.missing.join(' ')}`,
  );
  return lines;
}

function closing(explanation: OpaqueExplanation, style: ExplainStyle): string[] {
  const { ok, kept, directory, ways } = explanation;
  const lines: string[] = [];
  if (kept) {
    const [, old] = ways;
    const lowers = old.layers.map((layer) => path(layer.directory, directory)).toReversed();
    const userxattr = explanation.userNamespace ? ',userxattr' : '';
    lines.push(
      `Kept in ${printable(directory)}. To look at (b):`,
      `  cd ${printable(directory)}`,
      `  mount -t overlay overlay -o lowerdir=${lowers.join(':')}${userxattr} merged`,
      '',
    );
  }
  lines.push('Your host: oci-unpack doctor. Your images: oci-unpack verify --all.');
  return ok ? lines : [style.red('This did not come out as it must; please report it.'), ...lines];
}

function path(directory: string, below: string): string {
  return directory.startsWith(`${below}/`) ? directory.slice(below.length + 1) : directory;
}

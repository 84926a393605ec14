// Layers of which nothing is known but their directories: what contradicts itself in their marks. A directory that is
// opaque, where a lower one is opaque already, is what the kernel bug leaves behind; but also what a layer leaves that
// replaces the directory once more. A record of the layer's own marks, where there is one, tells the two apart.

import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type EntryFacts, loadBinding } from '../native/index.js';
import { formatCount } from '../text.js';
import { DirectoryStack, type MarkedDirectory } from './directory-stack.js';
import { foreignMarker, type LayerFormat } from './markers.js';
import { signaturesOf } from './signatures.js';
import type { Finding, FindingKind, SnapshotAudit } from './types.js';

/** A layer's directory. */
export interface AuditStructureLayer {
  /** Number of the layer in its image, bottom 0. */
  layer: number;
  chainID: string;
  snapshot: string;
  directory: string;
  format: LayerFormat;
}

export interface AuditStructureOptions {
  /** Hidden paths that are listed of each snapshot; all are counted. Default 100. */
  mostPaths?: number | undefined;
}

/** A layer's directory as it was read. */
interface Scan extends MarkedDirectory {
  entries: number;
  files: number;
  foreign: { path: string; marker: string; found: EntryFacts }[];
  facts: ReadonlyMap<string, EntryFacts>;
}

/** More entries than any layer has. */
const mostEntries = 50_000_000;
/** Hidden paths of one finding that are counted. */
const mostHidden = 1_000_000;

/** Audits the top of each chain; a chain is bottom first. Each directory is read once. */
export async function auditStructure(
  chains: readonly (readonly AuditStructureLayer[])[],
  options: AuditStructureOptions = {},
): Promise<SnapshotAudit[]> {
  const scans = new Map<string, Scan>();
  const audits: SnapshotAudit[] = [];
  for (const chain of chains) {
    for (const { directory, format } of chain) {
      if (!scans.has(directory)) {
        scans.set(directory, await scan(directory, format));
      }
    }
    const stack = chain.map(({ directory }) => scans.get(directory) as Scan);
    const top = chain.at(-1);
    if (top !== undefined) {
      audits.push(auditTop(top, stack, options.mostPaths ?? 100));
    }
  }
  return audits;
}

/** Reads every mark below a directory: all that a tree of nothing does not have. */
async function scan(directory: string, format: LayerFormat): Promise<Scan> {
  const binding = loadBinding();
  const empty = await mkdtemp(path.join(tmpdir(), 'oci-unpack-empty-'));
  try {
    const tree = await binding.scanTree(empty);
    try {
      const job = binding.auditTree({
        tree,
        directory,
        format,
        content: false,
        threads: 2,
        mostDifferences: mostEntries,
      });
      const { entries, files, differences } = await job.done;
      const facts = new Map<string, EntryFacts>();
      for (const { path: at, found } of differences) {
        if (found !== null && isMarked(found)) {
          facts.set(at, found);
        }
      }
      const paths = (fits: (one: EntryFacts) => boolean) =>
        new Set([...facts].filter(([, one]) => fits(one)).map(([at]) => at));
      return {
        directory,
        entries,
        files,
        facts,
        opaque: paths((one) => one.opaque === true),
        whiteouts: paths((one) => one.type === 'whiteout'),
        foreign: [...facts].flatMap(([at, found]) => {
          const name = Object.keys(found.xattrs).find((one) => foreignMarker(one, format));
          return name === undefined ? [] : [{ path: at, marker: name, found }];
        }),
      };
    } finally {
      binding.closeTree(tree);
    }
  } finally {
    await rmdir(empty);
  }
}

function isMarked({ type, opaque, xattrs }: EntryFacts): boolean {
  return (
    type === 'whiteout' ||
    opaque === true ||
    Object.keys(xattrs).some((name) => name.includes('.overlay.'))
  );
}

function auditTop(top: AuditStructureLayer, scans: readonly Scan[], most: number): SnapshotAudit {
  const { layer, chainID, snapshot, directory } = top;
  const own = scans.at(-1) as Scan;
  const number = scans.length - 1;
  const stack = new DirectoryStack(scans);
  const findings: Finding[] = [];
  const hidden = new Set<string>();
  const add = (kind: FindingKind, at: string, detail: string) => {
    const found = own.facts.get(at) ?? null;
    const place = { layer, chainID, snapshot, directory };
    findings.push({ kind, path: at, ...place, detail, expected: null, found });
  };
  for (const at of [...own.opaque].filter((one) => one !== '').sort()) {
    const lowers = stack.directories(at, number);
    const source = lowers.find((one) => scans[one]?.opaque.has(at));
    const lost = source === undefined ? [] : hiddenBy(own, stack, at, number);
    // Inside of a directory that is opaque itself it changes nothing.
    if (lost.length > 0 && source !== undefined && !isInside(at, own.opaque)) {
      add(
        'leaked-opaque',
        at,
        `opaque, as layer ${source} has it, and hides ${formatCount(lost.length)} paths of the layers below`,
      );
      for (const one of lost) {
        hidden.add(one);
      }
    }
  }
  for (const at of [...own.whiteouts].sort()) {
    if (!stack.shows(at, number)) {
      add('stray-whiteout', at, 'hides nothing: no layer below shows that name');
    }
  }
  for (const { path: at, marker } of own.foreign) {
    add('foreign-marker', at, `has ${marker}, a marker of the other xattr namespace`);
  }
  findings.sort((a, b) => (a.path < b.path ? -1 : 1));
  return {
    layer,
    chainID,
    snapshot,
    directory,
    source: 'structure',
    entries: own.entries,
    files: 0,
    bytes: 0,
    unchecked: own.files,
    findings,
    moreFindings: 0,
    signatures: signaturesOf(findings, undefined),
    hidden: { paths: [...hidden].sort().slice(0, most), total: hidden.size },
    revived: { paths: [], total: 0 },
  };
}

/** Paths of lower layers that an opaque directory hides and does not have itself. */
function hiddenBy(own: Scan, stack: DirectoryStack, at: string, number: number): string[] {
  const alone = new DirectoryStack([{ ...own, opaque: new Set() }]);
  return stack.list(at, number, mostHidden).filter((one) => !alone.shows(one, 1));
}

function isInside(at: string, paths: ReadonlySet<string>): boolean {
  for (let up = path.posix.dirname(at); up !== '.'; up = path.posix.dirname(up)) {
    if (paths.has(up)) {
      return true;
    }
  }
  return false;
}

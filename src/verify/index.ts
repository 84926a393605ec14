// What the rest of src/ uses of src/verify/.

export {
  type AuditChainsOptions,
  type AuditNode,
  type ChainsAudit,
  defaultMostPaths,
  type LayerTruth,
  withAudit,
} from './audit-chains.js';
export { type AuditLayerOptions, auditLayer, type LayerAudit } from './audit-layer.js';
export { type FoundFile, findFile } from './disk-path.js';
export { type Audited, findingsOf } from './findings.js';
export type { LayerFormat } from './markers.js';
export { type Answer, type ChainNode, chainOf, Oracle, type OracleOptions } from './oracle.js';
export { areMarks, type DirectoryTime, directoryTimes } from './repair-marks.js';
export { RepairScript } from './repair-script.js';
export { boundNotes, countFindings, isDamaged, summarize } from './report.js';
export { ShellScript } from './shell-script.js';
export { signaturesOf } from './signatures.js';
export {
  type AuditStructureLayer,
  type AuditStructureOptions,
  auditStructure,
} from './structure.js';
export {
  type AuditSource,
  type DamagedBlob,
  type Difference,
  type EntryFacts,
  type Finding,
  type FindingKind,
  findingKinds,
  type ImageAudit,
  type PathList,
  type RepairStep,
  type Signature,
  type SignatureID,
  type SnapshotAudit,
  signatureIDs,
  type VerifyProgress,
  type VerifyReport,
  type Visibility,
} from './types.js';

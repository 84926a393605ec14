// What the public API has of the doctor.

export type { CheckStatus } from './checks.js';
export {
  type ExamineHostOptions,
  examineHost,
  type HostCheck,
  type HostReport,
} from './examine-host.js';

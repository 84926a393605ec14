// What the command `bench` uses of src/bench/pull/.

export { runPullBench } from './measure.js';
export type { PullBenchReport } from './result.js';
export { pullBenchLines } from './text.js';

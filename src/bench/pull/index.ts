// What the command `bench` uses of src/bench/pull/.

export { type PullBenchReport, runPullBench } from './measure.js';
export { pullBenchLines } from './text.js';

// What the command `bench` uses of src/bench/.

export { type BenchOptions, type BenchReport, type ImageResult, runBench } from './run.js';
export { benchLines } from './text.js';

// What the command `bench` uses of src/bench/.

export { type Comparison, compareReports, comparisonLines } from './compare.js';
export { readReport } from './document.js';
export { htmlReport } from './report/html.js';
export { type BenchOptions, type BenchReport, type ImageResult, runBench } from './run.js';
export { benchLines } from './text.js';

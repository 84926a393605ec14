// What the command `explain` uses of src/explain/.

export { type ExplainOptions, explainOpaque, type OpaqueExplanation } from './opaque.js';
export { explanationLines } from './text.js';

// What the command `demo` uses of src/demo/.

export { type DemoOptions, type DemoReport, demoLines, runDemo } from './demo.js';

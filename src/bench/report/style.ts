// The report's style sheet: dark and light by the reader's setting, no font and no file from elsewhere.

export const styleSheet = `
:root {
  color-scheme: light dark;
  --back: #ffffff; --card: #f6f7f9; --text: #1b2430; --soft: #5a6675; --line: #dde2e8;
  --ours: #1769d2; --javascript: #b86e00; --peer: #77818d; --floor: #12805c; --warn: #9a3b00;
  --s0: #d3d9e0; --s1: #8c6bb1; --s2: #2b7bba; --s3: #41ab8d; --s4: #d6a419; --s5: #d9673a;
  --s6: #b8405e; --s7: #7a8f3b; --s8: #6b7fa8; --s9: #8d99a6; --inside: #ffffff; --inside0: #46515e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #12161c; --card: #1a2028; --text: #e4e9ef; --soft: #9aa7b5; --line: #2d3641;
    --ours: #63a8ff; --javascript: #f0b048; --peer: #8f9baa; --floor: #4fcf9f; --warn: #ffab70;
    --s0: #3a444f; --s1: #a58bd0; --s2: #5aa2dc; --s3: #5cc4a6; --s4: #e3bd55; --s5: #ea8a62;
    --s6: #dd6f8b; --s7: #a4bb63; --s8: #93a6cf; --s9: #8d99a6; --inside: #10141a; --inside0: #c3ccd6;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text); line-height: 1.5;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Liberation Sans", "DejaVu Sans", sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 44px 0 2px; overflow-wrap: anywhere; }
h3 { font-size: 14px; margin: 28px 0 8px; color: var(--soft); font-weight: 600; }
p { margin: 4px 0; }
.soft { color: var(--soft); }
.warn { color: var(--warn); border-left: 3px solid var(--warn); padding: 2px 0 2px 12px; margin: 12px 0; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: 16px 18px;
  overflow-x: auto; }
.figures { display: flex; flex-wrap: wrap; gap: 12px; margin: 16px 0; }
.figure { flex: 1 1 120px; background: var(--card); border: 1px solid var(--line); border-radius: 8px;
  padding: 10px 14px; }
.figure b { display: block; font-size: 21px; font-variant-numeric: tabular-nums; letter-spacing: -0.01em; }
.figure span { color: var(--soft); font-size: 13px; }
svg { display: block; width: 100%; min-width: 640px; height: auto; }
svg text { font: 13px system-ui, -apple-system, "Segoe UI", "Liberation Sans", "DejaVu Sans", sans-serif;
  fill: var(--text); }
svg .axis { fill: var(--soft); font-size: 12px; }
svg .ratio { fill: var(--soft); }
svg .value { font-weight: 600; }
svg .grid { stroke: var(--line); }
svg .floor-line { stroke: var(--floor); stroke-dasharray: 4 4; stroke-width: 1.5; }
svg .stem { stroke: currentColor; stroke-opacity: 0.25; stroke-width: 6; }
svg .median { stroke: currentColor; stroke-width: 2.5; }
svg circle { fill: currentColor; fill-opacity: 0.55; }
svg .ours { color: var(--ours); } svg .javascript { color: var(--javascript); }
svg .peer { color: var(--peer); } svg .floor { color: var(--floor); }
svg .ours .name { font-weight: 600; }
svg rect { stroke: var(--card); }
svg .inside { font-size: 11.5px; fill: var(--inside); }
${['s0', 's1', 's2', 's3', 's4', 's5', 's6', 's7', 's8', 's9'].map((name) => `.${name} { fill: var(--${name}); background: var(--${name}); }`).join('\n')}
svg .s0 + .inside { fill: var(--inside0); }
.legend { margin-top: 8px; font-size: 13px; color: var(--soft); }
.key { margin-right: 16px; white-space: nowrap; }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 6px; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 5px 10px; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
td.text { text-align: left; white-space: normal; min-width: 160px; color: var(--soft); overflow-wrap: anywhere; }
tr.ours td:first-child { font-weight: 600; color: var(--ours); }
tr.floor td:first-child { color: var(--floor); }
tr.javascript td:first-child { color: var(--javascript); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 20px; margin: 0; font-size: 14px; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
code { font: 12.5px ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; }
`;

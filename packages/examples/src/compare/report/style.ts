/** How the report looks. */
export const style = `
:root { color: #1c2024; background: #fff; font: 15px/1.5 system-ui, sans-serif; }
body { max-width: 1100px; margin: 2rem auto; padding: 0 1.25rem; }
h1 { font-size: 1.6rem; }
h2 { font-size: 1.25rem; margin-top: 2.2rem; border-bottom: 1px solid #e1e4e8; }
h3 { font-size: 1rem; margin-bottom: 0.3rem; }
.setting, .legend { list-style: none; padding: 0; }
.legend li { display: inline-block; margin-right: 1.2rem; }
.swatch { display: inline-block; width: 0.8rem; height: 0.8rem; margin-right: 0.4rem; vertical-align: -1px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 0.35rem 0.7rem; text-align: right; vertical-align: top; white-space: nowrap; }
th, td { border-bottom: 1px solid #e1e4e8; }
th { vertical-align: bottom; font-weight: 600; }
th:first-child, td:first-child { text-align: left; }
.chart { width: 100%; height: auto; font-size: 12px; fill: #59616b; }
.grid { stroke: #e1e4e8; }
.curve { fill: none; stroke-linejoin: round; }
.schedule svg { max-width: 100%; height: auto; }
.timeline { position: relative; }
.zoom { position: absolute; right: 0; top: -1.7rem; font-size: 13px; }
.zoom input { vertical-align: middle; }
.rows { display: flex; gap: 0.8rem; font-size: 13px; }
.rows .scroll { flex: 1; }
.rows svg { display: block; font-size: 11px; fill: #59616b; }
`;

/** The report: one HTML file that asks nothing of the network. */
import { drawSvg, median } from "@troupe/parallel";
import type { Comparison, StrategyResult } from "@troupe/parallel";
import { columns } from "../columns.ts";
import { legend, lossCurves } from "./curves.ts";
import type { Curve } from "./curves.ts";
import { escaped } from "./html.ts";
import { style } from "./style.ts";
import { kindLegend, tracks, zoomScript } from "./timeline.ts";

/** Nothing is fetched, whatever stands in the page. */
const policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/**
 * A page about a comparison.
 * @param setting what was compared, in lines
 */
export function reportPage(comparison: Comparison, setting: readonly string[]): string {
  const { results, comparedSteps } = comparison;
  const bySteps = results.map(curveOver((step) => step + 1));
  const bySeconds = results.map((result) => {
    const perStep = comparison.batch / median(result.samplesPerSecond);
    return curveOver((step) => (step + 1) * perStep)(result);
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<link rel="icon" href="data:,">
<title>Troupe: strategies compared</title>
<style>${style}</style>
</head>
<body>
<h1>One network, trained in ${results.length} ways</h1>
<ul class="setting">${setting.map((line) => `<li>${escaped(line)}</li>`).join("")}</ul>

<h2>Figures</h2>
${table(comparison)}
<p>Speed: medians over epochs; the strategies took turns, an epoch each. Main thread: the part of a core that the
coordinator used meanwhile. Peak memory: parameters, gradients, optimizer state, activations, and what a device was sent
of the batch. Bytes: sent by all devices together, parts of the batch included. Bubble: idle part of the devices' time
in one step; the formula holds for stages of equal cost. Difference: the greatest of any gradient in the first
${comparedSteps} steps and of any parameter after them, from the first line's numbers.</p>

<h2>Loss</h2>
${legend(bySteps)}
<h3>Over steps</h3>
<p>The strategies compute the same numbers: the lines coincide, the later ones drawn thinner.</p>
${lossCurves("loss-steps", "steps", bySteps)}
<h3>Over seconds</h3>
${lossCurves("loss-seconds", "seconds of training", bySeconds)}

<h2>Schedules</h2>
<p>One step on paper. F0 is the forward, B0 the backward of micro-batch 0 (with data parallelism: of device 0's part of
the batch). Pipelines are simulated with the costs that were measured for each layer.</p>
${results.map(schedule).join("\n")}

<h2>Timelines</h2>
<p>One step as the devices recorded it. Point at a bar for its name and times; the sliders stretch a timeline.</p>
${kindLegend()}
${results.map(timeline).join("\n")}
<script>${zoomScript}</script>
</body>
</html>
`;
}

function curveOver(at: (step: number) => number): (result: StrategyResult) => Curve {
  return ({ name, title, losses }) => ({ name, title, points: losses.map((loss, step) => [at(step), loss]) });
}

function table(comparison: Comparison): string {
  const head = columns.map(({ head: lines }) => `<th>${lines.map(escaped).join("<br>")}</th>`);
  const rows = comparison.results.map((result) => {
    const cells = columns.map(({ cell }) => `<td>${cell(result, comparison).map(escaped).join("<br>")}</td>`);
    return `<tr data-strategy="${escaped(result.name)}">${cells.join("")}</tr>`;
  });
  const inner = `<thead><tr>${head.join("")}</tr></thead><tbody>${rows.join("")}</tbody>`;
  return `<div class="scroll"><table>${inner}</table></div>`;
}

function schedule({ name, title, devices, schedule: simulation, bubble }: StrategyResult): string {
  // Only pipelines have one by formula.
  const isPipeline = bubble.predicted > 0;
  const heading = isPipeline ? `${title}: bubble ${(100 * bubble.simulated).toFixed(1)} % with measured costs` : title;
  const drawing = drawSvg(simulation, { rowLabels: devices, title: heading, unit: isPipeline ? "ms" : "" });
  return `<div class="schedule" data-strategy="${escaped(name)}">${drawing}</div>`;
}

function timeline({ name, title, devices, timeline: recorded }: StrategyResult): string {
  return `<h3>${escaped(title)}</h3>${tracks(name, devices, recorded)}`;
}

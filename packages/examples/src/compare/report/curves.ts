/** Loss curves as SVG: one line a strategy, over steps or over seconds, with a logarithmic loss axis. */
import { scaleLinear, scaleLog } from "d3-scale";
import { line } from "d3-shape";
import { escaped, short } from "./html.ts";

export interface Curve {
  readonly name: string;
  readonly title: string;
  readonly points: readonly (readonly [x: number, loss: number])[];
}

/** Told apart by people who are colour-blind, too (Wong 2011, "Points of view: Color blindness"). */
const palette = ["#8a9199", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00"];
const [width, height] = [960, 340];
const margin = { left: 56, right: 16, top: 14, bottom: 44 };
/** Curves that coincide stay visible: the later ones are drawn thinner. */
const [widest, thinnest] = [7, 1.2];

/**
 * @param name tells drawings apart in the page
 * @param axis what the horizontal axis is
 */
export function lossCurves(name: string, axis: string, curves: readonly Curve[]): string {
  const points = curves.flatMap((curve) => curve.points);
  const losses = points.map(([, loss]) => loss).filter((loss) => loss > 0);
  const x = scaleLinear([0, Math.max(...points.map(([at]) => at))], [margin.left, width - margin.right]);
  const y = scaleLog([Math.min(...losses), Math.max(...losses)], [height - margin.bottom, margin.top]).nice();
  const path = line<readonly [number, number]>(
    ([at]) => x(at),
    ([, loss]) => y(loss),
  )
    .defined(([, loss]) => loss > 0)
    .digits(1);
  const horizontal = y.ticks(4).map((tick) => {
    const at = short(y(tick));
    const label = `<text x="${margin.left - 8}" y="${at}" dy="4" text-anchor="end">${y.tickFormat(4)(tick)}</text>`;
    return `<line class="grid" x1="${margin.left}" x2="${width - margin.right}" y1="${at}" y2="${at}"/>${label}`;
  });
  const vertical = x.ticks(10).map((tick) => {
    const at = short(x(tick));
    return `<text x="${at}" y="${height - margin.bottom + 18}" text-anchor="middle">${x.tickFormat(10)(tick)}</text>`;
  });
  const lines = curves.map((curve, i) => {
    const share = curves.length === 1 ? 1 : i / (curves.length - 1);
    const stroke = `stroke="${colourOf(i)}" stroke-width="${short(widest + (thinnest - widest) * share)}"`;
    const tip = `<title>${escaped(curve.title)}</title>`;
    const d = path(curve.points) ?? "";
    return `<path class="curve" data-strategy="${escaped(curve.name)}" d="${d}" ${stroke}>${tip}</path>`;
  });
  return (
    `<svg class="chart" id="${name}" viewBox="0 0 ${width} ${height}" ` +
    `role="img" aria-label="loss over ${escaped(axis)}">` +
    `${horizontal.join("")}${vertical.join("")}` +
    `<text x="${(width + margin.left) / 2}" y="${height - 6}" text-anchor="middle">${escaped(axis)}</text>` +
    `${lines.join("")}</svg>`
  );
}

/** Which colour is whose. */
export function legend(curves: readonly Curve[]): string {
  const items = curves.map(
    ({ title }, i) => `<li><span class="swatch" style="background: ${colourOf(i)}"></span>${escaped(title)}</li>`,
  );
  return `<ul class="legend">${items.join("")}</ul>`;
}

function colourOf(place: number): string {
  return palette[place % palette.length];
}

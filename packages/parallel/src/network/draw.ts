/** Drawings of a simulated schedule: stages as rows, time from left to right. As text, and as SVG. */
import type { Simulation, TimedAction } from "./simulate.ts";

export interface TextOptions {
  /**
   * Greatest number of columns of the time axis; 160 by default. Where actions get too narrow for it, their labels are
   * cut.
   */
  readonly width?: number;
}

/**
 * A schedule as text, for a terminal: `F0` and `B0` are forward and backward of micro-batch 0, dashes go on to the
 * action's end, dots are bubbles.
 */
export function drawText(simulation: Simulation, { width = 160 }: TextOptions = {}): string {
  const { schedule, actions, makespan } = simulation;
  const lengths = actions
    .flat()
    .map(({ start, end }) => end - start)
    .filter((length) => length > 0);
  // The shortest action gets room for its label and a space.
  const cell = labelOf({ kind: "F", microbatch: schedule.microbatches - 1 }).length + 1;
  const columns = makespan === 0 ? 0 : Math.min(width, Math.ceil((makespan / Math.min(...lengths)) * cell));
  const scale = makespan === 0 ? 0 : columns / makespan;
  const rows = actions.map((list, stage) => {
    let row = "";
    for (const action of list) {
      const [from, to] = [Math.round(action.start * scale), Math.round(action.end * scale)];
      const inside = Math.max(1, to - from - 1);
      const text = labelOf(action)
        .slice(0, inside)
        .padEnd(inside, "-")
        .padEnd(to - from, " ");
      row = row.padEnd(from, ".") + text.slice(0, to - from);
    }
    return `stage ${String(stage).padEnd(String(actions.length - 1).length)}  ${row.padEnd(columns, ".")}`;
  });
  return [summary(simulation), ...rows].join("\n");
}

/** One line: what it is, and its bubble. */
function summary({ schedule, bubble, held }: Simulation): string {
  const { name, stages, microbatches } = schedule;
  return (
    `${name}, ${counted(stages, "stage")}, ${counted(microbatches, "micro-batch", "es")}: ` +
    `bubble ${(100 * bubble).toFixed(1)} %, micro-batches held ${held.join(", ")}`
  );
}

function counted(count: number, what: string, plural = "s"): string {
  return `${count} ${what}${count === 1 ? "" : plural}`;
}

function labelOf({ kind, microbatch }: Pick<TimedAction, "kind" | "microbatch">): string {
  return `${kind}${microbatch}`;
}

export interface SvgOptions {
  /** Width in pixels, 960 by default; the drawing scales with its place. */
  readonly width?: number;
  /** What to write before each row, by stage (`stage 0`, ... by default). */
  readonly rowLabels?: readonly string[];
  /** The heading; by default the schedule in words. */
  readonly title?: string;
  /** What a unit of time is called at the axis. */
  readonly unit?: string;
}

const colours = { F: "#2f6fb3", B: "#c2541b", bubble: "#eceef1" } as const;
const meanings = { F: "forward", B: "backward" } as const;
const rowHeight = 34;
const barHeight = 26;
const top = 34;

/** A schedule as one self-contained SVG element: bars with labels and tooltips, a time axis, a legend. */
export function drawSvg(simulation: Simulation, options: SvgOptions = {}): string {
  const { actions, makespan } = simulation;
  const { width = 960, title = summary(simulation), unit = "" } = options;
  const names = actions.map((_, stage) => options.rowLabels?.[stage] ?? `stage ${stage}`);
  const left = 16 + 7.5 * Math.max(...names.map(({ length }) => length));
  const scale = makespan === 0 ? 0 : (width - left - 16) / makespan;
  const bottom = top + actions.length * rowHeight;
  const height = bottom + 56;
  const parts = [
    `<title>${escaped(title)}</title>`,
    `<rect width="${width}" height="${height}" fill="#ffffff"/>`,
    text(16, 20, title, 'font-weight="bold"'),
  ];
  actions.forEach((list, stage) => {
    const y = top + stage * rowHeight;
    parts.push(text(16, y + 18, names[stage]));
    parts.push(`<rect x="${left}" y="${y}" width="${fixed(makespan * scale)}" height="${barHeight}" fill="${colours.bubble}"/>`);
    for (const action of list) parts.push(bar(action, left, y, scale));
  });
  parts.push(...axis(makespan, left, bottom + 4, scale, unit), ...legend(left, height - 12));
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" ` +
    `role="img" aria-label="${escaped(title)}" font-family="system-ui, sans-serif" font-size="13" fill="#1c2024">` +
    `${parts.join("")}</svg>`
  );
}

function bar(action: TimedAction, left: number, y: number, scale: number): string {
  const { kind, microbatch, start, end } = action;
  const length = (end - start) * scale;
  const label = labelOf(action);
  const tip = `${meanings[kind]} of micro-batch ${microbatch}: ${short(start)} to ${short(end)}`;
  // A white line at the right keeps neighbours apart.
  const [x, width] = [fixed(left + start * scale), fixed(Math.max(length - 1, 0.5))];
  const shape = `<rect x="${x}" y="${y}" width="${width}" height="${barHeight}" rx="2" fill="${colours[kind]}"/>`;
  const fits = length >= 7 * label.length + 4;
  const middle = left + (start + end) * 0.5 * scale;
  const written = fits ? text(middle, y + 18, label, 'fill="#ffffff" text-anchor="middle" font-size="12"') : "";
  return `<g><title>${escaped(tip)}</title>${shape}${written}</g>`;
}

function axis(makespan: number, left: number, y: number, scale: number, unit: string): string[] {
  if (makespan === 0) return [];
  const step = niceStep(makespan / 8);
  const ticks: string[] = [];
  for (let i = 0; i * step <= makespan * (1 + 1e-9); i++) {
    const x = left + i * step * scale;
    ticks.push(`<line x1="${fixed(x)}" x2="${fixed(x)}" y1="${y - 4}" y2="${y + 2}" stroke="#8b929c"/>`);
    ticks.push(
      text(
        x,
        y + 15,
        short(i * step) + (i === 0 || unit === "" ? "" : ` ${unit}`),
        'fill="#59616b" text-anchor="middle" font-size="11"',
      ),
    );
  }
  return ticks;
}

/** 1, 2 or 5 times a power of ten, at least `least`. */
function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10);
}

function legend(left: number, y: number): string[] {
  return [
    [colours.F, "F: forward"],
    [colours.B, "B: backward"],
    [colours.bubble, "bubble"],
  ].flatMap(([colour, meaning], i) => {
    const x = left + i * 110;
    return [`<rect x="${x}" y="${y - 11}" width="12" height="12" fill="${colour}"/>`, text(x + 18, y, meaning)];
  });
}

function text(x: number, y: number, content: string, attributes = ""): string {
  return `<text x="${fixed(x)}" y="${fixed(y)}"${attributes === "" ? "" : ` ${attributes}`}>${escaped(content)}</text>`;
}

function fixed(value: number): string {
  return String(Number(value.toFixed(2)));
}

/** Three digits are enough to read. */
function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");
}

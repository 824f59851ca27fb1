/** What the benchmark says of its figures: a section for each job, for a terminal and as a page of Markdown. */
import { arch, availableParallelism, cpus, platform } from "node:os";
import { table } from "../report.ts";
import { reference } from "./contenders.ts";
import type { Job, Unit } from "./jobs.ts";
import { median } from "./timing.ts";
import type { Figure, Scaling } from "./timing.ts";

export interface Section {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** What the table does not say. */
  readonly notes: readonly string[];
}

const head = ["", "median", "min - max", `speed, ${reference} = 1`, "CPU s a wall s", "its main thread", ""];

/** How far results may be from the reference's: losses absolutely, large sums in proportion to themselves. */
const tolerance = 1e-4;

/** How many times as fast as the reference, the median over rounds that both had. */
export function speedOf(values: readonly number[], references: readonly number[], { better }: Unit): number {
  const ratios = values.flatMap((value, round) => {
    const other = references[round];
    return other === undefined ? [] : [better === "more" ? value / other : other / value];
  });
  return ratios.length === 0 ? NaN : median(ratios);
}

/** Whether the same work was done. */
export function agree(results: readonly number[], expected: readonly number[], isLoss = true): boolean {
  return results.length === expected.length &&
    results.every((result, i) => Math.abs(result - expected[i]) <= tolerance * (isLoss ? 1 : Math.max(1, Math.abs(expected[i]))));
}

/** The figures of one job, a row for each contender that had it, in their order. */
export function sectionOf(job: Job, figures: readonly Figure[], contenders: readonly string[]): Section {
  const { unit } = job;
  const own = figures.filter((figure) => figure.job === job.name);
  const of = (name: string): Figure[] => own.filter(({ contender, absent }) => contender === name && absent === undefined);
  const expected = of(reference).find(({ results }) => results !== undefined)?.results;
  const references = of(reference).map(({ value }) => value);
  const rows = contenders.flatMap((name) => {
    const runs = of(name);
    if (runs.length === 0) {
      const absent = own.find(({ contender }) => contender === name)?.absent;
      return absent === undefined ? [] : [[name, "-", "-", "-", "-", "-", absent]];
    }
    const values = runs.map(({ value }) => value);
    const speed = speedOf(values, references, unit);
    const far = runs.find(({ results }) => results !== undefined && expected !== undefined && !agree(results, expected, "model" in job));
    const hasMain = runs.every(({ mainSeconds }) => mainSeconds !== undefined);
    return [[
      name,
      median(values).toFixed(unit.digits),
      `${Math.min(...values).toFixed(unit.digits)} - ${Math.max(...values).toFixed(unit.digits)}`,
      Number.isNaN(speed) ? "-" : far === undefined ? speed.toFixed(2) : `(${speed.toFixed(2)})`,
      median(runs.map((figure) => figure.cpuSeconds / figure.wallSeconds)).toFixed(2),
      hasMain ? median(runs.map(({ mainSeconds = 0, wallSeconds }) => mainSeconds / wallSeconds)).toFixed(2) : "-",
      far === undefined ? "" : `other results: ${shown(far.results ?? [])}`,
    ]];
  });
  const notes = [
    ...(job.about === undefined ? [] : [sentence(job.about)]),
    ...contenders.flatMap((name) => scalingNote(name, of(name).flatMap(({ scaling }) => scaling ?? []))),
    ...(expected === undefined ? [] : [`Results of ${reference}${job.kind === "train" || job.kind === "scaling" ? " (losses at steps 1, 10, 20)" : ""}: ${shown(expected)}`]),
  ];
  return { title: `${job.name} (${unit.text}: ${unit.better} is better)`, head, rows, notes };
}

function shown(results: readonly number[]): string {
  return results.map((result) => String(Number(result.toPrecision(6)))).join(", ");
}

function sentence(text: string): string {
  return /^[a-z]+ /.test(text) ? `${text[0].toUpperCase()}${text.slice(1)}` : text;
}

/** What two actors made of what two that share nothing can make. */
export function scalingNote(name: string, scaling: readonly Scaling[]): string[] {
  if (scaling.length === 0) return [];
  const summed = (key: keyof Scaling): string => {
    const values = scaling.map((one) => one[key]);
    return `${median(values).toFixed(2)} (${Math.min(...values).toFixed(2)} - ${Math.max(...values).toFixed(2)})`;
  };
  return [
    `${name}: ${summed("ofOne")} of one actor; two actors that share nothing: ${summed("bound")}; achieved of that bound: ${summed("ofBound")}`,
  ];
}

export function textOf({ title, head: names, rows, notes }: Section): string {
  return [`\n${title}`, table(names, rows), ...notes].join("\n");
}

/** A page with where and how it was measured. */
export function markdownOf(sections: readonly Section[], rounds: number): string {
  const machine = `${cpus()[0]?.model.trim() ?? "unknown processor"}, ${availableParallelism()} cores, ${platform()} ${arch()}`;
  const day = new Date().toISOString().slice(0, 10);
  const intro =
    `# Benchmarks\n\nWritten by \`npx -y pnpm@12 bench --rounds ${rounds} --markdown BENCHMARKS.md\` on ${day}: ${machine}, Node ${process.versions.node}.\n` +
    "All contenders did the same work in turns, with the same initial weights and data; a speed in brackets does not count, since its results\n" +
    `differ from ${reference}'s by more than 1e-4. Medians over the rounds. Read the ratios: a machine's own speed changes with what else it does.\n`;
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const parts = sections.map(({ title, head: names, rows, notes }) => {
    const ruler = names.map((_, i) => (i === 0 ? "---" : "---:"));
    const lines = [line(names), line(ruler), ...rows.map(line)];
    return `## ${title}\n\n${lines.join("\n")}\n${notes.map((note) => `\n${note}.\n`).join("")}`;
  });
  return [intro, ...parts].join("\n");
}

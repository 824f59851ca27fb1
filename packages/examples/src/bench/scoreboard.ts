/** What the benchmark says of its figures: a section for each job, for a terminal and as a page of Markdown. */
import { arch, availableParallelism, cpus, platform } from "node:os";
import { table } from "../report.ts";
import { checkedSteps, median } from "./workload.ts";
import type { Figure } from "./workload.ts";

export interface Section {
  readonly title: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
  /** What the table does not say. */
  readonly note: string | undefined;
}

const head = ["", "median", "min - max", "Troupe / it", "CPU s a wall s", "its main thread", ""];

/** The figures of one job, a row for each contender that had it, in their order. */
export function sectionOf(job: string, figures: readonly Figure[], contenders: readonly string[]): Section {
  const perOp = job.startsWith("add");
  const digits = perOp ? 3 : 0;
  const own = figures.filter((figure) => figure.job === job);
  const of = (name: string): Figure[] => own.filter(({ contender }) => contender === name);
  const reference = of("PyTorch, 1 thread").find(({ losses }) => losses !== undefined)?.losses;
  const troupe = median(of("Troupe").map(({ value }) => value));
  const rows = contenders.flatMap((name) => {
    const runs = of(name);
    if (runs.length === 0) return [];
    const [{ absent, losses }] = runs;
    if (absent !== undefined) return [[name, "-", "-", "-", "-", "-", absent]];
    const values = runs.map(({ value }) => value);
    const isFar = losses !== undefined && reference !== undefined && losses.some((loss, i) => !(Math.abs(loss - reference[i]) <= 1e-4));
    const hasMain = runs.every(({ mainSeconds }) => mainSeconds !== undefined);
    return [[
      name,
      median(values).toFixed(digits),
      `${Math.min(...values).toFixed(digits)} - ${Math.max(...values).toFixed(digits)}`,
      (troupe / median(values)).toFixed(2),
      median(runs.map((figure) => figure.cpuSeconds / figure.wallSeconds)).toFixed(2),
      hasMain ? median(runs.map(({ mainSeconds = 0, wallSeconds }) => mainSeconds / wallSeconds)).toFixed(2) : "-",
      isFar ? `losses at steps ${checkedSteps.join(", ")} disagree: ${losses.map((loss) => loss.toFixed(5)).join(", ")}` : "",
    ]];
  });
  const title = `${job} (${perOp ? "us an op: less is better" : "samples/s: more is better"})`;
  return { title, head, rows, note: scalingNote(own) };
}

function scalingNote(figures: readonly Figure[]): string | undefined {
  const ratios = figures.flatMap(({ ofOne }) => ofOne ?? []);
  if (ratios.length === 0) return undefined;
  const range = `${Math.min(...ratios).toFixed(2)} - ${Math.max(...ratios).toFixed(2)}`;
  return `${median(ratios).toFixed(2)} of one actor (${range}), in turns of some steps in the same process`;
}

export function textOf({ title, head, rows, note }: Section): string {
  return [`\n${title}`, table(head, rows), ...(note === undefined ? [] : [note])].join("\n");
}

/** A page with where and how it was measured. */
export function markdownOf(sections: readonly Section[], rounds: number): string {
  const machine = `${cpus()[0]?.model.trim() ?? "unknown processor"}, ${availableParallelism()} cores, ${platform()} ${arch()}`;
  const day = new Date().toISOString().slice(0, 10);
  const intro =
    `# Benchmarks\n\nWritten by \`npx -y pnpm@12 bench --rounds ${rounds} --markdown BENCHMARKS.md\` on ${day}: ${machine}, Node ${process.versions.node}.\n` +
    "All contenders did the same work in turns, with the same initial weights and data; a time counts only where the losses agree\n" +
    "with PyTorch's to 1e-4. Medians over the rounds. Read the ratios: a machine's own speed changes with what else it does.\n";
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  const parts = sections.map(({ title, head, rows, note }) => {
    const ruler = head.map((_, i) => (i === 0 ? "---" : "---:"));
    const lines = [line(head), line(ruler), ...rows.map(line)];
    return `## ${title}\n\n${lines.join("\n")}\n${note === undefined ? "" : `\n${note}.\n`}`;
  });
  return [intro, ...parts].join("\n");
}

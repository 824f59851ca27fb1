/**
 * The scoreboard: the same work done by Troupe, PyTorch (where python3 has it), TensorFlow.js and jax-js, in turns, in one run.
 * Figures are medians over the rounds; a time counts only where the losses agree with PyTorch's.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { table } from "../report.ts";
import { checkedSteps, median, writeWorkload } from "./workload.ts";
import type { Figure } from "./workload.ts";

interface Contender {
  readonly name: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly jobs: readonly string[];
}

const here = import.meta.dirname;
const python = process.env["TROUPE_BENCH_PYTHON"] ?? "/usr/bin/python3";
const jobNames = [
  "add", "add + backward", "mlp 128", "mlp 256", "mlp 256, 2 actors", "mlp 256, captured", "mlp 256, captured, 2 actors",
] as const;
const contenders: readonly Contender[] = [
  { name: "Troupe", command: process.execPath, args: [join(here, "troupe.ts")], jobs: jobNames },
  { name: "PyTorch, 1 thread", command: python, args: [join(here, "pytorch.py")], jobs: ["add", "add + backward", "mlp 128", "mlp 256"] },
  { name: "tfjs", command: process.execPath, args: [join(here, "tfjs.ts")], jobs: ["add", "add + backward", "mlp 128"] },
  { name: "jax-js", command: process.execPath, args: [join(here, "jax.ts")], jobs: ["add", "mlp 128"] },
];

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It must be a whole number from 1.");
  return value;
}

const options = new Command("bench")
  .description("Times Troupe beside PyTorch, TensorFlow.js and jax-js on the same work.")
  .option("--rounds <n>", "how often each contender runs each job", count, 3)
  .option("--only <jobs>", `jobs to run, separated by ';' (${jobNames.join("; ")})`)
  .option("--json <file>", "also write every figure of every round to this file")
  .parse(process.argv.filter((argument) => argument !== "--"))
  .opts<{ rounds: number; only?: string; json?: string }>();

const chosen = options.only?.split(";").map((job) => job.trim()) ?? jobNames;
const folder = mkdtempSync(join(tmpdir(), "troupe-bench-"));
const figures: Figure[] = [];
try {
  await writeWorkload(folder);
  for (let round = 1; round <= options.rounds; round++) {
    for (const job of chosen) {
      for (const contender of contenders) {
        if (!contender.jobs.includes(job)) continue;
        process.stderr.write(`round ${round}/${options.rounds}  ${job}  ${contender.name}\x1b[K\r`);
        figures.push(run(contender, job));
      }
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stderr.write("\x1b[K");
for (const job of chosen) report(job);
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(figures, undefined, 2)}\n`);

function run({ name, command, args }: Contender, job: string): Figure {
  const child = spawnSync(command, [...args, folder, job], { encoding: "utf8", env: { ...process.env, NODE_NO_WARNINGS: "1" } });
  const line = child.stdout?.split("\n").find((text) => text.startsWith("{"));
  if (line !== undefined) return JSON.parse(line) as Figure;
  const absent = child.error?.message ?? child.stderr.trim().split("\n").at(-1) ?? "no figure";
  return { contender: name, job, value: NaN, cpuSeconds: NaN, wallSeconds: NaN, absent };
}

function report(job: string): void {
  const perOp = job.startsWith("add");
  const own = figures.filter((figure) => figure.job === job);
  const of = (name: string): Figure[] => own.filter(({ contender }) => contender === name);
  const reference = of("PyTorch, 1 thread").find(({ losses }) => losses !== undefined)?.losses;
  const troupe = median(of("Troupe").map(({ value }) => value));
  const rows = contenders.flatMap(({ name }) => {
    const runs = of(name);
    if (runs.length === 0) return [];
    const [{ absent, losses }] = runs;
    if (absent !== undefined) return [[name, "-", "-", "-", "-", "-", absent]];
    const values = runs.map(({ value }) => value);
    const value = median(values);
    const digits = perOp ? 3 : 0;
    const far = losses !== undefined && reference !== undefined && losses.some((loss, i) => !(Math.abs(loss - reference[i]) <= 1e-4));
    return [[
      name,
      value.toFixed(digits),
      `${Math.min(...values).toFixed(digits)} - ${Math.max(...values).toFixed(digits)}`,
      (troupe / value).toFixed(2),
      median(runs.map((figure) => figure.cpuSeconds / figure.wallSeconds)).toFixed(2),
      runs.every(({ mainSeconds }) => mainSeconds !== undefined)
        ? median(runs.map(({ mainSeconds = 0, wallSeconds }) => mainSeconds / wallSeconds)).toFixed(2)
        : "-",
      far ? `losses at steps ${checkedSteps.join(", ")} disagree: ${losses.map((loss) => loss.toFixed(5)).join(", ")}` : "",
    ]];
  });
  console.log(`\n${job} (${perOp ? "us an op: less is better" : "samples/s: more is better"})`);
  console.log(table(["", "median", "min - max", "Troupe / it", "CPU s a wall s", "its main thread", ""], rows));
  const ratios = own.flatMap(({ ofOne }) => ofOne ?? []);
  if (ratios.length === 0) return;
  const range = `${Math.min(...ratios).toFixed(2)} - ${Math.max(...ratios).toFixed(2)}`;
  console.log(`${median(ratios).toFixed(2)} of one actor (${range}), in turns of some steps in the same process`);
}

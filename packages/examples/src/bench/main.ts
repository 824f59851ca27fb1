/**
 * The scoreboard: the same work done by Troupe, PyTorch (where python3 has it), TensorFlow.js and jax-js, in turns, in one run.
 * Figures are medians over the rounds; a time counts only where the losses agree with PyTorch's.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { markdownOf, sectionOf, textOf } from "./scoreboard.ts";
import { writeWorkload } from "./workload.ts";
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
  .option("--markdown <file>", "also write the tables to this file")
  .parse(process.argv.filter((argument) => argument !== "--"))
  .opts<{ rounds: number; only?: string; json?: string; markdown?: string }>();

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
const names = contenders.map(({ name }) => name);
const sections = chosen.map((job) => sectionOf(job, figures, names));
for (const section of sections) console.log(textOf(section));
if (options.markdown !== undefined) writeFileSync(options.markdown, markdownOf(sections, options.rounds));
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(figures, undefined, 2)}\n`);

function run({ name, command, args }: Contender, job: string): Figure {
  const child = spawnSync(command, [...args, folder, job], { encoding: "utf8", env: { ...process.env, NODE_NO_WARNINGS: "1" } });
  const line = child.stdout?.split("\n").find((text) => text.startsWith("{"));
  if (line !== undefined) return JSON.parse(line) as Figure;
  const absent = child.error?.message ?? child.stderr.trim().split("\n").at(-1) ?? "no figure";
  return { contender: name, job, value: NaN, cpuSeconds: NaN, wallSeconds: NaN, absent };
}

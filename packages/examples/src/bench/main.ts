/**
 * The scoreboard: the same work done by Troupe, PyTorch (where python3 has it), TensorFlow.js and jax-js, in turns, in one run.
 * Figures are medians over the rounds; a time counts only where the results agree with PyTorch's.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { contenders, run } from "./contenders.ts";
import { jobs } from "./jobs.ts";
import type { Job } from "./jobs.ts";
import { markdownOf, sectionOf, textOf } from "./scoreboard.ts";
import type { Figure } from "./timing.ts";
import { writeWorkload } from "./workload.ts";

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It must be a whole number from 1.");
  return value;
}

function chosenJobs(text: string): Job[] {
  return text.split(";").map((part) => {
    const job = jobs.find(({ name }) => name === part.trim());
    if (job === undefined) throw new InvalidArgumentError(`There is no job "${part.trim()}".`);
    return job;
  });
}

const list = jobs.map(({ name, about }) => `  ${name.padEnd(24)}${about ?? ""}`).join("\n");
const options = new Command("bench")
  .description("Times Troupe beside PyTorch, TensorFlow.js and jax-js on the same work.")
  .option("--rounds <n>", "how often each contender runs each job", count, 3)
  .option("--only <jobs>", "jobs to run, separated by ';' (default: all)", chosenJobs)
  .option("--json <file>", "also write every figure of every round to this file")
  .option("--markdown <file>", "also write the tables to this file")
  .addHelpText("after", `\nJobs:\n${list}`)
  .parse(process.argv.filter((argument) => argument !== "--"))
  .opts<{ rounds: number; only?: Job[]; json?: string; markdown?: string }>();
const { only = jobs } = options;

/** Seconds that a contender may take for a job and still be asked for it in every round. */
const patience = 10;

const folder = mkdtempSync(join(tmpdir(), "troupe-bench-"));
const figures: Figure[] = [];
const done = new Set<string>();
try {
  await writeWorkload(folder);
  const turns = Array.from({ length: options.rounds }, (_, round) =>
    only.flatMap((job) =>
      contenders.filter(({ except }) => except?.includes(job.kind) !== true).map((who) => ({ round, job, who }))),
  ).flat();
  for (const [turn, { round, job, who }] of turns.entries()) {
    const key = `${who.name}/${job.name}`;
    if (done.has(key)) continue;
    const percent = Math.floor((100 * turn) / turns.length);
    process.stderr.write(`${percent} %  round ${round + 1}/${options.rounds}  ${job.name}  ${who.name}\x1b[K\r`);
    const started = performance.now();
    const figure = run(who, job, folder);
    if (figure.absent !== undefined || performance.now() - started > patience * 1000) done.add(key);
    figures.push(figure);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.stderr.write("\x1b[K");
const sections = only.map((job) => sectionOf(job, figures, contenders.map(({ name }) => name)));
for (const section of sections) console.log(textOf(section));
if (options.markdown !== undefined) writeFileSync(options.markdown, markdownOf(sections, options.rounds));
if (options.json !== undefined) writeFileSync(options.json, `${JSON.stringify(figures, undefined, 2)}\n`);

/** Who competes, how each is started, and what is said of those that cannot do a job. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import type { Job } from "./jobs.ts";
import type { Figure } from "./timing.ts";

export interface Contender {
  readonly name: string;
  readonly command: string;
  readonly args: (folder: string, job: Job) => readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Kinds that it has nothing to do with, so that it gets no row there. */
  readonly except?: readonly Job["kind"][];
}

const here = import.meta.dirname;
const python = process.env["TROUPE_BENCH_PYTHON"] ?? "/usr/bin/python3";

/** Whose figures and results the others' are compared with. */
export const reference = "PyTorch";

/** glibc gives large blocks back to the system and takes them anew, which can cost PyTorch ten times an op's own time: it may keep them. */
const keepingMemory = { MALLOC_MMAP_THRESHOLD_: String(2 ** 30), MALLOC_TRIM_THRESHOLD_: String(2 ** 30) };

export const contenders: readonly Contender[] = [
  inNode("Troupe", "troupe.ts"),
  { ...inNode("Troupe, captured", "troupe.ts", "captured"), except: ["add", "matmul", "first step"] },
  {
    name: reference,
    command: python,
    args: (folder, job) => [join(here, "pytorch.py"), folder, JSON.stringify(job)],
    env: keepingMemory,
  },
  inNode("tfjs", "tfjs.ts"),
  inNode("jax-js", "jax.ts"),
];

function inNode(name: string, file: string, ...form: readonly string[]): Contender {
  return { name, command: process.execPath, args: (folder, job) => [join(here, file), folder, JSON.stringify(job), ...form] };
}

/** Milliseconds after which a contender is given up. */
const limit = 180_000;

/** Runs a job in a process of its own. Whatever goes wrong there is said in the figure. */
export function run({ name, command, args, env }: Contender, job: Job, folder: string): Figure {
  const named = { contender: name, job: job.name };
  const missing = { ...named, value: NaN, cpuSeconds: NaN, wallSeconds: NaN };
  const reason = job.without?.[name];
  if (reason !== undefined) return { ...missing, absent: reason };
  const child = spawnSync(command, args(folder, job), {
    encoding: "utf8",
    timeout: limit,
    env: { ...process.env, ...env, NODE_NO_WARNINGS: "1", TROUPE_BENCH_BEGUN: String(performance.timeOrigin + performance.now()) },
  });
  const line = child.stdout?.split("\n").find((text) => text.startsWith("{"));
  if (line !== undefined) return { ...(JSON.parse(line) as Figure), ...named };
  return { ...missing, absent: child.error?.message ?? lastWords(child.stderr) ?? `no figure, exit code ${child.status}` };
}

/** The line of a crash's output that names the error. */
export function lastWords(output: string): string | undefined {
  const lines = output.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  return lines.findLast((line) => /^\w*(Error|Exception)\b/.test(line)) ?? lines.at(-1);
}

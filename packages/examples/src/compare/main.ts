/**
 * The main job: trains the same network on real handwritten digits on one device and, in several ways, on more, and
 * compares them. `pnpm compare --help` lists its options.
 */
import { accessSync, constants, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { nn, optim, setDefaultDevice, TroupeError } from "@troupe/core";
import { compareStrategies } from "@troupe/parallel";
import { loadDigits } from "../digits.ts";
import { progress, table } from "../report.ts";
import { columns } from "./columns.ts";
import { troupeOf } from "./devices.ts";
import { networks } from "./networks.ts";
import { parse } from "./options.ts";
import type { Options } from "./options.ts";
import { reportPage } from "./report/page.ts";
import { strategiesOf } from "./strategies.ts";
import { traceOf } from "./trace.ts";

async function main(options: Options): Promise<void> {
  const { model, dropout, batch, microbatches, steps, seed } = options;
  const network = networks[model];
  // Before the work, not after it.
  for (const path of [options.report, options.trace]) {
    if (path !== undefined) accessSync(dirname(path), constants.W_OK);
  }
  const troupe = troupeOf(options.devices);
  // On a GPU in software a single epoch takes long enough.
  const { epochs = troupe.software ? 1 : network.epochs, lr = network.rate } = options;
  const strategies = strategiesOf(options.strategies, troupe, microbatches);
  setDefaultDevice(troupe.threads);
  const { train, test } = loadDigits();
  const [input, target] = train.tensors;

  const setting = [
    `${train.length.toLocaleString("en")} digits to train on, ${test.labels.size(0).toLocaleString("en")} held back`,
    `${model}: ${network.description}${dropout > 0 ? `, dropout ${dropout}` : ""}`,
    `batch ${batch}, Adam at ${lr}, ${epochs} ${epochs === 1 ? "epoch" : "epochs"} in turns, ${microbatches} micro-batches, seed ${seed}`,
    `devices ${troupe.members.map(({ name }) => name).join(", ")} on ${troupe.cores} cores` +
      (troupe.software ? "; no GPU was found: its work is done in software (SwiftShader)" : ""),
  ];
  console.log(`${setting.join("\n")}\n`);
  const bars = progress(Object.fromEntries(strategies.map(({ name, title }) => [name, title])));
  const comparison = await compareStrategies(
    {
      model: () => network.make(dropout),
      loss: nn.functional.crossEntropy,
      optimizer: (parameters) => new optim.Adam(parameters, { lr }),
      train: { input, target },
      test: { input: test.images, target: test.labels },
    },
    {
      strategies,
      batch,
      epochs,
      steps,
      seed,
      onProgress: ({ strategy, done, total, loss }) => bars.update(strategy, done, total, loss),
    },
  ).finally(() => bars.finish());

  console.log(
    table(
      columns.map(({ head }) => head.join("\n")),
      comparison.results.map((result) => columns.map(({ cell }) => cell(result, comparison).join("\n"))),
    ),
  );
  writeFileSync(options.report, reportPage(comparison, setting));
  console.log(`report: ${options.report}`);
  if (options.trace === undefined) return;
  writeFileSync(options.trace, traceOf(comparison));
  console.log(`trace: ${options.trace}`);
}

try {
  await main(parse(process.argv.slice(2)));
} catch (error) {
  // What the user asked for cannot be done: said in one line. Anything else is a fault of the program.
  const isUsers = error instanceof TroupeError || (error instanceof Error && "syscall" in error);
  if (!isUsers) throw error;
  console.error(`error: ${error.message.split("\n").map((line) => line.trim()).join(". ")}`);
  process.exitCode = 1;
}

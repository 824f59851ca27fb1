/** The command's options. What is wrong with them is said in one line, and ends the command with exit code 1. */
import { Command, InvalidArgumentError, Option } from "commander";
import { networks } from "./networks.ts";
import { strategyNames } from "./strategies.ts";

export interface Options {
  readonly model: string;
  readonly dropout: number;
  readonly strategies: readonly string[];
  readonly devices: readonly string[];
  readonly batch: number;
  readonly microbatches: number;
  readonly steps?: number;
  readonly epochs?: number;
  readonly lr?: number;
  readonly seed: number;
  readonly report: string;
  readonly trace?: string;
}

/** The options in a command line (without the program's name). */
export function parse(args: readonly string[]): Options {
  const epochs = Object.entries(networks).map(([name, network]) => `${name} ${network.epochs}`);
  const rates = Object.entries(networks).map(([name, network]) => `${name} ${network.rate}`);
  return new Command("compare")
    .description(
      "Trains a network on real handwritten digits in several ways, and compares them: speed, accuracy, memory, " +
        "bytes, bubbles, numbers.",
    )
    .addOption(new Option("--model <name>", "the network").choices(Object.keys(networks)).default("mlp"))
    .option("--dropout <p>", "chance of each element to be dropped", chance, 0)
    .addOption(
      new Option("--strategies <names>", `which ways, of ${strategyNames.join(", ")}`)
        .argParser(strategies)
        .default(strategyNames, "all"),
    )
    .addOption(
      new Option("--devices <kinds>", "the kinds of the devices that share the work")
        .argParser(kinds)
        .default(["cpu", "cpu"], "cpu,cpu"),
    )
    .option("--batch <n>", "images a step, over all devices", count, 256)
    .option("--microbatches <n>", "parts of a batch in network partitioning", count, 4)
    .option("--steps <n>", "at most so many steps an epoch", count)
    .option("--epochs <n>", `passes over the digits (default: ${epochs.join(", ")}; 1 on a GPU in software)`, count)
    .option("--lr <rate>", `Adam's learning rate (default: ${rates.join(", ")})`, rate)
    .option("--seed <n>", "seed of weights, dropout and order", seed, 1)
    .option("--report <path>", "where to write the report, one HTML file", "report.html")
    .option("--trace <path>", "where to write the recorded steps, as a trace for Perfetto or chrome://tracing")
    .allowExcessArguments(false)
    .parse(args.filter((arg) => arg !== "--"), { from: "user" })
    .opts<Options>();
}

function count(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError("It must be a whole number from 1.");
  return value;
}

function rate(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) throw new InvalidArgumentError("It must be a number above 0.");
  return value;
}

function chance(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value < 1))
    throw new InvalidArgumentError("It must be a number from 0 to less than 1.");
  return value;
}

function seed(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !Number.isSafeInteger(value)) throw new InvalidArgumentError("It must be a whole number.");
  return value;
}

function strategies(text: string): string[] {
  const names = [...new Set(listed(text))];
  const unknown = names.find((name) => !strategyNames.includes(name));
  if (unknown !== undefined)
    throw new InvalidArgumentError(`There is no strategy "${unknown}"; there are ${strategyNames.join(", ")}.`);
  return names;
}

function kinds(text: string): string[] {
  const names = listed(text);
  if (names.some((name) => !/^[a-z]+$/.test(name)))
    throw new InvalidArgumentError("Kinds of devices are listed by name, as in cpu,cpu.");
  return names;
}

function listed(text: string): string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("")) throw new InvalidArgumentError("It must be a list of names with commas between them.");
  return names;
}

/**
 * Writes the work that every contender does: the same inputs and the same initial weights, as safetensors files that all read.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import "@troupe/device-cpu";
import { io, manualSeed, rand } from "@troupe/core";
import { loadDigits, pixels } from "../digits.ts";
import { models, sequence, vocabulary } from "./models.ts";

type Values = Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
type Entry = readonly [name: string, shape: readonly number[], values: Values];

/** Sequences of tokens to learn from. */
const sequences = 256;

/** Writes a file of weights for each model, and files of inputs and targets: `digits`, `few` of them, `tokens`. */
export async function writeWorkload(folder: string): Promise<void> {
  manualSeed(1);
  for (const [model, parameters] of Object.entries(models)) {
    const entries: Entry[] = [];
    for (const [name, start] of Object.entries(parameters)) {
      const count = start.shape.reduce((a, b) => a * b, 1);
      entries.push([name, start.shape, "value" in start ? new Float32Array(count).fill(start.value) : await uniform(count, start.fanIn)]);
    }
    save(folder, model, entries);
  }
  const [images, labels] = loadDigits().train.tensors;
  const inputs = Float32Array.from(await images.data(), Number);
  const targets = Int32Array.from(await labels.data(), Number);
  save(folder, "digits", [["inputs", images.shape, inputs], ["targets", labels.shape, targets]]);
  const few = 128;
  save(folder, "few", [["inputs", [few, pixels], inputs.slice(0, few * pixels)], ["targets", [few], targets.slice(0, few)]]);
  // A rule that can be learned: what stands two places before, permuted.
  const chances = Float32Array.from(await rand(sequences * sequence).data(), Number);
  const tokens = Int32Array.from(chances, (chance) => Math.floor(chance * vocabulary));
  const permuted = tokens.map((_, i) => (tokens[i - (i % sequence < 2 ? 0 : 2)] * 5 + 3) % vocabulary);
  const shape = [sequences, sequence];
  save(folder, "tokens", [["inputs", shape, tokens], ["targets", shape, permuted]]);
}

async function uniform(count: number, fanIn: number): Promise<Float32Array<ArrayBuffer>> {
  const bound = 1 / Math.sqrt(fanIn);
  return Float32Array.from(await rand(count).mul(2 * bound).sub(bound).data(), Number);
}

function save(folder: string, name: string, entries: readonly Entry[]): void {
  const encoded = entries.map(([tensor, shape, values]) => {
    const dtype = values instanceof Float32Array ? ("float32" as const) : ("int32" as const);
    return [tensor, { dtype, shape, bytes: new Uint8Array(values.buffer) }] as const;
  });
  writeFileSync(join(folder, `${name}.safetensors`), io.encodeSafetensors(encoded));
}

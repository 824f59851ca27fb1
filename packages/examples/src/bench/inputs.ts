/** What contenders read. Nothing here imports Troupe: other contenders' processes must not pay for it, nor get its compiler's settings. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { JobOf, ModelName } from "./jobs.ts";

export const learningRate = 1e-3;
export const addChain = 10_000;

export interface Stored {
  readonly shape: readonly number[];
  readonly values: Float32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;
}

/** The tensors of a safetensors file of float32 and int32. */
export function readTensors(folder: string, name: string): Map<string, Stored> {
  const file = readFileSync(join(folder, `${name}.safetensors`));
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, start)) as Record<
    string, { dtype: string; shape: number[]; data_offsets: [number, number] }
  >;
  return new Map(
    Object.entries(header).map(([tensor, { dtype, shape, data_offsets: [from, to] }]) => {
      const { buffer } = new Uint8Array(file.subarray(start + from, start + to));
      return [tensor, { shape, values: dtype === "F32" ? new Float32Array(buffer) : new Int32Array(buffer) }];
    }),
  );
}

export interface Samples {
  readonly count: number;
  /** Of one sample. */
  readonly shape: readonly number[];
  readonly inputs: Stored["values"];
  readonly targets: Int32Array<ArrayBuffer>;
  /** Targets a sample. */
  readonly targetsEach: number;
}

const files = { mlp: "digits", cnn: "digits", transformer: "tokens" } as const;

/** Inputs and targets of a job, in whole batches. */
export function readSamples(folder: string, { kind, model, batch }: JobOf<"train" | "scaling" | "first step">): Samples {
  const tensors = readTensors(folder, kind === "first step" ? "few" : files[model]);
  const [inputs, targets] = [tensors.get("inputs"), tensors.get("targets")];
  if (inputs === undefined || !(targets?.values instanceof Int32Array)) throw new Error("the workload is not there");
  const [stored, ...shape] = inputs.shape;
  const count = stored - (stored % batch);
  const each = inputs.values.length / stored;
  const targetsEach = targets.values.length / stored;
  return {
    count,
    shape: model === "cnn" ? [1, 28, 28] : shape,
    inputs: inputs.values.subarray(0, count * each),
    targets: targets.values.subarray(0, count * targetsEach),
    targetsEach,
  };
}

/** Weights with those of linear layers as [inputs, outputs], for contenders that have it so. */
export function readKernels(folder: string, model: ModelName): [name: string, stored: Stored][] {
  return [...readTensors(folder, model)].map(([name, stored]) => {
    const { shape: [rows, columns], values } = stored;
    if (!name.endsWith(".weight") || stored.shape.length !== 2 || name.startsWith("tokens")) return [name, stored];
    const turned = values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]);
    return [name, { shape: [columns, rows], values: turned }];
  });
}

/** Numbers between -0.5 and 0.5 that every language computes alike. */
export function numbers(count: number, factor: number, modulus: number): Float32Array<ArrayBuffer> {
  return Float32Array.from({ length: count }, (_, i) => ((i * factor) % modulus) / modulus - 0.5);
}

/** The operands a, b and c of elementwise jobs and (a and b) of matmul. */
export function operands(count: number): [Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>, Float32Array<ArrayBuffer>] {
  return [numbers(count, 7919, 1009), numbers(count, 104729, 997), numbers(count, 1299709, 991)];
}

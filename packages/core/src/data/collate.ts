/** Putting samples together to a batch. */
import { ValueError } from "../errors.ts";
import { stack } from "../ops/join.ts";
import { tensor } from "../tensor/creation.ts";
import type { NestedData } from "../tensor/creation.ts";
import { isTensor } from "../tensor/tensor.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** What a batch of such samples is: tensors get one dimension more, numbers become a tensor, containers are kept. */
export type Batched<Sample> = Sample extends Tensor | number | bigint | boolean
  ? Tensor
  : Sample extends string
    ? string[]
    : Sample extends readonly unknown[]
      ? { -readonly [K in keyof Sample]: Batched<Sample[K]> }
      : Sample extends object
        ? { [K in keyof Sample]: Batched<Sample[K]> }
        : unknown;

/**
 * Stacks tensors, makes tensors of numbers, and goes into arrays and plain objects
 * (`torch.utils.data.default_collate`).
 * @throws ValueError for samples that do not match or cannot be put together
 */
export function defaultCollate<Sample>(samples: readonly Sample[]): Batched<Sample> {
  return collate(samples) as Batched<Sample>;
}

function collate(samples: readonly unknown[]): unknown {
  const [first] = samples;
  if (isTensor(first)) return stack(samples as readonly Tensor[]);
  if (typeof first === "number" || typeof first === "boolean" || typeof first === "bigint")
    return tensor(samples as NestedData);
  if (typeof first === "string") return [...samples];
  if (ArrayBuffer.isView(first)) return stack((samples as readonly Float32Array[]).map((sample) => tensor(sample)));
  if (Array.isArray(first)) {
    const rows = samples as readonly (readonly unknown[])[];
    if (rows.some((row) => row.length !== first.length))
      throw new ValueError("each element in list of batch should be of equal size");
    return first.map((_, i) => collate(rows.map((row) => row[i])));
  }
  if (typeof first === "object" && first !== null && Object.getPrototypeOf(first) === Object.prototype) {
    const rows = samples as readonly Readonly<Record<string, unknown>>[];
    return Object.fromEntries(Object.keys(first).map((key) => [key, collate(rows.map((row) => row[key]))]));
  }
  throw new ValueError(
    `batches are made of tensors, numbers, strings, arrays and plain objects; ` +
      `found ${first === null ? "null" : typeof first}`,
    {
      remedy: "Give the loader a collate function.",
    },
  );
}

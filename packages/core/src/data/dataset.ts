/** Datasets: numbered samples. */
import { ShapeError, ValueError } from "../errors.ts";
import { tensorOperand } from "../ops/elementwise.ts";
import { indexSelect } from "../ops/slices.ts";
import { randperm, tensor } from "../tensor/creation.ts";
import type { Tensor } from "../tensor/tensor.ts";

/** Samples by number (`torch.utils.data.Dataset`). */
export interface Dataset<Sample> {
  readonly length: number;
  /** One sample; it may be a promise. */
  get(index: number): Sample | Promise<Sample>;
  /**
   * Several samples as one batch, where that is cheaper than stacking them; the loader's `collate` is then not asked.
   */
  batch?(indices: readonly number[]): unknown;
}

/** Tensors of one length: a sample is the row of each (`torch.utils.data.TensorDataset`). */
export class TensorDataset<const T extends readonly Tensor[] = readonly Tensor[]> implements Dataset<{
  [K in keyof T]: Tensor;
}> {
  readonly tensors: T;

  /** @throws ShapeError where lengths differ */
  constructor(...tensors: T) {
    for (const one of tensors) tensorOperand("TensorDataset", one, "tensors");
    const [first] = tensors;
    if (first === undefined || tensors.some((one) => one.dim() === 0 || one.shape[0] !== first.shape[0])) {
      throw new ShapeError("Size mismatch between tensors: a TensorDataset needs tensors with the same number of rows");
    }
    this.tensors = tensors;
  }

  get length(): number {
    return this.tensors[0].shape[0];
  }

  get(index: number): { [K in keyof T]: Tensor } {
    return this.tensors.map((one) => one.select(0, index)) as { [K in keyof T]: Tensor };
  }

  /** Rows gathered by one op a tensor, or a view where they lie side by side. */
  batch(indices: readonly number[]): { [K in keyof T]: Tensor } {
    const [first = 0] = indices;
    if (indices.every((index, i) => index === first + i)) {
      return this.tensors.map((one) => one.narrow(0, first, indices.length)) as { [K in keyof T]: Tensor };
    }
    const rows = new Map<string, Tensor>();
    return this.tensors.map((one) => {
      const { name } = one.device;
      let index = rows.get(name);
      if (index === undefined) rows.set(name, (index = tensor(indices, { dtype: "int64", device: one.device })));
      return indexSelect(one, 0, index);
    }) as { [K in keyof T]: Tensor };
  }
}

/** Some samples of another dataset (`torch.utils.data.Subset`). */
export class Subset<Sample> implements Dataset<Sample> {
  readonly dataset: Dataset<Sample>;
  readonly indices: readonly number[];
  readonly batch?: (indices: readonly number[]) => unknown;

  constructor(dataset: Dataset<Sample>, indices: Iterable<number>) {
    this.dataset = dataset;
    this.indices = [...indices];
    if (dataset.batch !== undefined) {
      this.batch = (places) => dataset.batch?.(places.map((place) => this.indices[place]));
    }
  }

  get length(): number {
    return this.indices.length;
  }

  get(index: number): Sample | Promise<Sample> {
    return this.dataset.get(this.indices[index]);
  }
}

/**
 * Splits a dataset at random into parts of these lengths, or of these fractions where they sum to 1
 * (`torch.utils.data.random_split`). Drawn from the random stream: `manualSeed` makes it repeatable.
 * @throws ValueError where lengths do not sum to the dataset's
 */
export function randomSplit<Sample>(dataset: Dataset<Sample>, lengths: readonly number[]): Subset<Sample>[] {
  const sizes = wholeLengths(dataset.length, lengths);
  const order = permutation(dataset.length);
  let from = 0;
  return sizes.map((size) => new Subset(dataset, order.slice(from, (from += size))));
}

function wholeLengths(total: number, lengths: readonly number[]): readonly number[] {
  const sum = lengths.reduce((a, b) => a + b, 0);
  if (sum === total) return lengths;
  if (Math.abs(sum - 1) > 1e-6)
    throw new ValueError("Sum of input lengths does not equal the length of the input dataset!");
  const sizes = lengths.map((fraction) => Math.floor(total * fraction));
  // What rounding left over goes round the parts, as in PyTorch.
  const rest = total - sizes.reduce((a, b) => a + b, 0);
  return sizes.map((size, i) => size + Math.floor(rest / sizes.length) + (i < rest % sizes.length ? 1 : 0));
}

/** 0 to n - 1 in an order drawn from the random stream. */
export function permutation(n: number): number[] {
  const drawn = randperm(n);
  const order = Array.from(drawn.dataSync(), Number);
  drawn.dispose();
  return order;
}

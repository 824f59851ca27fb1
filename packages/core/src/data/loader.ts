/** Batches of a dataset. */
import { ValueError } from "../errors.ts";
import { assertOptions, shown } from "../arguments.ts";
import { relieve } from "../tensor/memory.ts";
import { defaultCollate } from "./collate.ts";
import type { Batched } from "./collate.ts";
import { permutation } from "./dataset.ts";
import type { Dataset } from "./dataset.ts";

export interface DataLoaderOptions<Sample, Batch> {
  readonly batchSize?: number;
  /** Another order each time, drawn from the random stream (`manualSeed`). */
  readonly shuffle?: boolean;
  /** Leave out a last batch that is smaller. */
  readonly dropLast?: boolean;
  /** Makes a batch of samples; by default `defaultCollate`. */
  readonly collate?: (samples: readonly Sample[]) => Batch | Promise<Batch>;
}

/**
 * Goes through a dataset in batches (`torch.utils.data.DataLoader`): `for await (const [x, y] of loader)`. Each batch
 * is a turn in which memory that nobody holds any more can be freed.
 */
export class DataLoader<Sample, Batch = Batched<Sample>> implements AsyncIterable<Batch> {
  readonly dataset: Dataset<Sample>;
  readonly batchSize: number;
  readonly shuffle: boolean;
  readonly dropLast: boolean;
  readonly #collate: DataLoaderOptions<Sample, Batch>["collate"];

  /** @throws ValueError unless the batch size is a whole number from 1, and for an unknown option */
  constructor(dataset: Dataset<Sample>, options: DataLoaderOptions<Sample, Batch> = {}) {
    assertOptions("DataLoader", options, ["batchSize", "shuffle", "dropLast", "collate"]);
    if (typeof dataset?.get !== "function" || !Number.isInteger(dataset.length)) {
      throw new ValueError(`a dataset has a length and get(index), got ${shown(dataset)}`, {
        op: "DataLoader",
        remedy: "new data.TensorDataset(inputs, targets) makes one of tensors.",
      });
    }
    const { batchSize = 1, shuffle = false, dropLast = false, collate } = options;
    if (!Number.isInteger(batchSize) || batchSize < 1) {
      throw new ValueError(`batch_size should be a positive integer value, but got batchSize=${batchSize}`, {
        op: "DataLoader",
      });
    }
    this.dataset = dataset;
    this.batchSize = batchSize;
    this.shuffle = shuffle;
    this.dropLast = dropLast;
    this.#collate = collate;
  }

  /** Batches in one pass. */
  get length(): number {
    const batches = this.dataset.length / this.batchSize;
    return this.dropLast ? Math.floor(batches) : Math.ceil(batches);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Batch, void> {
    const { dataset, batchSize, length } = this;
    const order = this.shuffle ? permutation(dataset.length) : Array.from({ length: dataset.length }, (_, i) => i);
    for (let number = 0; number < length; number++) {
      yield await this.#batch(order.slice(number * batchSize, (number + 1) * batchSize));
      await relieve();
    }
  }

  async #batch(indices: readonly number[]): Promise<Batch> {
    const { dataset } = this;
    if (this.#collate === undefined && dataset.batch !== undefined) return (await dataset.batch(indices)) as Batch;
    const samples = await Promise.all(indices.map((index) => dataset.get(index)));
    return this.#collate === undefined ? (defaultCollate(samples) as Batch) : this.#collate(samples);
  }
}

/** The order of samples, the same for every strategy: a permutation an epoch, cut into batches. */
import { getRngState, manualSeed, randperm, setRngState, tensor, tidy } from "@troupe/core";
import type { Device, Tensor } from "@troupe/core";

/** Samples and what belongs to them, along the first dimension of both, on any one device. */
export interface Samples {
  readonly input: Tensor;
  /** Class numbers, or whatever the loss takes. */
  readonly target: Tensor;
}

export class Order {
  readonly #samples: number;
  readonly #batch: number;
  readonly #steps: number;
  readonly #device: Device;
  #random: ReturnType<typeof getRngState>;

  /**
   * @param steps the most batches that an epoch has
   * @param device where permutations are drawn
   */
  constructor(samples: number, batch: number, steps: number, seed: number, device: Device) {
    this.#samples = samples;
    this.#batch = batch;
    this.#steps = Math.min(steps, Math.floor(samples / batch));
    this.#device = device;
    manualSeed(seed);
    this.#random = getRngState();
  }

  /** Steps in an epoch. */
  get steps(): number {
    return this.#steps;
  }

  /** The next epoch's samples, by batch. What does not make a whole batch is left out. */
  async epoch(): Promise<number[][]> {
    setRngState(this.#random);
    const drawn = tidy(() => randperm(this.#samples, { device: this.#device }));
    this.#random = getRngState();
    const order = Array.from(await drawn.data(), Number);
    drawn.dispose();
    return Array.from({ length: this.#steps }, (_, step) =>
      order.slice(step * this.#batch, (step + 1) * this.#batch),
    );
  }
}

/** Batches that lie ready on a device, one behind the other. */
export class Batches implements Disposable {
  readonly list: readonly Samples[];
  readonly #whole: Samples;

  /**
   * Gathers them.
   * @param samples on the device
   * @param rows numbers of samples, by batch
   */
  constructor({ input, target }: Samples, rows: readonly (readonly number[])[]) {
    using index = tensor(rows.flat(), { dtype: "int64", device: input.device });
    const whole = { input: input.indexSelect(0, index), target: target.indexSelect(0, index) };
    let from = 0;
    this.list = rows.map(({ length }) => {
      const batch = { input: whole.input.narrow(0, from, length), target: whole.target.narrow(0, from, length) };
      from += length;
      return batch;
    });
    this.#whole = whole;
  }

  [Symbol.dispose](): void {
    this.#whole.input.dispose();
    this.#whole.target.dispose();
  }
}

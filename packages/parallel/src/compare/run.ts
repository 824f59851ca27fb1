/** One strategy in training: its network, its optimizer, its place in the random stream. */
import { getRngState, isTensor, manualSeed, noGrad, setRngState, tidy } from "@troupe/core";
import type { nn, optim, Tensor } from "@troupe/core";
import { collectiveCounts } from "../collectives.ts";
import { fullTensor, meshOf } from "../distribute.ts";
import type { LossFunction } from "../network/step.ts";
import type { Samples } from "./order.ts";
import type { Strategy, Task, Trainer } from "./strategy.ts";

/** What every strategy trains. */
export interface Job {
  /** A fresh network; called once for each strategy, with the random stream at its start. */
  readonly model: () => nn.Sequential;
  readonly loss: LossFunction;
  readonly optimizer: (parameters: Iterable<Tensor>) => optim.Optimizer;
  readonly train: Samples;
  /** Samples that are held back; targets are class numbers. */
  readonly test?: Samples;
}

/** What the numbers of one step were. */
export interface StepNumbers {
  readonly gradients: readonly Float64Array[];
  readonly parameters: readonly Float64Array[];
}

export class Run implements Disposable {
  readonly strategy: Strategy;
  readonly trainer: Trainer;
  readonly #model: nn.Sequential;
  readonly #optimizer: optim.Optimizer;
  #random: ReturnType<typeof getRngState>;

  /**
   * Makes the network and lays it out.
   * @param layout what the strategy needs to know besides
   */
  constructor(
    strategy: Strategy,
    job: Job,
    layout: (model: nn.Sequential) => Pick<Task, "rows" | "costs">,
    seed: number,
  ) {
    this.strategy = strategy;
    const [first] = strategy.devices;
    manualSeed(seed);
    // What lay elsewhere on the way goes at once: the memory in use is the network's own.
    const [model, random, trainer] = laidOut(() => {
      const fresh = job.model().to(first);
      const stream = getRngState();
      return [fresh, stream, strategy.lay({ model: fresh, loss: job.loss, ...layout(fresh) })] as const;
    });
    this.#model = model;
    this.#random = random;
    this.trainer = trainer;
    this.#optimizer = job.optimizer(this.#model.parameters());
  }

  /**
   * One training step; what it makes is freed, but for gradients, which stay until the next one. Nothing is waited for.
   * @param batch on the strategy's first device
   * @returns the loss
   */
  step({ input, target }: Samples): Tensor {
    return this.#inOwnStream(() => {
      this.#releaseGradients();
      return tidy(() => {
        const loss = this.trainer.differentiate(input, target);
        this.#optimizer.step();
        return loss;
      });
    });
  }

  /** The same, and the bytes that passed between devices for it. */
  countedStep(batch: Samples): { readonly loss: Tensor; readonly bytes: number } {
    const before = collectiveCounts().bytes;
    const loss = this.step(batch);
    return { loss, bytes: collectiveCounts().bytes - before };
  }

  /** Gradients and parameters after a step, whole. */
  async numbers(): Promise<StepNumbers> {
    const parameters = this.#model.parameters();
    const read = (tensors: readonly Tensor[]): Promise<Float64Array[]> => Promise.all(tensors.map(numbersOf));
    return {
      gradients: await read(parameters.flatMap(({ grad }) => (grad === undefined ? [] : [grad]))),
      parameters: await read(parameters),
    };
  }

  /** The share of these samples that the network puts into the right class. */
  async accuracy({ input, target }: Samples): Promise<number> {
    const [first] = this.strategy.devices;
    this.#model.eval();
    using right = tidy(() =>
      noGrad(() => {
        const classes = this.trainer.forward(input.to(first)).argmax(1).to(first);
        return classes.eq(target.to(first)).sum();
      }),
    );
    this.#model.train();
    return (await right.item()) / target.shape[0];
  }

  /** Settles when the strategy's devices have done all that was issued. */
  async fence(): Promise<void> {
    await Promise.all(this.strategy.devices.map((device) => device.fence()));
  }

  /** Frees the network, its gradients and the optimizer's state. */
  [Symbol.dispose](): void {
    this.#releaseGradients();
    const states = Object.values(this.#optimizer.stateDict().state).flatMap((state) => Object.values(state));
    // Parameters may share a state.
    const tensors = new Set([...this.#model.parameters(), ...this.#model.buffers(), ...states.filter(isTensor)]);
    for (const tensor of tensors) tensor.dispose();
  }

  #inOwnStream<R>(body: () => R): R {
    setRngState(this.#random);
    const result = body();
    this.#random = getRngState();
    return result;
  }

  #releaseGradients(): void {
    for (const parameter of this.#model.parameters()) {
      parameter.grad?.dispose();
      parameter.grad = undefined;
    }
  }
}

/** Runs `body`, which makes a network, and frees what it made besides that network's parameters and buffers. */
function laidOut<R extends readonly [nn.Module, ...unknown[]]>(body: () => R): R {
  let result: R | undefined;
  tidy(() => {
    result = body();
    return [...result[0].parameters(), ...result[0].buffers()];
  });
  return result as R;
}

async function numbersOf(x: Tensor): Promise<Float64Array> {
  if (meshOf(x) === undefined) return Float64Array.from(await x.detach().data(), Number);
  using whole = tidy(() => noGrad(() => fullTensor(x.detach())));
  return Float64Array.from(await whole.data(), Number);
}

/** The jobs: one entry each. What a contender does with an entry is said in its own file, by the entry's kind. */

export interface Unit {
  readonly text: string;
  readonly better: "less" | "more";
  readonly digits: number;
}

const perOp: Unit = { text: "us an op", better: "less", digits: 3 };
const perCall: Unit = { text: "us a call", better: "less", digits: 0 };
const perProcess: Unit = { text: "ms", better: "less", digits: 0 };
const flops: Unit = { text: "GFLOP/s", better: "more", digits: 1 };
const samples: Unit = { text: "samples/s", better: "more", digits: 0 };

export type ModelName = "mlp" | "cnn" | "transformer";

interface Common {
  readonly name: string;
  readonly unit: Unit;
  readonly threads: number;
  /** What the figure means, where its name does not say it. */
  readonly about?: string;
  /** Contenders that cannot do it, and why. */
  readonly without?: Readonly<Record<string, string>>;
}

interface Training {
  readonly model: ModelName;
  readonly batch: number;
}

export type Job = Common &
  (
    | { readonly kind: "add"; readonly backward: boolean }
    /** relu(a * b + c) * b over so many floats, a new result each time. */
    | { readonly kind: "elementwise"; readonly size: number }
    | { readonly kind: "matmul"; readonly size: number }
    | ({ readonly kind: "train" } & Training)
    /** Data-parallel over two devices of one thread. */
    | ({ readonly kind: "scaling" } & Training)
    | ({ readonly kind: "first step" } & Training)
  );

export type JobOf<K extends Job["kind"]> = Extract<Job, { readonly kind: K }>;

const noThreads = { tfjs: "has no threads in Node", "jax-js": "has no threads in Node" };

export const jobs: readonly Job[] = [
  { name: "add", kind: "add", backward: false, unit: perOp, threads: 1, about: "10,000 chained adds of 4 elements" },
  {
    name: "add + backward", kind: "add", backward: true, unit: perOp, threads: 1, about: "the same with a gradient",
    without: { "jax-js": "its gradient of a chain grows with the chain's square" },
  },
  {
    name: "chain of four", kind: "elementwise", size: 1_000_000, unit: perCall, threads: 1,
    about: "relu(a * b + c) * b over 1,000,000 floats",
  },
  { name: "matmul 512", kind: "matmul", size: 512, unit: flops, threads: 1 },
  { name: "matmul 512, 2 threads", kind: "matmul", size: 512, unit: flops, threads: 2, without: noThreads },
  { name: "mlp 128", kind: "train", model: "mlp", batch: 128, unit: samples, threads: 1, about: "784-256-128-10, Adam" },
  { name: "mlp 256", kind: "train", model: "mlp", batch: 256, unit: samples, threads: 1 },
  { name: "mlp 256, 2 threads", kind: "train", model: "mlp", batch: 256, unit: samples, threads: 2, without: noThreads },
  {
    name: "mlp 256, 2 actors", kind: "scaling", model: "mlp", batch: 256, unit: samples, threads: 2, without: noThreads,
    about: "Troupe: data-parallel over two devices of one thread; PyTorch: two threads",
  },
  {
    name: "cnn 64", kind: "train", model: "cnn", batch: 64, unit: samples, threads: 1,
    about: "two 3 x 3 convolutions (16 and 32 channels), each with relu and pooling, then 1568-10, Adam",
    without: { tfjs: "its WebAssembly has no gradient of a convolution's weight; plain JavaScript takes 10 s a step" },
  },
  {
    name: "transformer 8", kind: "train", model: "transformer", batch: 8, unit: samples, threads: 1,
    about: "embedding, one pre-norm block (width 128, 4 heads, causal, 64 tokens, relu), 64 classes, Adam",
  },
  {
    name: "first step", kind: "first step", model: "mlp", batch: 128, unit: perProcess, threads: 1,
    about: "from the start of a process to the loss of its first training step",
  },
];

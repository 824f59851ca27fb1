/** Networks that are trained on one device and layer-wise on several, to be compared. */
import { manualSeed, nn, optim, randint, randn } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { column, row } from "@troupe/parallel";
import type { LayerPlan } from "@troupe/parallel";

const F = nn.functional;
const here = "mock:0";
const classes = 3;

export type Chain = nn.Sequential;

export interface Kind {
  readonly make: () => Chain;
  readonly plan: LayerPlan;
  /** One sample's shape. */
  readonly sample: readonly number[];
}

export const mlp: Kind = {
  make: () => {
    manualSeed(3);
    const steps = [new nn.Linear(5, 7), new nn.GELU(), new nn.Dropout(0.2), new nn.Linear(7, 4), new nn.ReLU()];
    return new nn.Sequential(...steps, new nn.Linear(4, 5), new nn.ReLU(), new nn.Linear(5, classes)).to(here);
  },
  plan: { "0": column(), "3": row(), "5": column(), "7": row() },
  sample: [5],
};

export const cnn: Kind = {
  make: () => {
    manualSeed(3);
    return new nn.Sequential(
      new nn.Conv2d(2, 5, 3, { padding: 1 }),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Dropout(0.2),
      new nn.Conv2d(5, 4, 2),
      new nn.ReLU(),
      new nn.Flatten(),
      new nn.Linear(36, classes),
    ).to(here);
  },
  plan: { "0": column(), "4": row() },
  sample: [2, 8, 8],
};

export interface Run {
  readonly sizes: readonly number[];
  readonly dtype?: "float32" | "float64";
  /** Batches for one step. */
  readonly accumulate?: number;
  readonly clip?: number;
}

export interface Outcome {
  readonly losses: readonly number[];
  /** Of the last batch. */
  readonly gradients: readonly Tensor[];
  readonly norms: readonly number[];
  readonly state: nn.StateDict;
}

export function batches(kind: Kind, { sizes, dtype }: Run): [input: Tensor, labels: Tensor][] {
  manualSeed(4);
  return sizes.map((size) => [
    randn([size, ...kind.sample], { device: here, dtype }),
    randint(classes, [size], { device: here }),
  ]);
}

/** Trains a fresh network as `spread` lays it out. */
export function trained(kind: Kind, run: Run, spread: (model: Chain) => nn.Module): Outcome {
  const { dtype = "float32", accumulate = 1, clip } = run;
  const data = batches(kind, run);
  const model = kind.make().to(dtype);
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.02 });
  const net = spread(model) as Chain;
  const norms: number[] = [];
  const losses = data.map(([input, labels], i) => {
    if (i % accumulate === 0) optimizer.zeroGrad();
    const loss = F.crossEntropy(net.forward(input), labels);
    loss.backward();
    if (i % accumulate === accumulate - 1) {
      const norm = clip === undefined ? undefined : nn.clipGradNorm_(net.parameters(), clip);
      if (norm !== undefined) norms.push(norm.itemSync());
      optimizer.step();
    }
    return loss.itemSync();
  });
  return { losses, norms, gradients: model.parameters().map(({ grad }) => grad as Tensor), state: net.stateDict() };
}

/** Every way to train on several devices, in one form, and the networks that all of them can train. */
import { manualSeed, nn, optim, randint, randn } from "@troupe/core";
import type { Device, Tensor } from "@troupe/core";
import { column, dataParallel, deviceMesh, layerwise, pipeline, row } from "@troupe/parallel";
import type { LayerPlan } from "@troupe/parallel";

const F = nn.functional;

export const classes = 3;

export interface Network {
  readonly make: () => nn.Sequential;
  /** One sample's shape. */
  readonly sample: readonly number[];
  readonly plan: LayerPlan;
}

/** Widths that neither 2 nor 3, 4 or 8 devices divide. */
export const mlp: Network = {
  make: () =>
    new nn.Sequential(
      new nn.Linear(5, 11),
      new nn.GELU(),
      new nn.Dropout(0.2),
      new nn.Linear(11, 7),
      new nn.Tanh(),
      new nn.Dropout(0.1),
      new nn.Linear(7, 9),
      new nn.ReLU(),
      new nn.Linear(9, classes),
    ),
  sample: [5],
  plan: { "0": column(), "3": row(), "6": column(), "8": row() },
};

export const cnn: Network = {
  make: () =>
    new nn.Sequential(
      new nn.Conv2d(2, 5, 3, { padding: 1 }),
      new nn.ReLU(),
      new nn.MaxPool2d(2),
      new nn.Dropout(0.2),
      new nn.Conv2d(5, 4, 2),
      new nn.Tanh(),
      new nn.Flatten(),
      new nn.Dropout(0.1),
      new nn.Linear(36, classes),
    ),
  sample: [2, 8, 8],
  plan: { "0": column(), "4": row() },
};

/** A network laid out over devices, as a training loop sees it. */
export interface Trainer {
  /** Forward and backward of a batch: adds to the parameters' gradients. @returns the loss */
  readonly differentiate: (input: Tensor, target: Tensor) => Tensor;
}

export type Strategy = (model: nn.Sequential, devices: readonly Device[], network: Network) => Trainer;

function backward(loss: Tensor): Tensor {
  loss.backward();
  return loss.detach();
}

const inStages =
  (schedule: "gpipe" | "1f1b"): Strategy =>
  (model, devices) => {
    const pipe = pipeline(model, { devices, microbatches: 3, schedule });
    return { differentiate: (input, target) => pipe.step(input, target, F.crossEntropy) };
  };

/** On the first device alone. */
export const single: Strategy = (model) => ({
  differentiate: (input, target) => backward(F.crossEntropy(model.forward(input), target)),
});

export const strategies: Readonly<Record<string, Strategy>> = {
  "data-parallel": (model, devices) => {
    const net = dataParallel(model, { devices });
    return { differentiate: (input, target) => backward(F.crossEntropy(net.forward(input), target)) };
  },
  "layer-wise": (model, devices, { plan }) => {
    const net = layerwise(model, deviceMesh(devices, { tp: devices.length }), plan);
    return { differentiate: (input, target) => backward(F.crossEntropy(net.forward(input), target)) };
  },
  GPipe: inStages("gpipe"),
  "1F1B": inStages("1f1b"),
};

export interface Training {
  readonly network: Network;
  readonly dtype?: "float32" | "float64";
  readonly steps?: number;
}

/** What gradients are clipped to; those of the first steps are longer. */
export const maxNorm = 0.15;

/** Sizes of the two batches whose gradients make a step; neither devices nor micro-batches divide them. */
const sizes = [
  [7, 5],
  [8, 3],
  [5, 5],
  [7, 4],
  [3, 10],
] as const;

/**
 * Five steps of Adam, each with the gradients of two batches, clipped to a norm, with dropout.
 * @returns by name: the loss of each batch, and of each step the norm, the clipped gradients and the parameters
 */
export async function trained(
  { network, dtype = "float32", steps = sizes.length }: Training,
  strategy: Strategy,
  devices: readonly Device[],
): Promise<Map<string, readonly number[]>> {
  const [device] = devices;
  manualSeed(21);
  const model = network.make().to(device, dtype);
  const batches = sizes.slice(0, steps).map((pair) =>
    pair.map((size) => ({
      input: randn([size, ...network.sample], { device, dtype }),
      target: randint(classes, [size], { device }),
    })),
  );
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.02 });
  const { differentiate } = strategy(model, devices, network);
  const found = new Map<string, Promise<readonly number[]>>();
  const keep = (name: string, x: Tensor): void => {
    found.set(name, x.detach().data().then((data) => Array.from(data, Number)));
  };
  for (const [step, pair] of batches.entries()) {
    optimizer.zeroGrad();
    for (const [i, { input, target }] of pair.entries()) keep(`loss ${step}.${i}`, differentiate(input, target));
    keep(`norm ${step}`, nn.clipGradNorm_(model.parameters(), maxNorm) as Tensor);
    for (const [name, { grad }] of model.namedParameters()) keep(`gradient ${step} of ${name}`, grad as Tensor);
    optimizer.step();
    for (const [name, parameter] of model.namedParameters()) keep(`${name} after step ${step}`, parameter);
  }
  const numbers = await Promise.all([...found].map(async ([name, list]) => [name, await list] as const));
  return new Map(numbers);
}

/** What is not `|actual - expected| <= atol + rtol |expected|`, by name. */
export function differences(
  actual: ReadonlyMap<string, readonly number[]>,
  expected: ReadonlyMap<string, readonly number[]>,
  { rtol, atol }: { readonly rtol: number; readonly atol: number },
): string[] {
  const names = new Set([...actual.keys(), ...expected.keys()]);
  return [...names].flatMap((name) => {
    const [a, b] = [actual.get(name), expected.get(name)];
    if (a === undefined || b === undefined || a.length !== b.length) return [`${name} has other elements`];
    const at = b.findIndex((y, i) => !(Math.abs(a[i] - y) <= atol + rtol * Math.abs(y)));
    return at < 0 ? [] : [`${name}: element ${at} is ${a[at]} instead of ${b[at]}`];
  });
}

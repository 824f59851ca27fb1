/** Networks, and the same training on one device and in a pipeline. */
import { manualSeed, nn, optim, randint, randn } from "@troupe/core";
import type { Device, Tensor } from "@troupe/core";
import { pipeline } from "@troupe/parallel";
import type { PipelineOptions, ScheduleName } from "@troupe/parallel";

const F = nn.functional;

export const schedules: readonly ScheduleName[] = ["gpipe", "1f1b"];
export const loss = (output: Tensor, target: Tensor): Tensor => F.crossEntropy(output, target);

/** |actual - expected| <= atol + rtol * |expected|, as the first element that breaks it. */
function difference(actual: Tensor, expected: Tensor): string | undefined {
  const [rtol, atol] = expected.dtype === "float64" ? [1e-9, 1e-9] : [1e-5, 4e-5];
  const [a, b] = [actual.dataSync(), expected.dataSync()].map((data) => Array.from(data, Number));
  if (a.length !== b.length) return `${a.length} elements instead of ${b.length}`;
  const at = b.findIndex((y, i) => !(Math.abs(a[i] - y) <= atol + rtol * Math.abs(y)));
  return at < 0 ? undefined : `element ${at} is ${a[at]} instead of ${b[at]}`;
}

/** Where two sets of tensors differ, by name; empty where they do not. */
export function differences(
  actual: Readonly<Record<string, Tensor>>,
  expected: Readonly<Record<string, Tensor>>,
): string[] {
  const names = new Set([...Object.keys(actual), ...Object.keys(expected)]);
  return [...names].flatMap((name) => {
    if (!(name in actual && name in expected)) return [`${name} is there only once`];
    const found = difference(actual[name], expected[name]);
    return found === undefined ? [] : [`${name}: ${found}`];
  });
}

export interface Training {
  readonly model: () => nn.Sequential;
  readonly sample: readonly number[];
  readonly batches?: readonly number[];
  readonly dtype?: "float32" | "float64";
  readonly accumulate?: number;
  readonly clip?: number;
}

export const classes = 3;

export const mlp = (): nn.Sequential =>
  new nn.Sequential(
    new nn.Linear(5, 12),
    new nn.ReLU({ inplace: true }),
    new nn.Dropout(0.3),
    new nn.Linear(12, 8),
    new nn.Tanh(),
    new nn.Dropout(0.2),
    new nn.Linear(8, classes),
  );

export const cnn = (): nn.Sequential =>
  new nn.Sequential(
    new nn.Conv2d(1, 4, 3),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Dropout2d(0.2),
    new nn.Flatten(),
    new nn.Linear(36, 10),
    new nn.Dropout(0.5),
    new nn.Linear(10, classes),
  );

export interface Trained {
  readonly losses: Record<string, Tensor>;
  /** Gradients of the last batch, and the parameters after it. */
  readonly gradients: Record<string, Tensor>;
  readonly state: nn.StateDict;
  readonly next: number;
}

/** Five steps, on one device or in a pipeline: the same loop but for the call that computes gradients. */
export function trained(training: Training, here: Device, options?: PipelineOptions): Trained {
  const { batches = [12, 12, 12, 12, 7], dtype = "float32", accumulate = 1, clip } = training;
  manualSeed(11);
  const model = training.model().to(here, dtype);
  const data = batches.map((size) => [
    randn([size, ...training.sample], { device: here, dtype }),
    randint(classes, [size], { device: here }),
  ]);
  const optimizer = new optim.Adam(model.parameters(), { lr: 0.02 });
  const pipe = options === undefined ? undefined : pipeline(model, options);
  const losses: Record<string, Tensor> = {};
  for (const [i, [input, target]] of data.entries()) {
    if (i % accumulate === 0) optimizer.zeroGrad();
    const single = pipe === undefined ? loss(model.forward(input), target) : undefined;
    single?.backward();
    const result = single ?? (pipe as NonNullable<typeof pipe>).step(input, target, loss);
    if (clip !== undefined) nn.clipGradNorm_(model.parameters(), clip);
    if (i % accumulate === accumulate - 1) optimizer.step();
    losses[`loss ${i}`] = result.detach();
  }
  const gradients = Object.fromEntries(
    Array.from(model.namedParameters(), ([name, { grad }]) => [name, grad as Tensor]),
  );
  return { losses, gradients, state: model.stateDict(), next: randn([]).itemSync() };
}

/**
 * What differs between training on the first device and in a pipeline: losses, gradients, parameters, the random
 * stream.
 */
export function trainingDifferences(
  training: Training,
  devices: readonly Device[],
  options: Omit<PipelineOptions, "devices"> = {},
): string[] {
  const expected = trained(training, devices[0]);
  const actual = trained(training, devices[0], { devices, ...options });
  return [
    ...differences(actual.losses, expected.losses),
    ...differences(actual.gradients, expected.gradients),
    ...differences(actual.state, expected.state),
    ...(actual.next === expected.next ? [] : ["the random stream goes on elsewhere"]),
  ];
}

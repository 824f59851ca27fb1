/** jax-js (WebAssembly device, one thread, everything under `jit`: its best form) as a contender: `node jax.ts FOLDER JOB`. */
import { blockUntilReady, defaultDevice, init, jit, lax, nn, numpy as np, tree, valueAndGrad } from "@jax-js/jax";
import { addChain, learningRate, operands, readKernels, readSamples } from "./inputs.ts";
import type { Job, JobOf } from "./jobs.ts";
import { heads, masked, sequence, vocabulary, width } from "./models.ts";
import { print, sinceStart, timed, training } from "./timing.ts";
import type { Loop } from "./timing.ts";

const [folder, text] = process.argv.slice(2);
const job = JSON.parse(text) as Job;
type Array = np.Array;
type Parameters = Record<string, Array>;

await init("wasm");
defaultDevice("wasm");

async function addJob(): Promise<void> {
  // Lazy chains grow with their square there, so a tenth of the chain is timed, and each sum is awaited.
  const length = addChain / 10;
  const { seconds, ...used } = await timed(async () => {
    const b = np.array(new Float32Array(4).fill(1e-6));
    let t = np.array(new Float32Array([1, 2, 3, 4]));
    for (let i = 0; i < length; i++) t = await blockUntilReady(t.add(b.ref));
    await t.sum().data();
    b.dispose();
  }, 3);
  print({ value: (seconds / length) * 1e6, ...used });
}

/** Times one call, and gives the mean of what it makes. */
async function calls(f: () => Array): Promise<{ seconds: number; results: number[]; used: Omit<Awaited<ReturnType<typeof timed>>, "seconds"> }> {
  const { seconds, ...used } = await timed(async () => {
    const result = await blockUntilReady(f());
    result.dispose();
  });
  return { seconds, results: [(await np.mean(f()).data())[0]], used };
}

async function elementwiseJob({ size }: JobOf<"elementwise">): Promise<void> {
  const [a, b, c] = operands(size).map((values) => np.array(values));
  const chain = jit(((x: Array, y: Array, z: Array) => nn.relu(x.mul(y.ref).add(z)).mul(y)) as never) as unknown as (...args: Array[]) => Array;
  const { seconds, results, used } = await calls(() => chain(a.ref, b.ref, c.ref));
  print({ value: seconds * 1e6, results, ...used });
}

async function matmulJob({ size }: JobOf<"matmul">): Promise<void> {
  const [a, b] = operands(size * size).map((values) => np.array(values).reshape([size, size]));
  const { seconds, results, used } = await calls(() => np.matmul(a.ref, b.ref));
  print({ value: (2 * size ** 3) / seconds / 1e9, results, ...used });
}

function linear(p: Parameters, name: string, x: Array): Array {
  const product = np.dot(x, p[`${name}.weight`]);
  const bias = `${name}.bias`;
  return bias in p ? product.add(p[bias]) : product;
}

function norm(p: Parameters, name: string, x: Array): Array {
  const centred = x.ref.sub(np.mean(x, -1, { keepdims: true }));
  const square = np.mean(np.square(centred.ref), -1, { keepdims: true }).add(1e-5);
  return centred.div(np.sqrt(square)).mul(p[`${name}.weight`]).add(p[`${name}.bias`]);
}

function mlp(p: Parameters, x: Array): Array {
  return linear(p, "4", nn.relu(linear(p, "2", nn.relu(linear(p, "0", x)))));
}

function cnn(p: Parameters, x: Array): Array {
  const pool = (v: Array): Array => lax.reduceWindow(v, np.max, [2, 2], [2, 2]);
  const convolved = (name: string, v: Array): Array => {
    const out = lax.convGeneralDilated(v, p[`${name}.weight`], [1, 1], [[1, 1], [1, 1]]);
    return pool(nn.relu(out.add(p[`${name}.bias`].reshape([-1, 1, 1]))));
  };
  const [batch] = x.shape;
  return linear(p, "7", convolved("3", convolved("0", x)).reshape([batch, 1568]));
}

const mask = np.array(
  Float32Array.from({ length: sequence ** 2 }, (_, i) => (i % sequence > Math.floor(i / sequence) ? masked : 0)),
).reshape([sequence, sequence]);

function transformer(p: Parameters, x: Array): Array {
  const [batch] = x.shape;
  const start = np.dot(nn.oneHot(x, vocabulary), p["tokens.weight"]).add(p["positions"]);
  const normed = norm(p, "norm1", start.ref);
  const split = (name: string, v: Array): Array =>
    np.transpose(linear(p, name, v).reshape([batch, sequence, heads, width / heads]), [0, 2, 1, 3]);
  const [q, k, v] = [split("query", normed.ref), split("key", normed.ref), split("value", normed)];
  const scores = np.matmul(q, np.transpose(k, [0, 1, 3, 2])).mul((width / heads) ** -0.5).add(mask.ref);
  const mixed = np.transpose(np.matmul(nn.softmax(scores, -1), v), [0, 2, 1, 3]).reshape([batch, sequence, width]);
  const middle = start.add(linear(p, "output", mixed));
  const end = middle.ref.add(linear(p, "down", nn.relu(linear(p, "up", norm(p, "norm2", middle)))));
  return linear(p, "head", end).reshape([batch * sequence, vocabulary]);
}

const forwards = { mlp, cnn, transformer };

function loop(trained: JobOf<"train" | "scaling" | "first step">): Loop<Array> {
  const { model, batch } = trained;
  const { count, shape, inputs, targets, targetsEach } = readSamples(folder, trained);
  const [each, rows, classes] = [inputs.length / count, batch * targetsEach, model === "transformer" ? vocabulary : 10];
  const dtype = model === "transformer" ? np.int32 : np.float32;
  const batches = globalThis.Array.from({ length: count / batch }, (_, i) => ({
    x: np.array(inputs.slice(i * batch * each, (i + 1) * batch * each), { dtype }).reshape([batch, ...shape]),
    y: np.array(targets.slice(i * rows, (i + 1) * rows), { dtype: np.int32 }),
  }));
  let params: Parameters = Object.fromEntries(
    readKernels(folder, model).map(([name, { shape: own, values }]) => [name, np.array(values).reshape([...own])]),
  );
  const zeros = (): Parameters => Object.fromEntries(Object.entries(params).map(([name, value]) => [name, np.zerosLike(value.ref)]));
  let [m, v] = [zeros(), zeros()];
  const lossOf = (p: Parameters, x: Array, y: Array): Array =>
    nn.logSoftmax(forwards[model](p, x)).mul(nn.oneHot(y, classes)).sum().mul(-1 / rows);
  const withGradient = valueAndGrad(lossOf);
  // Adam, written out: its optimizer library is not on the registry.
  type Whole = (p: Parameters, m1: Parameters, m2: Parameters, first: Array, second: Array, x: Array, y: Array) => [Parameters, Parameters, Parameters, Array];
  const whole: Whole = (p, m1, m2, first, second, x, y) => {
    const [loss, g] = withGradient(tree.ref(p), x, y) as [Array, Parameters];
    const [np_, nm, nv]: [Parameters, Parameters, Parameters] = [{}, {}, {}];
    for (const name of Object.keys(p)) {
      const mean = m1[name].mul(0.9).add(g[name].ref.mul(0.1));
      const square = m2[name].mul(0.999).add(g[name].ref.mul(g[name]).mul(0.001));
      const step = mean.ref.div(first.ref).div(np.sqrt(square.ref.div(second.ref)).add(1e-8));
      np_[name] = p[name].sub(step.mul(learningRate));
      nm[name] = mean;
      nv[name] = square;
    }
    first.dispose();
    second.dispose();
    return [np_, nm, nv, loss];
  };
  const stepFunction = jit(whole as never) as unknown as Whole;
  let next = 0;
  return {
    step: async () => {
      const { x, y } = batches[next++ % batches.length];
      const [first, second] = [1 - 0.9 ** next, 1 - 0.999 ** next].map((correction) => np.array(correction));
      const [p, m1, m2, loss] = stepFunction(params, m, v, first, second, x.ref, y.ref);
      [params, m, v] = [p, m1, m2];
      await blockUntilReady(params);
      return loss;
    },
    read: async (loss) => (await loss.ref.data())[0],
    drop: (loss) => loss.dispose(),
  };
}

async function trainJob(trained: JobOf<"train">): Promise<void> {
  const { body, steps, results } = await training(loop(trained));
  const { seconds, ...used } = await timed(body, 3);
  print({ value: (steps * trained.batch) / seconds, results, ...used });
}

async function firstStepJob(trained: JobOf<"first step">): Promise<void> {
  const { step, read } = loop(trained);
  const results = [await read(await step())];
  const milliseconds = sinceStart();
  const { user, system } = process.cpuUsage();
  print({ value: milliseconds, results, cpuSeconds: (user + system) / 1e6, wallSeconds: milliseconds / 1000 });
}

if (job.kind === "add") await addJob();
if (job.kind === "elementwise") await elementwiseJob(job);
if (job.kind === "matmul") await matmulJob(job);
if (job.kind === "train") await trainJob(job);
if (job.kind === "first step") await firstStepJob(job);
process.exit(0);

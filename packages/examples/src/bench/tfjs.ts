/** TensorFlow.js (WebAssembly backend, one thread: it has no threads in Node) as a contender: `node tfjs.ts FOLDER JOB`. */
import { createRequire } from "node:module";
import type * as TensorFlow from "@tensorflow/tfjs";
import type * as WasmBackend from "@tensorflow/tfjs-backend-wasm";
import { dirname } from "node:path";
import { addChain, learningRate, operands, readKernels, readSamples } from "./inputs.ts";
import type { Job, JobOf } from "./jobs.ts";
import { heads, masked, sequence, vocabulary, width } from "./models.ts";
import { print, sinceStart, timed, training } from "./timing.ts";
import type { Loop } from "./timing.ts";

const require = createRequire(import.meta.url);
const tf = require("@tensorflow/tfjs") as typeof TensorFlow;
const wasm = require("@tensorflow/tfjs-backend-wasm") as typeof WasmBackend;
const [folder, text] = process.argv.slice(2);
const job = JSON.parse(text) as Job;
type Tensor = TensorFlow.Tensor;

wasm.setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm"))}/`);
// Its plain JavaScript backend is the faster one for tiny ops.
await tf.setBackend(job.kind === "add" ? "cpu" : "wasm");
await tf.ready();

async function addJob({ backward }: JobOf<"add">): Promise<void> {
  const a = tf.tensor1d([1, 2, 3, 4]);
  const b = tf.tensor1d([1e-6, 1e-6, 1e-6, 1e-6]);
  const chain = (step: Tensor): TensorFlow.Scalar => {
    let t: Tensor = a;
    for (let i = 0; i < addChain; i++) t = t.add(step);
    return t.sum();
  };
  let result = 0;
  const { seconds, ...used } = await timed(() => {
    result = tf.tidy(() => (backward ? tf.grad(chain)(b).sum() : chain(b)).dataSync()[0]);
  });
  print({ value: (seconds / addChain) * 1e6, results: [result], ...used });
}

/** Times one call, and gives the mean of what it makes. */
async function calls(f: () => Tensor): Promise<{ seconds: number; results: number[]; used: Omit<Awaited<ReturnType<typeof timed>>, "seconds"> }> {
  const { seconds, ...used } = await timed(() => {
    for (let i = 0; i < 10; i++) tf.dispose(tf.tidy(f));
  });
  return { seconds: seconds / 10, results: [tf.tidy(() => f().mean().dataSync()[0])], used };
}

async function elementwiseJob({ size }: JobOf<"elementwise">): Promise<void> {
  const [a, b, c] = operands(size).map((values) => tf.tensor1d(values));
  const { seconds, results, used } = await calls(() => a.mul(b).add(c).relu().mul(b));
  print({ value: seconds * 1e6, results, ...used });
}

async function matmulJob({ size }: JobOf<"matmul">): Promise<void> {
  const [a, b] = operands(size * size).map((values) => tf.tensor2d(values, [size, size]));
  const { seconds, results, used } = await calls(() => a.matMul(b));
  print({ value: (2 * size ** 3) / seconds / 1e9, results, ...used });
}

type Parameters = Readonly<Record<string, TensorFlow.Variable>>;

function linear(p: Parameters, name: string, x: Tensor): Tensor {
  const product = x.matMul<Tensor>(p[`${name}.weight`]);
  const bias = `${name}.bias`;
  return bias in p ? product.add(p[bias]) : product;
}

function norm(p: Parameters, name: string, x: Tensor): Tensor {
  const centred = x.sub(x.mean(-1, true));
  return centred.div(centred.square().mean(-1, true).add(1e-5).sqrt()).mul(p[`${name}.weight`]).add(p[`${name}.bias`]);
}

const mask = tf.tidy(() =>
  tf.tensor2d(Float32Array.from({ length: sequence ** 2 }, (_, i) => (i % sequence > Math.floor(i / sequence) ? masked : 0)), [sequence, sequence]),
);

function transformer(p: Parameters, x: Tensor): Tensor {
  const [batch] = x.shape;
  const rows = [batch * sequence, width];
  // Its WebAssembly backend has no gradient of a look-up.
  const tokens = tf.oneHot(x.flatten().toInt(), vocabulary).toFloat().matMul(p["tokens.weight"]).reshape([batch, sequence, width]);
  const start = tokens.add(p["positions"]).reshape(rows);
  const normed = norm(p, "norm1", start);
  const split = (name: string): Tensor => linear(p, name, normed).reshape([batch, sequence, heads, width / heads]).transpose([0, 2, 1, 3]);
  const scores = tf.matMul(split("query"), split("key"), false, true).mul((width / heads) ** -0.5).add(mask);
  const mixed = tf.matMul(scores.softmax(-1), split("value")).transpose([0, 2, 1, 3]).reshape(rows);
  const middle = start.add(linear(p, "output", mixed));
  const end = middle.add(linear(p, "down", linear(p, "up", norm(p, "norm2", middle)).relu()));
  return linear(p, "head", end);
}

const mlp = (p: Parameters, x: Tensor): Tensor => linear(p, "4", linear(p, "2", linear(p, "0", x).relu()).relu());

function loop(trained: JobOf<"train" | "scaling" | "first step">): Loop<TensorFlow.Scalar> {
  const { model, batch } = trained;
  const { count, shape, inputs, targets, targetsEach } = readSamples(folder, trained);
  const forward = model === "transformer" ? transformer : mlp;
  const [each, classes] = [inputs.length / count, model === "transformer" ? vocabulary : 10];
  const dtype = model === "transformer" ? "int32" : "float32";
  const batches = Array.from({ length: count / batch }, (_, i) => ({
    x: tf.tensor(inputs.slice(i * batch * each, (i + 1) * batch * each), [batch, ...shape], dtype),
    y: tf.oneHot(tf.tensor1d(targets.slice(i * batch * targetsEach, (i + 1) * batch * targetsEach), "int32"), classes).toFloat(),
  }));
  const parameters = Object.fromEntries(
    readKernels(folder, model).map(([name, { shape: own, values }]) => [name, tf.variable(tf.tensor(values, [...own]))]),
  );
  const optimizer = tf.train.adam(learningRate, 0.9, 0.999, 1e-8);
  let next = 0;
  const step = (): TensorFlow.Scalar => {
    const { x, y } = batches[next++ % batches.length];
    const loss = (): TensorFlow.Scalar => tf.losses.softmaxCrossEntropy(y, forward(parameters, x)).asScalar();
    return optimizer.minimize(loss, true, Object.values(parameters)) as TensorFlow.Scalar;
  };
  return { step, read: async (loss) => (await loss.data())[0], drop: (loss) => loss.dispose() };
}

async function trainJob(trained: JobOf<"train">): Promise<void> {
  const { body, steps, results } = await training(loop(trained));
  const { seconds, ...used } = await timed(body);
  print({ value: (steps * trained.batch) / seconds, results, ...used });
}

async function firstStepJob(trained: JobOf<"first step">): Promise<void> {
  const { step, read } = loop(trained);
  const results = [await read(await step())];
  const milliseconds = sinceStart();
  const { user, system } = process.cpuUsage();
  print({ value: milliseconds, results, cpuSeconds: (user + system) / 1e6, wallSeconds: milliseconds / 1000 });
}

if (job.kind === "add") await addJob(job);
if (job.kind === "elementwise") await elementwiseJob(job);
if (job.kind === "matmul") await matmulJob(job);
if (job.kind === "train") await trainJob(job);
if (job.kind === "first step") await firstStepJob(job);
process.exit(0);

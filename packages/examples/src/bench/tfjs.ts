/** TensorFlow.js (WebAssembly backend, one thread: it has no threads in Node) as a contender: `node tfjs.ts FOLDER JOB`. */
import { createRequire } from "node:module";
import type * as TensorFlow from "@tensorflow/tfjs";
import type * as WasmBackend from "@tensorflow/tfjs-backend-wasm";
import { dirname, join } from "node:path";
import { addChain, checkedSteps, layers, learningRate, print, readWorkload, timed } from "./workload.ts";

const require = createRequire(import.meta.url);
const tf = require("@tensorflow/tfjs") as typeof TensorFlow;
const wasm = require("@tensorflow/tfjs-backend-wasm") as typeof WasmBackend;
const [folder, job] = process.argv.slice(2);
const contender = "tfjs";

wasm.setWasmPaths(`${dirname(require.resolve("@tensorflow/tfjs-backend-wasm"))}/`.replace(join("/"), "/"));
// Its plain JavaScript backend is the faster one for tiny ops.
await tf.setBackend(job.startsWith("add") ? "cpu" : "wasm");
await tf.ready();

async function addJob(withGradient: boolean): Promise<void> {
  const a = tf.tensor1d([1, 2, 3, 4]);
  const b = tf.tensor1d([1e-6, 1e-6, 1e-6, 1e-6]);
  const chain = (step: TensorFlow.Tensor): TensorFlow.Scalar => {
    let t: TensorFlow.Tensor = a;
    for (let i = 0; i < addChain; i++) t = t.add(step);
    return t.sum();
  };
  const { seconds, ...used } = await timed(() => {
    if (withGradient) {
      const gradient = tf.grad(chain)(b);
      gradient.dataSync();
      gradient.dispose();
    } else {
      tf.tidy(() => chain(b).dataSync());
    }
  });
  print({ contender, job, value: (seconds / addChain) * 1e6, ...used });
}

async function trainJob(batch: number): Promise<void> {
  const { images, labels, weights } = readWorkload(folder);
  const batches = Math.floor(labels.length / batch);
  const xs = Array.from({ length: batches }, (_, i) => tf.tensor2d(images.slice(i * batch * 784, (i + 1) * batch * 784), [batch, 784]));
  const ys = Array.from({ length: batches }, (_, i) => tf.oneHot(tf.tensor1d(labels.slice(i * batch, (i + 1) * batch), "int32"), 10).toFloat() as TensorFlow.Tensor2D);
  const variables = weights.map(({ w, b }, i) => ({ w: tf.variable(tf.tensor2d(w, [...layers[i]])), b: tf.variable(tf.tensor1d(b)) }));
  const optimizer = tf.train.adam(learningRate, 0.9, 0.999, 1e-8);
  const list = variables.flatMap(({ w, b }) => [w, b]);
  let next = 0;
  const step = (): TensorFlow.Scalar => {
    const i = next++ % batches;
    const loss = (): TensorFlow.Scalar => {
      let h: TensorFlow.Tensor2D = xs[i];
      variables.forEach(({ w, b }, layer) => {
        const out = h.matMul(w).add<TensorFlow.Tensor2D>(b);
        h = layer < variables.length - 1 ? out.relu() : out;
      });
      return tf.losses.softmaxCrossEntropy(ys[i], h).asScalar();
    };
    return optimizer.minimize(loss, true, list) as TensorFlow.Scalar;
  };
  const losses: number[] = [];
  for (let i = 1; i <= 20; i++) {
    const loss = step();
    if ((checkedSteps as readonly number[]).includes(i)) losses.push((await loss.data())[0]);
    loss.dispose();
  }
  const steps = 10;
  const { seconds, ...used } = await timed(async () => {
    for (let i = 0; i < steps; i++) {
      const loss = step();
      if (i === steps - 1) await loss.data();
      loss.dispose();
    }
  }, 3);
  print({ contender, job, value: (steps * batch) / seconds, losses, ...used });
}

const jobs: Readonly<Record<string, () => Promise<void>>> = {
  add: () => addJob(false),
  "add + backward": () => addJob(true),
  "mlp 128": () => trainJob(128),
};
await jobs[job]?.();
process.exit(0);

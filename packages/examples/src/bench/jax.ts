/** jax-js (WebAssembly device, one thread, the whole training step under `jit`: its best form) as a contender: `node jax.ts FOLDER JOB`. */
import { blockUntilReady, defaultDevice, init, jit, nn, numpy as np, tree, valueAndGrad } from "@jax-js/jax";
import { addChain, checkedSteps, layers, learningRate, print, readWorkload, timed } from "./workload.ts";

const [folder, job] = process.argv.slice(2);
const contender = "jax-js";
type Array = np.Array;

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
  print({ contender, job, value: (seconds / length) * 1e6, ...used });
}

async function trainJob(batch: number): Promise<void> {
  const { images, labels, weights } = readWorkload(folder);
  const batches = Math.floor(labels.length / batch);
  const xs = Array.from({ length: batches }, (_, i) => np.array(images.slice(i * batch * 784, (i + 1) * batch * 784)).reshape([batch, 784]));
  const ys = Array.from({ length: batches }, (_, i) => np.array(labels.slice(i * batch, (i + 1) * batch), { dtype: np.int32 }));
  type Params = Record<string, Array>;
  let params: Params = Object.fromEntries(
    weights.flatMap(({ w, b }, i) => [[`w${i}`, np.array(w).reshape([...layers[i]])], [`b${i}`, np.array(b)]]),
  );
  const zeros = (): Params => Object.fromEntries(Object.entries(params).map(([name, value]) => [name, np.zerosLike(value.ref)]));
  let [m, v] = [zeros(), zeros()];

  const lossOf = (p: Params, x: Array, y: Array): Array => {
    let h = nn.relu(np.dot(x, p["w0"]).add(p["b0"]));
    h = nn.relu(np.dot(h, p["w1"]).add(p["b1"]));
    const logits = np.dot(h, p["w2"]).add(p["b2"]);
    return nn.logSoftmax(logits).mul(nn.oneHot(y, 10)).sum().mul(-1 / batch);
  };
  const withGradient = valueAndGrad(lossOf);
  // Adam, written out: its optimizer library is not on the registry.
  const whole = (p: Params, m1: Params, m2: Params, first: Array, second: Array, x: Array, y: Array): [Params, Params, Params, Array] => {
    const [loss, g] = withGradient(tree.ref(p), x, y) as [Array, Params];
    const [np_, nm, nv]: [Params, Params, Params] = [{}, {}, {}];
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
  const stepFunction = jit(whole as never) as unknown as typeof whole;
  let next = 0;
  const step = async (): Promise<Array> => {
    const i = next++ % batches;
    const [first, second] = [1 - 0.9 ** next, 1 - 0.999 ** next].map((correction) => np.array(correction));
    const [p, m1, m2, loss] = stepFunction(params, m, v, first, second, xs[i].ref, ys[i].ref);
    [params, m, v] = [p, m1, m2];
    await blockUntilReady(params);
    return loss;
  };
  const losses: number[] = [];
  for (let i = 1; i <= 20; i++) {
    const loss = await step();
    const [value] = await loss.data();
    if ((checkedSteps as readonly number[]).includes(i)) losses.push(value);
  }
  const steps = 10;
  const { seconds, ...used } = await timed(async () => {
    for (let i = 0; i < steps; i++) {
      const loss = await step();
      if (i === steps - 1) await loss.data();
      else loss.dispose();
    }
  });
  print({ contender, job, value: (steps * batch) / seconds, losses, ...used });
}

const jobs: Readonly<Record<string, () => Promise<void>>> = { add: addJob, "mlp 128": () => trainJob(128) };
await jobs[job]?.();
process.exit(0);

/**
 * Calls of ops for the validator of sharding rules: what they do, and operands whose dimensions divide evenly or not.
 */
import { arange, cat, linspace, nn, stack, tensor } from "@troupe/core";
import type { Tensor } from "@troupe/core";

const F = nn.functional;

export interface Case {
  readonly name: string;
  readonly inputs: readonly Tensor[];
  readonly run: (...inputs: Tensor[]) => Tensor | readonly Tensor[];
}

/** Numbers of different sizes and signs, exact in float32 as are small sums of them. */
export function numbers(...shape: number[]): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return tensor(
    Float32Array.from({ length: count }, (_, i) => (((i * 7 + 3) % 23) - 11) / 8),
    { device: "mock:0" },
  ).reshape(shape);
}

/** The same, above zero. */
export function positive(...shape: number[]): Tensor {
  return numbers(...shape)
    .abs()
    .add(0.5);
}

function whole(limit: number, ...shape: number[]): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return arange(count, { device: "mock:0" }).mul(5).add(1).remainder(limit).reshape(shape);
}

/** The calls, on a matrix of `m` x `n` and tensors that go with it. */
export function cases(m: number, n: number): Case[] {
  const x = numbers(m, n);
  const y = positive(m, n);
  const row = positive(n);
  const one = (name: string, run: (x: Tensor) => Tensor | readonly Tensor[], input = x): Case => ({
    name,
    inputs: [input],
    run,
  });
  const two = (
    name: string,
    a: Tensor,
    b: Tensor,
    run: (a: Tensor, b: Tensor) => Tensor | readonly Tensor[],
  ): Case => ({ name, inputs: [a, b], run });
  const three = numbers(2, m, n);
  return [
    // Elementwise, linear in some operands and not in others.
    two("add", x, y, (a, b) => a.add(b)),
    two("add a row", x, row, (a, b) => a.add(b)),
    two("add a column", x, positive(m, 1), (a, b) => a.add(b)),
    two("sub scaled", x, y, (a, b) => a.sub(b, { alpha: 0.5 })),
    two("mul", x, y, (a, b) => a.mul(b)),
    two("div", x, y, (a, b) => a.div(b)),
    two("maximum", x, y, (a, b) => a.maximum(b)),
    two("where", x, y, (a, b) => a.where(b.gt(1), 0)),
    one("add a number", (a) => a.add(2)),
    one("mul by a number", (a) => a.mul(2).neg().div(4)),
    one("exp", (a) => a.exp()),
    one("relu", (a) => F.relu(a)),
    one("to float64", (a) => a.to("float64")),
    one("to int64", (a) => a.to("int64")),
    one("maskedFill", (a) => a.maskedFill(a.gt(0), 0)),
    two("lerp", x, y, (a, b) => a.lerp(b, 0.25)),
    // Reductions.
    one("sum", (a) => a.sum()),
    one("sum over 0", (a) => a.sum(0)),
    one("sum over 1, kept", (a) => a.sum(1, true)),
    one("sum of whole numbers", (a) => a.sum(0), whole(7, m, n)),
    one("mean", (a) => a.mean()),
    one("mean over 0", (a) => a.mean(0)),
    one("amax", (a) => a.amax()),
    one("amax over 0", (a) => a.amax(0)),
    one("amin over 1", (a) => a.amin(1)),
    one("all", (a) => a.gt(-9).all()),
    one("any over 0", (a) => a.gt(1).any(0)),
    one("countNonzero", (a) => a.countNonzero()),
    one("var over 0", (a) => a.var(0, { correction: 0 })),
    one("logsumexp over 1", (a) => a.logsumexp(1)),
    one("argmax over 1", (a) => a.argmax(1)),
    one("prod over 0", (a) => a.prod(0)),
    one("norm", (a) => a.norm()),
    one("norm over 0", (a) => a.norm(2, 0)),
    one("max over 0", (a) => [...a.max(0)]),
    // Views.
    one("transpose", (a) => a.t()),
    one("permute", (a) => a.permute(2, 0, 1), three),
    one("reshape to a vector", (a) => a.reshape(-1)),
    one("merge leading", (a) => a.reshape(2 * m, n), three),
    one("split", (a) => a.reshape(m, 1, n)),
    one("flatten channels", (a) => a.flatten(1), numbers(m, n, 2, 2)),
    one("unsqueeze, expand", (a) => a.unsqueeze(1).expand(m, 3, n)),
    one("squeeze", (a) => a.squeeze(), numbers(m, 1, n)),
    one("select", (a) => a.select(0, m - 1)),
    one("slice", (a) => a.narrow(1, 1, n - 1)),
    one("diagonal", (a) => a.diagonal()),
    one("unfold", (a) => a.unfold(1, 2, 1)),
    two("selectScatter", x, row, (a, b) => a.selectScatter(b, 0, 0)),
    // Contractions.
    two("matmul", x, numbers(n, 4), (a, b) => a.matmul(b)),
    two("batched matmul", three, numbers(n, 4), (a, b) => a.matmul(b)),
    two("broadcast matmul", numbers(1, m, n), numbers(2, n, 3), (a, b) => a.matmul(b)),
    two("outer and inner", x, row, (a, b) => a.matmul(b)),
    { name: "linear", inputs: [x, numbers(4, n), numbers(4)], run: (a, w, b) => F.linear(a, w, b) },
    { name: "addmm", inputs: [numbers(m, 4), x, numbers(n, 4)], run: (c, a, b) => c.addmm(a, b) },
    {
      name: "conv2d",
      inputs: [numbers(m, 2, 3, 3), numbers(n, 2, 2, 2), row],
      run: (a, w, b) => F.conv2d(a, w, b, { padding: 1 }),
    },
    // Along one dimension.
    one("cumsum", (a) => a.cumsum(1)),
    one("softmax", (a) => a.softmax(1)),
    one("logSoftmax over 0", (a) => a.logSoftmax(0)),
    one("sort", (a) => [...a.sort(1)]),
    one("topk", (a) => [...a.topk(2, 1)]),
    one("maxPool2d", (a) => F.maxPool2d(a, 2), numbers(m, n, 2, 4)),
    one("maxPool2d, overlapping", (a) => F.maxPool2d(a, 2, { stride: 1, padding: 1 }), numbers(m, n, 2, 3)),
    one("avgPool2d", (a) => F.avgPool2d(a, 2), numbers(m, n, 2, 4)),
    two("cat", x, numbers(2, n), (a, b) => cat([a, b], 0)),
    two("stack", x, y, (a, b) => stack([a, b], 1)),
    one("flip", (a) => a.flip([0])),
    one("tril", (a) => a.tril()),
    one("roll", (a) => a.roll(1, 0)),
    one("pad", (a) => F.pad(a, [1, 0])),
    // Lookups.
    two("gather", x, whole(n, m, 2), (a, index) => a.gather(1, index)),
    two("indexSelect", x, whole(m, 4), (a, index) => a.indexSelect(0, index)),
    two("embedding", x, whole(m, 3, 2), (w, index) => F.embedding(index, w)),
    { name: "scatterAdd", inputs: [x, whole(n, m, n), y], run: (a, index, src) => a.scatterAdd(1, index, src) },
    two("crossEntropy", x, whole(n, m), (a, labels) => F.crossEntropy(a, labels)),
    two("crossEntropy of places", numbers(m, n, 3), whole(n, m, 3), (a, labels) =>
      F.crossEntropy(a, labels, { reduction: "sum" }),
    ),
    // Several ops together.
    { name: "layerNorm", inputs: [x, row, numbers(n)], run: (a, w, b) => F.layerNorm(a, [n], w, b) },
    one("zerosLike, linspace", (a) => a.mul(0).add(linspace(0, 1, n, { device: "mock:0" }))),
    {
      name: "batchNorm",
      inputs: [x, row, numbers(n)],
      run: (a, w, b) => (m > 1 ? F.batchNorm(a, undefined, undefined, { weight: w, bias: b, training: true }) : a),
    },
    // Without a rule: everything is replicated.
    one("repeatInterleave", (a) => a.repeatInterleave(2, 0)),
    one("index", (a) => a.at(tensor([0, 0], { device: "mock:0" }))),
  ];
}

/** The generate table: fills, ranges, identity, random numbers. `tensor/creation.ts` gives them PyTorch's signatures. */
import { normal as normalOf, randomWords, uniform } from "../kernel/philox.ts";
import type { RandomState } from "../kernel/philox.ts";
import type { Expr } from "../kernel/build.ts";
import { defineGenerate } from "./kinds/generate.ts";

export const fillOp = defineGenerate("fill", { params: ["result"], kernel: (_type, _index, [value]) => value });

/** start + index * step. */
export const arangeOp = defineGenerate("arange", {
  params: ["result", "result"],
  kernel: (type, index, [start, step]) => start.add(index.cast(type).mul(step)),
});

/** From start to end in `steps` points: counted from the nearer end, so that both ends are exact. */
export const linspaceOp = defineGenerate("linspace", {
  params: ["float64", "float64", "float64", "int32"],
  kernel: (type, index, [start, end, step, steps]) => {
    const fromStart = start.add(index.cast("float64").mul(step));
    const fromEnd = end.sub(steps.sub(index).sub(1).cast("float64").mul(step));
    return index.lt(steps.div(2)).where(fromStart, fromEnd).cast(type);
  },
});

/** Ones where the column is the row plus `diagonal`. */
export const eyeOp = defineGenerate("eye", {
  params: ["int32"],
  kernel: (type, index, [columns]) => index.mod(columns).eq(index.div(columns)).cast(type),
});

const randomParams = ["int32", "int32", "int32", "int32"] as const;

function stateOf(params: readonly Expr[]): RandomState {
  return { key: [params[0], params[1]], stream: [params[2], params[3]] };
}

/** Uniform in [0, 1). */
export const randOp = defineGenerate("rand", {
  params: randomParams,
  isRandom: true,
  kernel: (type, index, params) => {
    const [first, second] = randomWords(index, stateOf(params));
    return uniform(type, first, second);
  },
});

/** 53 random bits: whole numbers whose order is that of float64's uniform numbers. */
export const randomKeysOp = defineGenerate("randomKeys", {
  params: randomParams,
  isRandom: true,
  kernel: (type, index, params) => {
    const [first, second] = randomWords(index, stateOf(params));
    return first.shr(5).cast(type).mul(2 ** 26).add(second.shr(6).cast(type));
  },
});

/** Normal with mean 0 and standard deviation 1. */
export const randnOp = defineGenerate("randn", {
  params: randomParams,
  isRandom: true,
  kernel: (type, index, params) => normalOf(type, randomWords(index, stateOf(params))),
});

/** Whole numbers from `low`, fewer than `range` (which is below 2^32) above it. */
export const randintOp = defineGenerate("randint", {
  params: [...randomParams, "int32", "result"],
  isRandom: true,
  kernel: (type, index, params) => {
    const [word] = randomWords(index, stateOf(params));
    const above = word.mulhi(params[4]);
    // The offset may use all 32 bits: read it as unsigned.
    return type === "int64" ? above.cast("int64").and(0xffffffff).add(params[5]) : above.cast(type).add(params[5]);
  },
});

/** 1 with probability `p`, else 0. */
export const bernoulliOp = defineGenerate("bernoulli", {
  params: [...randomParams, "float64"],
  isRandom: true,
  kernel: (type, index, params) => {
    const [first, second] = randomWords(index, stateOf(params));
    return uniform("float64", first, second).lt(params[4]).cast(type);
  },
});

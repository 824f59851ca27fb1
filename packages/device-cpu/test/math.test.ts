/** The float32 functions of printed kernels are accurate. */
import { describe, expect, test } from "vitest";
import { nn, tensor } from "@troupe/core";
import { erf, type BinaryOp, type LoopKernel, type UnaryOp } from "@troupe/core/device";
import { cpu } from "../src/index.ts";
import { printKernel } from "../src/wasm/print.ts";
import { runProgram } from "./harness.ts";
import { Random } from "./random-kernels.ts";

function kernelOf(op: UnaryOp | BinaryOp, operands: 1 | 2): LoopKernel {
  const loads = [0, 1].slice(0, operands).map((index) => ({ op: "load" as const, type: "float32" as const, index }));
  const node = operands === 1
    ? { op: op as UnaryOp, type: "float32" as const, args: [0] as const }
    : { op: op as BinaryOp, type: "float32" as const, args: [0, 1] as const };
  return {
    kind: "loop", name: op, axes: 1, reduced: 0, inputs: loads.map(() => ({ dtype: "float32", inner: 1 })),
    outputs: [{ dtype: "float32", inner: 1, overwrites: true }], scalars: [], body: [...loads, node],
    accumulators: [], step: [], epilogue: [], stores: [{ output: 0, value: loads.length, at: "body" }],
  };
}

function run(op: UnaryOp | BinaryOp, ...inputs: Float32Array[]): Float32Array {
  const length = inputs[0]?.length ?? 0;
  const output = new Float32Array(length);
  const operands = [...inputs, output].map((array) => ({ array, offset: 0, strides: [1] }));
  runProgram(printKernel(kernelOf(op, inputs.length === 1 ? 1 : 2)), { sizes: [length], operands });
  return output;
}

/** The distance in units of the last place of the float32 nearest to `exact`. */
function ulps(seen: number, exact: number): number {
  const rounded = Math.fround(exact);
  if (Object.is(seen, rounded) || (Number.isNaN(seen) && Number.isNaN(rounded)) || seen === rounded) return 0;
  if (!Number.isFinite(seen) || !Number.isFinite(rounded)) {
    // Within the last place of the overflow threshold, either is right.
    return Math.abs(exact) > 3.4028e38 && Math.abs(seen) > 3.4028e38 ? 1 : Infinity;
  }
  const unit = 2 ** Math.max(Math.floor(Math.log2(Math.abs(rounded))) - 23, -149);
  return Math.abs(seen - exact) / unit;
}

const special = [0, -0, 1, -1, 1e-45, -1e-45, 1e-40, 1.1754944e-38, 3.4028235e38, -3.4028235e38, Infinity, -Infinity, NaN, 0.5, 2];

/** Random numbers over [low, high], half of them evenly, half evenly in their exponents; the special ones first. */
function samples(low: number, high: number, count: number, seed: number): Float32Array {
  const random = new Random(seed);
  const result = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    if (i < special.length) result[i] = special[i] ?? 0;
    else if (i % 2 === 0) result[i] = low + (high - low) * random.next();
    else {
      const size = 2 ** (random.next() * (Math.log2(Math.max(-low, high)) + 140) - 140);
      result[i] = Math.min(Math.max(random.next() < 0.5 ? size : -size, low), high);
    }
  }
  return result;
}

const cases: readonly [UnaryOp, (x: number) => number, number, number, number][] = [
  ["exp", Math.exp, -110, 95, 2],
  ["exp2", (x) => 2 ** x, -155, 130, 2],
  ["expm1", Math.expm1, -50, 95, 3],
  ["log", Math.log, -1, 3.4e38, 2],
  ["log2", Math.log2, -1, 3.4e38, 2],
  ["log10", Math.log10, -1, 3.4e38, 2],
  ["log1p", Math.log1p, -1.5, 3.4e38, 2],
  ["sin", Math.sin, -1000, 1000, 3],
  ["cos", Math.cos, -1000, 1000, 3],
  ["sin", Math.sin, -1e5, 1e5, 3],
  ["cos", Math.cos, -1e5, 1e5, 3],
  ["tanh", Math.tanh, -12, 12, 4],
  ["erf", erf, -5, 5, 4],
];

describe("float32 functions", () => {
  test.each(cases)("%s is within its ULP of the exact value, special values included", (op, exact, low, high, limit) => {
    for (const range of [1, 1 / 64]) {
      const x = samples(low * range, high * range, 60_000, op.length);
      if (op === "sin" || op === "cos") x.set(special.map((value) => (Math.abs(value) > 1e30 ? NaN : value)));
      const y = run(op, x);
      let worst = 0;
      let where = 0;
      for (let i = 0; i < x.length; i++) {
        const distance = ulps(y[i] ?? 0, exact(x[i] ?? 0));
        if (distance > worst) {
          worst = distance;
          where = x[i] ?? 0;
        }
      }
      expect(worst, `at ${where}: ${run(op, Float32Array.of(where))[0]}`).toBeLessThanOrEqual(limit);
    }
  });

  test("pow is within 2 ULP of the exact value and keeps C's rules for special values", () => {
    const random = new Random(5);
    const pairs: [number, number][] = [];
    for (const x of special) for (const y of [...special, 3, -3, 1.5, -1.5, 1e10]) pairs.push([x, y]);
    for (let i = 0; i < 100_000; i++) {
      const x = Math.fround(2 ** (random.next() * 40 - 20));
      const y = Math.fround((random.next() - 0.5) * 2 ** random.integer(-3, 7));
      pairs.push([x, y], [-x, Math.round(y)], [Math.fround(1 + (random.next() - 0.5) / 1000), y * 1000]);
    }
    const x = Float32Array.from(pairs, ([a]) => a);
    const y = Float32Array.from(pairs, ([, b]) => b);
    const z = run("pow", x, y);
    let worst = 0;
    let where = "";
    for (let i = 0; i < z.length; i++) {
      const [a, b] = [x[i] ?? 0, y[i] ?? 0];
      const exact = a === 1 || (a === -1 && Math.abs(b) === Infinity) ? 1 : a ** b;
      const distance = ulps(z[i] ?? 0, exact);
      if (distance > worst) {
        worst = distance;
        where = `${a} ** ${b}: ${z[i]}, not ${exact}`;
      }
    }
    expect(worst, `at ${where}`).toBeLessThanOrEqual(2);
  });

  test("gelu's distribution is within 2e-7, and 0 or 1 where nothing else is left", async () => {
    const device = cpu({ threads: 1 });
    const x = samples(-8, 8, 60_000, 3);
    const y = await nn.functional.gelu(tensor(x, { device })).data();
    const wrong = x.findIndex((value, i) => {
      const seen = Number(y[i]);
      const exact = value * 0.5 * (1 + erf(value * Math.SQRT1_2));
      if (Number.isNaN(exact)) return !Number.isNaN(seen);
      if (Math.abs(value) > 5.5) return seen !== Math.max(value, 0);
      return !(Math.abs(seen - exact) <= 2e-7 * Math.abs(value) + 2 ** -149);
    });
    expect(wrong, `gelu(${x[wrong]}) = ${y[wrong]}`).toBe(-1);
    await device.close();
  });
});

/**
 * The fused optimizer steps of core, run on the CPU, against the update rules as PyTorch's documentation states them.
 */
import { typedArray } from "@troupe/core/device";
import { describe, expect, test } from "vitest";
import {
  type AdamForm, adamKernel, type ParameterType, type SgdForm, sgdKernel, type StepKernel,
} from "../../core/src/optim/kernels.ts";
import { Activity, createActivity } from "../src/activity.ts";
import { CpuBackend } from "../src/backend.ts";
import { createMemory } from "../src/heap.ts";

const memoryLimit = 2 ** 24;
const length = 37;
const steps = 5;

/** The gradient of step `t` at element `i`. */
function gradient(t: number, i: number): number {
  return Math.sin(t * 1.7 + i * 0.9);
}

/** Runs `steps` steps on the device. Returns the parameter. */
function onDevice(dtype: ParameterType, step: StepKernel, scalars: Readonly<Record<string, number>>): number[] {
  const backend = new CpuBackend({
    memory: createMemory(1, memoryLimit), threads: 1, memoryLimit, activity: new Activity(createActivity(), 0),
  });
  const prepared = backend.prepare(step.kernel);
  const bytes = length * (dtype === "float32" ? 4 : 8);
  const { inputs } = step.kernel;
  const blocks = inputs.map(() => backend.allocate(bytes));
  const write = (block: number, value: (i: number) => number, type: ParameterType = dtype): void => {
    const values = typedArray(type, new ArrayBuffer(bytes));
    values.forEach((_, i) => (values[i] = value(i)));
    backend.write(block, 0, new Uint8Array(values.buffer));
  };
  blocks.forEach((block, storage) => write(block, storage === 0 ? (i) => i / 10 : () => 0));
  const count = step.counted ? 2 : undefined;
  const firstState = inputs.length - step.state.length;
  const outputs = [0, ...step.state.map((_, i) => firstState + i)];
  for (let t = 1; t <= steps; t++) {
    write(blocks[1], (i) => gradient(t, i));
    if (count !== undefined) write(blocks[count], () => t, "float32");
    const values = typedArray(dtype, new ArrayBuffer(step.scalars.length * (bytes / length)));
    step.scalars.forEach((name, i) => (values[i] = scalars[name]));
    const operands = [...blocks.keys(), ...outputs];
    const strides = operands.map((storage) => (storage === count ? 0 : 1));
    const views = operands.flatMap((storage) => [storage, 0]);
    const words = new Int32Array([...views, length, ...strides, ...new Int32Array(values.buffer)]);
    backend.run(prepared, words, 0, (storage) => blocks[storage]);
  }
  const result = new Uint8Array(bytes);
  backend.readInto(blocks[0], 0, result);
  return Array.from(typedArray(dtype, result.buffer) as Float64Array);
}

/** Runs the same steps of a scalar rule on each element. */
function expected(rule: (p: number, g: number, state: number[], t: number) => number): number[] {
  return Array.from({ length }, (_, i) => {
    const state = [0, 0, 0];
    let p = i / 10;
    for (let t = 1; t <= steps; t++) p = rule(p, gradient(t, i), state, t);
    return p;
  });
}

function greatestDifference(actual: readonly number[], wanted: readonly number[]): number {
  return Math.max(...actual.map((value, i) => Math.abs(value - wanted[i])));
}

const tolerance = { float32: 1e-5, float64: 1e-12 };
function withTypes<T extends object>(forms: readonly T[]): (T & { dtype: ParameterType })[] {
  return (["float32", "float64"] as const).flatMap((dtype) => forms.map((form) => ({ ...form, dtype })));
}

describe("sgd", () => {
  const forms: Omit<SgdForm, "dtype">[] = [
    { momentum: false, dampening: false, nesterov: false, weightDecay: false, maximize: false },
    { momentum: true, dampening: true, nesterov: false, weightDecay: true, maximize: false },
    { momentum: true, dampening: false, nesterov: true, weightDecay: false, maximize: true },
  ];
  test.each(withTypes(forms))("$dtype, momentum $momentum, nesterov $nesterov", (form) => {
    const [lr, momentum, dampening, weightDecay] = [0.1, 0.9, form.dampening ? 0.2 : 0, 0.01];
    const actual = onDevice(form.dtype, sgdKernel(form), { lr, momentum, weightDecay, fresh: 1 - dampening });
    const wanted = expected((p, g, state, t) => {
      let d = (form.maximize ? -g : g) + (form.weightDecay ? weightDecay * p : 0);
      if (form.momentum) {
        const buffer = t === 1 ? d : momentum * state[0] + (1 - dampening) * d;
        state[0] = buffer;
        d = form.nesterov ? d + momentum * buffer : buffer;
      }
      return p - lr * d;
    });
    expect(greatestDifference(actual, wanted)).toBeLessThan(tolerance[form.dtype]);
  });
});

describe("adam", () => {
  const forms: Omit<AdamForm, "dtype">[] = [
    { amsgrad: false, weightDecay: "none", maximize: false },
    { amsgrad: true, weightDecay: "l2", maximize: true },
    { amsgrad: false, weightDecay: "decoupled", maximize: false },
  ];
  test.each(withTypes(forms))("$dtype, weight decay $weightDecay, amsgrad $amsgrad", (form) => {
    const [lr, beta1, beta2, eps, weightDecay] = [0.01, 0.9, 0.999, 1e-8, 0.1];
    const actual = onDevice(form.dtype, adamKernel(form), {
      weightDecay,
      keep: 1 - lr * weightDecay,
      fresh1: 1 - beta1,
      beta2,
      fresh2: 1 - beta2,
      logBeta2: Math.log(beta2),
      eps,
      lr,
      logBeta1: Math.log(beta1),
    });
    const wanted = expected((p, g, state, t) => {
      let d = form.maximize ? -g : g;
      if (form.weightDecay === "l2") d += weightDecay * p;
      if (form.weightDecay === "decoupled") p -= lr * weightDecay * p;
      state[0] = beta1 * state[0] + (1 - beta1) * d;
      state[1] = beta2 * state[1] + (1 - beta2) * d * d;
      const mean = state[0] / (1 - beta1 ** t);
      state[2] = form.amsgrad ? Math.max(state[2], state[1]) : state[1];
      return p - (lr * mean) / (Math.sqrt(state[2] / (1 - beta2 ** t)) + eps);
    });
    expect(greatestDifference(actual, wanted)).toBeLessThan(tolerance[form.dtype]);
  });
});

/**
 * Convolutions as contractions over windows. Three tensors x, w and y are tied together; each of the three ops computes
 * one of them from the two others, so their gradients are one another: any order of derivative stays within the three.
 */
import { DTypeError, InternalError } from "../../errors.ts";
import type { DType } from "../../tensor/dtype.ts";
import { allocate, LocalValue } from "../../tensor/value.ts";
import type { Meta } from "../../tensor/value.ts";
import { convolve } from "../convolution.ts";
import type { Convolution, Place } from "../convolution.ts";
import { apply } from "../dispatch.ts";
import { dtypeTitles } from "./contract.ts";
import { assertNoOverlap, defineElementwise } from "./elementwise.ts";
import { from, gradientLookup } from "../op.ts";
import type { GradientTable, Op } from "../op.ts";
import type { Tensor } from "../../tensor/tensor.ts";

export interface ConvolutionOp extends Op<Convolution> {
  readonly kind: "contract";
  /** How indices other than the spatial ones travel; those go through windows. */
  readonly index: string;
  /** Which of x, w and y it computes. */
  readonly target: Place;
}

interface ConvolutionEntry {
  readonly index: string;
  readonly target: Place;
  /** Which tensors its operands are; the bias of the result's channels may follow. */
  readonly operands: readonly [Place, Place];
  readonly shape: (first: Meta, second: Meta, attrs: Convolution) => readonly number[];
  readonly grad: GradientTable<Convolution>;
}

const addBias = defineElementwise("add", { kernel: (result, bias) => result.add(bias) });

function defineConvolution(name: string, { index, target, operands, shape, grad }: ConvolutionEntry): ConvolutionOp {
  return {
    name,
    kind: "contract",
    index,
    target,
    gradName: "Convolution",
    isView: false,
    outputs: 1,
    gradientOf: gradientLookup(grad),

    infer([first, second, bias], attrs): Meta[] {
      const [a, b] = [tensorMeta(first, name), tensorMeta(second, name)];
      assertSameDType(name, a.dtype, b.dtype, "weight");
      if (bias !== undefined) assertSameDType(name, a.dtype, tensorMeta(bias, name).dtype, "bias");
      if (a.dtype === "bool")
        throw new DTypeError(`"${name}" not implemented for 'Bool'`, {
          op: name,
          remedy: "Convert with .to(dtype) first.",
        });
      return [{ shape: shape(a, b, attrs), dtype: a.dtype }];
    },

    run(inputs, attrs, [meta], destination): LocalValue[] {
      const [first, second, bias] = inputs as readonly LocalValue[];
      const out = destination ?? allocate(first.device, meta.shape, meta.dtype);
      if (destination !== undefined) assertNoOverlap(destination, inputs, name);
      convolve(
        { [target]: out, [operands[0]]: first, [operands[1]]: second } as Record<Place, LocalValue>,
        target,
        attrs,
      );
      if (bias !== undefined) addBias.run([out, overChannels(bias, out)], [], [out], out);
      return [out];
    },
  };
}

/** A bias `[channels]` as it stands beside `[n, channels, ...]`. */
function overChannels({ storage, dtype, shape, strides, offset }: LocalValue, out: LocalValue): LocalValue {
  const spatial = out.shape.slice(2);
  return new LocalValue(
    storage,
    dtype,
    [shape[0], ...spatial.map(() => 1)],
    [strides[0], ...spatial.map(() => 0)],
    offset,
  );
}

function biasGradient(g: Tensor): Tensor {
  return g.sum(g.shape.flatMap((_, dim) => (dim === 1 ? [] : [dim])));
}

function assertSameDType(op: string, input: DType, other: DType, what: string): void {
  if (input === other) return;
  throw new DTypeError(
    `Input type (${dtypeTitles[input]}) and ${what} type (${dtypeTitles[other]}) should be the same`,
    {
      op,
      remedy: "Convert one of them with .to(dtype).",
    },
  );
}

function tensorMeta(input: Meta | number, op: string): Meta {
  if (typeof input === "number") throw new InternalError(`${op} got a number for a tensor`, { op });
  return input;
}

/** y from x and w (and a bias): the convolution. */
export const outputOp: ConvolutionOp = defineConvolution("convolution", {
  index: "nc,oc->no",
  target: "y",
  operands: ["x", "w"],
  shape: (x, w, { output }) => [x.shape[0], w.shape[0], ...output],
  grad: {
    a: from("b", (g, { b }, attrs) => apply(inputOp, [g, b], attrs)),
    b: from("a", (g, { a }, attrs) => apply(weightOp, [a, g], attrs)),
    c: biasGradient,
  },
});

/** x from y and w (and a bias): the gradient of the input, and the transposed convolution. */
export const inputOp: ConvolutionOp = defineConvolution("convolutionInput", {
  index: "no,oc->nc",
  target: "x",
  operands: ["y", "w"],
  shape: (y, w, { input, groups }) => [y.shape[0], w.shape[1] * groups, ...input],
  grad: {
    a: from("b", (g, { b }, attrs) => apply(outputOp, [g, b], attrs)),
    b: from("a", (g, { a }, attrs) => apply(weightOp, [g, a], attrs)),
    c: biasGradient,
  },
});

/** w from x and y: the gradient of the weight. */
export const weightOp: ConvolutionOp = defineConvolution("convolutionWeight", {
  index: "nc,no->oc",
  target: "w",
  operands: ["x", "y"],
  shape: (x, y, { kernel, groups }) => [y.shape[1], x.shape[1] / groups, ...kernel],
  grad: {
    a: from("b", (g, { b }, attrs) => apply(inputOp, [b, g], attrs)),
    b: from("a", (g, { a }, attrs) => apply(outputOp, [a, g], attrs)),
  },
});

/**
 * Binary search in sorted sequences, as loop kernels: a fixed number of halvings, so that no element waits for another.
 */
import { noGrad } from "../autograd/mode.ts";
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { Graph } from "../kernel/build.ts";
import type { Expr } from "../kernel/build.ts";
import type { InnerStride, LoopKernel } from "../kernel/ir.ts";
import { promoteTypes } from "../tensor/dtype.ts";
import type { DType } from "../tensor/dtype.ts";
import { numelOf, sameShape } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "../arguments.ts";
import { apply } from "./dispatch.ts";
import { collapse } from "./iteration.ts";
import { KernelCache, launch } from "./launch.ts";
import { copyInto, lastStride } from "./moves.ts";
import type { Op } from "./op.ts";
import type { Optional } from "./signatures.ts";
import { sort } from "./sort.ts";

interface SearchAttrs {
  /** Whether a value goes after the elements that equal it. */
  readonly right: boolean;
  readonly result: "int32" | "int64";
}

const kernels = new KernelCache<string>();

/**
 * Inputs: the sequences along the last dimension (one, or one for each row of values), the values, and an optional
 * order.
 */
const searchOp: Op<SearchAttrs> = {
  name: "searchsorted",
  kind: "index",
  gradName: "Searchsorted",
  isView: false,
  outputs: 1,
  gradientOf: () => undefined,

  infer([, values], { result }): Meta[] {
    return [{ shape: (values as Meta).shape, dtype: result }];
  },

  run(inputs, { right }, [meta], target): LocalValue[] {
    const [sequence, values, order] = inputs as readonly (LocalValue | undefined)[] as [
      LocalValue,
      LocalValue,
      LocalValue | undefined,
    ];
    const out = allocate(values.device, meta.shape, meta.dtype);
    if (numelOf(meta.shape) > 0) {
      const searched = order === undefined ? [sequence] : [sequence, order];
      const rank = meta.shape.length;
      const { sizes, strides } = collapse(meta.shape, [
        ...searched.map((one) =>
          meta.shape.map((_, axis) => (one.shape.length === 1 || axis === rank - 1 ? 0 : one.strides[axis])),
        ),
        values.strides,
        out.strides,
      ]);
      const length = sequence.shape[sequence.shape.length - 1];
      const halvings = length === 0 ? 0 : 32 - Math.clz32(length);
      const inner = strides.map(lastStride);
      const operands = [...searched, values, out];
      const key = [right, halvings, sizes.length, ...operands.map(({ dtype }) => dtype), ...inner].join(" ");
      launch(
        kernels.get(key, () =>
          searchKernel(
            operands.map(({ dtype }, k) => ({ dtype, inner: inner[k] })),
            right,
            halvings,
            sizes.length,
          ),
        ),
        operands.map((value, k) => ({ value, strides: strides[k] })),
        sizes,
        [length, ...searched.map((one) => one.strides[one.strides.length - 1])],
      );
    }
    if (target === undefined) return [out];
    copyInto(out, target);
    out.storage.dispose();
    return [target];
  },
};

function searchKernel(
  operands: readonly { readonly dtype: DType; readonly inner: InnerStride }[],
  right: boolean,
  halvings: number,
  axes: number,
): LoopKernel {
  const body = new Graph();
  const output = operands[operands.length - 1];
  const inputs = operands.slice(0, -1);
  const values = inputs.length - 1;
  const compute = promoteTypes(inputs[0].dtype, inputs[values].dtype);
  const value = body.load(values, inputs[values].dtype).cast(compute);
  const length = body.scalar(0, "int32");

  const elementAt = (place: Expr, guard: Expr): Expr => {
    let at = place;
    if (values === 2) {
      at = body.load(1, inputs[1].dtype, { indirect: [{ value: place, stride: 2 }], guard }).cast("int32");
      body.check(guard.not().or(at.ge(0).and(at.lt(length))), at, "index-out-of-range");
    }
    return body.load(0, inputs[0].dtype, { indirect: [{ value: at, stride: 1 }], guard }).cast(compute);
  };

  // The greatest place before which all elements belong: each halving tries to move on by a power of two. (A NaN is
  // after all.)
  let place = body.constant("int32", 0);
  for (let bit = halvings - 1; bit >= 0; bit--) {
    const next = place.add(2 ** bit);
    const exists = next.le(length);
    const element = elementAt(next.sub(1), exists);
    const stays = right ? element.gt(value) : element.ge(value);
    place = exists.and(stays.not()).where(next, place);
  }
  return {
    kind: "loop",
    name: "searchsorted",
    axes,
    reduced: 0,
    inputs,
    outputs: [{ ...output, overwrites: true }],
    scalars: inputs.length === 3 ? ["int32", "int32", "int32"] : ["int32", "int32"],
    body: body.nodes,
    accumulators: [],
    step: [],
    epilogue: [],
    stores: [{ output: 0, value: place.cast(output.dtype).id, at: "body" }],
  };
}

interface Given {
  readonly outInt32?: boolean;
  readonly right?: boolean;
  readonly side?: "left" | "right" | null;
  readonly sorter?: Tensor;
}

/**
 * Where `values` would go in `sortedSequence` to keep it sorted (`torch.searchsorted`): before their equals, or after
 * them with `right: true` or `side: "right"`. Shapes: sequence [..., n] and values [..., m] with equal leading
 * dimensions, or a sequence [n] and values of any shape. `sorter` [..., n] (int64) gives the order of an unsorted
 * sequence.
 * @throws ShapeError where the shapes do not fit, ValueError where `side` and `right` contradict each other
 */
export function searchsorted(
  sortedSequence: Tensor,
  values: Tensor | number,
  ...args: Optional<[outInt32: boolean, right: boolean, side: "left" | "right", sorter: Tensor]>
): Tensor {
  const op = "searchsorted";
  const {
    outInt32 = false,
    right = false,
    side,
    sorter,
  } = parameters<Given>(op, ["outInt32", "right", "side", "sorter"], args);
  if (side === "left" && right) {
    throw new ValueError(
      "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True",
      { op },
    );
  }
  if (side !== undefined && side !== null && side !== "left" && side !== "right") {
    throw new ValueError(`torch.searchsorted(): side can only be 'left' or 'right' but got ${String(side)}`, { op });
  }
  const wanted = typeof values === "number" ? sortedSequence.newFull([], values) : values;
  const { shape } = sortedSequence;
  const fits =
    shape.length === 1 || (shape.length === wanted.dim() && sameShape(shape.slice(0, -1), wanted.shape.slice(0, -1)));
  if (shape.length === 0 || !fits) {
    throw new ShapeError(
      "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and " +
        `input value tensor must match, but we got boundaries tensor [${shape.join(", ")}] and input value tensor [${wanted.shape.join(", ")}]`,
      { op },
    );
  }
  if (sorter !== undefined && !sameShape(sorter.shape, shape)) {
    throw new ShapeError(
      `torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor ` +
        `[${shape.join(", ")}] and got sorter tensor [${sorter.shape.join(", ")}]`,
      { op },
    );
  }
  const inputs = sorter === undefined ? [sortedSequence, wanted] : [sortedSequence, wanted, sorter];
  return apply(searchOp, inputs, { right: right || side === "right", result: outInt32 ? "int32" : "int64" });
}

/**
 * The bucket of each element among ascending `boundaries` [n] (`torch.bucketize`).
 * @throws ShapeError where `boundaries` is not one-dimensional
 */
export function bucketize(
  input: Tensor | number,
  boundaries: Tensor,
  ...args: Optional<[outInt32: boolean, right: boolean]>
): Tensor {
  const { outInt32, right } = parameters<Given>("bucketize", ["outInt32", "right"], args);
  if (boundaries.dim() !== 1) {
    throw new ShapeError(`boundaries tensor must be 1 dimension, but got dim(${boundaries.dim()})`, {
      op: "bucketize",
    });
  }
  return searchsorted(boundaries, input, { outInt32, right });
}

interface IsinGiven {
  readonly assumeUnique?: boolean;
  readonly invert?: boolean;
}

/**
 * For each of `elements` whether it is among `testElements` (`torch.isin`): bools of the shape of `elements`; with
 * `invert` whether it is not. NaN equals nothing. `assumeUnique` is taken and changes nothing: one operand is sorted at
 * most.
 * @throws DTypeError on bools, ValueError where both are numbers
 */
export function isin(
  elements: Tensor | number,
  testElements: Tensor | number,
  ...args: Optional<[assumeUnique: boolean, invert: boolean]>
): Tensor {
  const op = "isin";
  const { invert = false } = parameters<IsinGiven>(op, ["assumeUnique", "invert"], args);
  if (typeof elements === "number" && typeof testElements === "number")
    throw new ValueError("isin() needs a tensor for elements or for test_elements", { op });
  for (const operand of [elements, testElements]) {
    if (typeof operand !== "number" && operand.dtype === "bool")
      throw new DTypeError("Unsupported input type encountered for isin(): Bool", { op });
  }
  const found = noGrad(() => amongst(elements, testElements));
  return invert ? found.logicalNot() : found;
}

function amongst(elements: Tensor | number, tests: Tensor | number): Tensor {
  if (typeof elements === "number") return (tests as Tensor).eq(elements).any();
  if (typeof tests === "number") return elements.eq(tests);
  if (tests.numel() === 0) return elements.newZeros(elements.shape, { dtype: "bool" });
  const sorted = sort(tests.reshape([-1])).values;
  const places = searchsorted(sorted, elements).clamp({ max: tests.numel() - 1 });
  return sorted.take(places).eq(elements);
}

export const methods = {
  isin,
  bucketize: (x: Tensor, boundaries: Tensor, ...args: Optional<[outInt32: boolean, right: boolean]>): Tensor =>
    bucketize(x, boundaries, ...args),
};

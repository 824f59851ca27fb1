/**
 * The generate kind: tensors made from nothing but an element's index and a few numbers (fill, arange, eye, random numbers). The
 * index is that of the whole tensor, also where a device makes only its shard of it.
 */
import { device as deviceByName } from "../../actor/registry.ts";
import { Graph } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/build.ts";
import { innerStride } from "../../kernel/ir.ts";
import type { Kernel } from "../../kernel/ir.ts";
import { markRandom } from "../../kernel/philox.ts";
import { isContiguous, numelOf } from "../../tensor/shape.ts";
import type { Shape } from "../../tensor/shape.ts";
import type { DType } from "../../tensor/dtype.ts";
import { allocate } from "../../tensor/value.ts";
import type { LocalValue } from "../../tensor/value.ts";
import { collapse } from "../iteration.ts";
import { KernelCache, launch } from "../launch.ts";
import { pascal } from "../op.ts";
import type { Op } from "../op.ts";

export interface GenerateAttrs {
  readonly shape: Shape;
  readonly dtype: DType;
  /** Where to make it; left out when an input says so (`zerosLike`) or a target is written. */
  readonly device?: string;
  /** The kernel's numbers, of the dtypes that the entry names. */
  readonly params: readonly number[];
  /** Where this part lies in the whole tensor: index = base + sum(index[d] * strides[d]). Default: it is the whole. */
  readonly part?: { readonly base: number; readonly strides: readonly number[] };
}

export interface GenerateEntry {
  /** The value of the element with this index (int32), in the result's dtype. */
  readonly kernel: (type: DType, index: Expr, params: readonly Expr[]) => Expr;
  /** The dtype of each number: a fixed one, or the result's. */
  readonly params: readonly (DType | "result")[];
  /** Whether the first four numbers are a place in the random stream (`drawState`). */
  readonly isRandom?: boolean;
}

export interface GenerateOp extends Op<GenerateAttrs> {
  readonly kind: "generate";
}

export function defineGenerate(name: string, entry: GenerateEntry): GenerateOp {
  const kernels = new KernelCache<string>();

  function build(dtype: DType, axes: number, inner: number): Kernel {
    const body = new Graph();
    const scalars: DType[] = entry.params.map((type) => (type === "result" ? dtype : type));
    const params = scalars.map((type, i) => body.scalar(i, type));
    // After the entry's numbers: the index of the first element, and the step along each axis.
    let index = body.scalar(scalars.length, "int32");
    scalars.push("int32");
    for (let axis = 0; axis < axes; axis++) {
      index = index.add(body.axis(axis).mul(body.scalar(scalars.length, "int32")));
      scalars.push("int32");
    }
    const value = entry.kernel(dtype, index, params).cast(dtype);
    return {
      kind: "loop", name, axes, reduced: 0, inputs: [], scalars,
      outputs: [{ dtype, inner: innerStride(inner), overwrites: true }],
      body: body.nodes, accumulators: [], step: [], epilogue: [],
      stores: [{ output: 0, value: value.id, at: "body" }],
    };
  }

  return {
    name,
    kind: "generate",
    gradName: pascal(name),
    isView: false,
    outputs: 1,
    gradientOf: () => undefined,
    infer: (_inputs, { shape, dtype }) => [{ shape, dtype }],

    run(inputs, attrs, [meta], target): LocalValue[] {
      const like = inputs.find((input) => typeof input !== "number");
      const out = target ?? allocate(like?.device ?? deviceByName(attrs.device ?? "cpu"), meta.shape, meta.dtype);
      if (numelOf(out.shape) === 0) return [out];
      const whole = attrs.part ?? { base: 0, strides: rowMajor(out.shape) };
      const { sizes, strides } = isContiguous(out.shape, out.strides) && attrs.part === undefined
        ? { sizes: [numelOf(out.shape)], strides: [[1], [1]] }
        : collapse(out.shape, [out.strides, whole.strides]);
      const key = `${out.dtype} ${sizes.length} ${String(innerStride(strides[0][sizes.length - 1]))}`;
      const kernel = kernels.get(key, () => {
        const made = build(out.dtype, sizes.length, strides[0][sizes.length - 1]);
        return entry.isRandom === true ? markRandom(made) : made;
      });
      launch(kernel, [{ value: out, strides: strides[0] }], sizes, [...attrs.params, whole.base, ...strides[1]]);
      return [out];
    },
  };
}

function rowMajor(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = step;
    step *= shape[i];
  }
  return strides;
}

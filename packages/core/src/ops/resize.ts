/** Rearranging and resizing of images: windows as columns, pixel shuffles, interpolation (`torch.nn.functional`). */
import { DTypeError, InternalError, ShapeError, ValueError } from "../errors.ts";
import { isFloat } from "../tensor/dtype.ts";
import { numelOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue, Meta } from "../tensor/value.ts";
import { parameters } from "../arguments.ts";
import { perDimension } from "./conv.ts";
import type { PerDimension } from "./conv.ts";
import { apply } from "./dispatch.ts";
import { defineWindowSum } from "./kinds/window.ts";
import type { WindowAttrs, WindowOp } from "./kinds/window.ts";
import { copyInto } from "./moves.ts";
import { gradientLookup } from "./op.ts";
import type { GradientFunction, Op } from "./op.ts";
import { adaptiveAvgPool1d, adaptiveAvgPool2d, adaptiveAvgPool3d } from "./pool.ts";
import { foldInto, windowCount, withWindows } from "./windows.ts";
import type { Windows } from "./windows.ts";

// --- columns -----------------------------------------------------------------------------------------------------

interface ColumnsOp extends Op<Windows> {
  readonly kind: "index";
  /** Leading dimensions that pass through one by one. */
  readonly leading: 2;
}

function columnsOp(
  name: string,
  gradName: string,
  shape: (spatial: Windows) => readonly number[],
  move: (from: LocalValue, to: LocalValue, windows: Windows) => void,
  grad: GradientFunction<Windows>,
): ColumnsOp {
  return {
    name,
    kind: "index",
    leading: 2,
    gradName,
    isView: false,
    outputs: 1,
    gradientOf: gradientLookup<Windows>({ a: grad }),

    infer([x], windows): Meta[] {
      if (typeof x === "number") throw new InternalError(`${name} got a number for a tensor`, { op: name });
      return [{ shape: [x.shape[0], x.shape[1], ...shape(windows)], dtype: x.dtype }];
    },

    run([input], windows, [meta], target): LocalValue[] {
      const from = input as LocalValue;
      const out = target ?? allocate(from.device, meta.shape, meta.dtype);
      if (numelOf(out.shape) > 0) move(from, out, windows);
      return [out];
    },
  };
}

/** `[n, c, ...input]` to all its windows `[n, c, ...kernel, ...output]`. */
const unfoldOp: ColumnsOp = columnsOp(
  "unfold",
  "Im2Col",
  ({ kernel, output }) => [...kernel, ...output],
  (x, columns, windows) => withWindows(x, windows, (view) => copyInto(view, columns)),
  (g, _saved, windows) => apply(foldOp, [g], windows),
);

/** The adjoint: sums of what windows hold for each element. */
const foldOp: ColumnsOp = columnsOp(
  "fold",
  "Col2Im",
  ({ input }) => input,
  foldInto,
  (g, _saved, windows) => apply(unfoldOp, [g], windows),
);

interface ColumnOptions {
  readonly dilation?: PerDimension;
  readonly padding?: PerDimension;
  readonly stride?: PerDimension;
}

const columnParameters = ["dilation", "padding", "stride"] as const;

function columnWindows(
  op: string,
  input: readonly number[],
  kernelSize: PerDimension,
  options: readonly unknown[],
): Windows {
  const { dilation = 1, padding = 0, stride = 1 } = parameters<ColumnOptions>(op, columnParameters, options);
  const kernel = perDimension(op, "kernel_size", kernelSize, 2);
  const [gaps, zeros, steps] = [
    perDimension(op, "dilation", dilation, 2),
    perDimension(op, "padding", padding, 2),
    perDimension(op, "stride", stride, 2),
  ];
  for (const [name, sizes, least] of [
    ["kernel size", kernel, 1],
    ["dilation", gaps, 1],
    ["padding", zeros, 0],
    ["stride", steps, 1],
  ] as const) {
    if (sizes.some((size) => size < least)) {
      throw new ValueError(
        `${name} should be ${least === 1 ? "greater than zero" : "non-negative"}, but got [${sizes.join(", ")}]`,
        { op },
      );
    }
  }
  const output = input.map((size, d) => windowCount(size, kernel[d], steps[d], 2 * zeros[d], gaps[d]));
  if (output.some((count) => count < 1)) {
    throw new ShapeError(
      `Given input with spatial size (${input.join(", ")}), kernel_size=(${kernel.join(", ")}), dilation=(${gaps.join(", ")}), ` +
        `padding=(${zeros.join(", ")}), calculated shape of the array of sliding blocks as (${output.join(", ")}), but its components must be at least one.`,
      { op },
    );
  }
  return { input, kernel, output, stride: steps, dilation: gaps, padding: zeros };
}

/**
 * All windows of an image as columns (`torch.nn.functional.unfold`): `[n, c, h, w]` or `[c, h, w]` to `[n, c * kh * kw,
 * windows]`. Options `dilation`, `padding`, `stride`. @throws ShapeError, ValueError
 */
export function unfold(input: Tensor, kernelSize: PerDimension, ...options: unknown[]): Tensor {
  const batched = input.dim() === 3 ? input.unsqueeze(0) : input;
  if (batched.dim() !== 4)
    throw new ShapeError(`Expected 3D or 4D (batch mode) tensor for input, but got: [${input.shape.join(", ")}]`, {
      op: "unfold",
    });
  const windows = columnWindows("unfold", batched.shape.slice(2), kernelSize, options);
  const rows = batched.size(1) * numelOf(windows.kernel);
  const result = apply(unfoldOp, [batched], windows).reshape([batched.size(0), rows, numelOf(windows.output)]);
  return batched === input ? result : result.squeeze(0);
}

/**
 * Adds columns up into an image (`torch.nn.functional.fold`, the adjoint of `unfold`): `[n, c * kh * kw, windows]` or
 * without n, to `[n, c, ...outputSize]`. Options `dilation`, `padding`, `stride`. @throws ShapeError, ValueError
 */
export function fold(input: Tensor, outputSize: PerDimension, kernelSize: PerDimension, ...options: unknown[]): Tensor {
  const batched = input.dim() === 2 ? input.unsqueeze(0) : input;
  if (batched.dim() !== 3)
    throw new ShapeError(`Expected 2D or 3D (batch mode) tensor for input, but got: [${input.shape.join(", ")}]`, {
      op: "fold",
    });
  const windows = columnWindows("fold", perDimension("fold", "output_size", outputSize, 2), kernelSize, options);
  const [taps, count] = [numelOf(windows.kernel), numelOf(windows.output)];
  if (batched.size(1) % taps !== 0) {
    throw new ShapeError(
      `Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)=${batched.size(1)} and ` +
        `kernel_size=(${windows.kernel.join(", ")}).`,
      { op: "fold" },
    );
  }
  if (batched.size(2) !== count) {
    throw new ShapeError(
      `Given output_size=(${windows.input.join(", ")}), kernel_size=(${windows.kernel.join(", ")}), dilation=(${windows.dilation.join(", ")}), ` +
        `padding=(${windows.padding.join(", ")}), stride=(${windows.stride.join(", ")}), expected size of input's dimension 2 to match the calculated ` +
        `number of sliding blocks ${windows.output.join(" * ")} = ${count}, but got input.size(2)=${batched.size(2)}.`,
      { op: "fold" },
    );
  }
  const columns = batched.reshape([batched.size(0), batched.size(1) / taps, ...windows.kernel, ...windows.output]);
  const result = apply(foldOp, [columns], windows);
  return batched === input ? result : result.squeeze(0);
}

// --- pixel shuffle -----------------------------------------------------------------------------------------------

/**
 * Channels to pixels (`torch.nn.functional.pixel_shuffle`): `[..., c * r * r, h, w]` to `[..., c, h * r, w * r]`.
 * @throws ShapeError
 */
export function pixelShuffle(input: Tensor, upscaleFactor: number): Tensor {
  const op = "pixelShuffle";
  assertImage(op, input, upscaleFactor);
  const r = upscaleFactor;
  const [c, h, w] = input.shape.slice(-3);
  if (c % (r * r) !== 0) {
    throw new ShapeError(
      `pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but input.size(-3)=${c} is not divisible by ${r * r}`,
      { op },
    );
  }
  const lead = input.shape.slice(0, -3);
  const at = lead.length;
  const order = [...lead.keys(), at, at + 3, at + 1, at + 4, at + 2];
  return input
    .reshape([...lead, c / (r * r), r, r, h, w])
    .permute(order)
    .reshape([...lead, c / (r * r), h * r, w * r]);
}

/**
 * Pixels to channels (`torch.nn.functional.pixel_unshuffle`): `[..., c, h * r, w * r]` to `[..., c * r * r, h, w]`.
 * @throws ShapeError
 */
export function pixelUnshuffle(input: Tensor, downscaleFactor: number): Tensor {
  const op = "pixelUnshuffle";
  assertImage(op, input, downscaleFactor);
  const r = downscaleFactor;
  const [c, h, w] = input.shape.slice(-3);
  [h, w].forEach((size, i) => {
    if (size % r === 0) return;
    throw new ShapeError(
      `pixel_unshuffle expects ${i === 0 ? "height" : "width"} to be divisible by downscale_factor, but input.size(${i - 2})=${size} is not divisible by ${r}`,
      { op },
    );
  });
  const lead = input.shape.slice(0, -3);
  const at = lead.length;
  const order = [...lead.keys(), at, at + 2, at + 4, at + 1, at + 3];
  return input
    .reshape([...lead, c, h / r, r, w / r, r])
    .permute(order)
    .reshape([...lead, c * r * r, h / r, w / r]);
}

function assertImage(op: string, input: Tensor, factor: number): void {
  if (input.dim() < 3)
    throw new ShapeError(
      `${op} expects input to have at least 3 dimensions, but got input with ${input.dim()} dimension(s)`,
      { op },
    );
  if (!Number.isInteger(factor) || factor <= 0)
    throw new ValueError(`${op} expects a positive factor, but got ${factor}`, { op });
}

// --- interpolation -----------------------------------------------------------------------------------------------

export type InterpolateMode = "nearest" | "nearest-exact" | "linear" | "bilinear" | "trilinear" | "area";

export interface InterpolateOptions {
  /** Spatial sizes of the result; or: */
  readonly size?: PerDimension;
  /** by how much they grow. */
  readonly scaleFactor?: PerDimension;
  readonly mode?: InterpolateMode;
  /** In the linear modes: corner elements lie on corners, instead of being as wide as all others. */
  readonly alignCorners?: boolean;
  /** Reckon with the whole sizes instead of the given factor. */
  readonly recomputeScaleFactor?: boolean;
}

const ranks = [1, 2, 3] as const;
const upsampling = (gradName: string): WindowOp => ({ ...defineWindowSum("interpolate", gradName), overload: () => 1 });
const nearestOps = ranks.map((rank) => upsampling(`UpsampleNearest${rank}D`));
const linearOps = ["UpsampleLinear1D", "UpsampleBilinear2D", "UpsampleTrilinear3D"].map(upsampling);
const areaPools = [adaptiveAvgPool1d, adaptiveAvgPool2d, adaptiveAvgPool3d] as const;
const linearModes: readonly string[] = ["linear", "bilinear", "trilinear"];

/**
 * Resizes the spatial dimensions of `[n, c, ...]` (`torch.nn.functional.interpolate`). @throws ShapeError, ValueError,
 * DTypeError
 */
export function interpolate(input: Tensor, ...options: unknown[]): Tensor {
  const op = "interpolate";
  const names = ["size", "scaleFactor", "mode", "alignCorners", "recomputeScaleFactor"] as const;
  const {
    size,
    scaleFactor,
    mode = "nearest",
    alignCorners,
    recomputeScaleFactor = false,
  } = parameters<InterpolateOptions>(op, names, options);
  const spatial = input.shape.slice(2);
  const rank = spatial.length;
  if (rank < 1 || rank > 3)
    throw new ShapeError(`interpolate() takes input of 3 to 5 dimensions, got ${input.dim()}`, { op });
  const isLinear = linearModes.includes(mode);
  if (isLinear ? linearModes[rank - 1] !== mode : !["nearest", "nearest-exact", "area"].includes(mode)) {
    throw new ValueError(
      `Got ${input.dim()}D input, but ${mode} mode needs another number of dimensions or is unknown`,
      {
        op,
        remedy: `Modes for ${input.dim()}D input: nearest, nearest-exact, area, ${linearModes[rank - 1]}.`,
      },
    );
  }
  if (alignCorners !== undefined && !isLinear) {
    throw new ValueError("alignCorners can only be set with the interpolating modes: linear | bilinear | trilinear", {
      op,
    });
  }
  if (isLinear && !isFloat(input.dtype))
    throw new DTypeError(`"${op}" with mode ${mode} not implemented for ${input.dtype}`, { op });
  if ((size === undefined) === (scaleFactor === undefined)) {
    throw new ValueError(
      size === undefined
        ? "either size or scaleFactor should be defined"
        : "only one of size or scaleFactor should be defined",
      { op },
    );
  }
  const growth =
    scaleFactor === undefined
      ? undefined
      : typeof scaleFactor === "number"
        ? spatial.map(() => scaleFactor)
        : scaleFactor;
  if (growth !== undefined && growth.length !== rank) {
    throw new ValueError(`scaleFactor must have ${rank} values, got [${growth.join(", ")}]`, { op });
  }
  const output =
    growth === undefined
      ? perDimension(op, "size", size ?? 1, rank)
      : spatial.map((own, d) => Math.floor(own * growth[d]));
  if (output.some((own) => own <= 0) || spatial.includes(0)) {
    throw new ShapeError(
      `Input and output sizes should be greater than 0, but got input [${spatial.join(", ")}] output [${output.join(", ")}]`,
      { op },
    );
  }
  if (mode === "area") return areaPools[rank - 1](input, output);
  const scales = spatial.map((own, d) => {
    if (isLinear && alignCorners === true) return output[d] > 1 ? (own - 1) / (output[d] - 1) : 0;
    return growth === undefined || recomputeScaleFactor ? own / output[d] : 1 / growth[d];
  });
  const attrs: WindowAttrs = {
    sampler: isLinear
      ? alignCorners === true
        ? "linearAligned"
        : "linear"
      : mode === "nearest"
        ? "nearest"
        : "nearestExact",
    input: spatial,
    output,
    taps: spatial.map(() => (isLinear ? 2 : 1)),
    params: spatial.map((own, d) => [own, scales[d]]),
  };
  return apply((isLinear ? linearOps : nearestOps)[rank - 1], [input], attrs);
}

/** `interpolate` under its old name (`torch.nn.functional.upsample`). */
export const upsample = interpolate;

/** `interpolate` by nearest neighbour (`torch.nn.functional.upsample_nearest`). */
export function upsampleNearest(input: Tensor, ...options: unknown[]): Tensor {
  return interpolate(input, sizeOrScale("upsampleNearest", options));
}

/** Bilinear `interpolate` with aligned corners (`torch.nn.functional.upsample_bilinear`). */
export function upsampleBilinear(input: Tensor, ...options: unknown[]): Tensor {
  return interpolate(input, { ...sizeOrScale("upsampleBilinear", options), mode: "bilinear", alignCorners: true });
}

function sizeOrScale(op: string, options: readonly unknown[]): InterpolateOptions {
  return parameters<Pick<InterpolateOptions, "size" | "scaleFactor">>(op, ["size", "scaleFactor"], options);
}

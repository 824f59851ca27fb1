/** Making tensors, with PyTorch's constructors and defaults. */
import { defaultDevice, device as deviceOf } from "../actor/registry.ts";
import type { Device } from "../actor/device.ts";
import { DTypeError, ShapeError, ValueError } from "../errors.ts";
import { assertNumber, assertOptions, isOptions, parameters, shown } from "../arguments.ts";
import { apply } from "../ops/dispatch.ts";
import { arangeOp, bernoulliOp, eyeOp, fillOp, linspaceOp, randintOp, randnOp, randomKeysOp, randOp } from "../ops/generate.ts";
import type { GenerateAttrs, GenerateOp } from "../ops/kinds/generate.ts";
import { dtypeOfNumber, getDefaultDtype, isDType, isFloat, itemSize } from "./dtype.ts";
import type { DType, TypedArray } from "./dtype.ts";
import { bytesOf, dtypeOf, flatten } from "./nested.ts";
import type { NestedData } from "./nested.ts";
import { drawState, partOfBatch } from "./generator.ts";
import { numelOf } from "./shape.ts";
import { assertDType } from "./assert-dtype.ts";
import type { Shape } from "./shape.ts";
import { isTensor, Tensor } from "./tensor.ts";
import { allocate } from "./value.ts";

export type { NestedData } from "./nested.ts";

/** Options of every constructor. */
export interface TensorOptions {
  readonly dtype?: DType;
  readonly device?: Device | string;
  readonly requiresGrad?: boolean;
}

/** Sizes as `f(2, 3)` or `f([2, 3])`, options last. */
export type SizeArguments = readonly (number | Shape | TensorOptions)[];

function sizesAndOptions(op: string, args: SizeArguments): { shape: Shape; options: TensorOptions } {
  const last = args[args.length - 1];
  const options = isOptions(last) ? last : {};
  const sizes = isOptions(last) ? args.slice(0, -1) : args;
  const shape = sizes.length === 1 && Array.isArray(sizes[0]) ? (sizes[0] as Shape) : (sizes as Shape);
  checkOptions(op, options);
  checkShape(op, shape);
  return { shape: [...shape], options };
}

/** @throws DTypeError for what is no tensor */
function assertTensor(op: string, x: unknown): asserts x is Tensor {
  if (!isTensor(x)) throw new DTypeError(`${op}(): argument 'input' must be Tensor, not ${shown(x)}`, { op });
}

function checkShape(op: string, shape: Shape): void {
  for (const size of shape) {
    if (!Number.isInteger(size) || size < 0) throw new ShapeError(`${op}(): sizes must be whole numbers from 0, got [${shape.map(shown).join(", ")}]`, { op });
  }
}

const optionNames: readonly string[] = ["dtype", "device", "requiresGrad"];

function checkOptions(op: string, options: object): void {
  assertOptions(op, options, optionNames);
  const { dtype } = options as TensorOptions;
  if (dtype !== undefined && !isDType(dtype)) throw new DTypeError(`${op}(): unknown dtype '${String(dtype)}'`, { op });
}

function generated(op: GenerateOp, shape: Shape, dtype: DType, { device, requiresGrad = false }: TensorOptions, params: readonly number[], part?: GenerateAttrs["part"]): Tensor {
  const target = device === undefined ? defaultDevice() : deviceOf(device);
  assertDType(op.name, target, dtype);
  const made = apply(op, [], { shape, dtype, device: target.name, params, part });
  if (requiresGrad) made.requiresGrad = true;
  return made;
}

/** A tensor with undefined contents (`torch.empty`). */
export function empty(...args: SizeArguments): Tensor {
  const { shape, options } = sizesAndOptions("empty", args);
  const { dtype = getDefaultDtype(), device, requiresGrad = false } = options;
  const target = device === undefined ? defaultDevice() : deviceOf(device);
  assertDType("empty", target, dtype);
  const made = new Tensor(allocate(target, shape, dtype));
  if (requiresGrad) made.requiresGrad = true;
  return made;
}

export function zeros(...args: SizeArguments): Tensor {
  const { shape, options } = sizesAndOptions("zeros", args);
  return generated(fillOp, shape, options.dtype ?? getDefaultDtype(), options, [0]);
}

export function ones(...args: SizeArguments): Tensor {
  const { shape, options } = sizesAndOptions("ones", args);
  return generated(fillOp, shape, options.dtype ?? getDefaultDtype(), options, [1]);
}

/** All elements `value`; the dtype follows the value unless given (`torch.full`). */
export function full(shape: Shape | number, value: number | bigint | boolean, options: TensorOptions = {}): Tensor {
  checkOptions("full", options);
  const sizes = typeof shape === "number" ? [shape] : [...shape];
  checkShape("full", sizes);
  const dtype = options.dtype ?? dtypeOfNumber(value);
  if (typeof value !== "number" && typeof value !== "bigint" && typeof value !== "boolean") {
    throw new DTypeError(`full(): the value must be a number or boolean, not ${shown(value)}`, { op: "full" });
  }
  if (typeof value === "bigint" && !Number.isSafeInteger(Number(value))) return tensor(value, { ...options, dtype }).expand(sizes).clone();
  return generated(fillOp, sizes, dtype, options, [Number(value)]);
}

/** The identity matrix, or its first `m` columns. */
export function eye(n: number, ...args: readonly (number | TensorOptions)[]): Tensor {
  const m = args.find((arg) => typeof arg === "number") ?? n;
  const options = args.find((arg) => typeof arg !== "number") ?? {};
  checkOptions("eye", options);
  checkShape("eye", [n, m]);
  return generated(eyeOp, [n, m], options.dtype ?? getDefaultDtype(), options, [Math.max(m, 1)]);
}

/**
 * Numbers from `start` up to but without `end`, `step` apart (`torch.arange`): `arange(end)`, `arange(start, end, step)`. int64
 * when all are whole.
 */
export function arange(...args: readonly (number | TensorOptions)[]): Tensor {
  const last = args[args.length - 1];
  const options: TensorOptions = isOptions(last) ? last : {};
  const numbers = args.filter((arg) => typeof arg === "number");
  checkOptions("arange", options);
  const exact = options.dtype === "int64" ? numbers.map(Math.trunc) : numbers;
  const [start, end, step = 1] = exact.length === 1 ? [0, exact[0]] : exact;
  if (step === 0) throw new ValueError("step must be nonzero", { op: "arange" });
  if (!Number.isFinite(start) || !Number.isFinite(end)) throw new ValueError(`unsupported range: ${start} -> ${end}`, { op: "arange" });
  if (Number.isNaN(step)) throw new ValueError("step must be a number, got NaN", { op: "arange" });
  if ((end - start) * step < 0) throw new ValueError("upper bound and larger bound inconsistent with step sign", { op: "arange" });
  const whole = [start, end, step].every((value) => Number.isInteger(value) && !Object.is(value, -0));
  const dtype = options.dtype ?? (whole ? "int64" : getDefaultDtype());
  return generated(arangeOp, [Math.ceil((end - start) / step)], dtype, options, [start, step]);
}

/** `steps` numbers from `start` to `end`, both included (`torch.linspace`). */
export function linspace(start: number, end: number, steps: number, options: TensorOptions = {}): Tensor {
  checkOptions("linspace", options);
  checkShape("linspace", [steps]);
  const step = steps > 1 ? (end - start) / (steps - 1) : 0;
  return generated(linspaceOp, [steps], options.dtype ?? getDefaultDtype(), options, [start, steps === 1 ? start : end, step, steps]);
}

/** `steps` powers of `base`, with exponents from `start` to `end` (`torch.logspace`). */
export function logspace(start: number, end: number, steps: number, ...args: readonly unknown[]): Tensor {
  const { base = 10, dtype, device, requiresGrad = false } = parameters<{ base?: number } & TensorOptions>("logspace", ["base", "dtype", "device", "requiresGrad"], args);
  const target = dtype ?? getDefaultDtype();
  const exponents = linspace(start, end, steps, { dtype: "float64", device });
  const made = exponents.mul(Math.log(base)).exp().to(target).detach();
  if (requiresGrad) made.requiresGrad = true;
  return made;
}

// --- random ---------------------------------------------------------------------------------------------------------------------

function assertFloat(op: string, dtype: DType): void {
  if (!isFloat(dtype)) throw new DTypeError(`"${op}" not implemented for '${dtype}'`, { op });
}

/** Uniform numbers in [0, 1). */
export function rand(...args: SizeArguments): Tensor {
  const { shape, options } = sizesAndOptions("rand", args);
  const { dtype = getDefaultDtype() } = options;
  assertFloat("rand", dtype);
  return generated(randOp, shape, dtype, options, drawState(), partOfBatch(shape));
}

/** Numbers of the standard normal distribution. */
export function randn(...args: SizeArguments): Tensor {
  const { shape, options } = sizesAndOptions("randn", args);
  const { dtype = getDefaultDtype() } = options;
  assertFloat("randn", dtype);
  return generated(randnOp, shape, dtype, options, drawState(), partOfBatch(shape));
}

/**
 * Numbers of normal distributions (`torch.normal`): `normal(mean, std, size)` with numbers, or with tensors for the mean, the
 * standard deviation, or both: `normal(mean, std, options)`.
 * @throws ValueError for a negative deviation, for numbers without a size and tensors with one
 */
export function normal(
  mean: number | Tensor,
  std: number | Tensor = 1,
  ...rest: readonly [size: Shape, options?: TensorOptions] | readonly [options?: TensorOptions]
): Tensor {
  const [size, options = {}] = Array.isArray(rest[0]) ? (rest as [Shape, TensorOptions?]) : [undefined, ...(rest as [TensorOptions?])];
  checkOptions("normal", options);
  for (const [name, value] of [["mean", mean], ["std", std]] as const) if (!isTensor(value)) assertNumber("normal", name, value);
  if (typeof std === "number" && std < 0) throw new ValueError(`normal expects std >= 0.0, but found std ${std}`, { op: "normal" });
  if (typeof mean === "number" && typeof std === "number") {
    if (size === undefined) throw new ValueError("normal(mean, std, size): numbers need a size", { op: "normal" });
    const made = randn(size, { dtype: options.dtype, device: options.device }).mul(std).add(mean);
    return finish(made, { requiresGrad: options.requiresGrad });
  }
  const like = isTensor(mean) ? mean : (std as Tensor);
  const shape = isTensor(mean) && isTensor(std) ? mean.add(std).shape : like.shape;
  if (size !== undefined) throw new ValueError("normal(mean, std): the size is that of the tensors", { op: "normal" });
  const made = randn(shape, { dtype: like.dtype, device: like.device }).mul(isTensor(std) ? std.detach() : std).add(isTensor(mean) ? mean.detach() : mean);
  return finish(made, options);
}

/** Whole numbers in [low, high): `randint(high, size)` or `randint(low, high, size)`. int64 unless said. */
export function randint(...args: readonly (number | Shape | TensorOptions)[]): Tensor {
  const last = args[args.length - 1];
  const options: TensorOptions = isOptions(last) ? last : {};
  checkOptions("randint", options);
  const bounds = args.filter((arg) => typeof arg === "number");
  const size = args.find((arg): arg is Shape => Array.isArray(arg));
  if (size === undefined) throw new ShapeError("randint(): the size must be a list, as in randint(10, [2, 3])", { op: "randint" });
  checkShape("randint", size);
  const [low, high] = bounds.length === 1 ? [0, bounds[0]] : bounds;
  if (!(high > low)) throw new ValueError(`random_ expects 'from' to be less than 'to', but got from=${low} >= to=${high}`, { op: "randint" });
  if (high - low >= 2 ** 32) throw new ValueError("randint(): the range must be below 2^32", { op: "randint" });
  const dtype = options.dtype ?? "int64";
  return generated(randintOp, [...size], dtype, options, [...drawState(), high - low, low], partOfBatch(size));
}

/** A random permutation of 0 ... n - 1 (int64 unless said). */
export function randperm(n: number, options: TensorOptions = {}): Tensor {
  checkOptions("randperm", options);
  checkShape("randperm", [n]);
  const keys = generated(randomKeysOp, [n], "int64", { device: options.device }, drawState());
  const order = keys.argsort({ stable: true });
  keys.dispose();
  return options.dtype === undefined || options.dtype === "int64" ? order : order.to(options.dtype);
}

/** 1 with each element's own probability, else 0 (`torch.bernoulli`). */
export function bernoulli(probabilities: Tensor): Tensor {
  assertTensor("bernoulli", probabilities);
  return randLike(probabilities).lt(probabilities).to(probabilities.dtype);
}

/** A mask like `x`: 1 with probability `p`, else 0. */
export function bernoulliLike(x: Tensor, p: number): Tensor {
  return apply(bernoulliOp, [x.detach()], { shape: x.shape, dtype: x.dtype, params: [...drawState(), p], part: partOfBatch(x.shape) });
}

// --- like another tensor --------------------------------------------------------------------------------------------------------

function like(name: string, op: GenerateOp, x: Tensor, options: TensorOptions, params: readonly number[], part?: GenerateAttrs["part"]): Tensor {
  assertTensor(name, x);
  checkOptions(name, options);
  const { dtype = x.dtype, device, requiresGrad = false } = options;
  if (device !== undefined) return generated(op, x.shape, dtype, options, params, part);
  const made = apply(op, [x.detach()], { shape: x.shape, dtype, params, part });
  if (requiresGrad) made.requiresGrad = true;
  return made;
}

export function zerosLike(x: Tensor, options: TensorOptions = {}): Tensor {
  return like("zerosLike", fillOp, x, options, [0]);
}

export function onesLike(x: Tensor, options: TensorOptions = {}): Tensor {
  return like("onesLike", fillOp, x, options, [1]);
}

export function fullLike(x: Tensor, value: number | boolean, options: TensorOptions = {}): Tensor {
  return like("fullLike", fillOp, x, options, [Number(value)]);
}

export function emptyLike(x: Tensor, options: TensorOptions = {}): Tensor {
  assertTensor("emptyLike", x);
  return empty(x.shape, { dtype: x.dtype, device: x.device, ...options });
}

export function randLike(x: Tensor, options: TensorOptions = {}): Tensor {
  assertTensor("randLike", x);
  assertFloat("rand", options.dtype ?? x.dtype);
  return like("randLike", randOp, x, options, drawState(), partOfBatch(x.shape));
}

export function randnLike(x: Tensor, options: TensorOptions = {}): Tensor {
  assertTensor("randnLike", x);
  assertFloat("randn", options.dtype ?? x.dtype);
  return like("randnLike", randnOp, x, options, drawState(), partOfBatch(x.shape));
}

export function randintLike(x: Tensor, ...args: readonly (number | TensorOptions)[]): Tensor {
  const bounds = args.filter((arg) => typeof arg === "number");
  const [low, high] = bounds.length === 1 ? [0, bounds[0]] : bounds;
  return like("randintLike", randintOp, x, (args.find((arg) => isOptions(arg)) as TensorOptions | undefined) ?? {}, [...drawState(), high - low, low], partOfBatch(x.shape));
}

// --- from data ------------------------------------------------------------------------------------------------------------------

/**
 * A tensor of this data (`torch.tensor`): a number, boolean or bigint, nested arrays of them, or a typed array. The dtype follows
 * the data: whole numbers and bigints int64, other numbers the default float, booleans bool, typed arrays their own. Since
 * JavaScript writes 1.0 as 1, whole numbers become floats where `requiresGrad` asks for a float.
 * @throws ShapeError for ragged nesting, DTypeError for data that is neither, ValueError for numbers that int64 does not hold
 */
export function tensor(data: NestedData | TypedArray | Tensor, options: TensorOptions = {}): Tensor {
  checkOptions("tensor", options);
  if (isTensor(data)) return finish(data.detach().clone(), options);
  const { shape, flat } = ArrayBuffer.isView(data) ? { shape: [data.length], flat: data } : flatten(data);
  const dtype = options.dtype ?? dtypeOf(flat, options.requiresGrad === true);
  const device = options.device === undefined ? defaultDevice() : deviceOf(options.device);
  assertDType("tensor", device, dtype);
  const value = allocate(device, shape, dtype);
  if (value.storage.bytes > 0) device.upload(value.storage.id, 0, bytesOf(flat, dtype));
  const made = new Tensor(value);
  if (options.requiresGrad === true) made.requiresGrad = true;
  return made;
}

/** A tensor over raw row-major bytes of `dtype` (copied). */
export function fromBytes(bytes: Uint8Array, shape: Shape, dtype: DType, options: Pick<TensorOptions, "device"> = {}): Tensor {
  if (bytes.byteLength !== numelOf(shape) * itemSize(dtype)) {
    throw new ShapeError(`${bytes.byteLength} bytes are not [${shape.join(", ")}] of ${dtype}`, { op: "fromBytes" });
  }
  const device = options.device === undefined ? defaultDevice() : deviceOf(options.device);
  assertDType("fromBytes", device, dtype);
  const value = allocate(device, [...shape], dtype);
  if (bytes.byteLength > 0) device.upload(value.storage.id, 0, bytes);
  return new Tensor(value);
}

function finish(made: Tensor, { dtype, device, requiresGrad = false }: TensorOptions): Tensor {
  const moved = device === undefined ? made : made.to(device);
  const result = dtype === undefined ? moved : moved.to(dtype);
  if (requiresGrad) result.requiresGrad = true;
  return result;
}

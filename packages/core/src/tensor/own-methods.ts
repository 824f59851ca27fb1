/** Methods of `Tensor` that stand for no table entry: moves, layout, autograd, tensors like this one, data out. */
import type { Device } from "../actor/device.ts";
import { device as deviceOf } from "../actor/registry.ts";
import { backward } from "../autograd/engine.ts";
import type { BackwardOptions } from "../autograd/engine.ts";
import { registerHook, retainGrad, retainsGrad } from "../autograd/hooks.ts";
import { AutogradError, DeviceError } from "../errors.ts";
import { isOptions } from "../arguments.ts";
import { clone, toDType } from "../ops/conversion.ts";
import { toDevice } from "../ops/transfer.ts";
import { assertDType } from "./assert-dtype.ts";
import { empty, fromBytes, full, ones, zeros } from "./creation.ts";
import type { TensorOptions } from "./creation.ts";
import { isDType, isFloat, itemSize } from "./dtype.ts";
import type { DType, TypedArray } from "./dtype.ts";
import * as reading from "./reading.ts";
import { isContiguous } from "./shape.ts";
import type { Shape } from "./shape.ts";
import { isTensor, Tensor } from "./tensor.ts";
import { LocalValue } from "./value.ts";

/** Where and as what: a dtype or a device's name, a device, another tensor to be like, or both. */
export type Target = string | Device | Tensor | { readonly dtype?: DType; readonly device?: Device | string; readonly copy?: boolean };

/** The tensor in another dtype or on another device; the tensor itself when nothing changes (`Tensor.to`). */
function to(x: Tensor, target: Target, ...more: readonly (DType | { readonly copy?: boolean })[]): Tensor {
  const wanted = targetOf(target);
  const dtype = more.find((argument) => typeof argument === "string") ?? wanted.dtype;
  const copy = more.some((argument) => isOptions(argument) && argument.copy === true) || wanted.copy === true;
  const converted = dtype === undefined ? x : convert(x, dtype);
  const moved = wanted.device === undefined ? converted : toDevice(converted, wanted.device);
  return copy && moved === x ? clone(x) : moved;
}

/** `toDType`, where the tensor's device holds the dtype. */
function convert(x: Tensor, dtype: DType): Tensor {
  assertDType("to", x.device, dtype);
  return toDType(x, dtype);
}

function targetOf(target: Target): { dtype?: DType; device?: string; copy?: boolean } {
  if (isDType(target)) return { dtype: target };
  if (typeof target === "string") return { device: target };
  if (isTensor(target)) return { dtype: target.dtype, device: target.device.name };
  if (isOptions(target)) {
    const { dtype, device, copy } = target as { dtype?: DType; device?: Device | string; copy?: boolean };
    return { dtype, device: device === undefined ? undefined : deviceName(device), copy };
  }
  return { device: deviceName(target) };
}

/** @throws DeviceClosedError for a closed device: a new one of its name is not what is meant */
function deviceName(device: Device | string): string {
  return typeof device === "string" ? device : deviceOf(device).name;
}

/**
 * Hands the contents over to another device: the memory here is freed as soon as the copy is made. Any later use of `x`, or of a
 * tensor that shares its memory, throws a DisposedError; so does a backward pass that needs it.
 * @returns the tensor there, whose gradient comes back as with `to`; `x` itself where it already is there
 * @throws DeviceError for an unknown device
 */
function moveTo(x: Tensor, device: Device | string): Tensor {
  const moved = toDevice(x, deviceName(device));
  if (moved !== x) x.dispose();
  return moved;
}

/**
 * Makes a tensor usable again that an op failed to write: its contents are what the last write that completed left (undefined
 * contents, where none did). A full overwrite such as `copy_` does the same by itself.
 */
function recover(x: Tensor): Tensor {
  for (const { device, storage } of x.value.executor.locals(x.value)) device.recover(storage.id);
  return x;
}

export const methods = {
  to,
  /** This tensor on "cpu" (or "cpu:index"). */
  cpu: (x: Tensor): Tensor => toDevice(x, "cpu"),
  /** This tensor on "gpu:index". */
  gpu: (x: Tensor, index = 0): Tensor => toDevice(x, `gpu:${index}`),
  moveTo,
  recover,
  type: (x: Tensor, dtype: DType): Tensor => convert(x, dtype),
  typeAs: (x: Tensor, y: Tensor): Tensor => convert(x, y.dtype),
  float: (x: Tensor): Tensor => toDType(x, "float32"),
  double: (x: Tensor): Tensor => convert(x, "float64"),
  int: (x: Tensor): Tensor => toDType(x, "int32"),
  long: (x: Tensor): Tensor => toDType(x, "int64"),
  byte: (x: Tensor): Tensor => toDType(x, "uint8"),
  bool: (x: Tensor): Tensor => toDType(x, "bool"),
  isFloatingPoint: (x: Tensor): boolean => isFloat(x.dtype),
  elementSize: (x: Tensor): number => itemSize(x.dtype),
  nelement: (x: Tensor): number => x.numel(),
  isContiguous: (x: Tensor): boolean => !(x.value instanceof LocalValue) || isContiguous(x.value.shape, x.value.strides),
  /** Elements to skip along each dimension, or along one. */
  stride,
  /** Elements between the storage's start and this tensor's first element. */
  storageOffset: (x: Tensor): number => localOf(x, "storageOffset").offset,

  /**
   * Adds the gradients of this tensor with respect to the graph's leaves to their `.grad`: `loss.backward()`,
   * `loss.backward({ retainGraph: true })`, `y.backward(gradient, { retainGraph: true })`.
   */
  backward: (x: Tensor, gradient?: Tensor | BackwardOptions, options: BackwardOptions = {}): void =>
    gradient === undefined || isTensor(gradient) ? backward([x], [gradient], options) : backward([x], [], gradient),
  /** The same data without history; writes to one show in the other. */
  detach: (x: Tensor): Tensor => new Tensor(x.value),
  detach_: (x: Tensor): Tensor => {
    if (x.view$ !== undefined) {
      throw new AutogradError("Can't detach views in-place. Use detach() instead.", { op: "detach_" });
    }
    x.setHistory(undefined, 0);
    x.requiresGrad = false;
    return x;
  },
  requiresGrad_: (x: Tensor, wanted = true): Tensor => {
    // Of a tensor with history gradients are wanted already.
    if (!wanted || x.isLeaf) x.requiresGrad = wanted;
    return x;
  },
  registerHook,
  retainGrad,
  retainsGrad,

  newTensor: (x: Tensor, data: TypedArray): Tensor => fromBytes(new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength), [data.length], typedArrayDType(data), { device: x.device }),
  newZeros: (x: Tensor, size: Shape, options: TensorOptions = {}): Tensor => zeros(size, { dtype: x.dtype, device: x.device, ...options }),
  newOnes: (x: Tensor, size: Shape, options: TensorOptions = {}): Tensor => ones(size, { dtype: x.dtype, device: x.device, ...options }),
  newEmpty: (x: Tensor, size: Shape, options: TensorOptions = {}): Tensor => empty(size, { dtype: x.dtype, device: x.device, ...options }),
  newFull: (x: Tensor, size: Shape, value: number | boolean, options: TensorOptions = {}): Tensor => full(size, value, { dtype: x.dtype, device: x.device, ...options }),

  item: reading.item,
  itemSync: reading.itemSync,
  tolist: reading.tolist,
  tolistSync: reading.tolistSync,
  data: reading.data,
  dataSync: reading.dataSync,
};

function stride(x: Tensor): readonly number[];
function stride(x: Tensor, dim: number): number;
function stride(x: Tensor, dim?: number): readonly number[] | number {
  const { strides } = localOf(x, "stride");
  return dim === undefined ? strides : (strides.at(dim) ?? 0);
}

function localOf(x: Tensor, what: string): LocalValue {
  if (x.value instanceof LocalValue) return x.value;
  throw new DeviceError(`${what}() is a matter of one device's memory; this tensor is on several`, { op: what });
}

function typedArrayDType(data: TypedArray): DType {
  if (data instanceof Float32Array) return "float32";
  if (data instanceof Float64Array) return "float64";
  if (data instanceof Int32Array) return "int32";
  return data instanceof BigInt64Array ? "int64" : "uint8";
}

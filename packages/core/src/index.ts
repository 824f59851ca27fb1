/**
 * Troupe's core: tensors, the op table, autograd, modules, optimizers, data and files, on whatever devices the imported device
 * packages bring.
 */
import "./tensor/methods.ts";

export * from "./errors.ts";
export { getDefaultDtype, isDType, promoteTypes, setDefaultDtype, type DType, type TypedArray } from "./tensor/dtype.ts";
export { isTensor, Tensor } from "./tensor/tensor.ts";
export { broadcastShapes, type Shape } from "./tensor/shape.ts";
export * from "./tensor/creation.ts";
export { getRngState, manualSeed, setRngState } from "./tensor/generator.ts";
export { getPrintOptions, setPrintOptions, type PrintOptions } from "./tensor/printing.ts";
export { hold, relieve, tidy } from "./tensor/memory.ts";
export type { Nested } from "./tensor/reading.ts";

export * from "./ops/functions.ts";
export * as linalg from "./ops/linalg.ts";
export { slice } from "./tensor/indexing.ts";

export { enableGrad, isGradEnabled, noGrad, withGradEnabled } from "./autograd/mode.ts";
export { backward, grad, type BackwardOptions, type GradOptions } from "./autograd/engine.ts";
export { capture, type CapturedStep, type CaptureInput, type CaptureOptions } from "./capture.ts";
export { customFunction, FunctionContext, type CustomFunction } from "./autograd/function.ts";
export { gradcheck, gradgradcheck, type GradcheckOptions } from "./autograd/gradcheck.ts";
export { Node as GradFn } from "./autograd/node.ts";
export type { HookHandle } from "./autograd/hooks.ts";

export { type Device, type DeviceStats } from "./actor/device.ts";
export { defaultDevice, device, openDevices, setDefaultDevice } from "./actor/registry.ts";
export * as nn from "./nn/index.ts";
export * as optim from "./optim/index.ts";
export * as data from "./data/index.ts";
export * as io from "./io/index.ts";
export * as profiler from "./profile/index.ts";

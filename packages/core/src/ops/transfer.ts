/** Moving a tensor to another device: bytes go from actor to actor, the gradient comes back. */
import { device as deviceOf } from "../actor/registry.ts";
import { numelOf } from "../tensor/shape.ts";
import { assertDType } from "../tensor/assert-dtype.ts";
import { allocate } from "../tensor/value.ts";
import type { LocalValue } from "../tensor/value.ts";
import { itemSize } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { apply } from "./dispatch.ts";
import { cloneOp } from "./conversion.ts";
import type { Op } from "./op.ts";

interface TransferAttrs {
  readonly from: string;
  readonly to: string;
}

const transferOp: Op<TransferAttrs> = {
  name: "transfer",
  kind: "composite",
  gradName: "ToCopy",
  isView: false,
  outputs: 1,
  gradientOf: () => ({ saves: "", rule: (g: Tensor, _saved, { from }) => toDevice(g, from) }),
  infer: ([x]) => [x as LocalValue],

  run([x], { to }): LocalValue[] {
    const input = x as LocalValue;
    const source = input.contiguous ? input : cloneOp.run([input], [], [input])[0];
    const target = allocate(deviceOf(to), input.shape, input.dtype);
    const item = itemSize(input.dtype);
    const bytes = numelOf(input.shape) * item;
    if (bytes > 0) source.device.copyTo(source.storage.id, source.offset * item, bytes, target.device, target.storage.id, 0);
    if (source !== input) source.storage.dispose();
    return [target];
  },
};

/**
 * The tensor on another device; the tensor itself when it is there.
 * @throws DeviceError for an unknown device; DTypeError where it does not hold the tensor's dtype
 */
export function toDevice(x: Tensor, name: string): Tensor {
  const target = deviceOf(name);
  assertDType("to", target, x.dtype);
  // A tensor over several devices bears the first one's name, but is not there.
  if (target === x.device && x.value.executor.locals(x.value).length === 1) return x;
  return apply(transferOp, [x], { from: x.device.name, to: target.name });
}

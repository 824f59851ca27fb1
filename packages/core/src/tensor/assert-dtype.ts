/** Which dtypes a device holds. */
import type { Device } from "../actor/device.ts";
import { DTypeError } from "../errors.ts";
import type { DType } from "./dtype.ts";

/** @throws DTypeError where the device cannot hold the dtype */
export function assertDType(op: string, device: Device, dtype: DType): void {
  if (!device.dtypes.has(dtype)) {
    throw new DTypeError(`${device.name} does not hold ${dtype}`, { op, device: device.name, remedy: "Use a CPU device for it, or another dtype." });
  }
}

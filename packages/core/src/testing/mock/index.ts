/** The mock device: plain JavaScript in one thread. It tests the runtime and is the oracle of every other device. */
import { createDevice, type Device } from "../../actor/device.ts";
import { registerDeviceKind } from "../../actor/registry.ts";
import type { DeviceLimits } from "../../actor/shared.ts";
import { dtypes } from "../../tensor/dtype.ts";
import type { MockHostOptions } from "./host.ts";
import { siblingModule } from "./module.ts";

export interface MockOptions extends Partial<DeviceLimits> {
  /** The device's index; by default one that was never used. */
  readonly index?: number;
  /** Bytes of the device's memory (committed as they are touched); 256 MiB by default. */
  readonly memoryLimit?: number;
}

let nextIndex = 0;

/** Makes the device `mock:index`. @throws DeviceError when it is open already. */
export function mock({ index = nextIndex, memoryLimit = 1 << 28, ...limits }: MockOptions = {}): Device {
  nextIndex = Math.max(nextIndex, index + 1);
  const hostOptions: MockHostOptions = { memoryLimit };
  return createDevice({
    type: "mock", index, dtypes, routines: ["rows"], hostModule: siblingModule(import.meta.url, "host").href, hostOptions, limits,
  });
}

registerDeviceKind({ type: "mock", create: (index) => mock({ index }) });

/** What a device package needs of core: the kernel IR, the contracts of a backend, dtypes, errors, math. */
export * from "./errors.ts";
export * from "./tensor/dtype.ts";
export * from "./kernel/ir.ts";
export * from "./kernel/math.ts";
export * from "./kernel/special.ts";
export * from "./kernel/spec.ts";
export * from "./actor/backend.ts";
export { runActor } from "./actor/loop.ts";
export {
  isClosing, spinnerOf, wakeActor, type ActorBoot, type ActorSpec, type Host, type HostModule, type HostSpec,
} from "./actor/host.ts";
export { createDevice, type Device, type DeviceOptions, type DeviceStats } from "./actor/device.ts";
export { device, hasDevice, registerDeviceKind, type DeviceKind } from "./actor/registry.ts";
export { controlEndpoint } from "./actor/endpoint.ts";
export type { ReductionName } from "./actor/protocol.ts";
export type { CompanyMemory, DeviceMemory } from "./actor/shared.ts";
export { Spinner } from "./actor/waiting.ts";

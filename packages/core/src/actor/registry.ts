/**
 * The devices that exist and the kinds that can make more. Device packages register their kind when they are imported.
 */
import { DeviceError } from "../errors.ts";
import type { Device } from "./device.ts";

/** A kind of device. */
export interface DeviceKind {
  /** The first part of the devices' names, for instance `"cpu"`. */
  readonly type: string;
  /** Makes the device `type:index` with default options; throws DeviceError for an index that does not exist. */
  create(index: number): Device;
}

const kinds = new Map<string, DeviceKind>();
const devices = new Map<string, Device>();
let defaultName: string | undefined;

/** Makes `device("<type>:<index>")` work. The first kind that is registered, or else "cpu", is the default device's. */
export function registerDeviceKind(kind: DeviceKind): void {
  kinds.set(kind.type, kind);
  if (defaultName === undefined || kind.type === "cpu") defaultName = `${kind.type}:0`;
}

/** Enters a new device. @throws DeviceError when one of that name is open. */
export function enterDevice(device: Device): void {
  if (devices.has(device.name)) {
    throw new DeviceError(`${device.name} exists already`, {
      device: device.name,
      remedy: "Close it before you make it anew with other options, or take another index.",
    });
  }
  devices.set(device.name, device);
}

/** Whether a device of that name is open. */
export function hasDevice(name: string): boolean {
  return devices.has(name);
}

/** Strikes a closed device off: its name may be used again. */
export function strikeDevice(device: Device): void {
  if (devices.get(device.name) === device) devices.delete(device.name);
}

/** All open devices. */
export function openDevices(): readonly Device[] {
  return [...devices.values()];
}

/**
 * The device called `name` ("cpu" is "cpu:0"), made on first use.
 * @throws DeviceError when no such kind or index exists, DeviceClosedError for a closed device
 */
export function device(name: string | Device): Device {
  if (typeof name !== "string") {
    if (typeof (name as Partial<Device> | undefined)?.assertOpen !== "function") {
      throw new DeviceError(`a device or its name is wanted, not ${typeof name}`, { remedy: 'For instance "cpu:1".' });
    }
    // A closed one must not stand for a new one of its name.
    name.assertOpen();
    return name;
  }
  const open = devices.get(name) ?? devices.get(`${name}:0`);
  if (open !== undefined) return open;
  const match = /^([a-z][a-z0-9]*)(?::(0|[1-9]\d*))?$/.exec(name);
  const type = match?.[1];
  const kind = type === undefined ? undefined : kinds.get(type);
  if (kind === undefined) {
    const known = kinds.size === 0 ? "no kind of device is there" : `there are: ${[...kinds.keys()].join(", ")}`;
    throw new DeviceError(`unknown device "${name}" (${known})`, {
      remedy: type === undefined
        ? 'Name a device by kind and index, for instance "cpu:0".'
        : `Import the package that brings it, for instance: import "@troupe/device-${type}";`,
    });
  }
  return kind.create(Number(match?.[2] ?? 0));
}

/** The device of tensors that are made without one: "cpu:0" once a CPU device's package is imported. */
export function defaultDevice(): Device {
  if (defaultName === undefined) {
    const remedy = 'Import a device package, for instance: import "@troupe/device-cpu";';
    throw new DeviceError("no device is there", { remedy });
  }
  return device(defaultName);
}

/** The name of the device of tensors that are made without one, where there is one. */
export function defaultDeviceName(): string | undefined {
  return defaultName;
}

/** Makes tensors on `name` from here on (`torch.set_default_device`). */
export function setDefaultDevice(name: string | Device): void {
  defaultName = device(name).name;
}

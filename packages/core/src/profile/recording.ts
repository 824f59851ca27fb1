/** Recording what devices do: the coordinator's side, which says when, and collects. */
import { monotonicNow } from "../actor/clock.ts";
import type { Device } from "../actor/device.ts";
import { Control, Recording as Head } from "../actor/protocol.ts";
import { device as deviceOf, openDevices } from "../actor/registry.ts";
import type { DeviceMemory } from "../actor/shared.ts";
import { isGone } from "../actor/waiting.ts";
import { DeviceError, ValueError } from "../errors.ts";
import { takeEvents } from "./decode.ts";
import { Profile } from "./profile.ts";

export interface ProfileOptions {
  /**
   * Bytes that each device may fill; what finds no room is counted and left out. About 150 bytes a launch. Default
   * 2^24 (some 100,000 launches), at most 2^28.
   */
  readonly capacity?: number;
}

/** The process' recordings so far. */
let recordings = 0;

const defaultCapacity = 1 << 24;
const leastCapacity = 1 << 10;
const maxCapacity = 1 << 28;

/** A device that is recorded. */
interface Recorded {
  readonly device: Device;
  /** As it was when the recording began: it outlives the device's end. */
  readonly memory: DeviceMemory;
  readonly messagesBefore: number;
}

/** A recording in progress. */
export class Recording {
  readonly #number: number;
  readonly #recorded: readonly Recorded[];
  #profile: Promise<Profile> | undefined;

  /** Use `startProfile`. */
  constructor(devices: readonly Device[], capacity: number) {
    this.#number = ++recordings;
    const origin = monotonicNow();
    this.#recorded = devices.map((device) => {
      const { memory } = device;
      prepare(memory, capacity, origin);
      return { device, memory, messagesBefore: device.mailbox.messages };
    });
    for (const { memory } of this.#recorded) Atomics.store(memory.control, Control.recording, this.#number);
  }

  /**
   * Waits until what was issued so far has run, and ends the recording. A device that died or was closed meanwhile
   * leaves what it had recorded. Later calls return the same profile.
   */
  stop(): Promise<Profile> {
    this.#profile ??= this.#stop();
    return this.#profile;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #stop(): Promise<Profile> {
    const issued = this.#recorded.map(({ device }) => device.mailbox.messages);
    await Promise.all(this.#recorded.map(finished));
    for (const { memory } of this.#recorded) Atomics.store(memory.control, Control.recording, 0);
    const known = [...openDevices(), ...this.#recorded.map(({ device }) => device)];
    const names = new Map(known.map(({ number, name }) => [number, name]));
    const deviceName = (number: number): string => names.get(number) ?? `device ${number}`;
    const taken = this.#recorded.map(({ memory, messagesBefore: before }, i) =>
      takeEvents(memory, { recording: this.#number, before, through: issued[i] ?? before, deviceName }));
    return new Profile(
      this.#recorded.map(({ memory }) => memory.name),
      taken.flatMap(({ events }) => events),
      new Map(this.#recorded.map(({ memory }, i) => [memory.name, taken[i]?.dropped ?? 0])),
    );
  }
}

/** Makes room in a device's buffer. */
function prepare({ recording }: DeviceMemory, capacity: number, origin: number): void {
  const bytes = Head.records * 4 + (capacity & ~7);
  if (recording.byteLength < bytes) recording.grow(bytes);
  new Int32Array(recording, 0, Head.records)[Head.limit] = bytes >>> 2;
  new Float64Array(recording, 0, Head.records >>> 1)[Head.origin >>> 1] = origin;
}

/** Settles when the device has run what was issued, even when it dies and is started again meanwhile, or is gone. */
async function finished({ device, memory, messagesBefore }: Recorded): Promise<void> {
  if (!device.closed && device.mailbox.messages === messagesBefore) return;
  while (!isGone(memory)) {
    // Its failures are for whoever closes it; those of a fence say only that the device is to be asked again.
    if (device.closed) await device.close().catch(() => undefined);
    else if (await device.fence().then(() => true, () => false)) return;
  }
}

/**
 * Starts to record what devices do: everything that is issued from here on until `stop()`.
 * @param devices one or several, or their names
 * @throws DeviceError for no devices, for one that is named twice or recorded already; DeviceClosedError; ValueError
 * for a bad capacity
 */
export function startProfile(
  devices: Device | string | readonly (Device | string)[], { capacity = defaultCapacity }: ProfileOptions = {},
): Recording {
  const op = "profile";
  const list = [devices].flat().map((one) => deviceOf(one));
  if (list.length === 0) {
    throw new DeviceError("a profile needs a device", { op, remedy: "Name those to record, or take openDevices()." });
  }
  if (!Number.isInteger(capacity) || capacity < leastCapacity || capacity > maxCapacity) {
    throw new ValueError(
      `capacity must be a whole number of bytes from ${leastCapacity} to ${maxCapacity}, got ${capacity}`, { op },
    );
  }
  list.forEach((device, i) => {
    device.assertOpen();
    if (list.indexOf(device) !== i) throw new DeviceError(`${device.name} is named twice`, { op, device: device.name });
    if (Atomics.load(device.memory.control, Control.recording) === 0) return;
    throw new DeviceError(`${device.name} is being profiled already`, {
      op, device: device.name, remedy: "Stop the first recording (await its stop()), or record all devices in one.",
    });
  });
  return new Recording(list, capacity);
}

/**
 * Records what devices do while `run` runs, and what it issued until that is done (`torch.profiler.profile`).
 * @param devices one or several, or their names
 * @param run may return a promise; when it throws, the recording ends and the error goes on
 * @throws as `startProfile`
 */
export async function profile(
  devices: Device | string | readonly (Device | string)[],
  run: () => unknown,
  options: ProfileOptions = {},
): Promise<Profile> {
  const recording = startProfile(devices, options);
  try {
    await run();
  } catch (error) {
    await recording.stop();
    throw error;
  }
  return recording.stop();
}

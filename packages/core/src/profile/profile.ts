/** What a recording found, and the views of it. */
import { writeFile } from "node:fs/promises";
import { DeviceError } from "../errors.ts";
import { waitsByEvent, type ProfileEvent, type ProfileEventKind, type ProfileSpan } from "./event.ts";
import { KeyAverages, type KeyAveragesOptions } from "./key-averages.ts";
import { traceOf, type Trace } from "./trace.ts";

/** What a device did with its time, in microseconds. The parts add up to the span. */
export interface Busy {
  readonly kernels: number;
  /** Transfers between devices, uploads and reads. */
  readonly copies: number;
  readonly collectives: number;
  /** Waiting for other devices or for readers, in kernels, copies or collectives, whose times do not contain it. */
  readonly waits: number;
  /** Kernels made ready for their first launch. */
  readonly compiles: number;
  /** Nothing of these: no messages, or what lies between them. */
  readonly idle: number;
}

const partOfKind: Readonly<Record<ProfileEventKind, Exclude<keyof Busy, "idle">>> = {
  kernel: "kernels", copy: "copies", upload: "copies", read: "copies", collective: "collectives", wait: "waits",
  compile: "compiles",
};

export class Profile {
  /** The names of the devices that were recorded. */
  readonly devices: readonly string[];
  /** In the order in which they began. */
  readonly events: readonly ProfileEvent[];
  /** Events that found no room, by device; they are missing at the recording's end. */
  readonly dropped: ReadonlyMap<string, number>;
  /** From the first event's beginning to the last one's end, over all devices. */
  readonly span: ProfileSpan;
  readonly #waits: ReadonlyMap<ProfileEvent, readonly ProfileEvent[]>;

  constructor(devices: readonly string[], events: readonly ProfileEvent[], dropped: ReadonlyMap<string, number>) {
    this.devices = devices;
    this.events = [...events].sort((a, b) => a.start - b.start);
    this.dropped = dropped;
    const end = this.events.reduce((last, { start, duration }) => Math.max(last, start + duration), 0);
    this.span = { start: this.events[0]?.start ?? 0, end };
    this.#waits = waitsByEvent(this.events);
  }

  /** Time and rates by name of kernel, copy, collective (`torch.profiler`'s `key_averages`). */
  keyAverages(options: KeyAveragesOptions = {}): KeyAverages {
    return new KeyAverages(this.events, options);
  }

  /**
   * How a device spent its time. A pipeline's measured bubble is the share of `idle` and `waits`.
   * @param device its name, or the device itself
   * @param span what to look at; default: from the first event on any device to the last one's end
   * @throws DeviceError when the device was not recorded
   */
  busy(device: string | { readonly name: string }, span: ProfileSpan = this.span): Busy {
    const name = typeof device === "string" ? device : device.name;
    if (!this.devices.includes(name)) {
      throw new DeviceError(`${name} is not among the profiled devices (${this.devices.join(", ")})`, { device: name });
    }
    const within = ({ start, duration }: ProfileEvent): number =>
      Math.max(0, Math.min(start + duration, span.end) - Math.max(start, span.start));
    const parts = { kernels: 0, copies: 0, collectives: 0, waits: 0, compiles: 0 };
    for (const event of this.events) {
      if (event.device !== name) continue;
      const time = within(event);
      parts[partOfKind[event.kind]] += time;
      for (const wait of this.#waits.get(event) ?? []) parts[partOfKind[event.kind]] -= within(wait);
    }
    const used = Object.values(parts).reduce((sum, time) => sum + time, 0);
    return { ...parts, idle: Math.max(0, span.end - span.start - used) };
  }

  /** The profile as a trace for chrome://tracing or ui.perfetto.dev: one track a device. */
  toTrace(): Trace {
    return traceOf(this.devices, this.events);
  }

  /** Writes `toTrace()` as JSON to `path` (`torch.profiler`'s `export_chrome_trace`). */
  async exportChromeTrace(path: string | URL): Promise<void> {
    await writeFile(path, JSON.stringify(this.toTrace()));
  }

  /** For `console.log`. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    const { start, end } = this.span;
    return `Profile(${this.devices.join(", ")}: ${this.events.length} events, ${((end - start) / 1000).toFixed(3)} ms)`;
  }
}

/** A profile in the trace event format that chrome://tracing and ui.perfetto.dev open: one track a device. */
import type { ProfileEvent } from "./event.ts";
import { nameWithSizes } from "./key-averages.ts";

/** One entry of a trace; times in microseconds. */
export interface TraceEvent {
  readonly name: string;
  /** `X`: something with a duration; `M`: a name of a process or track. */
  readonly ph: "X" | "M";
  readonly pid: number;
  readonly tid: number;
  readonly cat?: string;
  readonly ts?: number;
  readonly dur?: number;
  readonly args: Readonly<Record<string, unknown>>;
}

/** A trace as a JSON object. */
export interface Trace {
  readonly displayTimeUnit: "ms";
  readonly traceEvents: readonly TraceEvent[];
}

const pid = 1;

/** @param devices names, in the order of their tracks */
export function traceOf(devices: readonly string[], events: readonly ProfileEvent[]): Trace {
  const track = new Map(devices.map((device, index) => [device, index]));
  return {
    displayTimeUnit: "ms",
    traceEvents: [
      { name: "process_name", ph: "M", pid, tid: 0, args: { name: "Troupe" } },
      ...devices.flatMap((device, tid): TraceEvent[] => [
        { name: "thread_name", ph: "M", pid, tid, args: { name: device } },
        { name: "thread_sort_index", ph: "M", pid, tid, args: { sort_index: tid } },
      ]),
      ...events.map((event) => traceEvent(event, track.get(event.device) ?? 0)),
    ],
  };
}

function traceEvent(event: ProfileEvent, tid: number): TraceEvent {
  const { kind, start, duration, bytes, flops, sequence, site, sizes, peer, skipped } = event;
  const name = kind === "compile" ? `compile ${event.name}` : nameWithSizes(event);
  const perSecond = (amount: number): number => (duration === 0 ? 0 : Math.round((amount / duration) * 1e6));
  return {
    name: skipped ? `${name} (skipped)` : name,
    cat: kind,
    ph: "X",
    pid,
    tid,
    ts: start,
    dur: duration,
    args: {
      sequence,
      ...(site === undefined ? {} : { site }),
      ...(sizes === undefined ? {} : { sizes }),
      ...(peer === undefined ? {} : { peer }),
      ...(bytes === 0 ? {} : { bytes, "bytes/s": perSecond(bytes) }),
      ...(flops === 0 ? {} : { flops, "FLOP/s": perSecond(flops) }),
    },
  };
}

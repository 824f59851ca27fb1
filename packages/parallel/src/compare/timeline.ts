/** One training step as it ran, from the devices' own records. */
import { profiler } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import type { Samples } from "./order.ts";
import type { Run } from "./run.ts";

export interface Timeline {
  /** Microseconds from the beginning of the step's first event on any device to the end of its last one. */
  readonly duration: number;
  /** What the devices did for the step; starts count from its beginning. */
  readonly events: readonly profiler.ProfileEvent[];
  /** The part of the devices' time in which they had nothing to do, or waited. */
  readonly idle: number;
  /** The whole recording, some steps in a row, for a trace viewer. */
  readonly trace: profiler.Trace;
}

/** Steps in a row in one recording, and the one that is looked at: it begins and ends amid work, as in training. */
const [inARow, looked] = [4, 2];

/** Trains some steps in a row on one batch, and says how one of them went. */
export async function recordStep(run: Run, batch: Samples): Promise<Timeline> {
  const { devices } = run.strategy;
  const issued: number[][] = [];
  const losses: Tensor[] = [];
  const profile = await profiler.profile(devices, () => {
    for (let step = 0; step < inARow; step++) {
      losses.push(run.step(batch));
      issued.push(devices.map(({ mailbox }) => mailbox.messages));
    }
  });
  for (const loss of losses) loss.dispose();

  // A step's events are those of the messages that were issued in it, by device.
  const ranges = new Map(devices.map(({ name }, i) => [name, { from: issued[looked - 1][i], to: issued[looked][i] }]));
  const own = profile.events.filter(({ device, sequence }) => {
    const range = ranges.get(device);
    return range !== undefined && ((sequence - range.from) | 0) > 0 && ((sequence - range.to) | 0) <= 0;
  });
  const start = Math.min(...own.map((event) => event.start));
  const end = Math.max(...own.map((event) => event.start + event.duration));
  const unused = devices.map((device) => {
    const { idle, waits } = profile.busy(device, { start, end });
    return idle + waits;
  });
  return {
    duration: end - start,
    events: own.map((event) => ({ ...event, start: event.start - start })),
    idle: unused.reduce((sum, time) => sum + time, 0) / (devices.length * (end - start)),
    trace: profile.toTrace(),
  };
}

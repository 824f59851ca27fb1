/** The recorded steps as one trace for Perfetto or chrome://tracing: a process for each strategy. */
import type { Comparison } from "@troupe/parallel";

export function traceOf({ results }: Comparison): string {
  const traceEvents = results.flatMap(({ title, timeline }, i) =>
    timeline.trace.traceEvents.map((event) => ({
      ...event,
      pid: i + 1,
      args: event.name === "process_name" ? { name: title } : event.args,
    })),
  );
  return JSON.stringify({ displayTimeUnit: "ms", traceEvents });
}

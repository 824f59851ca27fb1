/** What the table says of each strategy, for the terminal and for the report. */
import { median, speedup } from "@troupe/parallel";
import type { Comparison, StrategyResult } from "@troupe/parallel";

export interface Column {
  /** A line each. */
  readonly head: readonly string[];
  /** A line each. */
  readonly cell: (result: StrategyResult, comparison: Comparison) => readonly string[];
}

export const columns: readonly Column[] = [
  { head: ["strategy"], cell: ({ title }) => title.split(/(?<=,) (?=[^,]*$)/) },
  { head: ["samples/s"], cell: ({ samplesPerSecond }) => [whole(median(samplesPerSecond))] },
  { head: ["speed-up over", "1 thread"], cell: (result, comparison) => [speedupOver("single", result, comparison)] },
  {
    head: ["speed-up over", "all threads"],
    cell: (result, comparison) => [speedupOver("threads", result, comparison)],
  },
  { head: ["main thread", "of a core"], cell: ({ coordinatorShare }) => [percent(median(coordinatorShare), 0)] },
  { head: ["test", "accuracy"], cell: ({ accuracy }) => [accuracy === undefined ? "-" : percent(accuracy)] },
  {
    head: ["peak memory", "a device"],
    cell: ({ devices, peakBytes }) => devices.map((device, i) => `${device} ${mebibytes(peakBytes[i])}`),
  },
  {
    head: ["bytes a step", "counted", "by formula"],
    cell: ({ bytes }) => [bytes.counted, bytes.predicted].map(whole),
  },
  {
    head: ["bubble", "measured", "by formula"],
    cell: ({ bubble }) => [percent(bubble.measured), percent(bubble.predicted)],
  },
  {
    head: ["difference", "gradients", "parameters"],
    cell: ({ difference }) => [difference.gradients, difference.parameters].map(scientific),
  },
];

function speedupOver(name: string, result: StrategyResult, { results }: Comparison): string {
  const baseline = results.find((other) => other.name === name);
  return baseline === undefined ? "-" : `${speedup(result, baseline).toFixed(2)}x`;
}

function whole(value: number): string {
  return Math.round(value).toLocaleString("en");
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function percent(part: number, digits = 1): string {
  return `${(part * 100).toFixed(digits)} %`;
}

function scientific(value: number): string {
  return value === 0 ? "0" : value.toExponential(1);
}

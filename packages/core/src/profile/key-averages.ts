/** Events added up by name (`torch.profiler`'s `key_averages`). */
import { waitsByEvent, type ProfileEvent, type ProfileEventKind } from "./event.ts";

/** What one device of the machine can do at most, to compare with. */
export interface MachinePeak {
  /** Floating-point operations a second. */
  readonly flops?: number;
  /** Bytes of memory a second. */
  readonly bandwidth?: number;
}

/** All events of one kind and name. */
export interface KeyAverage {
  readonly key: string;
  readonly kind: ProfileEventKind;
  readonly count: number;
  /** Microseconds, summed over devices, without the waits within; these have rows of their own. */
  readonly total: number;
  /** Microseconds an event. */
  readonly mean: number;
  readonly bytes: number;
  readonly flops: number;
  /** Rates of one device while it is in the event. */
  readonly bytesPerSecond: number;
  readonly flopsPerSecond: number;
  /** The greater of the two rates' shares of their peaks, 0 to 1: how near the kernel is to the roofline's limits. */
  readonly peakShare?: number;
}

export interface KeyAveragesOptions {
  /** One row for each loop nest's sizes: `"matmul 128x256x784"`. */
  readonly groupByInputShape?: boolean;
  /** Adds each row's share of the machine's peak. */
  readonly peak?: MachinePeak;
}

export interface TableOptions {
  /** The column by which rows fall; default `"total"`. */
  readonly sortBy?: "total" | "mean" | "count" | "bytes" | "flops" | "bytesPerSecond" | "flopsPerSecond";
  /** Rows at most; default 100. */
  readonly rowLimit?: number;
}

/** The rows, in falling order of total time. */
export class KeyAverages implements Iterable<KeyAverage> {
  readonly rows: readonly KeyAverage[];

  constructor(events: readonly ProfileEvent[], { groupByInputShape = false, peak }: KeyAveragesOptions = {}) {
    const waits = waitsByEvent(events);
    const groups = new Map<string, Sum>();
    for (const event of events) {
      if (event.skipped) continue;
      const key = groupByInputShape ? nameWithSizes(event) : event.name;
      const id = `${event.kind} ${key}`;
      let sum = groups.get(id);
      if (sum === undefined) {
        groups.set(id, (sum = { key, kind: event.kind, count: 0, total: 0, bytes: 0, flops: 0 }));
      }
      const waited = waits.get(event)?.reduce((time, { duration }) => time + duration, 0) ?? 0;
      sum.count += 1;
      sum.total += Math.max(0, event.duration - waited);
      sum.bytes += event.bytes;
      sum.flops += event.flops;
    }
    this.rows = [...groups.values()].map((sum) => average(sum, peak)).sort((a, b) => b.total - a.total);
  }

  [Symbol.iterator](): Iterator<KeyAverage> {
    return this.rows[Symbol.iterator]();
  }

  /** The rows as text, in columns. */
  table({ sortBy = "total", rowLimit = 100 }: TableOptions = {}): string {
    const rows = [...this.rows].sort((a, b) => b[sortBy] - a[sortBy]);
    const whole = rows.reduce((time, { total }) => time + total, 0);
    const withPeak = rows.some(({ peakShare }) => peakShare !== undefined);
    const heads = ["Name", "Kind", "Total %", "Total", "Mean", "# of Calls", "GB/s", "GFLOP/s"];
    const lines = rows.slice(0, rowLimit).map((row) => [
      row.key, row.kind, percent(whole === 0 ? 0 : row.total / whole), time(row.total), time(row.mean), String(row.count),
      rate(row.bytesPerSecond), rate(row.flopsPerSecond),
      ...(withPeak ? [row.peakShare === undefined ? "" : percent(row.peakShare)] : []),
    ]);
    return [...inColumns([withPeak ? [...heads, "of Peak"] : heads, ...lines]), `Total: ${time(whole)}`].join("\n");
  }

  toString(): string {
    return this.table();
  }

  /** For `console.log`. */
  [Symbol.for("nodejs.util.inspect.custom")](): string {
    return this.table();
  }
}

interface Sum {
  readonly key: string;
  readonly kind: ProfileEventKind;
  count: number;
  total: number;
  bytes: number;
  flops: number;
}

/** An event's name, with the sizes of its loop nest where it has one: `"matmul 128x256x784"`. */
export function nameWithSizes({ name, sizes }: ProfileEvent): string {
  return sizes === undefined || sizes.length === 0 ? name : `${name} ${sizes.join("x")}`;
}

function average(sum: Sum, peak: MachinePeak | undefined): KeyAverage {
  const seconds = sum.total / 1e6;
  const bytesPerSecond = seconds === 0 ? 0 : sum.bytes / seconds;
  const flopsPerSecond = seconds === 0 ? 0 : sum.flops / seconds;
  const row = { ...sum, mean: sum.total / sum.count, bytesPerSecond, flopsPerSecond };
  if (peak === undefined || sum.kind !== "kernel") return row;
  const shares = [bytesPerSecond / (peak.bandwidth ?? Infinity), flopsPerSecond / (peak.flops ?? Infinity)];
  return { ...row, peakShare: Math.max(...shares) };
}

/** Text in the first two columns is flush left, figures flush right. */
function inColumns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const lines = rows.map((row) =>
    row.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join("  ").trimEnd());
  const rule = widths.map((width) => "-".repeat(width)).join("  ");
  return [rule, ...lines.slice(0, 1), rule, ...lines.slice(1), rule];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(2)}%`;
}

function time(microseconds: number): string {
  if (microseconds >= 1e6) return `${(microseconds / 1e6).toFixed(3)}s`;
  return microseconds >= 1e3 ? `${(microseconds / 1e3).toFixed(3)}ms` : `${microseconds.toFixed(3)}us`;
}

function rate(perSecond: number): string {
  return perSecond === 0 ? "--" : (perSecond / 1e9).toFixed(3);
}

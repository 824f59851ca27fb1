/** One clock for all threads. `performance.now()` is fast, but counts from each thread's own beginning. */

/** Tries at setting the clock; the shortest one counts, since a thread may lose its processor in the middle of one. */
const tries = 5;

/** Microseconds to add to `1000 * performance.now()` on this thread: the sum is the system's monotonic clock. */
export function clockOffset(): number {
  let best = Infinity;
  let offset = 0;
  for (let i = 0; i < tries; i++) {
    const before = performance.now();
    const monotonic = Number(process.hrtime.bigint()) / 1000;
    const after = performance.now();
    if (after - before >= best) continue;
    best = after - before;
    offset = monotonic - 500 * (before + after);
  }
  return offset;
}

/** The system's monotonic clock now, in microseconds. */
export function monotonicNow(): number {
  return Number(process.hrtime.bigint()) / 1000;
}

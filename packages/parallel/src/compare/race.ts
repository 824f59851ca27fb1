/** Timed training: an epoch at a time, issued without a wait, until the devices are done. */
import { relieve, tidy } from "@troupe/core";
import type { Samples } from "./order.ts";
import type { Run } from "./run.ts";

export interface Lap {
  readonly samplesPerSecond: number;
  /** The part of the time in which the main thread computed. */
  readonly coordinatorShare: number;
  /** Of each step. */
  readonly losses: readonly number[];
}

/** Trains on batches, one step each. The clock runs from the first step's issue until the devices are quiet. */
export async function lap(run: Run, batches: readonly Samples[]): Promise<Lap> {
  await run.fence();
  const cpu = process.threadCpuUsage();
  const start = performance.now();
  const losses = batches.map((batch) => run.step(batch));
  await run.fence();
  const milliseconds = performance.now() - start;
  const { user, system } = process.threadCpuUsage(cpu);
  const samples = batches.reduce((sum, { input }) => sum + input.shape[0], 0);
  const numbers = await Promise.all(losses.map((loss) => tidy(() => loss.reshape([])).item()));
  for (const loss of losses) loss.dispose();
  await relieve();
  return {
    samplesPerSecond: (samples * 1000) / milliseconds,
    coordinatorShare: (user + system) / 1000 / milliseconds,
    losses: numbers,
  };
}

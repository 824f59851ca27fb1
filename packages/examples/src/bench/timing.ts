/** How contenders in JavaScript measure, and what all of them print. */

/** Results that must agree with PyTorch's are the losses after these steps of training. */
export const checkedSteps: readonly number[] = [1, 10, 20];

/** What a contender prints, as one line of JSON. */
export interface Figure {
  readonly contender: string;
  readonly job: string;
  /** In the job's unit. */
  readonly value: number;
  readonly cpuSeconds: number;
  /** Of these, the main thread's own, where the contender says so. */
  readonly mainSeconds?: number;
  readonly wallSeconds: number;
  /** For jobs of several actors. */
  readonly scaling?: Scaling;
  /** Losses, or another result: what shows that the same work was done. */
  readonly results?: readonly number[];
  /** Why there is no figure. */
  readonly absent?: string;
}

/** Speeds, window by window in one process: medians of ratios. */
export interface Scaling {
  /** Of two actors, one's being 1. */
  readonly ofOne: number;
  /** Of two actors that share nothing, each with half of every batch, one's being 1: what the machine gives at that time. */
  readonly bound: number;
  /** Of two actors, that bound being 1. */
  readonly ofBound: number;
}

/** @param two seconds of two actors, `one` of one, `apart` of two that share nothing, window by window */
export function scalingOf(two: readonly number[], one: readonly number[], apart: readonly number[]): Scaling {
  return {
    ofOne: median(two.map((time, window) => one[window] / time)),
    bound: median(apart.map((time, window) => one[window] / time)),
    ofBound: median(two.map((time, window) => apart[window] / time)),
  };
}

/** Seconds of calls before anything is timed: just-in-time compilers need them. */
const warmUp = 2;

export interface Timing {
  /** Of one call, the median over the windows. */
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly mainSeconds: number;
  readonly wallSeconds: number;
}

type Body = () => Promise<void> | void;

/** Times `body` over windows of about a third of a second after a warm-up. */
export async function timed(body: Body, windows = 5): Promise<Timing> {
  const [{ each: _, ...timing }] = await timedInTurns([body], windows, 0.3);
  return timing;
}

/** The same for several, which take turns, so that all see the same moments of a noisy machine. */
export async function timedInTurns(
  bodies: readonly Body[], windows: number, windowSeconds: number,
): Promise<(Timing & { readonly each: readonly number[] })[]> {
  const runs = [];
  for (const body of bodies) {
    const begun = performance.now();
    let last = 0;
    let calls = 0;
    while (calls < 2 || performance.now() - begun < warmUp * 1000) {
      const started = performance.now();
      await body();
      last = performance.now() - started;
      calls += 1;
    }
    runs.push({ body, calls: Math.max(1, Math.round((windowSeconds * 1000) / last)), each: [] as number[], cpu: 0, main: 0, wall: 0 });
  }
  for (let window = 0; window < windows; window++) {
    for (const run of runs) {
      const [cpu, main, started] = [process.cpuUsage(), process.threadCpuUsage(), performance.now()];
      for (let call = 0; call < run.calls; call++) await run.body();
      const wall = (performance.now() - started) / 1000;
      const [all, own] = [process.cpuUsage(cpu), process.threadCpuUsage(main)];
      run.each.push(wall / run.calls);
      run.cpu += (all.user + all.system) / 1e6;
      run.main += (own.user + own.system) / 1e6;
      run.wall += wall;
    }
  }
  return runs.map(({ each, cpu, main, wall }) => ({
    seconds: median(each), each, cpuSeconds: cpu, mainSeconds: main, wallSeconds: wall,
  }));
}

/** A training loop of a contender: a step that gives its loss, and what reads or drops one. */
export interface Loop<L> {
  readonly step: () => L | Promise<L>;
  readonly read: (loss: L) => Promise<number>;
  readonly drop: (loss: L) => void;
}

/** Checks the first 20 steps' losses, then gives the rest as a body to be timed: some steps and a wait for the last. */
export async function training<L>(
  { step, read, drop }: Loop<L>,
): Promise<{ readonly body: () => Promise<void>; readonly steps: number; readonly results: readonly number[] }> {
  const results: number[] = [];
  const first = Math.max(...checkedSteps);
  let begun = performance.now();
  for (let i = 1; i <= first; i++) {
    if (i === first / 2 + 1) begun = performance.now();
    const loss = await step();
    const value = await read(loss);
    drop(loss);
    if (checkedSteps.includes(i)) results.push(value);
  }
  const milliseconds = (performance.now() - begun) / (first / 2);
  const steps = Math.min(20, Math.max(1, Math.round(50 / milliseconds)));
  const body = async (): Promise<void> => {
    for (let i = 1; i < steps; i++) drop(await step());
    const last = await step();
    await read(last);
    drop(last);
  };
  return { body, steps, results };
}

/** Milliseconds since the process was started, as whoever started it noted. */
export function sinceStart(): number {
  return performance.timeOrigin + performance.now() - Number(process.env["TROUPE_BENCH_BEGUN"]);
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function print(figure: Omit<Figure, "contender" | "job">): void {
  console.log(JSON.stringify(figure));
}

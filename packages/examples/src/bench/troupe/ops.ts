/** Jobs of single ops and short chains on Troupe. */
import { cpu } from "@troupe/device-cpu";
import { capture, setDefaultDevice, tensor, tidy } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { addChain, operands } from "../inputs.ts";
import type { JobOf } from "../jobs.ts";
import { print, timed } from "../timing.ts";

export async function addJob({ backward, threads }: JobOf<"add">): Promise<void> {
  setDefaultDevice(cpu({ threads }));
  const a = tensor([1, 2, 3, 4], { dtype: "float32" });
  const b = tensor([1e-6, 1e-6, 1e-6, 1e-6], { requiresGrad: backward });
  let result = 0;
  const { seconds, ...used } = await timed(async () => {
    let t: Tensor = a;
    for (let i = 0; i < addChain; i++) t = t.add(b);
    const sum = t.sum();
    if (backward) {
      sum.backward();
      result = Number(await b.grad?.sum().item());
      b.grad = undefined;
    } else {
      result = Number(await sum.item());
    }
  });
  print({ value: (seconds / addChain) * 1e6, results: [result], ...used });
}

/** Calls a function of tensors so many times between two waits, and times one call; `letGo` is called with each result. */
async function timedCalls(
  f: () => Tensor, calls: number, letGo: (result: Tensor) => void = (result) => result.dispose(),
): Promise<Awaited<ReturnType<typeof timed>>> {
  const { seconds, ...used } = await timed(async () => {
    for (let i = 1; i < calls; i++) letGo(f());
    const last = f();
    await last.view(-1).select(0, 0).item();
    letGo(last);
  });
  return { seconds: seconds / calls, ...used };
}

export async function elementwiseJob({ size, threads }: JobOf<"elementwise">, isCaptured: boolean): Promise<void> {
  setDefaultDevice(cpu({ threads }));
  const [a, b, c] = operands(size).map((values) => tensor(values));
  // A captured function's arguments are copied for each call; what it closes over is not, nor are PyTorch's operands.
  const chain = (): Tensor => tidy(() => a.mul(b).add(c).relu().mul(b));
  const called = isCaptured ? capture(chain) : chain;
  const results = [Number(await chain().mean().item())];
  // A captured function's result is its own: the next call overwrites it.
  const { seconds, ...used } = await timedCalls(called, 20, isCaptured ? () => undefined : undefined);
  print({ value: seconds * 1e6, results, ...used });
}

export async function matmulJob({ size, threads }: JobOf<"matmul">): Promise<void> {
  setDefaultDevice(cpu({ threads }));
  const [a, b] = operands(size * size).map((values) => tensor(values).view(size, size));
  const results = [Number(await a.matmul(b).mean().item())];
  const { seconds, ...used } = await timedCalls(() => a.matmul(b), 10);
  print({ value: (2 * size ** 3) / seconds / 1e9, results, ...used });
}

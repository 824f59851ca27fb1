/** What each part of a network costs on its device, by the clock. */
import { getRngState, grad, noGrad, onesLike, setRngState } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { collectStorages } from "@troupe/core/executor";
import type { Step } from "./partition.ts";
import type { StageCost } from "./simulate.ts";

/**
 * The time that each step's forward and backward take for a sample batch (best of several runs), in milliseconds, where
 * the steps lie now. Nothing is left changed: gradients, buffers and the random stream are as before. Blocks until it
 * is done.
 */
export function measureSteps(steps: readonly Step[], sample: Tensor, repeats = 3): StageCost[] {
  const random = getRngState();
  const buffers = steps.flatMap((step) => step.buffers());
  // What is made here goes when it is done.
  return collectStorages(
    () => {
      const before = noGrad(() => buffers.map((buffer) => buffer.clone()));
      const costs: StageCost[] = [];
      let input = sample;
      for (const step of steps) {
        const { cost, output } = measured(step, input, repeats);
        costs.push(cost);
        input = output;
      }
      noGrad(() => buffers.forEach((buffer, i) => buffer.copy_(before[i])));
      setRngState(random);
      return costs;
    },
    (_costs, made) => {
      for (const memory of made) memory.dispose();
      return [];
    },
  );
}

function measured(step: Step, input: Tensor, repeats: number): { cost: StageCost; output: Tensor } {
  const leaf = input.detach();
  if (leaf.isFloatingPoint()) leaf.requiresGrad = true;
  const wanted = [leaf, ...step.parameters()].filter(({ requiresGrad }) => requiresGrad);
  let output = leaf;
  const best = { forward: Infinity, backward: Infinity };
  // The first run compiles kernels: it does not count.
  for (let run = 0; run <= repeats; run++) {
    // The step may write to its input.
    const x = leaf.clone();
    const forward = timed(x, () => {
      output = step.forward(x);
    });
    const gradOutputs = output.requiresGrad ? onesLike(output) : undefined;
    const backward = timed(x, () => {
      if (gradOutputs === undefined) return;
      // Gradients outlive scopes.
      for (const gradient of grad(output, wanted, { gradOutputs, allowUnused: true })) gradient?.dispose();
    });
    if (run === 0) continue;
    best.forward = Math.min(best.forward, forward);
    best.backward = Math.min(best.backward, backward);
  }
  return { cost: best, output };
}

/** Milliseconds from a quiet device until it is quiet again. */
function timed({ device }: Tensor, work: () => void): number {
  device.fenceSync();
  const start = performance.now();
  work();
  device.fenceSync();
  return performance.now() - start;
}

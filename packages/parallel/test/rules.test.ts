import { grad, linspace } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { mock } from "@troupe/core/testing";
import { deviceMesh, placementText } from "@troupe/parallel";
import type { DeviceMesh, Placement } from "@troupe/parallel";
import { afterAll, describe, expect, test } from "vitest";
import { cases } from "./cases.ts";
import type { Case } from "./cases.ts";
import { difference, lay, possiblePlacements } from "./lay.ts";

const devices = [mock({ index: 0 }), mock({ index: 1 }), mock({ index: 2 }), mock({ index: 3 })];
afterAll(() => Promise.all(devices.map((device) => device.close())));

function results({ run }: Case, inputs: readonly Tensor[]): readonly Tensor[] {
  const result = run(...inputs);
  return Array.isArray(result) ? (result as readonly Tensor[]) : [result as Tensor];
}

/** Every combination of one choice from each list. */
function combinations<T>(lists: readonly (readonly T[])[]): T[][] {
  return lists.reduce<T[][]>((made, list) => made.flatMap((head) => list.map((item) => [...head, item])), [[]]);
}

/** What the results and, where there are any, the gradients are; inputs want gradients where they can. */
function outcome(one: Case, inputs: readonly Tensor[], withGradients: boolean): Tensor[] {
  if (!withGradients) return [...results(one, inputs)];
  const wanted = inputs.filter(({ dtype }) => dtype === "float32");
  for (const input of wanted) input.requiresGrad = true;
  const outputs = results(one, inputs);
  const [first] = outputs;
  if (!first.requiresGrad) return [...outputs];
  const cotangent = linspace(-1, 1, first.numel(), { device: "mock:0", dtype: first.dtype }).reshape(first.shape);
  const gradients = grad(first, wanted, { gradOutputs: cotangent, allowUnused: true });
  return [...outputs, ...gradients.filter((gradient) => gradient !== undefined)];
}

/** What is wrong with a call under these placements, or undefined. */
function mistake(one: Case, mesh: DeviceMesh, placements: readonly (readonly Placement[])[], expected: readonly Tensor[], withGradients: boolean): string | undefined {
  const where = `${one.name} with ${placements.map((own) => own.map(placementText).join("/")).join(", ")} on ${mesh.sizes.join(" x ")}`;
  try {
    const actual = outcome(one, one.inputs.map((input, i) => lay(input.detach(), mesh, placements[i])), withGradients);
    if (actual.length !== expected.length) return `${where}: ${actual.length} results instead of ${expected.length}`;
    for (let i = 0; i < expected.length; i++) {
      const found = difference(actual[i], expected[i]);
      if (found !== undefined) return `${where}: result ${i}: ${found}`;
    }
    return undefined;
  } catch (error) {
    return `${where}: ${String(error instanceof Error ? error.stack : error)}`;
  }
}

describe("every op gives the same under every combination of placements", () => {
  for (const [count, m, n] of [[2, 4, 6], [2, 5, 3], [3, 4, 5]] as const) {
    const mesh = deviceMesh(devices.slice(0, count));
    test(`on ${count} devices, ${m} x ${n}`, () => {
      const mistakes: string[] = [];
      let tried = 0;
      for (const one of cases(m, n)) {
        const expected = outcome(one, one.inputs.map((input) => input.detach()), true);
        for (const placements of combinations(one.inputs.map(possiblePlacements))) {
          tried++;
          const found = mistake(one, mesh, placements.map((placement) => [placement]), expected, true);
          if (found !== undefined) mistakes.push(found);
        }
      }
      console.log(tried, mistakes.length);
      expect(mistakes).toEqual([]);
    });
  }
});

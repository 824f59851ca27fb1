import { grad, linspace } from "@troupe/core";
import type { Tensor } from "@troupe/core";
import { mock } from "@troupe/core/testing";
import { deviceMesh, placementText, replicate, ruleMisses } from "@troupe/parallel";
import type { DeviceMesh, Placement } from "@troupe/parallel";
import fc from "fast-check";
import type { Stream } from "fast-check";
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

/** The results and, where there are any, the gradients of all inputs. */
function outcome(one: Case, inputs: readonly Tensor[]): Tensor[] {
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
function mistake(
  one: Case,
  mesh: DeviceMesh,
  placements: readonly (readonly Placement[])[],
  expected: readonly Tensor[],
): string | undefined {
  const laid = placements.map((own) => own.map(placementText).join("/")).join(", ");
  const where = `${one.name} with ${laid} on ${mesh.sizes.join(" x ")}`;
  try {
    const actual = outcome(
      one,
      one.inputs.map((input, i) => lay(input.detach(), mesh, placements[i])),
    );
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

function expectedOf(one: Case): Tensor[] {
  return outcome(
    one,
    one.inputs.map((input) => input.detach()),
  );
}

describe("every op, and its gradient, gives the same under every combination of placements", () => {
  test("all combinations on 2 devices that get uneven parts", () => {
    const mesh = deviceMesh(devices.slice(0, 2));
    const mistakes: string[] = [];
    for (const one of cases(5, 3)) {
      const expected = expectedOf(one);
      for (const placements of combinations(one.inputs.map(possiblePlacements))) {
        const found = mistake(
          one,
          mesh,
          placements.map((placement) => [placement]),
          expected,
        );
        if (found !== undefined) mistakes.push(found);
      }
    }
    expect(mistakes).toEqual([]);
  }, 60_000);

  for (const [title, mesh] of [
    ["3 devices", deviceMesh(devices.slice(0, 3))],
    ["a mesh of 2 x 2", deviceMesh(devices, { dp: 2, tp: 2 })],
  ] as const) {
    test(`random calls, sizes and placements on ${title}`, () => {
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 6 }),
          fc.integer({ min: 2, max: 6 }),
          fc.nat(),
          fc.infiniteStream(fc.nat()),
          (m, n, pick, picks) => {
            const all = cases(m, n);
            const one = all[pick % all.length];
            const placements = one.inputs.map((input) => {
              const own = mesh.axes.map(() => chosen(possiblePlacements(input), picks));
              // The helper that makes addends does so for one axis.
              return own.every(({ kind }) => kind === "partial") && own.length > 1 ? own.with(1, replicate()) : own;
            });
            expect(mistake(one, mesh, placements, expectedOf(one))).toBeUndefined();
          },
        ),
        { numRuns: 120, seed: 7 },
      );
    }, 60_000);
  }
});

function chosen<T>(list: readonly T[], picks: Stream<number>): T {
  return list[(picks.next().value as number) % list.length];
}

test("ops without a rule are counted, and only they", () => {
  const mesh = deviceMesh(devices.slice(0, 2));
  for (const one of cases(4, 4)) one.run(...one.inputs.map((input) => lay(input, mesh, [replicate()])));
  expect([...ruleMisses().keys()].sort()).toEqual(["index"]);
});

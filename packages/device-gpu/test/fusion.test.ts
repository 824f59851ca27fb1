/** What fused captured steps promise, on the GPU device. */
import { capture, randn } from "@troupe/core";
import { fusionSuite } from "@troupe/core/testing";
import { afterAll, expect, test } from "vitest";
import { gpu } from "../src/index.ts";
import { adapterName } from "./adapter.ts";

const device = gpu();
afterAll(() => device.close());

fusionSuite(`gpu on ${adapterName}`, device, { tolerance: 1e-5 });

test("a product keeps its tuned routine in a captured step", async () => {
  const [x, y] = [randn([32, 32], { device }), randn([32, 32], { device })];
  const step = capture(() => x.matmul(y).relu());
  for (let i = 0; i < 3; i++) step();
  const { events } = await device.profile(() => {
    step();
  });
  expect(events.map(({ name }) => name)).toEqual(["matmul", "relu"]);
  step.dispose();
});

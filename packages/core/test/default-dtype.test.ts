/** The default dtype, and sizes that are none. */
import { inspect } from "node:util";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { arange, full, ones, setDefaultDevice, setDefaultDtype, ShapeError, tensor, ValueError } from "../src/index.ts";
import type { Device, Tensor } from "../src/index.ts";
import { mock } from "../src/testing/index.ts";
import { allocate } from "../src/tensor/value.ts";

let device: Device;
beforeAll(() => {
  device = mock();
  setDefaultDevice(device.name);
});
afterEach(() => setDefaultDtype("float32"));
afterAll(() => device.close());

test("fractions are of the default dtype, in constructors, in promotion and in print", () => {
  const whole = tensor([1, 2]);
  const made = (): Tensor[] => [tensor([1.5]), full([1], 1.5), whole.div(2), whole.add(1.5), whole.exp(), ones(1)];
  expect(made().map(({ dtype }) => dtype)).toEqual(made().map(() => "float32"));
  setDefaultDtype("float64");
  expect(made().map(({ dtype }) => dtype)).toEqual(made().map(() => "float64"));
  expect(ones(1, { dtype: "float32" }).add(1.5).dtype).toBe("float32");
  expect(inspect(tensor([1.5]))).toMatch(/^tensor\(\[1\.5000\](?!.*dtype)/);
  expect(inspect(ones(1, { dtype: "float32" }))).toContain("dtype=torch.float32");
  expect(() => setDefaultDtype("int64")).toThrow("only floating-point types");
});

test("a size that is no whole number is refused at the call, and the device lives on", () => {
  expect(() => arange(0, 10, NaN)).toThrow(ValueError);
  expect(() => allocate(device, [NaN], "float32")).toThrow(ShapeError);
  expect(ones(2).add(1).tolistSync()).toEqual([2, 2]);
});

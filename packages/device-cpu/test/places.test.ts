/** Where extremes stand: the first of equals, and NaN before all. */
import { argmax, argmin, max, min, tensor } from "@troupe/core";
import fc from "fast-check";
import { afterAll, describe, expect, test } from "vitest";
import { cpu } from "../src/index.ts";
import { Random } from "./random-kernels.ts";

const device = cpu({ threads: 1 });
afterAll(() => device.close());

const dtypes = ["float32", "float64", "int32", "uint8"] as const;

function firstExtreme(values: readonly number[], isMax: boolean): number {
  let best = 0;
  for (const [i, value] of values.entries()) {
    const held = values[best] ?? NaN;
    if (Number.isNaN(held)) return best;
    if (Number.isNaN(value) || (isMax ? value > held : value < held)) best = i;
  }
  return best;
}

describe("places of extremes", () => {
  test("are those of the first of equals, along rows and columns of any length, with NaNs and infinities", () => {
    const shapes = fc.record({
      rows: fc.integer({ min: 1, max: 40 }), length: fc.oneof(fc.integer({ min: 1, max: 70 }), fc.constantFrom(128, 300)),
      dim: fc.constantFrom(0, 1), isMax: fc.boolean(), dtype: fc.constantFrom(...dtypes), seed: fc.integer(),
      kind: fc.constantFrom("ties", "one value", "infinite", "NaN"),
    });
    const law = fc.property(shapes, ({ rows, length, dim, isMax, dtype, seed, kind }) => {
      const random = new Random(seed);
      const special = dtype.startsWith("float");
      const data = Array.from({ length: rows }, () => Array.from({ length }, () => {
        if (kind === "one value") return special ? -Infinity : 0;
        if (kind === "infinite" && special && random.next() < 0.3) return random.pick([Infinity, -Infinity]);
        if (kind === "NaN" && special && random.next() < 2 / length) return NaN;
        return random.integer(0, 9);
      }));
      const lines = dim === 1 ? data : Array.from({ length }, (_, column) => data.map((row) => row[column] ?? 0));
      const places = lines.map((line) => firstExtreme(line, isMax));
      const x = tensor(data, { device, dtype });
      const { values, indices } = isMax ? max(x, dim) : min(x, dim);
      expect((isMax ? argmax : argmin)(x, dim).tolistSync()).toEqual(places);
      expect(indices.tolistSync()).toEqual(places);
      expect(values.tolistSync()).toEqual(lines.map((line, i) => line[places[i] ?? 0]));
    });
    expect(() => fc.assert(law, { numRuns: 80 })).not.toThrow();
  }, 30_000);
});

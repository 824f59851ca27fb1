/** The tuned max pooling equals the loop kernel that it overrides, which float64 still runs. */
import { manualSeed, nn, randn, type Tensor } from "@troupe/core";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { cpu } from "../src/index.ts";

const devices = [1, 2].map((threads) => cpu({ index: 70 + threads, threads, memoryLimit: 2 ** 28 }));
afterAll(() => Promise.all(devices.map((device) => device.close())));

const small = (min: number, max: number): fc.Arbitrary<number> => fc.integer({ min, max });
const spatial = fc.record({
  taps: small(1, 4), stride: small(1, 4), dilation: small(1, 2), part: small(0, 2), extra: small(0, 19),
});

test("max pooling gives the loop kernel's maxima and places for any geometry, strides and threads, NaN and ties included", () => {
  fc.assert(
    fc.property(
      fc.array(spatial, { minLength: 1, maxLength: 2 }), small(1, 3), small(1, 3), fc.boolean(), fc.boolean(),
      fc.constantFrom(...devices), fc.integer({ min: 0 }),
      (geometry, n, c, ceilMode, turned, device, seed) => {
        manualSeed(seed);
        const sizes = geometry.map(({ taps, dilation, extra }) => (taps - 1) * dilation + 1 + extra);
        const shape = [n, c, ...sizes];
        // Few values, so that many are equal; some are NaN or infinite.
        const whole = randn(turned ? shape.toReversed() : shape, { device }).mul(2).round();
        const odd = whole.maskedFill(whole.eq(3), Infinity).maskedFill(whole.eq(-3), -Infinity).maskedFill(whole.eq(4), NaN);
        const x = turned ? odd.permute(shape.map((_, d) => shape.length - 1 - d)) : odd;
        const pool = geometry.length === 1 ? nn.functional.maxPool1d : nn.functional.maxPool2d;
        const taps = geometry.map((own) => own.taps);
        const options = {
          stride: geometry.map(({ stride }) => stride),
          dilation: geometry.map(({ dilation }) => dilation),
          padding: geometry.map((own) => Math.min(own.part, Math.floor(own.taps / 2))),
          ceilMode,
          returnIndices: true as const,
        };
        const listed = (of: Tensor): unknown => {
          const { output, indices } = pool(of, taps, options);
          return [output, indices].map((result) => Array.from(result.dataSync(), Number));
        };
        expect(listed(x)).toEqual(listed(x.to("float64")));
      },
    ),
    { numRuns: 150 },
  );
});

test("a window that is all infinity has the place of its first element", () => {
  const [device] = devices;
  const x = randn([1, 1, 4, 16], { device }).mul(0).sub(Infinity);
  const { output, indices } = nn.functional.maxPool2d(x, 2, { returnIndices: true });
  expect(Array.from(output.dataSync(), Number)).toEqual(new Array(16).fill(-Infinity));
  expect(Array.from(indices.dataSync(), Number).slice(0, 3)).toEqual([0, 2, 4]);
});

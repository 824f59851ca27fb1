/** Counting: what PyTorch's samples leave out. */
import { describe, expect, test } from "vitest";
import { bincount, histc, histogram, isin, linspace, tensor } from "../src/index.ts";
import "../src/testing/index.ts"; // the mock device

describe("histograms", () => {
  test("the last interval includes its end; what lies outside and NaN count for nothing", async () => {
    const x = tensor([0, 0.5, 1, 2, 2.5, NaN, -1]);
    expect(await histc(x, 2, 0, 2).tolist()).toEqual([2, 2]);
    expect(await histogram(x, 2, [0, 2]).hist.tolist()).toEqual([2, 2]);
    expect(await histogram(x, tensor([0, 0.5, 2])).hist.tolist()).toEqual([1, 3]);
  });

  test("a density integrates to 1, weighted or not", async () => {
    const { hist, binEdges } = histogram(linspace(0, 3, 10), 4, { weight: linspace(1, 2, 10), density: true });
    expect(await hist.mul(binEdges.diff()).sum().item()).toBeCloseTo(1, 6);
  });

  test("a range that is not finite, or runs backwards, is refused at the call", () => {
    expect(() => histc(tensor([1, Infinity]))).toThrow("is not finite");
    expect(() => histc(tensor([1.5]), 3, 2, 1)).toThrow("min should not exceed max");
    expect(() => histogram(tensor([1.5]), 0)).toThrow("bins must be > 0");
  });
});

describe("bincount", () => {
  test("counts, or adds up weights, up to the greatest number or minlength", async () => {
    const x = tensor([1, 3, 1, 0]);
    expect(await bincount(x).tolist()).toEqual([1, 2, 0, 1]);
    const weighted = bincount(x, tensor([0.5, 1, 0.25, 2]), 6);
    expect([weighted.dtype, await weighted.tolist()]).toEqual(["float32", [2, 0.75, 0, 1, 0, 0]]);
    expect(await bincount(tensor([], { dtype: "int64" }), { minlength: 2 }).tolist()).toEqual([0, 0]);
  });

  test("refuses negative numbers and fractions", () => {
    expect(() => bincount(tensor([1, -1]))).toThrow("non-negative integral");
    expect(() => bincount(tensor([0.5]))).toThrow("not implemented for 'Float'");
  });
});

describe("isin", () => {
  test("either side may be a number; NaN is nowhere; invert turns it round", async () => {
    const x = tensor([[1, 2.5], [NaN, 4]]);
    expect(await isin(x, tensor([4, NaN, 1])).tolist()).toEqual([[true, false], [false, true]]);
    expect(await isin(x, 4, { invert: true }).tolist()).toEqual([[true, true], [true, false]]);
    expect(await isin(4, x).item()).toBeTruthy();
    expect(await isin(x, tensor([])).tolist()).toEqual([[false, false], [false, false]]);
  });
});

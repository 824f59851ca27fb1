import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";

import { afterEach, describe, expect, test } from "vitest";

import { ValueError } from "../src/errors.ts";
import { typedArray, type DType, type TypedArray } from "../src/tensor/dtype.ts";
import {
  edgeSlices,
  formatTensor,
  getPrintOptions,
  setPrintOptions,
  shownShape,
  type PrintableTensor,
  type PrintOptionsUpdate,
} from "../src/tensor/printing.ts";

/** What scripts/printing/dump.py writes: the text is PyTorch's own. */
type Case = [
  dtype: DType,
  shape: number[],
  elementsAsHex: string,
  facts: Pick<PrintableTensor, "device" | "gradFn" | "requiresGrad">,
  options: PrintOptionsUpdate & { threshold?: number | "Infinity" },
  text: string,
];

const cases: Case[] = JSON.parse(
  gunzipSync(readFileSync(new URL("../fixtures/printing.json.gz", import.meta.url))).toString(),
);

function elementsOf(dtype: DType, hex: string): TypedArray {
  return typedArray(dtype, new Uint8Array(Buffer.from(hex, "hex")).buffer);
}

/** The flat indices of the elements that are shown, in order. */
function shownIndices(shape: readonly number[]): number[] {
  return edgeSlices(shape).reduce<number[]>(
    (outer, ranges, dim) =>
      outer.flatMap((index) =>
        ranges.flatMap(([start, end]) =>
          Array.from({ length: end - start }, (_, i) => index * shape[dim] + start + i),
        ),
      ),
    [0],
  );
}

function print([dtype, shape, hex, facts, { threshold, ...options }]: Case): string {
  setPrintOptions({ ...options, ...(threshold !== undefined && { threshold: Number(threshold) }) });
  const elements = elementsOf(dtype, hex);
  const shown = shownIndices(shape);
  const data = typedArray(dtype, new ArrayBuffer(shown.length * elements.BYTES_PER_ELEMENT));
  shown.forEach((index, i) => (data[i] = elements[index]));
  const text = formatTensor({ dtype, shape, data, ...facts });
  setPrintOptions({ profile: "default" });
  return text;
}

afterEach(() => setPrintOptions({ profile: "default" }));

describe("a tensor prints character for character as in PyTorch", () => {
  const groups = Map.groupBy(cases, ([dtype, , , facts, options]) => {
    const suffixed = Object.keys(facts).length > 0 ? ", with suffixes" : "";
    const changed = Object.keys(options).length > 0 ? `, ${JSON.stringify(options)}` : "";
    return `${dtype}${suffixed}${changed}`;
  });

  test.each([...groups])("%s", (_, group) => {
    expect(group.map(print)).toEqual(group.map((one) => one[5]));
  });

  test("the fixtures reach every dtype and more than a thousand tensors", () => {
    expect(cases.length).toBeGreaterThan(1000);
    expect(new Set(cases.map(([dtype]) => dtype)).size).toBe(6);
  });
});

describe("only what is shown is read", () => {
  test("a tensor of a billion elements needs 36 of them", () => {
    const shape = [100_000, 10_000];
    expect(shownShape(shape)).toEqual([6, 6]);
    expect(edgeSlices(shape)).toEqual([
      [[0, 3], [99_997, 100_000]],
      [[0, 3], [9_997, 10_000]],
    ]);
    const text = formatTensor({ dtype: "float32", shape, data: new Float32Array(36), device: "gpu:0" });
    expect(text.split("\n")).toHaveLength(7);
    expect(text).toMatch(/^tensor\(\[\[0\., 0\., 0\., {2}\.\.\., 0\., 0\., 0\.\],\n.*, device='gpu:0'\)$/s);
  });

  test("a small tensor is read whole", () => {
    expect(shownShape([10, 100])).toEqual([10, 100]);
    expect(edgeSlices([10, 100])).toEqual([[[0, 10]], [[0, 100]]]);
  });

  test("data of another length than the shown elements is refused", () => {
    expect(() => formatTensor({ dtype: "float32", shape: [2], data: [1, 2, 3] })).toThrow(/shows 2 elements, not 3/);
  });
});

describe("print options", () => {
  test("keep what is not named, except sciMode", () => {
    setPrintOptions({ precision: 2, sciMode: true });
    setPrintOptions({ linewidth: 120 });
    expect(getPrintOptions()).toEqual({ precision: 2, threshold: 1000, edgeitems: 3, linewidth: 120, sciMode: null });
  });

  test.each<PrintOptionsUpdate>([
    { precision: -1 },
    { precision: 1.5 },
    { edgeitems: 0 },
    { linewidth: 0 },
    { threshold: Number.NaN },
    { profile: "wide" as "full" },
  ])("refuse %o and stay as they were", (update) => {
    const before = getPrintOptions();
    expect(() => setPrintOptions(update)).toThrow(ValueError);
    expect(getPrintOptions()).toEqual(before);
  });
});

/**
 * nn.functional against PyTorch's own samples: as the OpInfo suite does, and with gradients that are not recorded,
 * which take fused paths.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as library from "../src/index.ts";
import { mock } from "../src/testing/mock/index.ts";
import { entryCall, isAmbiguous, resultTensors } from "../src/testing/opinfo/adapters.ts";
import { checkEntry } from "../src/testing/opinfo/check.ts";
import { compareTensors, magnitudeOf } from "../src/testing/opinfo/compare.ts";
import {
  cotangent,
  entryNames,
  loadEntry,
  stridedStorage,
  type SampleCase,
  type TensorValue,
} from "../src/testing/opinfo/fixtures.ts";

const device = mock();

beforeAll(() => library.setDefaultDevice(device.name));
afterAll(() => device.close());

const spatial = /pool|conv|pad\.|interpolate|upsample|pixel|unfold|embedding$|bilinear|linear$|local_response/;
const entries = entryNames().filter((name) => name.startsWith("nn.functional.") && !spatial.test(name));

/** What PyTorch itself computes to fewer digits than the tolerance asks. */
const tolerances: Readonly<Record<string, { readonly rtol: number; readonly atol: number }>> = {
  // x * rstd - mean * rstd, of which only rounding errors remain for one element.
  "nn.functional.layer_norm": { rtol: 1e-4, atol: 2e-5 },
};

test("the entries are many", () => expect(entries.length).toBeGreaterThan(40));

describe.each(entries)("%s", (name) => {
  test("equals PyTorch in values, gradients of both orders and refusals", async () => {
    const { failures } = await checkEntry(name, { library, device, tolerance: tolerances[name] });
    expect(failures).toEqual([]);
  });

  test("has the same gradients when they are not recorded", () => {
    const entry = loadEntry(name);
    const call = entryCall(library, entry.function);
    const samples = entry.cases.filter((sample) => sample.grad !== null && !isAmbiguous(sample));
    expect(call === null ? ["missing"] : samples.flatMap((sample) => unrecorded(call, sample))).toEqual([]);
  });
});

type Call = NonNullable<ReturnType<typeof entryCall>>;

function unrecorded(call: Call, sample: SampleCase): string[] {
  const leaves: library.Tensor[] = [];
  const toTensor = (value: TensorValue): library.Tensor => {
    const storage = stridedStorage(value);
    const bytes = new Uint8Array(storage.buffer, storage.byteOffset, storage.byteLength);
    const x = library.fromBytes(bytes, [storage.length], value.dtype).asStrided(value.shape, value.strides).detach();
    if (value.requiresGrad) leaves.push(x.requiresGrad_());
    return x;
  };
  const outputs = resultTensors(call(sample, { toTensor, device }), library.isTensor).filter(
    ({ requiresGrad }) => requiresGrad,
  );
  const gradOutputs = outputs.map(({ shape, dtype }) =>
    library.tensor(cotangent(shape, dtype as "float32" | "float64")).reshape(shape),
  );
  const gradients = library.grad(outputs, leaves, { gradOutputs, allowUnused: true });
  const problems = (sample.grad ?? []).map((wanted, i) => {
    if (wanted === null) return null;
    const x = gradients[i] ?? library.zerosLike(leaves[i]);
    const magnitude = Math.max(1, ...(sample.grad ?? []).map((g) => (g === null ? 0 : magnitudeOf(g))));
    // PyTorch's float32 constants show in hardsigmoid's float64 gradients.
    return compareTensors({ shape: x.shape, dtype: x.dtype, data: x.dataSync() }, wanted, {
      magnitude,
      reduction: 100,
      ...looser(wanted),
    });
  });
  return problems.filter((problem) => problem !== null);
}

function looser({ dtype }: TensorValue): { readonly atol?: number } {
  return dtype === "float64" ? { atol: 5e-9 } : {};
}

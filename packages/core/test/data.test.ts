/** Datasets, loaders and safetensors checkpoints. */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DataLoader, defaultCollate, randomSplit, Subset, TensorDataset, type Dataset } from "../src/data/index.ts";
import * as core from "../src/index.ts";
import { loadSafetensors, loadSafetensorsMetadata, SafetensorsError, saveSafetensors } from "../src/io/index.ts";
import * as nn from "../src/nn/index.ts";
import { mock } from "../src/testing/mock/index.ts";

const device = mock();
let folder = "";

beforeAll(async () => {
  core.setDefaultDevice(device.name);
  folder = await mkdtemp(join(tmpdir(), "troupe-data-"));
});
afterAll(async () => {
  await rm(folder, { recursive: true });
  await device.close();
});

const rows = (): TensorDataset<readonly [core.Tensor, core.Tensor]> =>
  new TensorDataset(core.arange(10, { dtype: "float32" }).reshape([5, 2]), core.arange(5));

async function gather<B>(loader: AsyncIterable<B>): Promise<B[]> {
  const batches: B[] = [];
  for await (const batch of loader) batches.push(batch);
  return batches;
}

describe("a loader", () => {
  test("gives batches in order, the last one smaller", async () => {
    const loader = new DataLoader(rows(), { batchSize: 2 });
    const batches = await gather(loader);
    expect(loader.length).toBe(3);
    expect(batches.map(([x, y]) => [x.tolistSync(), y.tolistSync()])).toEqual([
      [
        [
          [0, 1],
          [2, 3],
        ],
        [0, 1],
      ],
      [
        [
          [4, 5],
          [6, 7],
        ],
        [2, 3],
      ],
      [[[8, 9]], [4]],
    ]);
  });

  test("refuses unknown options, and what is no dataset", () => {
    expect(() => new DataLoader(rows(), { batchSze: 2 } as never)).toThrow("unexpected option 'batchSze'");
    for (const dataset of [[1, 2], core.ones([3]), undefined]) {
      expect(() => new DataLoader(dataset as never)).toThrow("a dataset has a length and get(index)");
    }
  });

  test("leaves the smaller one out with dropLast", async () => {
    const loader = new DataLoader(rows(), { batchSize: 2, dropLast: true });
    expect([loader.length, (await gather(loader)).length]).toEqual([2, 2]);
  });

  test("shuffles every pass anew, repeatably by the seed, and loses no sample", async () => {
    const dataset = new TensorDataset(core.arange(64));
    const loader = new DataLoader(dataset, { batchSize: 16, shuffle: true });
    const pass = async (): Promise<number[]> => (await gather(loader)).flatMap(([x]) => x.tolistSync() as number[]);
    core.manualSeed(3);
    const [first, second] = [await pass(), await pass()];
    core.manualSeed(3);
    expect(await pass()).toEqual(first);
    expect(second).not.toEqual(first);
    expect(first.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 64 }, (_, i) => i));
  });

  test("stacks the samples of any dataset, promised ones too", async () => {
    const dataset: Dataset<{ x: core.Tensor; label: number; name: string }> = {
      length: 3,
      get: async (index) => Promise.resolve({ x: core.full([2], index), label: index / 2, name: `n${index}` }),
    };
    const [batch] = await gather(new DataLoader(dataset, { batchSize: 3 }));
    expect(batch.x.tolistSync()).toEqual([
      [0, 0],
      [1, 1],
      [2, 2],
    ]);
    expect(batch.label.tolistSync()).toEqual([0, 0.5, 1]);
    expect(batch.name).toEqual(["n0", "n1", "n2"]);
  });

  test("uses the given collate function", async () => {
    const loader = new DataLoader(rows(), { batchSize: 5, collate: (samples) => samples.length });
    expect(await gather(loader)).toEqual([5]);
  });

  test("refuses a batch size below one", () => {
    expect(() => new DataLoader(rows(), { batchSize: 0 })).toThrow(core.ValueError);
  });
});

describe("datasets", () => {
  test("of tensors of different lengths are refused", () => {
    expect(() => new TensorDataset(core.zeros([2]), core.zeros([3]))).toThrow(core.ShapeError);
  });

  test("split at random into parts that together are the whole", async () => {
    const parts = randomSplit(new TensorDataset(core.arange(10)), [0.25, 0.75]);
    expect(parts.map(({ length }) => length)).toEqual([3, 7]);
    const all = (await Promise.all(parts.map((part) => gather(new DataLoader(part, { batchSize: 4 }))))).flat();
    expect(all.flatMap(([x]) => x.tolistSync() as number[]).toSorted((a, b) => a - b)).toEqual([
      0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
    ]);
    expect(() => randomSplit(rows(), [1, 1])).toThrow(
      "Sum of input lengths does not equal the length of the input dataset!",
    );
  });

  test("subsets number their own samples", async () => {
    const [label] = (await new Subset(rows(), [4, 1]).get(1)).slice(1);
    expect(label.itemSync()).toBe(1);
  });

  test("samples that do not match cannot be put together", () => {
    expect(() => defaultCollate([[1, 2], [1]])).toThrow(core.ValueError);
    expect(() => defaultCollate([() => 1])).toThrow(core.ValueError);
  });
});

describe("checkpoints", () => {
  test("of what is no tensor are refused with its name", async () => {
    const path = join(folder, "wrong.safetensors");
    for (const state of [new nn.Linear(1, 1), { a: 1 }, "weights"]) {
      await expect(saveSafetensors(path, state as never)).rejects.toThrow("model.stateDict()");
    }
  });

  test("bring every dtype and shape back, with their metadata", async () => {
    const path = join(folder, "all.safetensors");
    const tensors = {
      f32: core.tensor([1.5, -0, NaN]),
      f64: core.tensor(Float64Array.of(Math.PI)).reshape([]),
      i32: core.arange(6, { dtype: "int32" }).reshape([2, 3]).t(),
      i64: core.tensor(2n ** 60n),
      u8: core.tensor(Uint8Array.of(0, 255)),
      bool: core.tensor([[true], [false]]),
      empty: core.zeros([0, 3]),
    };
    await saveSafetensors(path, tensors, { format: "pt", epoch: "3" });
    const loaded = await loadSafetensors(path);
    expect(Object.keys(loaded).toSorted()).toEqual(Object.keys(tensors).toSorted());
    for (const [name, tensor] of Object.entries(tensors)) {
      expect([loaded[name].dtype, loaded[name].shape]).toEqual([tensor.dtype, tensor.shape]);
      expect(loaded[name].tolistSync()).toEqual(tensor.tolistSync());
    }
    expect(await loadSafetensorsMetadata(path)).toEqual({ format: "pt", epoch: "3" });
    expect(await readdir(folder)).toEqual(["all.safetensors"]);
  });

  test("a corrupt file is a typed error and leaves the model as it was", async () => {
    const path = join(folder, "model.safetensors");
    const model = new nn.Linear(3, 2);
    await saveSafetensors(path, model.stateDict());
    const before = model.weight.tolistSync();
    const bytes = await readFile(path);
    await writeFile(path, bytes.subarray(0, bytes.length - 4));
    await expect(loadSafetensors(path).then((state) => model.loadStateDict(state))).rejects.toThrow(SafetensorsError);
    expect(model.weight.tolistSync()).toEqual(before);
    expect(numbersOf(model.forward(core.ones([1, 3])))).toHaveLength(2);
  });

  test("a model loads what it saved", async () => {
    const path = join(folder, "again.safetensors");
    const [from, to] = [0, 1].map(() => new nn.Sequential(new nn.Linear(3, 4), new nn.BatchNorm1d(4)));
    await saveSafetensors(path, from.stateDict());
    to.loadStateDict(await loadSafetensors(path, { device }));
    expect(to.parameters().map(numbersOf)).toEqual(from.parameters().map(numbersOf));
  });
});

function numbersOf(x: core.Tensor): number[] {
  return [...x.dataSync()].map(Number);
}

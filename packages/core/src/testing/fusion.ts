/** Fused captured steps: fewer launches, the same values. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Device } from "../actor/device.ts";
import { capture, manualSeed, nn, randn, tensor, where, type Tensor } from "../index.ts";

type Step = (...inputs: Tensor[]) => Tensor | Tensor[];

interface Run {
  readonly values: readonly (readonly number[])[];
  /** The names of the kernels launched, but for the copies of the inputs. */
  readonly launches: readonly string[];
}

interface Case {
  readonly step: Step;
  readonly shapes: readonly (readonly number[])[];
  readonly launches: readonly string[];
}

/** One launch does the work of these. */
const joined: Readonly<Record<string, Case>> = {
  "a chain of elementwise operations": {
    step: (x) => x.mul(2).add(1).tanh().relu(), shapes: [[3, 4]], launches: ["mul+add+tanh+relu"],
  },
  "a tree, whose shared input is read once": {
    step: (x, y) => x.exp().mul(y.sin()).add(x), shapes: [[3, 4], [3, 4]], launches: ["sin+exp+mul+add"],
  },
  "what broadcasts, and what is then taken as one long row": {
    step: (x, b) => x.add(b).relu(), shapes: [[5, 4], [4]], launches: ["add+relu"],
  },
  "an operation in place, and what reads its result": {
    step: (x, b) => x.exp().add_(b).relu(), shapes: [[5, 4], [4]], launches: ["exp+add+relu"],
  },
  "a chain and the reduction of it": { step: (x) => x.mul(x).sum(1), shapes: [[5, 4]], launches: ["mul+sum"] },
  "a reduction and what is made of its result": {
    step: (x) => x.sum(1).sqrt().add(1), shapes: [[5, 4]], launches: ["sum+sqrt+add"],
  },
  "a reduction along columns and a product with another tensor": {
    step: (x, y) => x.sum(0).mul(y), shapes: [[5, 4], [4]], launches: ["sum+mul"],
  },
  "what is read transposed": {
    step: (x, y) => x.exp().t().add(y), shapes: [[3, 4], [4, 3]], launches: ["exp+add"],
  },
  "what is read in part": { step: (x) => x.exp().narrow(0, 1, 2).neg(), shapes: [[5, 4]], launches: ["exp+neg"] },
  "comparisons and choices": {
    step: (x, y) => where(x.gt(0), x, y.neg()), shapes: [[3, 4], [3, 4]], launches: ["neg+gt+where"],
  },
};

/** Launches stay apart where this is so. */
const apart: Readonly<Record<string, Case>> = {
  "what lies between is a result": {
    step: (x) => {
      const y = x.exp();
      return [y, y.neg()];
    },
    shapes: [[3]],
    launches: ["exp", "neg"],
  },
  "two launches read what lies between": {
    step: (x) => {
      const y = x.exp();
      return [y.neg(), y.sum()];
    },
    shapes: [[3]],
    launches: ["exp", "neg", "sum"],
  },
  "an element would be computed many times": {
    step: (x, y) => x.exp().add(y), shapes: [[4], [3, 4]], launches: ["exp", "add"],
  },
  "an input is changed in between": {
    step: (x) => {
      const y = x.clone();
      const z = y.exp();
      y.add_(1);
      return [z.neg(), y];
    },
    shapes: [[3]],
    launches: ["clone", "exp", "add", "neg"],
  },
  "an index is among the operands": {
    step: (x, y) => x.exp().indexSelect(0, y.argmax(0, true)), shapes: [[3], [3]], launches: ["exp", "argmax", "indexSelect"],
  },
};

/** An operation of a random program: it takes one of the tensors made so far, perhaps another, and gives one of [3, 4]. */
type Operation = (x: Tensor, y: Tensor) => Tensor;
const operations: Readonly<Record<string, Operation>> = {
  exp: (x) => x.clamp(-2, 2).exp(),
  add: (x, y) => x.add(y),
  scaled: (x) => x.mul(0.5),
  "in place": (x, y) => x.clone().mul_(y),
  "first row in place": (x) => {
    const copy = x.clone();
    copy.select(0, 0).add_(1);
    return copy;
  },
  "the other way": (x, y) => x.t().contiguous().t().sub(y),
  "rows turned": (x) => x.flip([0]),
  "row sums": (x, y) => y.div(x.abs().sum(1, true).add(1)),
  "column sums": (x, y) => y.mul(x.sum(0)),
  "an inner part": (x, y) => x.narrow(1, 1, 2).mean(1, true).add(y),
  "as one row": (x, y) => x.reshape(12).add(y.reshape(12)).view(3, 4),
  "a product": (x, y) => x.matmul(y.t()).matmul(y).tanh(),
  softmax: (x) => x.softmax(1),
  greatest: (x, y) => x.amax(1, true).sub(y),
};
const programs = fc.array(
  fc.record({ name: fc.constantFrom(...Object.keys(operations)), x: fc.nat(), y: fc.nat(), kept: fc.boolean() }),
  { minLength: 2, maxLength: 10 },
);

export interface FusionSuiteOptions {
  /** How far a fused value may be off, relative to it (GPUs contract products and sums). Default: not at all. */
  readonly tolerance?: number;
}

/** Every device runs it. */
export function fusionSuite(name: string, device: Device, { tolerance = 0 }: FusionSuiteOptions = {}): void {
  const on = { device };

  function inputs(shapes: readonly (readonly number[])[]): Tensor[] {
    manualSeed(3);
    return shapes.map((shape) => randn(shape, on));
  }

  /** The last of four calls. */
  async function run(step: Step, given: readonly Tensor[], fuse: boolean): Promise<Run> {
    const captured = capture(step, { fuse });
    for (let i = 0; i < 3; i++) captured(...given);
    let result: Tensor[] = [];
    const { events } = await device.profile(() => {
      result = [captured(...given)].flat();
    });
    const values = result.map((x) => [...x.shape, ...numbers(x)]);
    captured.dispose();
    return { values, launches: events.map((event) => event.name).slice(given.length) };
  }

  /** The values that are not what they should be. */
  function differences(actual: Run["values"], expected: Run["values"]): string[] {
    const isOff = (value: number, other: number): boolean =>
      !Object.is(value, other) && !(Math.abs(value - other) <= tolerance * Math.max(1, Math.abs(other)));
    return expected.flatMap((values, i) =>
      values.flatMap((value, k) => (isOff(actual[i]?.[k] ?? NaN, value) ? [`${actual[i]?.[k]} for ${value}`] : [])));
  }

  for (const [title, cases] of Object.entries({ "one launch does the work of": joined, "launches stay apart where": apart })) {
    test.each(Object.entries(cases))(`${name}: ${title} %s`, async (_, { step, shapes, launches }) => {
      const given = inputs(shapes);
      const fused = await run(step, given, true);
      expect(fused.launches).toEqual(launches);
      expect(differences(fused.values, (await run(step, given, false)).values)).toEqual([]);
    });
  }

  test(`${name}: a fused training step computes the same values, gradients included`, () => {
    const train = (fuse: boolean): number[][] => {
      manualSeed(5);
      const layers = [new nn.Linear(4, 6), new nn.GELU(), new nn.LayerNorm(6), new nn.Linear(6, 3)];
      const model = new nn.Sequential(...layers).to(device);
      const step = capture((x: Tensor, y: Tensor) => {
        for (const parameter of model.parameters()) parameter.grad = undefined;
        const loss = model.forward(x).sub(y).pow(2).mean();
        loss.backward();
        return loss;
      }, { fuse });
      const losses = Array.from({ length: 4 }, () => numbers(step(randn([5, 4], on), randn([5, 3], on))));
      const gradients = model.parameters().map(({ grad }) => (grad === undefined ? [] : numbers(grad)));
      step.dispose();
      return [...losses, ...gradients];
    };
    expect(differences(train(true), train(false))).toEqual([]);
  });

  test(`${name}: any program computes the same values fused`, async () => {
    const given = inputs([[3, 4], [3, 4]]);
    await fc.assert(
      fc.asyncProperty(programs, async (program) => {
        const step: Step = (...start) => {
          const made = [...start];
          const results: Tensor[] = [];
          for (const { name: operation, x, y, kept } of program) {
            const next = operations[operation](made[x % made.length], made[y % made.length]);
            made.push(next);
            if (kept) results.push(next);
          }
          return [...results, made[made.length - 1].neg()];
        };
        const [plain, fused] = [await run(step, given, false), await run(step, given, true)];
        expect(differences(fused.values, plain.values)).toEqual([]);
        expect(fused.launches.length).toBeLessThanOrEqual(plain.launches.length);
      }),
      { numRuns: 40 },
    );
  });

  test(`${name}: a bad value poisons what depends on it in a fused step, and nothing else`, async () => {
    const at = tensor([7], { device, dtype: "int64" });
    const captured = capture((x: Tensor) => [x.indexSelect(0, at).neg().exp(), x.neg().exp()]);
    const x = randn([3], on);
    for (let i = 0; i < 3; i++) {
      const [bad, good] = captured(x);
      await expect(bad.data()).rejects.toThrow("index");
      expect(differences([numbers(good)], [numbers(x.neg().exp())])).toEqual([]);
    }
  });
}

function numbers(x: Tensor): number[] {
  return Array.from(x.dataSync(), Number);
}

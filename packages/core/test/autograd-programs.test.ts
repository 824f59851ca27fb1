import fc from "fast-check";
import { expect, it } from "vitest";
import { gradcheck, gradgradcheck, tensor } from "../src/index.ts";
import type { Tensor } from "../src/index.ts";
import { useMockDevice } from "./autograd-scenarios.ts";

useMockDevice();

const looks: readonly ((x: Tensor, i: number) => Tensor)[] = [
  (x) => x,
  (x, i) => (x.dim() > 0 ? x.select(i % x.dim(), i % x.size(i % x.dim())) : x),
  (x, i) => (x.dim() > 0 && x.size(i % x.dim()) > 1 ? x.narrow(i % x.dim(), 1, x.size(i % x.dim()) - 1) : x),
  (x) => (x.dim() > 1 ? x.transpose(0, -1) : x),
  (x) => x.unsqueeze(0),
  (x) => x.squeeze(),
  (x) => (x.dim() === 2 ? x.diagonal() : x),
  (x) => (x.isContiguous() ? x.view(-1) : x),
];

/**
 * Writes to the view `v`, with a value `w` and another tensor that may share its memory. None saves its result, so that
 * no later write is refused.
 */
const writes: readonly ((v: Tensor, w: Tensor, other: Tensor) => unknown)[] = [
  (v, w) => v.mul_(w),
  (v, w) => v.add_(w.sin()),
  (v) => v.sin_(),
  (v, w) => v.copy_(w.cos()),
  (v) => v.fill_(0.5),
  (v, w) => v.pow_(2).add_(w),
  (v, _, other) => v.add_(other.sum().mul(0.1)),
  (v) => v.mul_(v.detach().mul(0).add(1.5)),
  (v, w) => v.maskedFill_(v.detach().gt(0.3), w.mul(2)),
];

interface Step {
  /** Which of the tensors so far is looked at, and how. */
  readonly from: number;
  readonly look: readonly { readonly kind: number; readonly at: number }[];
  readonly write: number | undefined;
  /** Whether the look stays about, as a sibling of later ones. */
  readonly stays: boolean;
}

const step: fc.Arbitrary<Step> = fc.record({
  from: fc.nat(),
  look: fc.array(fc.record({ kind: fc.nat(looks.length - 1), at: fc.nat(5) }), { maxLength: 3 }),
  write: fc.option(fc.nat(writes.length - 1), { nil: undefined }),
  stays: fc.boolean(),
});

function run(program: readonly Step[], x: Tensor, w: Tensor): Tensor {
  const about: Tensor[] = [x.mul(1), x.mul(-2)];
  program.forEach(({ from, look, write, stays }, i) => {
    let v = about[from % about.length];
    for (const { kind, at } of look) v = looks[kind](v, at);
    if (write !== undefined) writes[write](v, w.select(0, i % 2), about[(from + 1) % about.length]);
    if (stays) about.push(v);
  });
  return about
    .map((y, i) =>
      y
        .mul(y)
        .sum()
        .mul(i + 1),
    )
    .reduce((sum, y) => sum.add(y));
}

it("random programs of views and writes have the gradients that finite differences give, twice", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 6 }), async (program) => {
      const x = tensor(
        [
          [0.31, -0.72, 0.15],
          [1.21, 0.43, -0.94],
        ],
        { dtype: "float64", requiresGrad: true },
      );
      const w = tensor([0.83, -0.57], { dtype: "float64", requiresGrad: true });
      const f = (...inputs: Tensor[]): Tensor => run(program, inputs[0], inputs[1]);
      await expect(gradcheck(f, [x, w])).resolves.toBe(true);
      await expect(gradgradcheck(f, [x, w], { rtol: 1e-2, atol: 1e-4 })).resolves.toBe(true);
    }),
    { numRuns: 60, seed: 2 },
  );
}, 60_000);

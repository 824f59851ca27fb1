/** What fused captured steps promise, on the CPU device. */
import { capture, manualSeed, nn, randn, type Tensor } from "@troupe/core";
import { fusionSuite } from "@troupe/core/testing";
import fc from "fast-check";
import { afterAll, expect, test } from "vitest";
import { cpu } from "../src/index.ts";

const F = nn.functional;
const device = cpu({ threads: 2 });
afterAll(() => device.close());

fusionSuite("cpu", device);

interface Given {
  readonly bias: Tensor;
  readonly rest: Tensor;
}

/** What may follow a product. */
const links = {
  bias: (z, { bias }) => z.add(bias),
  biasInPlace: (z, { bias }) => z.add_(bias),
  column: (z, { rest }) => z.add(rest.select(1, 0).unsqueeze(1)),
  residual: (z, { rest }) => rest.add(z),
  mask: (z, { rest }) => z.mul(rest.gt(0)),
  scale: (z) => z.mul(0.125),
  relu: (z) => z.relu(),
  tanh: (z) => z.tanh(),
  gelu: (z) => F.gelu(z),
  itself: (z) => z.mul(z.sigmoid()),
} satisfies Record<string, (z: Tensor, given: Given) => Tensor>;
const chains = fc.array(fc.constantFrom(...Object.keys(links)), { minLength: 1, maxLength: 4 }) as fc.Arbitrary<(keyof typeof links)[]>;
const sizes = fc.oneof(fc.integer({ min: 2, max: 40 }), fc.constantFrom(64, 130, 300));

async function replayed(step: () => Tensor, fuse: boolean): Promise<{ values: number[]; launches: string[] }> {
  const captured = capture(step, { fuse });
  for (let i = 0; i < 3; i++) captured();
  let result = captured();
  const { events } = await device.profile(() => {
    result = captured();
  });
  const values = [...result.dataSync()].map(Number);
  captured.dispose();
  return { values, launches: events.map(({ name }) => name) };
}

test("a product and what follows it are one launch with the same values, bit for bit, for any sizes and transpositions", async () => {
  await fc.assert(
    fc.asyncProperty(sizes, sizes, sizes, fc.boolean(), fc.boolean(), chains, async (m, n, k, turnsA, turnsB, chain) => {
      manualSeed(m * n + k);
      const a = turnsA ? randn([k, m], { device }).t() : randn([m, k], { device });
      const b = turnsB ? randn([n, k], { device }).t() : randn([k, n], { device });
      const given = { bias: randn([n], { device }), rest: randn([m, n], { device }) };
      const step = (): Tensor => chain.reduce((z, link) => links[link](z, given), a.matmul(b));
      const [fused, plain] = [await replayed(step, true), await replayed(step, false)];
      expect(fused.values).toEqual(plain.values);
      expect(fused.launches).toHaveLength(1);
      expect(fused.launches[0]).toMatch(/^matmul\+/);
    }),
    { numRuns: 40 },
  );
});

test("a layer's product takes bias and activation, and its gradient the activation's", async () => {
  manualSeed(1);
  const layers = [new nn.Linear(12, 9), new nn.ReLU(), new nn.Linear(9, 7)];
  const model = new nn.Sequential(...layers).to(device);
  const x = randn([5, 12], { device });
  const step = (): Tensor => {
    for (const parameter of model.parameters()) parameter.grad = undefined;
    const y = model.forward(x);
    y.backward(y.detach());
    return y;
  };
  const { launches, values } = await replayed(step, true);
  expect(launches.filter((name) => name.startsWith("matmul+"))).toEqual(["matmul+add+relu", "matmul+add", "matmul+reluBackward"]);
  expect(values).toEqual((await replayed(step, false)).values);
});

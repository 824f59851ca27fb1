import { inspect } from "node:util";
import { describe, expect, it } from "vitest";
import { backward, enableGrad, grad, isGradEnabled, noGrad, ones, tensor, withGradEnabled } from "../src/index.ts";
import type { Tensor } from "../src/index.ts";
import { mock } from "../src/testing/index.ts";
import { error, float, leaf, scenario, useMockDevice } from "./autograd-scenarios.ts";

useMockDevice();

describe("backward and grad answer as PyTorch", () => {
  scenario("a leaf's gradient accumulates over passes", "accumulates", () => {
    const x = leaf(1, 2, 3);
    x.mul(2).sum().backward();
    x.mul(x).sum().backward();
    return x.grad;
  });

  scenario("accumulation writes into the tensor that is there", "accumulates_into_the_same_tensor", () => {
    const x = leaf(1, 2);
    x.sum().backward();
    const g = x.grad;
    x.sum().backward();
    return [g, x.grad === g];
  });

  scenario("a recorded pass accumulates into a new tensor", "create_graph_accumulates_into_a_new_tensor", () => {
    const x = leaf(1, 2);
    x.pow(2).sum().backward(undefined, { createGraph: true });
    const g = x.grad;
    x.pow(2).sum().backward(undefined, { createGraph: true });
    return [g, x.grad, x.grad === g, x.grad?.requiresGrad];
  });

  scenario("a tensor used several times gets the sum", "same_tensor_twice", () => {
    const x = leaf(2, 3);
    x.mul(x).add(x).sub(x).sum().backward();
    return x.grad;
  });

  scenario("retainGraph keeps the graph for another pass", "retain_graph", () => {
    const x = leaf(1, 2);
    const y = x.exp().sum();
    y.backward(undefined, { retainGraph: true });
    y.backward();
    return x.grad;
  });

  scenario("a graph walked without retainGraph is freed, and says so", "freed_graph", () => {
    const x = leaf(1, 2);
    const y = x.exp().sum();
    y.backward();
    return [error(() => y.backward()), x.grad];
  });

  scenario("a graph that saved nothing can be walked again", "nothing_saved_walks_twice", () => {
    const x = leaf(1, 2);
    const y = x.add(1).sum();
    y.backward();
    y.backward();
    return x.grad;
  });

  scenario("grad() frees only what it walked", "grad_leaves_the_rest_of_the_graph", () => {
    const x = leaf(1, 2);
    const y = x.exp();
    const [g] = grad(y.mul(y).sum(), y);
    y.backward(g);
    return x.grad;
  });

  scenario("createGraph gives third-order gradients", "third_order", () => {
    const x = leaf(1, 2);
    const [a] = grad(x.pow(4).sum(), x, { createGraph: true });
    const [b] = grad(a.sum(), x, { createGraph: true });
    const [c] = grad(b.sum(), x);
    return [a, b, c, a.requiresGrad, c.requiresGrad];
  });

  scenario("mixed second-order gradients", "mixed_second_order", () => {
    const [x, w] = [leaf(1, 2), leaf(3, 5)];
    const [g] = grad(x.pow(2).mul(w.sin()).sum(), x, { createGraph: true });
    return grad(g.sum(), [x, w]);
  });

  scenario("a loss on a gradient reaches the leaves", "gradient_penalty", () => {
    const [x, w] = [leaf(1, 2), leaf(3, 4)];
    const [g] = grad(w.mul(x).tanh().sum(), x, { createGraph: true });
    g.pow(2).sum().backward();
    return [x.grad, w.grad];
  });

  scenario("the gradient of a gradient in its start is the forward derivative", "forward_mode_by_two_backwards", () => {
    const [x, v] = [leaf(1, 2, 3), leaf(1, 1, 1)];
    const [g] = grad(x.pow(3), x, { gradOutputs: v, createGraph: true });
    return grad(g, v, { gradOutputs: float([1, 10, 100]) });
  });

  scenario("an unused input throws, or gives undefined", "unused_input", () => {
    const [x, z] = [leaf(1), leaf(1)];
    const y = x.mul(2);
    return [error(() => grad(y, [x, z], { retainGraph: true })), grad(y, [x, z], { allowUnused: true })];
  });

  scenario("grad() touches no .grad", "grad_touches_no_leaf", () => {
    const [x, w] = [leaf(1), leaf(2)];
    return [grad(x.mul(w).sum(), x), x.grad, w.grad];
  });

  scenario("grad() of a non-leaf and of a leaf behind it", "grad_of_non_leaf_and_leaf", () => {
    const x = leaf(1, 2);
    const y = x.mul(3);
    return grad(y.mul(y).sum(), [y, x]);
  });

  scenario("grad() of an output by itself is what it started from", "grad_of_an_output_by_itself", () => {
    const x = leaf(1, 2);
    const y = x.mul(3);
    return grad(y, [y, x], { gradOutputs: float([1, 2]) });
  });

  scenario("several outputs add up", "several_outputs", () => {
    const x = leaf(1, 2);
    return grad([x.sum(), x.mul(x).sum()], x);
  });

  scenario("an output may lie on the way of another", "output_that_another_needs", () => {
    const x = leaf(1, 2);
    const y = x.mul(2);
    return grad([y.exp(), y], x, { gradOutputs: [float([1, 1]), float([10, 20])] });
  });

  scenario("only a scalar starts by itself", "non_scalar_backward", () => {
    const x = leaf(1, 2);
    const y = x.mul(x);
    const first = error(() => y.backward());
    y.backward(float([1, 10]));
    return [first, x.grad];
  });

  scenario("a gradient that starts a pass has its output's shape", "shapes_of_gradients", () => {
    const x = leaf(1, 2);
    const y = x.mul(x);
    return [error(() => y.backward(float([1, 1, 1]))), error(() => grad(y, x, { gradOutputs: float(1) }))];
  });

  it("more gradients than outputs are refused", () => {
    expect(() => backward([leaf(1)], [float([1]), float([1])])).toThrow("got 1 tensors and 2 gradients");
  });

  scenario("what has no history is refused", "no_history", () => {
    const x = float([1]);
    return [
      error(() => x.backward()),
      error(() => grad(x.sum(), leaf(1))),
      error(() => grad(leaf(1).sum(), x)),
      error(() => x.registerHook((g) => g)),
      error(() => x.retainGrad()),
    ];
  });

  scenario("a leaf may be the root; the given gradient stays as it is", "backward_from_a_leaf", () => {
    const x = leaf(3);
    x.backward();
    const g = float([5]);
    x.backward(g);
    return [x.grad, g];
  });

  scenario("backward works inside noGrad", "backward_in_no_grad", () => {
    const x = leaf(3);
    const y = x.mul(x);
    noGrad(() => y.backward());
    return [x.grad, x.grad?.requiresGrad];
  });

  scenario("gradients sum over broadcast dimensions", "broadcasting", () => {
    const [a, b, c] = [float([[1], [2]], true), leaf(1, 2, 3), float(2, true)];
    a.mul(b).add(c).sum().backward();
    return [a.grad, b.grad, c.grad];
  });

  scenario("gradients come in their tensor's dtype", "casts", () => {
    const x = leaf(1, 2);
    x.double()
      .mul(tensor([1.5, 2.5], { dtype: "float64" }))
      .sum()
      .backward();
    const mixed = leaf(1, 2);
    mixed
      .mul(tensor([2, 3], { dtype: "float64" }))
      .sum()
      .backward();
    return [x.grad, x.grad?.dtype, mixed.grad, mixed.grad?.dtype, x.long().requiresGrad];
  });

  it("a starting gradient of another dtype is converted", () => {
    const x = leaf(1, 2);
    x.mul(2).backward(tensor([1, 10], { dtype: "float64" }));
    expect(x.grad?.dtype).toBe("float32");
    expect(x.grad?.tolistSync()).toEqual([2, 20]);
  });
});

describe("leaves, detach and modes answer as PyTorch", () => {
  scenario("which tensors are leaves", "leaves", () => {
    const x = leaf(1);
    const y = x.mul(2);
    const z = noGrad(() => x.mul(2));
    return [x.isLeaf, y.isLeaf, z.isLeaf, y.detach().isLeaf, tensor(1).isLeaf, y.requiresGrad, z.requiresGrad];
  });

  scenario("requiresGrad is a leaf's to change, and a float's to have", "requires_grad_rules", () => {
    const x = leaf(1);
    const y = x.mul(2);
    return [
      error(() => y.requiresGrad_(false)),
      y.requiresGrad_().requiresGrad,
      error(() => tensor([1]).requiresGrad_()),
      x.requiresGrad_(false).requiresGrad,
      x.mul(2).requiresGrad,
    ];
  });

  it("only a gradient of its shape and dtype can be assigned to .grad", () => {
    const x = leaf(1, 2);
    expect(() => {
      x.grad = float([1]);
    }).toThrow("assigned grad has data of a different size");
    expect(() => {
      x.grad = tensor([1, 2], { dtype: "float64" });
    }).toThrow("assigned grad has data of a different type");
    x.grad = float([10, 20]);
    x.mul(2).sum().backward();
    expect(x.grad.tolistSync()).toEqual([12, 22]);
  });

  scenario("detach shares the data and not the history; detach_ is not for views", "detaching", () => {
    const x = leaf(1, 2);
    const y = x.mul(2);
    const d = y.detach();
    d.add_(1);
    const kept = error(() => y.narrow(0, 0, 1).detach_());
    const w = x.mul(3);
    w.detach_();
    return [y, d.requiresGrad, d.isLeaf, kept, w.requiresGrad, w.isLeaf, x.detach_().requiresGrad];
  });

  it("a saved tensor keeps its place in the graph when it is detached later", () => {
    const x = leaf(2);
    const y = x.mul(x);
    const z = y.pow(3);
    y.detach_();
    const [g] = grad(z, x, { createGraph: true });
    expect(g.tolistSync()).toEqual([192]);
    expect(grad(g, x)[0].tolistSync()).toEqual([480]);
  });

  scenario("noGrad and enableGrad nest", "modes", () => {
    const x = leaf(1);
    const seen = [isGradEnabled()];
    noGrad(() => {
      seen.push(isGradEnabled());
      enableGrad(() => seen.push(isGradEnabled(), x.mul(2).requiresGrad));
      seen.push(x.mul(2).requiresGrad);
      withGradEnabled(true, () => seen.push(isGradEnabled()));
    });
    return [...seen, isGradEnabled()];
  });

  it("noGrad ends when its body throws", () => {
    expect(() =>
      noGrad(() => {
        throw new Error("on purpose");
      }),
    ).toThrow("on purpose");
    expect(isGradEnabled()).toBe(true);
  });

  it("noGrad follows its own awaits and leaks into no other task", async () => {
    const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
    const x = leaf(1);
    const seen: string[] = [];
    const watch = async (name: string): Promise<void> => {
      for (let i = 0; i < 3; i++) {
        seen.push(`${name} ${x.mul(2).requiresGrad}`);
        await turn();
      }
    };
    const quiet = noGrad(() => watch("quiet"));
    const outer = isGradEnabled();
    await Promise.all([
      quiet,
      watch("loud"),
      noGrad(async () => {
        await turn();
        await enableGrad(() => watch("inner"));
      }),
    ]);
    expect(outer).toBe(true);
    expect(isGradEnabled()).toBe(true);
    expect(new Set(seen)).toEqual(new Set(["quiet false", "loud true", "inner true"]));
    expect(seen).toHaveLength(9);
  });

  scenario("gradient functions and tensors print", "names", () => {
    const x = leaf(1, 2);
    const y = x.add(x.mul(2));
    const [[first], [second]] = y.gradFn?.nextFunctions ?? [];
    return [
      y.gradFn?.name,
      first?.name,
      second?.name,
      second?.nextFunctions.map(([node]) => node?.name),
      x.gradFn,
      inspect(x),
      inspect(x.mul(2)),
      inspect(x.sum()),
      inspect(x.detach()),
      x.at(0).gradFn?.name,
      x.view(2, 1).gradFn?.name,
      x.exp().gradFn?.name,
    ].map((item) => (typeof item === "string" ? withoutDevice(item) : item));
  });

  it("a gradient function prints in angle brackets", () => {
    expect(String(leaf(1).add(1).gradFn)).toBe("<AddBackward0>");
  });
});

/** The mock is not the device that prints as the default one. */
function withoutDevice(text: string): string {
  return text.replace(/, device='[^']*'/, "");
}

describe("size and place", () => {
  it("a chain of 100,000 ops", () => {
    const x = leaf(1);
    let y: Tensor = x;
    for (let i = 0; i < 100_000; i++) y = y.add(x);
    y.backward();
    expect(x.grad?.tolistSync()).toEqual([100_001]);
  }, 30_000);

  it("2^60 paths through a chain of diamonds take linear time", () => {
    const x = leaf(1);
    let y: Tensor = x;
    for (let i = 0; i < 60; i++) y = y.mul(0.5).add(y.mul(0.5));
    for (let i = 0; i < 10; i++) y = y.add(y);
    y.backward();
    expect(x.grad?.tolistSync()).toEqual([1024]);
  });

  it("a node of 10,000 inputs, in either order", () => {
    const x = leaf(1);
    let y: Tensor = x;
    const parts: Tensor[] = [];
    for (let i = 0; i < 10_000; i++) {
      y = y.mul(1);
      if (i % 10 === 0) parts.unshift(y);
    }
    parts
      .slice(1)
      .reduce((sum, part) => sum.add(part), parts[0])
      .backward();
    expect(x.grad?.tolistSync()).toEqual([1000]);
  });

  it("gradients cross between devices and are of their tensor's device", async () => {
    const other = mock({ index: 7 });
    const [x, w] = [leaf(1, 2), ones([2], { device: other.name, requiresGrad: true })];
    const moved = x.to(other.name);
    const y = moved.mul(w).mul(3).to(x.device);
    y.mul(x).sum().backward();
    expect(moved.gradFn?.name).toBe("ToCopyBackward0");
    expect([x.grad?.device.name, w.grad?.device.name]).toEqual([x.device.name, other.name]);
    expect(x.grad?.tolistSync()).toEqual([6, 12]);
    expect(w.grad?.tolistSync()).toEqual([3, 12]);
    const target = x.mul(1);
    target.copy_(moved.mul(5));
    expect(grad(target.sum(), x)[0].tolistSync()).toEqual([5, 5]);
    expect(() => x.mul(2).backward(ones([2], { device: other.name }))).toThrow(/grad_output\[0\] is on mock:7/);
    await other.close();
  });

  it("a pass frees the gradients that it made, also when a rule throws", async () => {
    const { device } = leaf(1);
    const x = ones([1000], { requiresGrad: true });
    const w = ones([1000]);
    const run = (fails: boolean): void => {
      const h = x.mul(2).exp();
      const y = h.mul(w).add(h.mul(3));
      if (fails) h.zero_();
      const before = device.bytesIssued;
      const text = error(() => y.sum().backward()).text.slice(0, 24);
      outcomes.push(text);
      kept.push(device.bytesIssued - before);
    };
    const [outcomes, kept]: [string[], number[]] = [[], []];
    for (const fails of [false, false, true, false]) run(fails);
    expect(outcomes).toEqual(["no error", "no error", "one of the variables nee", "no error"]);
    // The first pass makes x.grad; the sum and the 1 that a pass starts from are the collector's.
    expect(kept[0]).toBeLessThan(5000);
    for (const bytes of kept.slice(1)) expect(bytes).toBeLessThan(1000);
  });

  it("a pass holds one sum for a tensor that is used many times, not every addend", () => {
    const { device } = leaf(1);
    const shared = ones([1000], { requiresGrad: true });
    const first = ones([1000], { requiresGrad: true });
    let last = 0;
    let h = first;
    for (let i = 0; i < 50; i++) {
      h = h.mul(shared);
      if (i === 0) h.registerHook(() => void (last = device.bytesIssued));
    }
    const y = h.sum();
    const before = device.bytesIssued;
    y.backward();
    expect(last - before).toBeLessThan(10 * 4000);
    expect(Number(shared.grad?.sum().itemSync())).toBe(50_000);
  });

  it("backward takes its options with and without a gradient, and no others", () => {
    const x = leaf(1, 2);
    const y = x.mul(x).sum();
    y.backward({ retainGraph: true });
    y.backward(undefined, { retainGraph: true });
    y.backward(tensor(1, { dtype: "float32" }));
    expect(x.grad?.tolistSync()).toEqual([6, 12]);
    expect(() => y.backward({ retain_graph: true } as never)).toThrow("unexpected option 'retain_graph'");
    expect(() => grad(y, x, { retain_graph: true } as never)).toThrow("unexpected option 'retain_graph'");
  });
});

import { describe, expect, it } from "vitest";
import {
  backward,
  customFunction,
  enableGrad,
  grad,
  gradcheck,
  gradgradcheck,
  isGradEnabled,
  noGrad,
  tensor,
} from "../src/index.ts";
import type { Tensor } from "../src/index.ts";
import { error, float, leaf, scenario, useMockDevice } from "./autograd-scenarios.ts";

useMockDevice();

const double = (data: Parameters<typeof tensor>[0]): Tensor => tensor(data, { dtype: "float64", requiresGrad: true });

describe("hooks answer as PyTorch", () => {
  scenario("on leaves, in order, changing what follows, removed", "hooks_on_leaves", () => {
    const x = leaf(1, 2);
    const seen: unknown[] = [];
    x.registerHook((g) => {
      seen.push(g.tolistSync());
    });
    const handle = x.registerHook((g) => g.mul(10));
    x.registerHook((g) => {
      seen.push(g.tolistSync());
    });
    x.mul(x).sum().backward();
    handle.remove();
    x.mul(x).sum().backward();
    return [seen, x.grad];
  });

  scenario("on non-leaves, before retainGrad", "hooks_on_non_leaves", () => {
    const x = leaf(1, 2);
    const y = x.mul(2);
    const seen: unknown[] = [];
    y.registerHook((g) => g.add(1));
    y.registerHook((g) => {
      seen.push(g.tolistSync());
    });
    y.retainGrad();
    y.mul(y).sum().backward();
    return [seen, y.grad, x.grad];
  });

  scenario("a hook sees the sum of all that arrives, once", "hooks_see_the_sum", () => {
    const y = leaf(1).mul(2);
    const seen: unknown[] = [];
    y.registerHook((g) => {
      seen.push(g.tolistSync());
    });
    y.add(y.mul(3)).sum().backward();
    return seen;
  });

  scenario("a hook from before a write sees the gradient of the value before", "hook_before_a_write", () => {
    const y = leaf(1, 2).mul(2);
    const seen: unknown[] = [];
    y.registerHook((g) => {
      seen.push(g.tolistSync());
    });
    y.mul_(10);
    y.sum().backward();
    return seen;
  });

  it("a hook from after a write sees the gradient of the value after", () => {
    const y = leaf(1, 2).mul(2);
    const seen: unknown[] = [];
    y.mul_(10);
    y.registerHook((g) => {
      seen.push(g.tolistSync());
    });
    y.sum().backward();
    expect(seen).toEqual([[1, 1]]);
  });

  scenario("a hook must keep the shape", "hook_of_the_wrong_size", () => {
    const x = leaf(1, 2);
    const hook = (g: Tensor): Tensor => g.sum();
    x.registerHook(hook);
    return error(() => x.mul(x).sum().backward());
  });

  scenario("retainGrad accumulates as a leaf does", "retained_gradients", () => {
    const x = leaf(1, 2);
    const y = x.mul(2);
    y.retainGrad();
    y.retainGrad();
    const z = y.mul(y).sum();
    z.backward(undefined, { retainGraph: true });
    const first = y.grad?.clone();
    z.backward();
    return [first, y.grad, y.retainsGrad(), x.retainsGrad(), y.isLeaf];
  });

  scenario("what a hook computes in a recorded pass is differentiated", "hooks_in_a_recorded_pass", () => {
    const x = leaf(1, 2);
    const y = x.mul(x);
    y.registerHook((g) => g.mul(y));
    const [g] = grad(y.sum(), x, { createGraph: true });
    return [g, grad(g.sum(), x)];
  });

  it("a hook may remove itself, and the others still run", () => {
    const x = leaf(1);
    const seen: string[] = [];
    const first = x.registerHook(() => {
      seen.push("first");
      first.remove();
    });
    x.registerHook(() => {
      seen.push("second");
    });
    x.mul(2).backward();
    x.mul(2).backward();
    expect(seen).toEqual(["first", "second", "second"]);
  });

  it("a hook may keep its gradient: nobody writes to it or frees it later", () => {
    const x = leaf(1, 2);
    const kept: Tensor[] = [];
    x.registerHook((g) => {
      kept.push(g);
    });
    for (let i = 0; i < 3; i++) x.mul(2).sum().backward();
    expect(kept.map((g) => g.tolistSync())).toEqual([
      [2, 2],
      [2, 2],
      [2, 2],
    ]);
    expect(x.grad?.tolistSync()).toEqual([6, 6]);
  });

  it("grad() gives what the hooks of its inputs made of the gradient", () => {
    const x = leaf(1, 2);
    x.registerHook((g) => g.mul(10));
    expect(grad(x.mul(2).sum(), x)[0].tolistSync()).toEqual([20, 20]);
  });
});

const cube = customFunction({
  name: "Cube",
  forward(context, x: Tensor) {
    context.saveForBackward(x);
    return x.pow(3);
  },
  backward(context, g) {
    const [x] = context.savedTensors;
    return g.mul(3).mul(x.pow(2));
  },
});

const exp = customFunction({
  name: "Exp",
  forward(context, x: Tensor) {
    const y = x.exp();
    context.saveForBackward(y);
    return y;
  },
  backward: (context, g) => g.mul(context.savedTensors[0]),
});

describe("custom functions answer as PyTorch's", () => {
  scenario("forward, backward, name, freed graph", "custom_function", () => {
    const x = leaf(1, 2);
    const y = cube(x);
    y.sum().backward();
    return [y, x.grad, y.gradFn?.name, error(() => y.sum().backward())];
  });

  scenario("third order through a custom function", "custom_function_higher_orders", () => {
    const x = leaf(1, 2);
    const [a] = grad(cube(x).sum(), x, { createGraph: true });
    const [b] = grad(a.sum(), x, { createGraph: true });
    return [a, b, grad(b.sum(), x)];
  });

  scenario("a changed saved input is found", "custom_function_saved_changed", () => {
    const h = leaf(1, 2).mul(1);
    const y = cube(h);
    h.mul_(3);
    return error(() => y.sum().backward());
  });

  scenario("a saved output: second order, and found when changed", "custom_function_saves_its_output", () => {
    const x = leaf(1, 2);
    const [a] = grad(exp(x).sum(), x, { createGraph: true });
    const y = exp(x);
    y.mul_(2);
    return [a, grad(a.sum(), x), error(() => y.sum().backward())];
  });

  scenario(
    "several outputs, some not differentiable; arguments that are no tensors",
    "custom_function_with_several_outputs",
    () => {
      const seen: unknown[] = [];
      const sumAndProduct = customFunction({
        name: "SumAndProduct",
        forward(context, x: Tensor, y: Tensor, factor: number) {
          context.saveForBackward(x, y);
          context.state.factor = factor;
          const count = float(x.numel());
          context.markNonDifferentiable(count);
          return [x.add(y), x.mul(y).mul(factor), count];
        },
        backward(context, gs, gp) {
          const [x, y] = context.savedTensors;
          const { factor } = context.state as { factor: number };
          seen.push([...context.needsInputGrad, gs.tolistSync(), gp.tolistSync()]);
          return [gs.add(gp.mul(y).mul(factor)), gs.add(gp.mul(x).mul(factor)), undefined];
        },
      });
      const [x, y] = [leaf(1, 2), leaf(3, 5)];
      const [s, p, n] = sumAndProduct(x, y, 2);
      s.sum().add(p.sum()).backward();
      sumAndProduct(x, y.detach(), 3)[1].sum().backward();
      return [x.grad, y.grad, n.requiresGrad, s.gradFn === p.gradFn, seen];
    },
  );

  scenario("wrong answers of backward are refused", "custom_function_answers_wrongly", () => {
    const wrong = customFunction({
      name: "Wrong",
      forward(context, x: Tensor, _y: number, answer: readonly (Tensor | undefined)[]) {
        context.state.answer = answer;
        return x.mul(1);
      },
      backward: (context) => context.state.answer as readonly (Tensor | undefined)[],
    });
    const [x, t] = [leaf(1, 2), float([1, 2, 3])];
    const good = t.narrow(0, 0, 2);
    const none = undefined;
    const answers = [
      [good, none],
      [t, none, none],
      [good, t, none],
      [good, none, none, none],
      [good, none, none, t],
    ];
    return answers.map((answer) => error(() => wrong(x, 3, answer).sum().backward()));
  });

  scenario(
    "an argument that is returned as it is gets a place of its own",
    "custom_function_returns_its_argument",
    () => {
      const same = customFunction({
        name: "Same",
        forward: (_context, x: Tensor) => x,
        backward: (_context, g) => g.mul(2),
      });
      const x = leaf(1, 2);
      const y = same(x);
      y.sum().backward();
      const z = same(x.mul(1));
      return [x.grad, y.isLeaf, error(() => z.mul_(2))];
    },
  );

  it("a view that forward makes refuses writes, and writes to its base end it", () => {
    const viewed = customFunction({
      name: "Viewed",
      forward: (_context, x: Tensor) => x.view(1, 2),
      backward: (_context, g) => g.view(2),
    });
    const base = leaf(1, 2).mul(1);
    const view = viewed(base);
    expect(() => view.mul_(2)).toThrow("Output 0 of ViewedBackward is a view and is being modified inplace.");
    base.mul_(2);
    expect(() => view.sum()).toThrow(
      "Output 0 of ViewedBackward is a view and its base or another view of its base has been modified",
    );
  });

  const doubled = customFunction({
    name: "Double",
    forward(context, x: Tensor) {
      context.markDirty(x);
      return x.mul_(2);
    },
    backward: (_context, g) => g.mul(2),
  });

  scenario("writes of forward, marked dirty, also to a view", "custom_function_in_place", () => {
    const x = leaf(1, 2, 3);
    const y = x.mul(1);
    const same = doubled(y) === y;
    doubled(y.narrow(0, 1, 2));
    y.mul(float([1, 10, 100]))
      .sum()
      .backward();
    return [same, y, x.grad];
  });

  it("forward may not write to a leaf", () => {
    expect(() => doubled(leaf(1))).toThrow(
      "a leaf Variable that requires grad is being used in an in-place operation.",
    );
  });

  it("gradients are summed to the argument's shape and cast to its dtype", () => {
    const spread = customFunction({
      name: "Spread",
      forward: (_context, x: Tensor) => x.expand(3, 2).clone(),
      backward: (_context, g) => g.to("float64"),
    });
    const x = leaf(1, 2);
    spread(x).sum().backward();
    expect(x.grad?.tolistSync()).toEqual([3, 3]);
    expect(x.grad?.dtype).toBe("float32");
  });

  it("without gradients wanted forward runs and nothing is recorded", () => {
    expect(cube(float([2])).requiresGrad).toBe(false);
    expect(noGrad(() => cube(leaf(2))).requiresGrad).toBe(false);
  });

  it("backward may run a backward of its own", () => {
    const nested = customFunction({
      name: "Nested",
      forward(context, x: Tensor) {
        context.saveForBackward(x);
        return x.pow(2);
      },
      backward(context, g) {
        const x = context.savedTensors[0].detach().requiresGrad_();
        return g.mul(
          grad(
            enableGrad(() => cube(x).sum()),
            x,
          )[0],
        );
      },
    });
    const x = leaf(1, 2);
    nested(x.mul(1)).sum().backward();
    expect(x.grad?.tolistSync()).toEqual([3, 12]);
  });
});

describe("failures in backward leave the engine usable", () => {
  const fails = customFunction({
    name: "Fails",
    forward: (_context, x: Tensor) => x.mul(1),
    backward: () => {
      throw new Error("on purpose");
    },
  });

  scenario("in a custom function", "failure_in_backward", () => {
    const [x, w] = [leaf(1, 2), leaf(3, 4)];
    const y = fails(x.mul(2)).mul(w).sum();
    const text = error(() => y.backward());
    x.mul(w).sum().backward();
    return [text, x.grad, w.grad];
  });

  it("in a hook", () => {
    const x = leaf(1, 2);
    const handle = x.registerHook(() => {
      throw new Error("on purpose");
    });
    expect(() => x.mul(2).sum().backward()).toThrow("on purpose");
    expect(isGradEnabled()).toBe(true);
    handle.remove();
    backward([x.mul(2).sum()]);
    expect(x.grad?.tolistSync()).toEqual([2, 2]);
  });
});

describe("gradcheck", () => {
  it("passes right gradients, first and second order", async () => {
    const [a, b] = [
      double([
        [0.3, -0.7],
        [1.2, 0.4],
      ]),
      double([[0.9, 0.1]]),
    ];
    const f = (x: Tensor, y: Tensor): Tensor => x.mul(y).tanh().matmul(x).sum(0);
    await expect(gradcheck(f, [a, b])).resolves.toBe(true);
    await expect(gradgradcheck(f, [a, b])).resolves.toBe(true);
    await expect(gradcheck(cube, [double([0.5, 2])])).resolves.toBe(true);
    await expect(gradgradcheck(cube, [double([0.5, 2])])).resolves.toBe(true);
  });

  it("passes writes through views, first and second order", async () => {
    const f = (x: Tensor, y: Tensor): Tensor => {
      const z = x.mul(x);
      z.at(0).mul_(y);
      z.t().at(1).sin_();
      return z.exp();
    };
    const inputs = [
      double([
        [0.3, -0.7],
        [1.2, 0.4],
      ]),
      double([0.9, 0.1]),
    ];
    await expect(gradcheck(f, inputs)).resolves.toBe(true);
    await expect(gradgradcheck(f, inputs)).resolves.toBe(true);
  });

  const factor = (name: string, backward: (x: Tensor, g: Tensor) => Tensor) =>
    customFunction({
      name,
      forward(context, x: Tensor) {
        context.saveForBackward(x);
        return x.pow(2);
      },
      backward: (context, g) => backward(context.savedTensors[0], g),
    });

  it("catches a wrong gradient", async () => {
    const wrong = factor("Wrong", (x, g) => g.mul(x).mul(2.01));
    await expect(gradcheck(wrong, [double([1, 2])])).rejects.toThrow(/Jacobian mismatch for output 0 .* input 0/);
  });

  it("catches a gradient whose own gradient is wrong", async () => {
    const detached = factor("Detached", (x, g) => g.mul(x.detach()).mul(2));
    await expect(gradcheck(detached, [double([1, 2])])).resolves.toBe(true);
    await expect(gradgradcheck(detached, [double([1, 2])])).rejects.toThrow("Jacobian mismatch");
  });

  it("catches a gradient that is not linear in what it is given", async () => {
    const squared = factor("Squared", (x, g) => g.mul(g.detach()).mul(x).mul(2));
    await expect(gradgradcheck(squared, [double([1, 2])])).rejects.toThrow("Jacobian mismatch");
  });

  it("catches an output that hides its dependence", async () => {
    await expect(gradcheck((x) => x.detach().mul(2), [double([1, 2])])).rejects.toThrow("Jacobian mismatch");
  });

  it("refuses to check nothing", async () => {
    await expect(gradcheck((x) => x.mul(2), [float([1])])).rejects.toThrow(
      "at least one input tensor to require gradient",
    );
  });
});

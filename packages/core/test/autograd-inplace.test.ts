import { describe, expect, it } from "vitest";
import { arange, grad, noGrad, slice, tensor, zeros } from "../src/index.ts";
import type { Tensor } from "../src/index.ts";
import { error, float, leaf, scenario, useMockDevice } from "./autograd-scenarios.ts";

useMockDevice();

const range = (count: number): Tensor => arange(count, { dtype: "float32" }).requiresGrad_();

describe("in place on leaves and non-leaves as in PyTorch", () => {
  scenario(
    "leaves that require gradients refuse writes, also through views; inside noGrad they take them",
    "leaf_in_place",
    () => {
      const x = leaf(1, 2);
      const texts = [
        error(() => x.add_(1)),
        error(() => x.at(0).add_(1)),
        error(() => x.zero_()),
        error(() => x.view(1, 2).at(0).mul_(2)),
      ];
      noGrad(() => {
        x.add_(1);
        x.at(0).add_(1);
      });
      return [...texts, x, x.requiresGrad, x.isLeaf];
    },
  );

  scenario("assignment to a part of a leaf is refused", "leaf_at_assignment", () => {
    const x = leaf(1, 2);
    return [error(() => x.setAt(0, 5)), x];
  });

  scenario("a chain of writes to a non-leaf", "in_place_on_non_leaf", () => {
    const x = leaf(1, 2);
    const y = x.mul(2);
    y.add_(1).mul_(3);
    y.sum().backward();
    return [y, x.grad, y.gradFn?.name];
  });

  scenario(
    "a write keeps what its gradient needs of the value before",
    "in_place_keeps_what_it_needs_of_its_target",
    () => {
      const [x, w] = [leaf(2, 3), leaf(4, 5)];
      const y = x.mul(1).mul_(w);
      const z = x.mul(1).pow_(3);
      const s = x.mul(1).sin_();
      y.add(z).add(s).sum().backward();
      return [x.grad, w.grad];
    },
  );

  scenario("second order through writes", "in_place_second_order", () => {
    const [x, w] = [leaf(2, 3), leaf(4, 5)];
    const y = x.mul(x);
    y.mul_(w);
    y.sin_();
    y.exp_();
    const [g] = grad(y.sum(), x, { createGraph: true });
    return [g, grad(g.sum(), [x, w])];
  });

  scenario("a write without a gradient ends the history before it", "in_place_without_a_gradient", () => {
    const x = leaf(1.5, 2.5);
    x.mul(1).floor_().sum().backward();
    const first = x.grad?.clone();
    const b = x.mul(1).gt_(2);
    b.sum().backward();
    return [first, x.grad, b];
  });

  scenario("a target that needed no gradient gets a history", "target_that_needed_no_gradient", () => {
    const x = leaf(1, 2);
    const y = zeros([2]);
    y.add_(x).mul_(x);
    y.sum().backward();
    return [y.requiresGrad, x.grad];
  });

  scenario("copy_, fill_ and zero_", "copy_fill_zero", () => {
    const [x, s] = [leaf(1, 2, 3), leaf(4, 5, 6)];
    const a = x.mul(2).copy_(s);
    const b = x.mul(2).fill_(7);
    const c = x.mul(2).zero_();
    const d = x.mul(2).copy_(s.sum());
    a.add(b).add(c).add(d).sum().backward();
    return [x.grad, s.grad];
  });

  scenario("copy_ between dtypes", "copy_between_dtypes", () => {
    const x = leaf(1, 2);
    const y = zeros([2], { dtype: "float64" });
    y.copy_(x);
    y.mul(y).sum().backward();
    return [y.dtype, x.grad, x.grad?.dtype];
  });

  scenario("fill_ with a tensor", "fill_with_a_tensor", () => {
    const [x, v] = [leaf(1, 2, 3), float(5, true)];
    const y = x.mul(2).fill_(v);
    y.mul(float([1, 2, 3]))
      .sum()
      .backward();
    return [x.grad, v.grad];
  });

  scenario("maskedFill_ with a tensor", "masked_fill", () => {
    const [x, v] = [leaf(1, 2, 3), float(5, true)];
    const y = x.mul(2).maskedFill_(tensor([true, false, true]), v);
    y.mul(float([1, 10, 100]))
      .sum()
      .backward();
    return [y, x.grad, v.grad];
  });

  scenario("what was overwritten gets zeros, also of an infinite gradient", "overwritten_infinities_give_zeros", () => {
    const x = leaf(1, 2);
    const y = x.mul(2).zero_();
    y.sqrt().sum().backward();
    return x.grad;
  });
});

describe("in place on views as in PyTorch", () => {
  scenario("a write through a view is in its base's history", "write_through_a_view", () => {
    const x = leaf(1, 2, 3);
    const y = x.mul(2);
    y.at(1).mul_(10);
    y.mul(float([1, 1, 7]))
      .sum()
      .backward();
    return [y, x.grad, y.gradFn?.name];
  });

  scenario("a write through a view of a view of a view", "view_of_a_view", () => {
    const x = leaf(1, 2, 3, 4, 5, 6);
    const y = x.mul(2);
    y.view(2, 3)
      .t()
      .at(1)
      .mul_(float([10, 100]));
    y.mul(y).sum().backward();
    return [y, x.grad];
  });

  scenario("sibling views see each other's writes in their histories", "sibling_views", () => {
    const [x, w] = [leaf(1, 2, 3, 4), leaf(10, 20)];
    const y = x.mul(1);
    const [a, b, c] = [y.narrow(0, 0, 2), y.narrow(0, 1, 2), y.view(2, 2)];
    a.mul_(w);
    b.sum().add(c.at(1).sum().mul(2)).add(a.sum().mul(3)).backward();
    return [x.grad, w.grad];
  });

  scenario("a view sees a write to its base", "view_sees_writes_to_its_base", () => {
    const x = leaf(1, 2);
    const y = x.mul(1);
    const v = y.narrow(0, 1, 1);
    y.mul_(5);
    v.mul(v).sum().backward();
    return [v, x.grad];
  });

  scenario("a base without history gets one, and its other views with it", "base_without_history", () => {
    const s = leaf(1, 2);
    const base = zeros([2, 2]);
    const [row, column] = [base.at(0), base.at(slice(), 1)];
    row.copy_(s);
    column.mul(3).sum().backward();
    return [base, base.requiresGrad, base.isLeaf, row.isLeaf, s.grad];
  });

  scenario("rows filled one by one, each from the one before", "filling_row_by_row", () => {
    const x = leaf(1, 2);
    const out = zeros([3, 2]);
    let h: Tensor = x;
    for (let i = 0; i < 3; i++) {
      h = h.mul(h);
      out.setAt(i, h);
    }
    out
      .mul(float([[1], [10], [100]]))
      .sum()
      .backward();
    return [out, x.grad];
  });

  scenario("assignments of tensors and numbers to parts", "assignments", () => {
    const [x, s, n] = [range(12), leaf(1, 2, 3, 4), float(3, true)];
    const y = x.reshape(3, 4).mul(2);
    y.setAt(0, s);
    y.setAt([slice(), slice(1, 3)], n);
    y.at(2, slice(null, null, 2)).add_(s.at(slice(0, 2)));
    y.setAt([-1, -1], 9);
    y.mul(y).sum().backward();
    return [y, x.grad, s.grad, n.grad];
  });

  scenario("assignments at indices and masks", "assignment_by_tensors", () => {
    const [x, s] = [leaf(1, 2, 3, 4), leaf(10, 20)];
    const y = x.mul(1);
    y.setAt([tensor([0, 2])], s);
    y.setAt([tensor([false, true, false, false])], s.at(0));
    y.mul(y).sum().backward();
    return [y, x.grad, s.grad];
  });

  scenario("view, transpose, narrow, select, unsqueeze and squeeze in a chain", "chained_view_kinds", () => {
    const [x, w] = [range(24), leaf(1, 2, 3)];
    const y = x.mul(1);
    const v = y.view(2, 3, 4).transpose(1, 2).narrow(1, 1, 2).select(0, 1);
    v.mul_(w);
    v.unsqueeze(0).squeeze(0).add_(w);
    y.mul(y).sum().backward();
    return [x.grad, w.grad];
  });

  scenario("a diagonal", "diagonal_view", () => {
    const [x, w] = [range(9), leaf(1, 2, 3)];
    const y = x.view(3, 3).mul(1);
    y.diagonal().mul_(w);
    y.mul(y).sum().backward();
    return [x.grad, w.grad];
  });

  scenario("a view that is its own operand", "view_times_itself", () => {
    const x = leaf(1, 2, 3);
    const y = x.mul(2);
    const v = y.narrow(0, 1, 2);
    v.add_(v);
    v.add_(y.narrow(0, 0, 1));
    y.pow(2).sum().backward();
    return [y, x.grad];
  });

  scenario("a product added to a view: the target is not the op's first input", "in_place_product_into_a_view", () => {
    const x = leaf(1, 2, 3, 4, 5, 6, 7, 8);
    const [a, b] = [
      float(
        [
          [1, 2],
          [3, 4],
        ],
        true,
      ),
      float(
        [
          [1, -1],
          [2, 0.5],
        ],
        true,
      ),
    ];
    const y = x.view(2, 2, 2).mul(1);
    y.at(1).addmm_(a, b, { beta: 2, alpha: 3 });
    y.mul(y).sum().backward();
    return [y, x.grad, a.grad, b.grad];
  });

  scenario("second order through writes to views", "second_order_through_a_written_view", () => {
    const [x, w] = [leaf(1, 2, 3), leaf(2, 5)];
    const y = x.mul(x);
    y.narrow(0, 1, 2).mul_(w);
    y.at(0).exp_();
    const [g] = grad(y.mul(y).sum(), x, { createGraph: true });
    return [g, grad(g.sum(), [x, w])];
  });

  scenario("an expanded tensor refuses writes", "expanded_target", () => error(() => leaf(1).mul(2).expand(3).add_(1)));

  scenario("operands that overlap the target are refused", "overlapping_operands", () => {
    const y = leaf(1, 2, 3).mul(2);
    return error(() => y.narrow(0, 1, 2).add_(y.narrow(0, 0, 2)));
  });

  scenario("a view made in noGrad is written to in noGrad only", "view_made_without_recording", () => {
    const [x, w] = [leaf(1, 2), leaf(3, 4)];
    const y = x.mul(1);
    const v = noGrad(() => y.view(2));
    const texts = [v.isLeaf, error(() => v.mul_(w)), error(() => v.mul_(2))];
    noGrad(() => v.mul_(2));
    y.sum().backward();
    return [...texts, y, x.grad];
  });

  scenario(
    "a view made in noGrad has no history after a recorded write to its base",
    "base_written_after_a_view_without_recording",
    () => {
      const x = leaf(1, 2);
      const y = x.mul(1);
      const v = noGrad(() => y.view(2));
      y.mul_(2);
      return error(() => v.gradFn);
    },
  );

  scenario("a view of a leaf is written to in noGrad", "view_of_a_leaf_written_without_recording", () => {
    const x = leaf(1, 2);
    const v = x.view(2);
    noGrad(() => v.mul_(3));
    v.mul(v).sum().backward();
    return [v.requiresGrad, x, x.grad];
  });

  scenario("t_ and unsqueeze_ change the shape in place", "shape_changed_in_place", () => {
    const x = leaf(1, 2, 3, 4);
    const y = x.view(2, 2).mul(
      float([
        [1, 2],
        [3, 4],
      ]),
    );
    y.t_().unsqueeze_(0);
    y.mul(
      float([
        [1, 10],
        [100, 1000],
      ]),
    )
      .sum()
      .backward();
    return [y, x.grad, y.shape];
  });

  it("a view of a tensor whose shape changed in place since is not rebased silently", () => {
    const y = leaf(1, 2, 3, 4).view(2, 2).mul(1);
    const row = y.at(0);
    y.t_();
    expect(row.sum().requiresGrad).toBe(true);
    y.mul_(2);
    expect(() => row.gradFn).toThrow("its base has got another shape in place");
  });

  it("views of a detached, transposed tensor are written to in its own geometry", () => {
    const s = leaf(1, 2);
    const base = arange(6, { dtype: "float32" }).view(2, 3).t().narrow(0, 1, 2).detach();
    base.at(1).copy_(s);
    base
      .mul(
        float([
          [1, 1],
          [10, 100],
        ]),
      )
      .sum()
      .backward();
    expect(base.tolistSync()).toEqual([
      [1, 4],
      [1, 2],
    ]);
    expect(s.grad?.tolistSync()).toEqual([10, 100]);
  });
});

describe("a changed saved tensor is found, with PyTorch's message", () => {
  scenario("a saved leaf", "saved_leaf_changed", () => {
    const [x, w] = [leaf(1, 2), leaf(3, 4)];
    const y = x.mul(w).sum();
    noGrad(() => w.add_(1));
    return error(() => y.backward());
  });

  scenario("a saved constant", "saved_constant_changed", () => {
    const [x, c] = [leaf(1, 2), float([3, 4])];
    const y = x.mul(c).sum();
    c.zero_();
    return error(() => y.backward());
  });

  scenario("a saved intermediate result", "saved_intermediate_changed", () => {
    const [x, w] = [leaf(1, 2), leaf(3, 4)];
    const h = x.add(1);
    const y = h.mul(w).sum();
    h.add_(1);
    h.add_(1);
    return error(() => y.backward());
  });

  scenario("a saved output", "saved_output_changed", () => {
    const y = leaf(1, 2).exp();
    y.mul_(2);
    return error(() => y.sum().backward());
  });

  scenario("through a view", "saved_changed_through_a_view", () => {
    const y = leaf(1, 2).tanh();
    y.setAt(0, 0);
    return error(() => y.sum().backward());
  });

  scenario("through a detached tensor", "saved_changed_through_detached", () => {
    const y = leaf(1, 2).sigmoid();
    y.detach().zero_();
    return error(() => y.sum().backward());
  });

  scenario("a saved view, elsewhere in its base", "saved_view_changed_through_its_base", () => {
    const base = zeros([4], { dtype: "float64" });
    const x = zeros([2], { dtype: "float64", requiresGrad: true });
    const y = x.mul(base.narrow(0, 0, 2)).sum();
    base.setAt(3, 5);
    return error(() => y.backward());
  });

  scenario("what nobody saved may change", "what_nobody_saved_may_change", () => {
    const x = leaf(1, 2);
    const y = x.add(1);
    const z = y.mul(3);
    y.mul_(5);
    z.sum().backward();
    return x.grad;
  });
});

"""Writes fixtures/autograd.json: what PyTorch 1.13 answers to the scenarios of test/autograd*.test.ts.

Run: python3 packages/core/scripts/autograd/dump.py   (needs torch 1.13; the tests need no Python)

A scenario is a function here and one of the same name in the tests; both return numbers, booleans, strings (among them error
texts), nested lists and None.
"""

import json
import pathlib
import re

import torch
from torch import tensor

OUT = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "autograd.json"
answers = {}


def plain(x):
    if isinstance(x, torch.Tensor):
        return plain(x.tolist())
    if isinstance(x, float):
        return float(f"{x:.7g}")
    if isinstance(x, str):
        return x.removeprefix("torch.").removeprefix("torch::autograd::")
    if isinstance(x, (list, tuple)):
        return [plain(item) for item in x]
    return x


def scenario(f):
    assert f.__name__ not in answers, f.__name__
    answers[f.__name__] = plain(f())


def error(f):
    """The text of the error that f raises, without Python's spellings and advice."""
    try:
        f()
    except Exception as e:
        text = str(e).split(" Hint: ")[0].split(" If you want to use")[0].split(" If you are using")[0].strip()
        text = text.replace("torch.FloatTensor", "float32").replace("torch.DoubleTensor", "float64")
        text = text.replace(".backward() or autograd.grad()", "backward() or grad()").replace("requires_grad flags", "requiresGrad flags")
        return re.sub(r"torch\.Size\((\[.*?\])\)", r"\1", text)
    return "no error"


def leaf(*values):
    return tensor([float(v) for v in values], requires_grad=True)


# --- the engine ---------------------------------------------------------------------------------------------------------------


@scenario
def accumulates():
    x = leaf(1, 2, 3)
    x.mul(2).sum().backward()
    x.mul(x).sum().backward()
    return x.grad


@scenario
def accumulates_into_the_same_tensor():
    x = leaf(1, 2)
    x.sum().backward()
    g = x.grad
    x.sum().backward()
    return [g, x.grad is g]


@scenario
def create_graph_accumulates_into_a_new_tensor():
    x = leaf(1, 2)
    x.pow(2).sum().backward(create_graph=True)
    g = x.grad
    x.pow(2).sum().backward(create_graph=True)
    return [g, x.grad, x.grad is g, x.grad.requires_grad]


@scenario
def same_tensor_twice():
    x = leaf(2, 3)
    (x * x + x - x).sum().backward()
    return x.grad


@scenario
def retain_graph():
    x = leaf(1, 2)
    y = x.exp().sum()
    y.backward(retain_graph=True)
    y.backward()
    return x.grad


@scenario
def freed_graph():
    x = leaf(1, 2)
    y = x.exp().sum()
    y.backward()
    return [error(y.backward), x.grad]


@scenario
def nothing_saved_walks_twice():
    x = leaf(1, 2)
    y = (x + 1).sum()
    y.backward()
    y.backward()
    return x.grad


@scenario
def grad_leaves_the_rest_of_the_graph():
    x = leaf(1, 2)
    y = x.exp()
    z = y.mul(y).sum()
    (g,) = torch.autograd.grad(z, y)
    y.backward(g)
    return x.grad


@scenario
def third_order():
    x = leaf(1, 2)
    y = x.pow(4).sum()
    (a,) = torch.autograd.grad(y, x, create_graph=True)
    (b,) = torch.autograd.grad(a.sum(), x, create_graph=True)
    (c,) = torch.autograd.grad(b.sum(), x)
    return [a, b, c, a.requires_grad, c.requires_grad]


@scenario
def mixed_second_order():
    x, w = leaf(1, 2), leaf(3, 5)
    (g,) = torch.autograd.grad((x.pow(2) * w.sin()).sum(), x, create_graph=True)
    return torch.autograd.grad(g.sum(), [x, w])


@scenario
def gradient_penalty():
    x, w = leaf(1, 2), leaf(3, 4)
    (g,) = torch.autograd.grad((w * x).tanh().sum(), x, create_graph=True)
    g.pow(2).sum().backward()
    return [x.grad, w.grad]


@scenario
def forward_mode_by_two_backwards():
    x = leaf(1, 2, 3)
    v = leaf(1, 1, 1)
    y = x.pow(3)
    (g,) = torch.autograd.grad(y, x, grad_outputs=v, create_graph=True)
    return torch.autograd.grad(g, v, grad_outputs=tensor([1.0, 10.0, 100.0]))


@scenario
def unused_input():
    x, z = leaf(1), leaf(1)
    y = x * 2
    return [error(lambda: torch.autograd.grad(y, [x, z], retain_graph=True)), torch.autograd.grad(y, [x, z], allow_unused=True)]


@scenario
def grad_touches_no_leaf():
    x, w = leaf(1), leaf(2)
    g = torch.autograd.grad((x * w).sum(), x)
    return [g, x.grad, w.grad]


@scenario
def grad_of_non_leaf_and_leaf():
    x = leaf(1, 2)
    y = x * 3
    return torch.autograd.grad((y * y).sum(), [y, x])


@scenario
def grad_of_an_output_by_itself():
    x = leaf(1, 2)
    y = x * 3
    return torch.autograd.grad(y, [y, x], grad_outputs=tensor([1.0, 2.0]))


@scenario
def several_outputs():
    x = leaf(1, 2)
    return torch.autograd.grad([x.sum(), (x * x).sum()], x)


@scenario
def output_that_another_needs():
    x = leaf(1, 2)
    y = x * 2
    z = y.exp()
    return torch.autograd.grad([z, y], x, grad_outputs=[tensor([1.0, 1.0]), tensor([10.0, 20.0])])


@scenario
def non_scalar_backward():
    x = leaf(1, 2)
    y = x * x
    first = error(y.backward)
    y.backward(tensor([1.0, 10.0]))
    return [first, x.grad]


@scenario
def shapes_of_gradients():
    x = leaf(1, 2)
    y = x * x
    return [
        error(lambda: y.backward(tensor([1.0, 1.0, 1.0]))),
        error(lambda: torch.autograd.grad(y, x, grad_outputs=[tensor(1.0)])),
    ]


@scenario
def no_history():
    x = tensor([1.0])
    return [
        error(x.backward),
        error(lambda: torch.autograd.grad(x.sum(), leaf(1))),
        error(lambda: torch.autograd.grad(leaf(1).sum(), x)),
        error(lambda: x.register_hook(lambda g: g)),
        error(x.retain_grad),
    ]


@scenario
def backward_from_a_leaf():
    x = leaf(3)
    x.backward()
    g = tensor([5.0])
    x.backward(g)
    return [x.grad, g]


@scenario
def backward_in_no_grad():
    x = leaf(3)
    y = x * x
    with torch.no_grad():
        y.backward()
    return [x.grad, x.grad.requires_grad]


@scenario
def broadcasting():
    a = tensor([[1.0], [2.0]], requires_grad=True)
    b = leaf(1, 2, 3)
    c = tensor(2.0, requires_grad=True)
    (a * b + c).sum().backward()
    return [a.grad, b.grad, c.grad]


@scenario
def casts():
    x = leaf(1, 2)
    y = x.double() * tensor([1.5, 2.5], dtype=torch.float64)
    y.sum().backward()
    mixed = leaf(1, 2)
    (mixed * tensor([2.0, 3.0], dtype=torch.float64)).sum().backward()
    return [x.grad, str(x.grad.dtype), mixed.grad, str(mixed.grad.dtype), x.long().requires_grad]


# --- leaves, detach, modes ----------------------------------------------------------------------------------------------------


@scenario
def leaves():
    x = leaf(1)
    y = x * 2
    with torch.no_grad():
        z = x * 2
    return [x.is_leaf, y.is_leaf, z.is_leaf, y.detach().is_leaf, tensor(1).is_leaf, y.requires_grad, z.requires_grad]


@scenario
def requires_grad_rules():
    x = leaf(1)
    y = x * 2
    return [
        error(lambda: y.requires_grad_(False)),
        y.requires_grad_().requires_grad,
        error(lambda: tensor([1]).requires_grad_()),
        x.requires_grad_(False).requires_grad,
        (x * 2).requires_grad,
    ]


@scenario
def detaching():
    x = leaf(1, 2)
    y = x * 2
    d = y.detach()
    d.add_(1)
    v = y[0:1]
    kept = error(v.detach_)
    w = x * 3
    w.detach_()
    return [y, d.requires_grad, d.is_leaf, kept, w.requires_grad, w.is_leaf, x.detach_().requires_grad]


@scenario
def modes():
    x = leaf(1)
    seen = [torch.is_grad_enabled()]
    with torch.no_grad():
        seen.append(torch.is_grad_enabled())
        with torch.enable_grad():
            seen += [torch.is_grad_enabled(), (x * 2).requires_grad]
        seen.append((x * 2).requires_grad)
        with torch.set_grad_enabled(True):
            seen.append(torch.is_grad_enabled())
    return seen + [torch.is_grad_enabled()]


@scenario
def names():
    x = leaf(1, 2)
    y = x + x * 2
    first, second = y.grad_fn.next_functions
    return [
        str(type(y.grad_fn).__name__),
        str(first[0].name()),
        second[0].name(),
        [n[0] and n[0].name() for n in second[0].next_functions],
        x.grad_fn,
        repr(x),
        repr(x * 2),
        repr(x.sum()),
        repr(x.detach()),
        x[0].grad_fn.name(),
        x.view(2, 1).grad_fn.name(),
        x.exp().grad_fn.name(),
    ]


# --- in place -----------------------------------------------------------------------------------------------------------------


@scenario
def leaf_in_place():
    x = leaf(1, 2)
    texts = [error(lambda: x.add_(1)), error(lambda: x[0].add_(1)), error(lambda: x.zero_()), error(lambda: x.view(1, 2)[0].mul_(2))]
    with torch.no_grad():
        x.add_(1)
        x[0].add_(1)
    return texts + [x, x.requires_grad, x.is_leaf]


@scenario
def leaf_at_assignment():
    x = leaf(1, 2)

    def assign():
        x[0] = 5

    return [error(assign), x]


@scenario
def in_place_on_non_leaf():
    x = leaf(1, 2)
    y = x * 2
    y.add_(1).mul_(3)
    y.sum().backward()
    return [y, x.grad, y.grad_fn.name()]


@scenario
def in_place_keeps_what_it_needs_of_its_target():
    x, w = leaf(2, 3), leaf(4, 5)
    y = x * 1
    y.mul_(w)
    z = x * 1
    z.pow_(3)
    s = x * 1
    s.sin_()
    (y + z + s).sum().backward()
    return [x.grad, w.grad]


@scenario
def in_place_second_order():
    x, w = leaf(2, 3), leaf(4, 5)
    y = x * x
    y.mul_(w)
    y.sin_()
    y.exp_()
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return [g, torch.autograd.grad(g.sum(), [x, w])]


@scenario
def in_place_without_a_gradient():
    x = leaf(1.5, 2.5)
    a = x * 1
    a.floor_()
    a.sum().backward()
    first = x.grad.clone()
    b = x * 1
    b.gt_(2)
    b.sum().backward()
    return [first, x.grad, b]


@scenario
def target_that_needed_no_gradient():
    x = leaf(1, 2)
    y = torch.zeros(2)
    y.add_(x).mul_(x)
    y.sum().backward()
    return [y.requires_grad, x.grad]


@scenario
def copy_fill_zero():
    x, s = leaf(1, 2, 3), leaf(4, 5, 6)
    a = x * 2
    a.copy_(s)
    b = x * 2
    b.fill_(7)
    c = x * 2
    c.zero_()
    d = x * 2
    d.copy_(s.sum())
    (a + b + c + d).sum().backward()
    return [x.grad, s.grad]


@scenario
def copy_between_dtypes():
    x = leaf(1, 2)
    y = torch.zeros(2, dtype=torch.float64)
    y.copy_(x)
    (y * y).sum().backward()
    return [str(y.dtype), x.grad, str(x.grad.dtype)]


@scenario
def fill_with_a_tensor():
    x, v = leaf(1, 2, 3), tensor(5.0, requires_grad=True)
    y = x * 2
    y.fill_(v)
    (y * tensor([1.0, 2.0, 3.0])).sum().backward()
    return [x.grad, v.grad]


@scenario
def masked_fill():
    x, v = leaf(1, 2, 3), tensor(5.0, requires_grad=True)
    mask = tensor([True, False, True])
    y = x * 2
    y.masked_fill_(mask, v)
    y.mul(tensor([1.0, 10.0, 100.0])).sum().backward()
    return [y, x.grad, v.grad]


@scenario
def overwritten_infinities_give_zeros():
    x = leaf(1, 2)
    y = x * 2
    y.zero_()
    y.sqrt().sum().backward()
    return x.grad


# --- views and in place ---------------------------------------------------------------------------------------------------------


@scenario
def write_through_a_view():
    x = leaf(1, 2, 3)
    y = x * 2
    y[1].mul_(10)
    y.mul(tensor([1.0, 1.0, 7.0])).sum().backward()
    return [y, x.grad, y.grad_fn.name()]


@scenario
def view_of_a_view():
    x = leaf(1, 2, 3, 4, 5, 6)
    y = x * 2
    y.view(2, 3).t()[1].mul_(tensor([10.0, 100.0]))
    (y * y).sum().backward()
    return [y, x.grad]


@scenario
def sibling_views():
    x, w = leaf(1, 2, 3, 4), leaf(10, 20)
    y = x * 1
    a, b, c = y[0:2], y[1:3], y.view(2, 2)
    a.mul_(w)
    (b.sum() + c[1].sum() * 2 + a.sum() * 3).backward()
    return [x.grad, w.grad]


@scenario
def view_sees_writes_to_its_base():
    x = leaf(1, 2)
    y = x * 1
    v = y[1:]
    y.mul_(5)
    v.mul(v).sum().backward()
    return [v, x.grad]


@scenario
def base_without_history():
    s = leaf(1, 2)
    base = torch.zeros(2, 2)
    row, column = base[0], base[:, 1]
    row.copy_(s)
    (column * 3).sum().backward()
    return [base, base.requires_grad, base.is_leaf, row.is_leaf, s.grad]


@scenario
def filling_row_by_row():
    x = leaf(1, 2)
    out = torch.zeros(3, 2)
    h = x
    for i in range(3):
        h = h * h
        out[i] = h
    (out * tensor([[1.0], [10.0], [100.0]])).sum().backward()
    return [out, x.grad]


@scenario
def assignments():
    x, s, n = leaf(*range(12)), leaf(1, 2, 3, 4), tensor(3.0, requires_grad=True)
    y = x.reshape(3, 4) * 2
    y[0] = s
    y[:, 1:3] = n
    y[2, ::2] += s[:2]
    y[-1, -1] = 9
    (y * y).sum().backward()
    return [y, x.grad, s.grad, n.grad]


@scenario
def assignment_by_tensors():
    x, s = leaf(1, 2, 3, 4), leaf(10, 20)
    y = x * 1
    y[tensor([0, 2])] = s
    y[tensor([False, True, False, False])] = s[0]
    (y * y).sum().backward()
    return [y, x.grad, s.grad]


@scenario
def chained_view_kinds():
    x, w = leaf(*range(24)), leaf(1, 2, 3)
    y = x * 1
    v = y.view(2, 3, 4).transpose(1, 2).narrow(1, 1, 2).select(0, 1)
    v.mul_(w)
    v.unsqueeze(0).squeeze(0).add_(w)
    (y * y).sum().backward()
    return [x.grad, w.grad]


@scenario
def diagonal_view():
    x, w = leaf(*range(9)), leaf(1, 2, 3)
    y = x.view(3, 3) * 1
    y.diagonal().mul_(w)
    (y * y).sum().backward()
    return [x.grad, w.grad]


@scenario
def view_times_itself():
    x = leaf(1, 2, 3)
    y = x * 2
    v = y[1:]
    v.add_(v)
    v.add_(y[:1])
    y.pow(2).sum().backward()
    return [y, x.grad]


@scenario
def in_place_product_into_a_view():
    x, a, b = leaf(1, 2, 3, 4, 5, 6, 7, 8), tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True), tensor([[1.0, -1.0], [2.0, 0.5]], requires_grad=True)
    y = x.view(2, 2, 2) * 1
    y[1].addmm_(a, b, beta=2.0, alpha=3.0)
    (y * y).sum().backward()
    return [y, x.grad, a.grad, b.grad]


@scenario
def second_order_through_a_written_view():
    x, w = leaf(1, 2, 3), leaf(2, 5)
    y = x * x
    y[1:].mul_(w)
    y[0].exp_()
    (g,) = torch.autograd.grad((y * y).sum(), x, create_graph=True)
    return [g, torch.autograd.grad(g.sum(), [x, w])]


@scenario
def expanded_target():
    x = leaf(1)
    return error(lambda: (x * 2).expand(3).add_(1))


@scenario
def overlapping_operands():
    y = leaf(1, 2, 3) * 2
    return error(lambda: y[1:].add_(y[:-1]))


@scenario
def view_made_without_recording():
    x, w = leaf(1, 2), leaf(3, 4)
    y = x * 1
    with torch.no_grad():
        v = y.view(2)
    texts = [v.is_leaf, error(lambda: v.mul_(w)), error(lambda: v.mul_(2))]
    with torch.no_grad():
        v.mul_(2)
    y.sum().backward()
    return texts + [y, x.grad]


@scenario
def base_written_after_a_view_without_recording():
    x = leaf(1, 2)
    y = x * 1
    with torch.no_grad():
        v = y.view(2)
    y.mul_(2)
    return error(lambda: v.grad_fn)


@scenario
def view_of_a_leaf_written_without_recording():
    x = leaf(1, 2)
    v = x.view(2)
    with torch.no_grad():
        v.mul_(3)
    (v * v).sum().backward()
    return [v.requires_grad, x, x.grad]


@scenario
def shape_changed_in_place():
    x = leaf(1, 2, 3, 4)
    y = x.view(2, 2) * tensor([[1.0, 2.0], [3.0, 4.0]])
    y.t_().unsqueeze_(0)
    (y * tensor([[1.0, 10.0], [100.0, 1000.0]])).sum().backward()
    return [y, x.grad, list(y.shape)]


# --- versions -------------------------------------------------------------------------------------------------------------------


@scenario
def saved_leaf_changed():
    x, w = leaf(1, 2), leaf(3, 4)
    y = (x * w).sum()
    with torch.no_grad():
        w.add_(1)
    return error(y.backward)


@scenario
def saved_constant_changed():
    x, c = leaf(1, 2), tensor([3.0, 4.0])
    y = (x * c).sum()
    c.zero_()
    return error(y.backward)


@scenario
def saved_intermediate_changed():
    x, w = leaf(1, 2), leaf(3, 4)
    h = x + 1
    y = (h * w).sum()
    h.add_(1)
    h.add_(1)
    return error(y.backward)


@scenario
def saved_output_changed():
    x = leaf(1, 2)
    y = x.exp()
    y.mul_(2)
    return error(y.sum().backward)


@scenario
def saved_changed_through_a_view():
    x = leaf(1, 2)
    y = x.tanh()
    y[0] = 0
    return error(y.sum().backward)


@scenario
def saved_changed_through_detached():
    x = leaf(1, 2)
    y = x.sigmoid()
    y.detach().zero_()
    return error(y.sum().backward)


@scenario
def saved_view_changed_through_its_base():
    base = torch.ones(4, dtype=torch.float64)
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    y = (x * base[:2]).sum()
    base[3] = 5
    return error(y.backward)


@scenario
def what_nobody_saved_may_change():
    x = leaf(1, 2)
    y = x + 1
    z = y * 3
    y.mul_(5)
    z.sum().backward()
    return x.grad


# --- hooks ----------------------------------------------------------------------------------------------------------------------


@scenario
def hooks_on_leaves():
    x = leaf(1, 2)
    seen = []
    x.register_hook(lambda g: seen.append(g.tolist()))
    handle = x.register_hook(lambda g: g * 10)
    x.register_hook(lambda g: seen.append(g.tolist()))
    (x * x).sum().backward()
    handle.remove()
    (x * x).sum().backward()
    return [seen, x.grad]


@scenario
def hooks_on_non_leaves():
    x = leaf(1, 2)
    y = x * 2
    seen = []
    y.register_hook(lambda g: g + 1)
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.retain_grad()
    (y * y).sum().backward()
    return [seen, y.grad, x.grad]


@scenario
def hooks_see_the_sum():
    x = leaf(1)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    (y + y * 3).sum().backward()
    return seen


@scenario
def hook_before_a_write():
    x = leaf(1, 2)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g.tolist()))
    y.mul_(10)
    y.sum().backward()
    return seen


@scenario
def hook_of_the_wrong_size():
    x = leaf(1, 2)

    def hook(g):
        return g.sum()

    x.register_hook(hook)
    return error((x * x).sum().backward)


@scenario
def retained_gradients():
    x = leaf(1, 2)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    z = (y * y).sum()
    z.backward(retain_graph=True)
    first = y.grad.clone()
    z.backward()
    return [first, y.grad, y.retains_grad, x.retains_grad, y.is_leaf]


@scenario
def hooks_in_a_recorded_pass():
    x = leaf(1, 2)
    y = x * x
    y.register_hook(lambda g: g * y)
    (g,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    return [g, torch.autograd.grad(g.sum(), x)]


# --- custom functions -------------------------------------------------------------------------------------------------------------


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


@scenario
def custom_function():
    x = leaf(1, 2)
    y = Cube.apply(x)
    y.sum().backward()
    return [y, x.grad, type(y.grad_fn).__name__, error(y.sum().backward)]


@scenario
def custom_function_higher_orders():
    x = leaf(1, 2)
    (a,) = torch.autograd.grad(Cube.apply(x).sum(), x, create_graph=True)
    (b,) = torch.autograd.grad(a.sum(), x, create_graph=True)
    return [a, b, torch.autograd.grad(b.sum(), x)]


@scenario
def custom_function_saved_changed():
    x = leaf(1, 2)
    h = x * 1
    y = Cube.apply(h)
    h.mul_(3)
    return error(y.sum().backward)


class Exp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        y = x.exp()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, g):
        (y,) = ctx.saved_tensors
        return g * y


@scenario
def custom_function_saves_its_output():
    x = leaf(1, 2)
    (a,) = torch.autograd.grad(Exp.apply(x).sum(), x, create_graph=True)
    y = Exp.apply(x)
    y.mul_(2)
    return [a, torch.autograd.grad(a.sum(), x), error(y.sum().backward)]


class SumAndProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, factor):
        ctx.save_for_backward(x, y)
        ctx.factor = factor
        count = tensor(x.numel())
        ctx.mark_non_differentiable(count)
        return x + y, x * y * factor, count

    @staticmethod
    def backward(ctx, gs, gp, _):
        x, y = ctx.saved_tensors
        seen.append(list(ctx.needs_input_grad) + [gs.tolist(), gp.tolist()])
        return gs + gp * y * ctx.factor, gs + gp * x * ctx.factor, None


seen = []


@scenario
def custom_function_with_several_outputs():
    x, y = leaf(1, 2), leaf(3, 5)
    s, p, n = SumAndProduct.apply(x, y, 2)
    (s.sum() + p.sum()).backward()
    a, b, _ = SumAndProduct.apply(x, y.detach(), 3)
    b.sum().backward()
    return [x.grad, y.grad, n.requires_grad, s.grad_fn is p.grad_fn, seen]


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y, answer):
        ctx.answer = answer
        return x * 1

    @staticmethod
    def backward(ctx, g):
        return ctx.answer


@scenario
def custom_function_answers_wrongly():
    x = leaf(1, 2)
    t = tensor([1.0, 2.0, 3.0])

    def run(answer):
        return error(Wrong.apply(x, 3, answer).sum().backward)

    return [run((t[:2], None)), run((t, None, None)), run((t[:2], t, None)), run((t[:2], None, None, None)), run((t[:2], None, None, t))]


class Same(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 2


@scenario
def custom_function_returns_its_argument():
    x = leaf(1, 2)
    y = Same.apply(x)
    y.sum().backward()
    z = Same.apply(x * 1)
    return [x.grad, y.is_leaf, error(lambda: z.mul_(2))]


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, g):
        return g * 2


@scenario
def custom_function_in_place():
    x = leaf(1, 2, 3)
    y = x * 1
    same = Double.apply(y) is y
    Double.apply(y[1:])
    (y * tensor([1.0, 10.0, 100.0])).sum().backward()
    return [same, y, x.grad]


# --- failures -----------------------------------------------------------------------------------------------------------------


class Fails(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1

    @staticmethod
    def backward(ctx, g):
        raise RuntimeError("on purpose")


@scenario
def failure_in_backward():
    x, w = leaf(1, 2), leaf(3, 4)
    y = (Fails.apply(x * 2) * w).sum()
    text = error(y.backward)
    (x * w).sum().backward()
    return [text, x.grad, w.grad]


OUT.write_text("{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(answer)}" for name, answer in answers.items()) + "\n}\n")
print(f"{OUT}: {len(answers)} scenarios")

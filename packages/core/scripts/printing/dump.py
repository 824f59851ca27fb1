"""Writes fixtures/printing.json.gz: tensors of every kind and the text with which PyTorch 1.13 prints them.

Run: python3 packages/core/scripts/printing/dump.py   (needs torch 1.13 and numpy; the tests need neither)

Each case is [dtype, shape, elements as hex of little-endian bytes, suffix facts, print options, text].
Large tensors hold periodic values, so that the file stays small.
"""

import gzip
import json
import math
import pathlib
import random

import torch

OUT = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "printing.json.gz"
FLOATS = [torch.float32, torch.float64]
INTEGERS = [torch.int32, torch.int64, torch.uint8]
LIMITS = {torch.int32: (-(2**31), 2**31 - 1), torch.int64: (-(2**63), 2**63 - 1), torch.uint8: (0, 255)}
SHAPES = [(), (1,), (2,), (7,), (13,), (40,), (1, 1), (2, 3), (3, 1), (1, 25), (4, 11), (2, 2, 2), (3, 1, 4),
          (1, 2, 1, 3), (2, 1, 2, 2, 1)]
EMPTY = [(0,), (0, 3), (3, 0), (2, 0, 4), (0, 0), (1, 1, 0), (10000, 0)]
LARGE = [(1001,), (5000,), (1000,), (7, 200), (6, 200), (500, 4), (200, 6), (200, 7), (1, 2000), (2000, 1),
         (11, 12, 13), (7, 2, 150), (2, 7, 7, 20), (6, 6, 6, 6), (7, 7, 7, 7), (3, 1, 7, 1, 60)]

rng = random.Random(1913)
cases = []


def elements(tensor):
    return tensor.detach().contiguous().numpy().tobytes().hex()


def add(tensor, device=False, **options):
    facts = {}
    if tensor.grad_fn is not None:
        facts["gradFn"] = type(tensor.grad_fn).__name__
    elif tensor.requires_grad:
        facts["requiresGrad"] = True
    default_device = torch._C._get_default_device
    if device:
        facts["device"] = "cpu"
        torch._C._get_default_device = lambda: "elsewhere"
    torch.set_printoptions(**options)
    text = repr(tensor)
    torch.set_printoptions(profile="default")
    torch._C._get_default_device = default_device
    names = {"sci_mode": "sciMode"}
    options = {names.get(name, name): "Infinity" if value == math.inf else value for name, value in options.items()}
    dtype = str(tensor.dtype).removeprefix("torch.")
    cases.append([dtype, list(tensor.shape), elements(tensor), facts, options, text])


def build(values, shape, dtype):
    return torch.tensor(values, dtype=dtype).reshape(shape)


def numel(shape):
    return math.prod(shape)


SPECIAL = [0.0, -0.0, math.nan, math.inf, -math.inf]
EDGES = [1.0, -1.0, 0.5, 0.1, 1 / 3, 0.03125, 0.09375, 1000.5, 99999.5, 123456.789, 1e8, 1e8 + 8, 1.5e8, 1e22, 1e23,
         1e98, 1e-4, 0.9e-4, 1e-5, 1e-40, 1e-243, 1e-319, 5e-324, 1.4e-45, 2.2250738585072014e-308,
         3.4028234663852886e38, 1.7976931348623157e308, 2**53, 2**63]
RATIOS = [(1.0, 1000.0), (1.0, 1001.0), (0.5, 500.0), (0.5, 500.5), (0.001, 1.0), (0.0009, 1.0), (1e8, 1e6), (1e8, 1e4)]
KINDS = {
    "whole": lambda: float(rng.randint(-9, 9)),
    "whole wide": lambda: float(rng.randint(-999, 999)),
    "whole sci": lambda: float(rng.choice([1, 3, 1000, 1001, 10**8, 10**8 + 1, -(2**40), 10**25])),
    "normal": lambda: rng.gauss(0, 1),
    "hundreds": lambda: rng.uniform(-500, 500),
    "tiny": lambda: rng.gauss(0, 1) * 1e-6,
    "mixed": lambda: rng.gauss(0, 1) * 10.0 ** rng.randint(-12, 12),
    "extreme": lambda: rng.choice([1, -1]) * rng.uniform(1, 10) * 10.0 ** rng.randint(-44, 37),
    "special": lambda: rng.choice(SPECIAL + [1.0, -2.0]),
    "special and fractions": lambda: rng.choice(SPECIAL + [1.5, -2.25]),
    "special only": lambda: rng.choice(SPECIAL),
    "zeros": lambda: rng.choice([0.0, -0.0]),
    "ties": lambda: rng.randint(-99, 99) / 32,
    "near ties": lambda: rng.choice([0.99995, 9.99995, 0.00005, 1.00005, 2.5, -0.00004, 99999.99995]),
}

for dtype in FLOATS:
    for kind, draw in KINDS.items():
        for shape in rng.sample(SHAPES, 8):
            add(build([draw() for _ in range(numel(shape))], shape, dtype))
    for value in SPECIAL + EDGES:
        add(torch.tensor(value, dtype=dtype))
        add(torch.tensor([value, value], dtype=dtype))
    for pair in RATIOS:
        add(torch.tensor(pair, dtype=dtype))
for dtype in INTEGERS:
    least, greatest = LIMITS[dtype]
    for shape in SHAPES:
        for low, high in [(max(-9, least), 9), (least, greatest)]:
            add(build([rng.randint(low, high) for _ in range(numel(shape))], shape, dtype))
add(torch.tensor([2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)]))
for shape in SHAPES:
    add(build([rng.random() < 0.5 for _ in range(numel(shape))], shape, torch.bool))
    add(torch.ones(shape, dtype=torch.bool))

for dtype in FLOATS + INTEGERS + [torch.bool]:
    for shape in EMPTY:
        add(torch.empty(shape, dtype=dtype), device=rng.random() < 0.3)
add(torch.empty(0, 3, requires_grad=True))
add(torch.empty(0, requires_grad=True) * 2)

PERIODS = [[1.0, 2.0, 3.0], [0.5, -0.25, 7.125, 0.0], [1e-7, 3.0], [1.0, 2000.0], [math.nan, 1.5, math.inf]]
for shape in LARGE:
    for period in PERIODS:
        values = (period * (numel(shape) // len(period) + 1))[: numel(shape)]
        add(build(values, shape, rng.choice(FLOATS)))
    add(torch.arange(numel(shape)).reshape(shape) % 977)
    add(build([i % 3 == 0 for i in range(numel(shape))], shape, torch.bool))
# Only the shown elements decide on notation and width.
hidden = torch.ones(2000)
hidden[1000] = 1e20
add(hidden)
add(hidden.reshape(20, 100).t())
add(torch.zeros(3000, 2, dtype=torch.uint8), device=True)

FUNCTIONS = [lambda x: x * 2, lambda x: x + x, lambda x: x.sin(), lambda x: x.sum(), lambda x: x.reshape(-1),
             lambda x: x.softmax(0), lambda x: x.log_softmax(-1), lambda x: x.clone(), lambda x: x.unsqueeze(0),
             lambda x: torch.cat([x, x]), lambda x: torch.nn.functional.binary_cross_entropy_with_logits(x, x.detach())]
for shape in [(1,), (3,), (8,), (2, 4), (3, 9), (2, 2, 5), (1500,)]:
    for function in FUNCTIONS:
        dtype = rng.choice(FLOATS)
        leaf = build([float(i % 7) / rng.choice([1, 4]) for i in range(numel(shape))], shape, dtype).requires_grad_()
        add(function(leaf), device=rng.random() < 0.5)
    add(leaf, device=rng.random() < 0.5)
# Rows of every length, so that each suffix meets the line's end at every distance.
for length in range(1, 24):
    row = torch.arange(float(length), dtype=rng.choice(FLOATS))
    add(row, device=True)
    add(row.requires_grad_(), device=rng.random() < 0.5)
    add(row.view_as(row) / 2, device=rng.random() < 0.5)
for width in range(1, 6):
    for length in range(1, 25):
        add(torch.full((length,), 10 ** (width - 1), dtype=torch.int32))
        add(torch.full((2, length), 10 ** (width - 1), dtype=torch.int32), device=True)
# Three suffixes, broken over lines in every way.
for linewidth in range(20, 90):
    add(torch.ones(2, dtype=torch.float64, requires_grad=True) * 2, device=True, linewidth=linewidth)

OPTIONS = [dict(precision=0), dict(precision=2), dict(precision=8), dict(precision=17), dict(precision=20),
           dict(sci_mode=True), dict(sci_mode=False), dict(linewidth=40), dict(linewidth=10), dict(linewidth=200),
           dict(threshold=5), dict(threshold=5, edgeitems=1), dict(threshold=0),
           dict(profile="short"), dict(profile="full"), dict(profile="full", precision=1),
           dict(profile="short", sci_mode=True), dict(threshold=math.inf, edgeitems=2)]
for options in OPTIONS:
    for kind in ["whole", "whole sci", "normal", "mixed", "special", "special and fractions", "zeros", "ties"]:
        shape = rng.choice(SHAPES)
        values = [KINDS[kind]() for _ in range(numel(shape))]
        add(build(values, shape, rng.choice(FLOATS)), device=rng.random() < 0.2, **options)
    add(torch.arange(30).reshape(2, 15), **options)
    add(torch.arange(1200, dtype=torch.int32).reshape(30, 40) % 50, **options)
    add(torch.tensor([True, False]), **options)

OUT.write_bytes(gzip.compress(json.dumps(cases, ensure_ascii=False, separators=(",", ":")).encode(), 9, mtime=0))
print(f"{len(cases)} cases, {OUT.stat().st_size} bytes, torch {torch.__version__}")

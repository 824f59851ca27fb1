"""Writes PyTorch's OpInfo samples as compact fixtures (see README.md beside this file).

usage: PYTHONHASHSEED=0 python3 dump.py OUT [OP ...]     OP as in ops.txt, all of them by default
"""

import gzip
import itertools
import json
import math
import os
import random
import struct
import sys
import warnings
from pathlib import Path

import numpy as np
import torch
from torch.testing import make_tensor
from torch.testing._internal.common_methods_invocations import op_db
from torch.testing._internal.opinfo.core import BinaryUfuncInfo, SampleInput, UnaryUfuncInfo

# How many samples of a dtype an op keeps, and how many elements (arguments and outputs together) one may have.
LIMITS = {
    torch.float32: (16, 4000),
    torch.float64: (4, 300),
    torch.int64: (4, 300),
    torch.int32: (4, 300),
    torch.uint8: (4, 300),
    torch.bool: (4, 300),
}
DTYPES = list(LIMITS)
# What the smallest sample of an op may have where none is within the limit.
LARGEST = 1500
# How many of the float32 samples are held with non-contiguous tensors too.
STRIDED = 2
PACK_BYTES = 700_000
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -2.5, 3.0, 1e-3, 100.0, -100.0, math.inf, -math.inf, math.nan]
# Where a tensor lives and how its memory is ordered is not what the samples are about.
IGNORED_KEYWORDS = {"device", "layout", "memory_format", "pin_memory"}


class Unsupported(Exception):
    """A value that the fixtures cannot hold: another dtype, a sparse tensor, an object."""


class Writer:
    """Collects the tensors of one op in one blob; what it returns for a value refers to the blob by offset."""

    def __init__(self):
        self.blob = bytearray()
        self.known = {}

    def tensor(self, t):
        if t.dtype not in LIMITS or t.layout != torch.strided or t.device.type != "cpu" or t.is_quantized:
            raise Unsupported(f"{t.dtype} {t.layout} {t.device}")
        if t._is_zerotensor():
            t = torch.zeros_like(t)  # it has no memory of its own: its bytes would be anything
        data = t.detach().contiguous().view(-1).numpy().tobytes()
        if data not in self.known:
            self.known[data] = len(self.blob)
            self.blob += data
        node = {"t": name(t.dtype), "shape": list(t.shape), "at": self.known[data]}
        if not t.is_contiguous():
            node["strides"] = list(t.stride())
        if t.requires_grad:
            node["grad"] = 1
        return node

    def value(self, v):
        if isinstance(v, torch.Tensor):
            return self.tensor(v)
        if isinstance(v, torch.dtype):
            if v not in LIMITS:
                raise Unsupported(v)
            return {"dtype": name(v)}
        if v is None or isinstance(v, (bool, str)):
            return v
        if isinstance(v, int):
            if abs(v) >= 2**53:
                raise Unsupported(v)
            return v
        if isinstance(v, float):
            # JSON has neither NaN nor infinities, and JavaScript reads 1.0 as 1.
            return v if math.isfinite(v) and v != int(v) else {"float": str(v)}
        if v is Ellipsis:
            return {"ellipsis": 1}
        if isinstance(v, slice):
            return {"slice": [v.start, v.stop, v.step]}
        if isinstance(v, tuple):
            return {"tuple": [self.value(x) for x in v]}
        if isinstance(v, list):
            return [self.value(x) for x in v]
        if isinstance(v, torch.nn.PairwiseDistance) and str(v.__dict__) == str(torch.nn.PairwiseDistance().__dict__):
            return {"module": "PairwiseDistance"}
        raise Unsupported(type(v))


def name(dtype):
    return str(dtype).removeprefix("torch.")


def seed():
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


def entry_name(op):
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else op.name


def tensors(value):
    """All tensors in nested lists, tuples and dicts, in order."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from tensors(v)
    elif isinstance(value, dict):
        for v in value.values():
            yield from tensors(v)


def elements(value):
    return sum(t.numel() for t in tensors(value))


def arguments(sample):
    """(positional, keyword) arguments of a sample."""
    keywords = {k: v for k, v in sample.kwargs.items() if k not in IGNORED_KEYWORDS}
    return [sample.input, *sample.args], keywords


def signature(value):
    """What makes two samples alike: the same structure, ranks, layouts and keywords, and empty dimensions alike."""
    if isinstance(value, torch.Tensor):
        return ("t", value.dim(), value.numel() == 0, value.is_contiguous(), str(value.dtype))
    if isinstance(value, (list, tuple)):
        return tuple(signature(v) for v in value)
    if isinstance(value, dict):
        return tuple((k, signature(v)) for k, v in sorted(value.items()))
    return value if isinstance(value, (str, bool)) else type(value).__name__


def spread(samples, limit):
    """At most `limit` samples: turns go round the groups of alike samples, and a group gives from all over itself."""
    groups = {}
    for i, sample in enumerate(samples):
        groups.setdefault(repr(signature(arguments(sample))), []).append(i)
    turns = [[group[k] for k in spaced(len(group), limit)] for group in groups.values()]
    order = [i for row in itertools.zip_longest(*turns) for i in row if i is not None]
    if len(groups) > limit:
        order = [order[k] for k in spaced(len(groups), limit)]
    return [samples[i] for i in sorted(order[:limit])]


def spaced(n, limit):
    """Up to `limit` (2 or more) distinct indices below n: the first, the last, then those between."""
    if n <= limit:
        return list(range(n))
    picked = sorted({round(k * (n - 1) / (limit - 1)) for k in range(limit)})
    return [picked[0], picked[-1], *picked[1:-1]]


def cotangent(t):
    """-1 to 1 in equal steps over the elements (-1 where there is only one)."""
    n = t.numel()
    steps = torch.tensor([-1 + 2 * i / max(n - 1, 1) for i in range(n)], dtype=torch.float64)
    return steps.to(t.dtype).reshape(t.shape)


def sample_case(op, writer, positional, keyword, max_elements, twice):
    """One case: arguments, result, gradients and (with `twice`) second-order ones; None where it is too large."""
    if elements((positional, keyword)) > max_elements:
        return None
    case = {
        "args": [writer.value(v) for v in positional],
        "kwargs": {k: writer.value(v) for k, v in keyword.items()},
    }
    before = [t.detach().clone() for t in tensors((positional, keyword))]
    result = op.op(*positional, **keyword)
    if elements(result) > max_elements:
        return None
    case["out"] = writer.value(result)
    after = [t.detach() for t in tensors((positional, keyword))]
    changed = [not torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(before, after)]
    if any(changed):
        case["updated"] = [writer.tensor(t) if c else None for t, c in zip(after, changed)]
    leaves = [t for t in tensors((positional, keyword)) if t.requires_grad]
    outputs = [t for t in tensors(result) if t.requires_grad]
    if not leaves or not outputs:
        return case

    def encode(gradients):
        return [None if g is None else writer.tensor(g.detach()) for g in gradients]

    first = torch.autograd.grad(
        outputs, leaves, [cotangent(t) for t in outputs], create_graph=twice, retain_graph=True, allow_unused=True
    )
    case["grad"] = encode(first)
    curved = [g for g in first if g is not None and g.requires_grad]
    if twice and curved:
        energy = sum(g.square().sum() for g in curved)
        case["gradgrad"] = encode(torch.autograd.grad(energy, leaves, allow_unused=True))
    return case


def deterministic(sample):
    """Whether the result depends on the arguments only; attention that also returns its weights is left out too."""
    return not sample.kwargs.get("dropout_p") and not sample.kwargs.get("need_attn_weights")


def small_samples(op, dtype, requires_grad):
    """Smaller samples of the same kinds for the two entries whose own are all of thousands of elements."""

    def make(*shape):
        return make_tensor(shape, device="cpu", dtype=dtype, requires_grad=requires_grad)

    if op.name == "kron":
        return [SampleInput(make(*a), args=(make(*b),)) for a, b in [((2, 3), (3, 4)), ((3,), (2, 2)), ((), (4,))]]
    if op.name == "slice_scatter":
        picks = [(6, 0, 6, 1), (3, 3, 6, 1), (2, 2, 6, 2)]
        shapes = [(dim, pick) for dim in range(3) for pick in picks]
        return [
            SampleInput(make(6, 6, 6), args=(make(*[n if d == dim else 6 for d in range(3)]), dim, start, end, step))
            for dim, (n, start, end, step) in shapes
        ]
    return []


def sample_cases(op, writer, dtype, skipped):
    limit, max_elements = LIMITS[dtype]
    seed()
    differentiable = op.supports_autograd and dtype in op.supported_backward_dtypes("cpu")
    samples = small_samples(op, dtype, differentiable)
    samples = samples or list(op.sample_inputs("cpu", dtype, requires_grad=differentiable))
    samples = [s for s in samples if deterministic(s)]
    small = [s for s in samples if elements(arguments(s)) <= max_elements]
    if not small:
        small = [min(samples, key=lambda s: elements(arguments(s)))]
        max_elements = LARGEST
    kept = [(sample, {}) for sample in spread(small, limit)]
    if dtype == torch.float32:
        # OpInfo's own samples are nearly all contiguous; PyTorch's tests copy them so as well.
        ranked = [s for s, _ in kept if any(t.dim() > 1 and t.numel() > 1 for t in tensors(arguments(s)))]
        kept += [(s.noncontiguous(), {"made": "noncontiguous"}) for s in spread(ranked, STRIDED)]
    cases = []
    for sample, note in kept:
        for twice in (True, False) if op.supports_gradgrad else (False,):
            try:
                case = sample_case(op, writer, *arguments(sample), max_elements, twice)
                break
            except Exception as e:
                case = None
                order = " (second order)" if twice else ""
                skipped.append(f"{entry_name(op)} {name(dtype)}{order}: {type(e).__name__}: {str(e)[:100]}")
        if case is not None:
            cases.append({"dtype": name(dtype), **note, **case})
    return cases


def made_cases(op, writer, made, operands):
    """Cases on operands that this script makes, for values and dtypes only; the op may refuse some operands."""
    cases = []
    for positional in operands:
        try:
            case = sample_case(op, writer, positional, {}, LIMITS[torch.float32][1], twice=False)
        except Exception:
            continue
        cases.append({"dtype": name(positional[0].dtype), "made": made, **case})
    return cases


def promotion_cases(op, writer):
    """Every binary ufunc with operands of two dtypes, with a 0-d second operand, and with Python's numbers."""
    if not isinstance(op, BinaryUfuncInfo):
        return []
    vectors = {d: torch.tensor([1, 0, 1] if d == torch.bool else [7, 2, 3]).to(d) for d in DTYPES}
    others = {d: torch.tensor([1, 1, 1] if d == torch.bool else [2, 3, 2]).to(d) for d in DTYPES}
    pairs = [[vectors[a], others[b]] for a in DTYPES for b in DTYPES if a != b]
    pairs += [[vectors[a], others[b][0].clone()] for a in DTYPES for b in DTYPES if a != b]
    pairs += [[vectors[a], scalar] for a in DTYPES for scalar in (2, 2.5, True)]
    return made_cases(op, writer, "promotion", pairs)


def special_cases(op, writer):
    """Unary and binary ufuncs at zeros of both signs, infinities, NaN, halves, and large and small numbers."""
    one = {
        torch.float32: torch.tensor(SPECIAL),
        torch.float64: torch.tensor(SPECIAL, dtype=torch.float64),
        torch.int32: torch.tensor([0, 1, -1, 2, -7, 8], dtype=torch.int32),
        torch.uint8: torch.tensor([0, 1, 2, 200, 255], dtype=torch.uint8),
        torch.bool: torch.tensor([True, False]),
    }
    if isinstance(op, UnaryUfuncInfo):
        return made_cases(op, writer, "special", [[t] for t in one.values()])
    if isinstance(op, BinaryUfuncInfo):
        t = one[torch.float32]
        integers = torch.tensor([-7, -2, -1, 1, 2, 3, 8], dtype=torch.int32)
        pairs = [torch.meshgrid(v, v, indexing="ij") for v in (t, integers)]
        return made_cases(op, writer, "special", [[a.flatten(), b.flatten()] for a, b in pairs])
    return []


def error_cases(op, writer, skipped):
    if op.error_inputs_func is None:
        return []
    cases = []
    seed()
    for error in op.error_inputs("cpu"):
        positional, keyword = arguments(error.sample_input)
        try:
            if "out" in keyword:
                raise Unsupported("an `out` argument")
            if elements((positional, keyword)) > LIMITS[torch.float32][1]:
                raise Unsupported("too large")
            case = {
                "type": error.error_type.__name__,
                "regex": error.error_regex,
                "args": [writer.value(v) for v in positional],
                "kwargs": {k: writer.value(v) for k, v in keyword.items()},
            }
        except Unsupported as e:
            skipped.append(f"{entry_name(op)} error: {e}")
            continue
        try:
            op.op(*positional, **keyword)
        except Exception:
            cases.append(case)
        else:
            skipped.append(f"{entry_name(op)} error: raises only for its device or layout: {error.error_regex[:60]}")
    return cases


def dump(op, skipped):
    """(JSON record, blob) of one entry."""
    writer = Writer()
    supported = op.supported_dtypes("cpu")
    cases = [c for d in DTYPES if d in supported for c in sample_cases(op, writer, d, skipped)]
    record = {
        "entry": entry_name(op),
        "function": op.name,
        "aliases": [alias.name for alias in op.aliases],
        "dtypes": [name(d) for d in DTYPES if d in supported],
        "cases": cases + promotion_cases(op, writer) + special_cases(op, writer),
        "errors": error_cases(op, writer, skipped),
    }
    return record, bytes(writer.blob)


def pack(records):
    """One pack: u32 length of the JSON, the JSON, then the blobs of its entries end to end; gzipped without a date."""
    start, heads, blobs = 0, [], []
    for record, blob in records:
        heads.append({**record, "blob": [start, len(blob)]})
        blobs.append(blob)
        start += len(blob)
    text = json.dumps(heads, separators=(",", ":")).encode()
    return gzip.compress(struct.pack("<I", len(text)) + text + b"".join(blobs), compresslevel=9, mtime=0)


def packs(records):
    """Consecutive records gathered so that each pack stays near PACK_BYTES."""
    batch, size = [], 0
    for record in records:
        one = len(pack([record]))
        if batch and size + one > PACK_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += one
    yield batch


def index_text(index):
    """One line an entry."""
    lines = [f"    {json.dumps(k)}: {json.dumps(v)}" for k, v in index.items()]
    version = json.dumps(torch.__version__)
    return f'{{\n  "pytorch": {version},\n  "entries": {{\n' + ",\n".join(lines) + "\n  }\n}\n"


def main(out, wanted):
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("pack-*.gz"):
        old.unlink()
    names = wanted or (Path(__file__).parent / "ops.txt").read_text().split()
    entries = {entry_name(op): op for op in op_db}
    skipped = []
    records = [dump(entries[n], skipped) for n in sorted(names)]
    index = {}
    for number, batch in enumerate(packs(records)):
        file = f"pack-{number:02d}.gz"
        (out / file).write_bytes(pack(batch))
        index.update({record["entry"]: {"function": record["function"], "pack": file} for record, _ in batch})
    (out / "index.json").write_text(index_text(index))

    cases = [c for record, _ in records for c in record["cases"]]
    total = sum(f.stat().st_size for f in out.glob("pack-*.gz"))
    print("\n".join(skipped))
    print(
        f"{len(records)} entries, {len(cases)} cases, {sum('grad' in c for c in cases)} with gradients, "
        f"{sum('gradgrad' in c for c in cases)} second order, {sum(len(r['errors']) for r, _ in records)} error cases, "
        f"{len(skipped)} left out, {total / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        sys.exit("set PYTHONHASHSEED=0: some samples are taken from sets, whose order it fixes")
    main(Path(sys.argv[1]), sys.argv[2:])

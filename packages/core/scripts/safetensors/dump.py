"""Writes fixtures/safetensors.json: files of the reference library (safetensors 0.8 for Python, with numpy).

Run: python3 packages/core/scripts/safetensors/dump.py   (the tests need neither)

Each case is {"metadata": {...} | null, "tensors": [[name, dtype, shape, bytes as hex]], "file": the file as hex}.
No case has more than one metadata entry: the reference writes several in no fixed order.
"""

import json
import pathlib

import numpy as np
from safetensors.numpy import save

OUT = pathlib.Path(__file__).resolve().parents[2] / "fixtures" / "safetensors.json"
DTYPES = ["bool", "float32", "float64", "int32", "int64", "uint8"]
SHAPES = [(), (1,), (0, 3), (2, 1, 2), (3, 0), (5,)]
rng = np.random.default_rng(7)


def array(dtype, shape):
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    bits = rng.integers(0, 256, (*shape, np.dtype(dtype).itemsize), dtype=np.uint8)
    return np.frombuffer(bits.tobytes(), dtype).reshape(shape)


CASES = [
    ({}, None),
    ({"": array("uint8", (0,))}, None),
    ({"weight": array("float32", (2, 3)), "bias": array("float32", (3,))}, {"format": "pt"}),
    ({f"{i}.{dtype}": array(dtype, (i + 1,)) for i in range(2) for dtype in DTYPES}, None),
    ({dtype: array(dtype, shape) for dtype, shape in zip(DTYPES, SHAPES)}, {"": ""}),
    ({name: array("int64", ()) for name in ["10", "9", "a", "B", "Z", "__proto__", "constructor"]}, None),
    # UTF-8 and UTF-16 order these two differently.
    ({name: array("uint8", (1,)) for name in ["\U0001f600", "\ue000", "é", "e"]}, {"\U0001f600": "\ue000\n\"\\"}),
    ({"\x01\x1f\x7f\b\f\n\r\t\"\\/\u2028": array("int32", (1,))}, None),
    ({"x": array("float64", (2,))}, {}),
] + [({"n" * length: array("uint8", (length,))}, None) for length in range(1, 9)]


def case(tensors, metadata):
    raw = [[name, value.dtype.name, value.shape, value.tobytes().hex()] for name, value in tensors.items()]
    return {"metadata": metadata, "tensors": raw, "file": save(tensors, metadata).hex()}


OUT.write_text(json.dumps([case(*one) for one in CASES], separators=(",", ":")) + "\n")
print(f"{len(CASES)} cases, {OUT.stat().st_size} bytes")

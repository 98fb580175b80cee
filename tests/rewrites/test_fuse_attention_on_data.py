"""
Locks in that `fuse-attention` changes no number: every function of its FileCheck tests (tests/filecheck/rewrites),
fused or left alone, gives the same on random data before and after. Masks have rows without any key.
"""

from __future__ import annotations

import functools
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attention_graphs.check import difference
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp

from flashlower.dialects.attention import SdpaOp
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.interpreters import argument_types, run_module
from flashlower.rewrites.fuse_attention import FuseAttentionPass

# Only static shapes can be run.
TEXTS = {
    f"{path.stem}-{i}": text.replace("?", "16")
    for path in sorted((Path(__file__).parents[1] / "filecheck" / "rewrites").glob("fuse_attention*.mlir"))
    for i, text in enumerate(path.read_text().split("// -----"))
}
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 3e-3, "bfloat16": 2e-2}


@functools.cache
def modules(text: str) -> tuple[ModuleOp, ModuleOp]:
    """A module before and after the pass."""
    before, after = (parse_module(TEXTS[text]) for _ in range(2))
    FuseAttentionPass().apply(make_context(), after)
    after.verify()
    return before, after


def public(module: ModuleOp) -> list[FuncOp]:
    return [op for op in module.ops if isinstance(op, FuncOp) and op.sym_visibility != StringAttr("private")]


def random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    if dtype.kind == "b":
        keep = np.asarray(rng.random(shape) < 0.7)
        keep[tuple(0 for _ in shape[:-1])] = False
        return keep
    if dtype.kind in "iu":
        return rng.integers(0, 8, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)


NAMES = re.compile(r"^func\.func @(\w+)", re.MULTILINE)
CASES = [(key, name) for key, text in TEXTS.items() for name in NAMES.findall(text)]
CANNOT_BE_RUN = ("recursive", "sharding_of_logits", "logits_printed", "weights_printed")
"""Functions without end, and custom calls."""


@pytest.mark.parametrize(("text", "name"), [case for case in CASES if case[1] not in CANNOT_BE_RUN])
def test_numbers_stay(text: str, name: str) -> None:
    before, after = modules(text)
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    inputs = [random_array(rng, shape, dtype) for shape, dtype in argument_types(before, name)]
    fused = any(isinstance(op, SdpaOp) for f in public(after) if f.sym_name.data == name for op in f.walk())
    expected, got = (run_module(module, inputs, function=name) for module in (before, after))
    for a, b in zip(expected, got, strict=True):
        error = difference(a, b, plain_softmax=fused)
        assert error < TOLERANCE[a.dtype.name], f"{error:.2e}"

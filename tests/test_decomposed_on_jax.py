"""Locks in that fuse, split and decompose keep the numbers of every module in the tests, on JAX's CPU client.

The corpus and the whole models have tests of their own that do the same (test_corpus.py, models/). Here are the inputs
of the FileCheck tests and the random graphs of the fuzzer: fully masked rows, every dtype and layout.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attention_graphs.check import TOLERANCE, difference
from attention_graphs.generate import generate
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

from flashlower.dialects.numpy_values import element_type_of
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.interpreters import argument_types, run_module
from flashlower.rewrites.decompose_attention import DecomposeAttentionPass
from flashlower.rewrites.flash_decoding import FlashDecodingPass
from flashlower.rewrites.fuse_attention import FuseAttentionPass
from flashlower.rewrites.inline import InlineCallsPass

pytest.importorskip("jax", reason="the extra jax is not installed")

from jax_client import run_module_on_jax
from pipelines import transform
from quantized_cases import QUANTIZED_CASES, QuantizedCase

FILES = [
    path
    for path in sorted((Path(__file__).parent / "filecheck" / "rewrites").glob("*.mlir"))
    # Files of errors, of other passes (schedules are for long sequences), and those that look at the corpus.
    if not re.search("_invalid$|inline|schedule_attention", path.stem) and "xdsl-opt %s" in path.read_text()
]
CANNOT_RUN = {
    # Scalar arguments; what the bounds of keys are computed from.
    "flash_decoding": ("unknown",),
    "infer_bounds": ("prefix",),
    "infer_bounds_refused": ("arithmetic",),
    # A composite that decomposes into itself.
    "fuse_attention_composite": ("recursive",),
    # Custom calls.
    "fuse_attention_restraint": ("sharding_of_logits", "logits_printed", "weights_printed"),
}
"""Functions that no interpreter runs, by file."""
NEAR_MISSES = ("fuse_attention_negative", "fuse_attention_restraint")
"""Files of functions that are not fused, but for a few; elsewhere the FileCheck tests say which ones are."""
SPLITS = 3


def random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Conditions leave a row with nothing; integers are positions, lengths, pages and rows of tables."""
    if dtype.kind == "b":
        keep = np.asarray(rng.random(shape) < 0.7)
        keep.reshape(-1, shape[-1] if shape else 1)[:1] = False
        return keep
    if dtype.kind in "iu":
        return rng.integers(0, 5, shape).astype(dtype)
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def decomposed(module: ModuleOp) -> ModuleOp | None:
    """The module with its attention split and written as plain operations; None where it has none."""
    result, context = module.clone(), make_context()
    FuseAttentionPass().apply(context, result)
    if not any(op.name.startswith("attention.") for op in result.walk()):
        return None
    FlashDecodingPass(splits=SPLITS).apply(context, result)
    DecomposeAttentionPass().apply(context, result)
    result.verify()
    return result


def functions_of(path: Path) -> list[tuple[str, ModuleOp]]:
    """Every public function of a file in a module that can stand alone, with calls inlined and sizes known."""
    found: list[tuple[str, ModuleOp]] = []
    for part in path.read_text().replace("?", "16").split("// -----"):
        module = parse_module(part)
        InlineCallsPass().apply(make_context(), module)
        for function in module.ops:
            if not isinstance(function, FuncOp) or function.is_declaration or function.sym_visibility is not None:
                continue
            needs_others = any(op.name == "stablehlo.composite" for op in function.walk())
            found.append((function.sym_name.data, module if needs_others else ModuleOp([function.clone()])))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_filecheck_inputs(path: Path) -> None:
    rng = np.random.default_rng(zlib.crc32(path.stem.encode()))
    count = 0
    for name, module in functions_of(path):
        if name in CANNOT_RUN.get(path.stem, ()):
            continue
        inputs = [random_array(rng, shape, dtype) for shape, dtype in argument_types(module, name)]
        if (after := decomposed(module)) is None:
            continue
        expected = run_module(module, inputs, function=name)
        compare(f"{path.name} @{name}", expected, run_module_on_jax(after, inputs, name))
        count += 1
    assert count or path.stem in NEAR_MISSES


def test_what_is_left_out_is_there() -> None:
    names = {path.stem: {name for name, _ in functions_of(path)} for path in FILES}
    for stem, left_out in CANNOT_RUN.items():
        assert names[stem].issuperset(left_out)


@pytest.mark.parametrize("seed", range(20))
def test_random_graphs(seed: int) -> None:
    case = generate(seed)
    module = parse_module(case.text)
    after = decomposed(module)
    assert after is not None
    # An LSE in f32 of logits in bf16 is no more exact than those.
    expected, got = run_module(module, case.inputs), run_module_on_jax(after, case.inputs)
    compare(f"seed {seed}", expected, got, TOLERANCE[case.dtype])


def compare(what: str, expected: Any, got: Any, tolerance: float | None = None) -> None:
    for i, (want, result) in enumerate(zip(expected, got, strict=True)):
        if want.dtype.kind in "iub":
            assert np.array_equal(want, result), f"{what}: result {i} differs"
            continue
        error = difference(want, result, plain_softmax=True)
        allowed = tolerance or TOLERANCE[str(element_type_of(want.dtype))]
        assert error <= allowed, f"{what}: result {i} differs by {error:.2e}"


@pytest.mark.parametrize("case", QUANTIZED_CASES, ids=str)
def test_quantized_keys_and_values(case: QuantizedCase):
    """The shifts, masks and conversions of codes are what the specification says of integers."""
    case.check(run_module_on_jax(transform(case.module_text(), "decompose-attention"), case.inputs()))

"""Locks in that fuse, split and decompose keep the numbers of every module in the tests, on JAX's CPU client.

The corpus and the whole models have tests of their own that do the same (test_corpus.py, models/). Here are the inputs
of the FileCheck tests and the random graphs of the fuzzer: fully masked rows, every dtype and layout.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attention_graphs.check import TOLERANCE, difference
from attention_graphs.generate import generate
from xdsl.dialects.builtin import ModuleOp, TensorType, UnregisteredOp
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.utils.exceptions import DiagnosticException

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
    # Files of errors, of another pass, and those that look at the corpus.
    if not path.stem.endswith("_invalid") and "inline" not in path.stem and "xdsl-opt %s" in path.read_text()
]
NOTHING_TO_RUN = ("fuse_attention_negative", "fuse_attention_restraint", "fuse_attention_composite")
"""Files without attention, and one of functions that cannot stand alone."""
SPLITS = 3


def random_array(rng: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Any:
    """Conditions leave a row with nothing; integers are positions and lengths."""
    if dtype.kind == "b":
        keep = np.asarray(rng.random(shape) < 0.7)
        keep.reshape(-1, shape[-1] if shape else 1)[:1] = False
        return keep
    if dtype.kind in "iu":
        return rng.integers(0, 6, shape).astype(dtype)
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
    """Every function of a file that takes tensors, alone in a module, with what it calls inlined."""
    found: list[tuple[str, ModuleOp]] = []
    for part in path.read_text().split("// -----"):
        module = parse_module(part)
        InlineCallsPass().apply(make_context(), module)
        for function in module.ops:
            if not isinstance(function, FuncOp) or function.is_declaration:
                continue
            unknown = any(isinstance(op, UnregisteredOp | CallOp) for op in function.walk())
            if not unknown and all(isinstance(type, TensorType) for type in function.function_type.inputs):
                found.append((function.sym_name.data, ModuleOp([function.clone()])))
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_filecheck_inputs(path: Path) -> None:
    rng = np.random.default_rng()
    count = 0
    for name, module in functions_of(path):
        try:
            inputs = [random_array(rng, shape, dtype) for shape, dtype in argument_types(module, name)]
            expected = run_module(module, inputs, function=name)
        except (DiagnosticException, ValueError, RecursionError):
            # Dynamic sizes, types that NumPy has not, custom calls, composites without end: what nothing runs.
            continue
        if (after := decomposed(module)) is None:
            continue
        compare(f"{path.name} @{name}", expected, run_module_on_jax(after, inputs, name))
        count += 1
    assert count or path.stem in NOTHING_TO_RUN


@pytest.mark.parametrize("seed", range(40))
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

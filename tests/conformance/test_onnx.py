"""
ONNX's own test cases of `Attention` and of the preview `FlexAttention`: nodes, and their expanded function bodies.

Every case is imported, run with NumPy and, where an attention is found in it, with the kernels in Triton's interpreter.
Locked in: all cases give the expected outputs; nodes and bodies alike become one attention each, but those whose
logits or probabilities are outputs, which become none. (The `prob_mod` of the suite is a constant factor.)

The cases come with the onnx package. An error is ||a - b|| / ||b||. The expected outputs of 16-bit cases are computed
in 16 bits, ours in f32 up to the last rounding: the bounds are 8 roundings of f16, and 2 of bf16 (2^-11 and 2^-8 each).
"""

import warnings
from importlib import import_module

import numpy as np
import pytest
from xdsl.utils.exceptions import DiagnosticException

import flashlower
from flashlower.dialects.attention import SdpaOp
from flashlower.dialects.parsing import make_context
from flashlower.rewrites.fuse_attention import FuseAttentionPass

pytest.importorskip("onnx")

BOUNDS = {"float32": 1e-5, "float64": 1e-12, "float16": 8 * 2.0**-11, "bfloat16": 2 * 2.0**-8}


def load_cases():
    """The node tests of two operators; `onnx.backend.test.loader` would compute those of all others too."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("attention", "flexattention"):
            import_module(f"onnx.backend.test.case.node.{name}")
    return [
        case
        for case in import_module("onnx.backend.test.case.node")._NodeTestCases
        if case.name.startswith(("test_attention", "test_flexattention"))
    ]


CASES = load_cases()


def is_expanded(case):
    return "_expanded" in case.name


def expected_groups(case):
    outputs = [output.name for output in case.model.graph.output]
    return 0 if "qk_matmul_output" in outputs else 1


def count_groups(module):
    fused = module.clone()
    FuseAttentionPass().apply(make_context(), fused)
    return sum(isinstance(op, SdpaOp) for op in fused.walk())


def check(case, results):
    results = results if isinstance(results, tuple) else (results,)
    for name, found, expected in zip(case.model.graph.output, results, case.data_sets[0][1], strict=True):
        expected = np.asarray(expected)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), name.name
        a, b = found.astype(np.float64), expected.astype(np.float64)
        finite = np.isfinite(b)
        np.testing.assert_array_equal(a[~finite], b[~finite])
        assert np.linalg.norm(a[finite] - b[finite]) <= BOUNDS[str(expected.dtype)] * np.linalg.norm(b[finite]), (
            name.name
        )


def test_all_cases_are_here():
    """As many as in onnx 1.23: 93 nodes and 93 bodies of Attention, 11 and 11 of FlexAttention."""
    counts = {
        (name, expanded): sum(c.name.startswith(f"test_{name}") and is_expanded(c) == expanded for c in CASES)
        for name in ("attention", "flexattention")
        for expanded in (False, True)
    }
    assert all(n >= (93 if name == "attention" else 11) for (name, _), n in counts.items()), counts
    assert sum(expected_groups(case) for case in CASES) > 150


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.removeprefix("test_"))
def test_case(case):
    module = flashlower.from_onnx(case.model)
    assert count_groups(module) == expected_groups(case)
    inputs = case.data_sets[0][0]
    check(case, flashlower.interpret(module, *inputs))
    if not expected_groups(case):
        return
    if inputs[0].dtype == np.float64:
        # Triton has no product of f64 matrices, so there must be no kernel rather than an inexact one.
        with pytest.raises(DiagnosticException, match="f64 attention cannot be lowered to Triton"):
            flashlower.interpret(module, *inputs, kernels="triton")
        return
    check(case, flashlower.interpret(module, *inputs, kernels="triton"))

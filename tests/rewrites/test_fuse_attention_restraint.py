"""
Locks in that graphs which only look like attention give the same numbers after `fuse-attention`, bit for bit, and that
every one of them that has a softmax is spoken of. Their forms are in the FileCheck tests that this reads.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from xdsl.dialects.builtin import ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls

import flashlower
from flashlower.dialects import stablehlo
from flashlower.dialects.attention import SdpaOp
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.interpreters import argument_types, run_module
from flashlower.rewrites.fuse_attention import FuseAttentionPass

FILECHECK = Path(__file__).parents[1] / "filecheck" / "rewrites"
FILES = ("fuse_attention_negative.mlir", "fuse_attention_restraint.mlir")


@register_impls
class CustomCalls(InterpreterFunctions):
    """The calls that the files hold: they return what they are given, or nothing."""

    @impl(stablehlo.CustomCallOp)
    def run(self, interpreter: Interpreter, op: stablehlo.CustomCallOp, args: PythonValues) -> PythonValues:
        return args[: len(op.results)]


def functions(file: str) -> list[ModuleOp]:
    """A module for each public function of a file, with the private ones that it may call."""
    module = parse_module((FILECHECK / file).read_text())
    all_functions = [op for op in module.ops if isinstance(op, FuncOp)]
    private = [f for f in all_functions if f.sym_visibility == StringAttr("private")]
    return [ModuleOp([f.clone() for f in (one, *private)]) for one in all_functions if one not in private]


def inputs_of(module: ModuleOp) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    return [
        (rng.standard_normal(shape) * 2 > -1 if dtype == np.bool_ else rng.standard_normal(shape) * 2).astype(dtype)
        for shape, dtype in argument_types(module)
    ]


@pytest.mark.parametrize("file", FILES)
def test_what_is_left_alone_gives_the_same_numbers(file: str) -> None:
    modules = functions(file)
    assert len(modules) > 35
    with np.errstate(all="ignore"):
        for module in modules:
            inputs = inputs_of(module)
            before = run_module(module, inputs, overrides=[CustomCalls()])
            remarks = flashlower.explain(module)
            FuseAttentionPass().apply(make_context(), module)
            module.verify()
            assert not any(isinstance(op, SdpaOp) for op in module.walk())
            for expected, got in zip(before, run_module(module, inputs, overrides=[CustomCalls()]), strict=True):
                np.testing.assert_array_equal(got, expected)
            has_softmax = any(op.name in ("stablehlo.exponential", "stablehlo.power") for op in module.walk())
            assert bool(remarks) == has_softmax
            assert not any(remark.fused for remark in remarks)

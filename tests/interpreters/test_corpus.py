"""Every export of the corpus computes on NumPy arrays what it computed in its front end.

The interpreter is what the other passes are measured by: a pass is right when the module computes the same before and
after it. So the interpreter is measured by results from outside.
"""

import pathlib

import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import FunctionType, ModuleOp
from xdsl.dialects.func import FuncOp
from xdsl.parser import Parser

from flashlower.dialects.parsing import make_context, parse_module
from flashlower.interpreters import run_module
from flashlower.interpreters.values import dtype_of
from flashlower.rewrites.inline import InlineCallsPass

CORPUS = sorted((pathlib.Path(__file__).parents[1] / "corpus").glob("*/*.mlir"))

TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2}
"""Relative error in the 2-norm, by the dtype of the result."""


def entry_type(module: ModuleOp) -> FunctionType:
    """The type of the function that an export is about: the only one that is not private."""
    (entry,) = [
        op
        for op in module.ops
        if isinstance(op, FuncOp) and (op.sym_visibility is None or op.sym_visibility.data != "private")
    ]
    return entry.function_type


def check(path: pathlib.Path, module: ModuleOp, ctx: Context | None = None) -> None:
    data = np.load(path.with_suffix(".npz"))
    type = entry_type(module)
    # bf16 is stored as f32.
    args = [data[f"in{i}"].astype(dtype_of(arg)) for i, arg in enumerate(type.inputs)]
    results = run_module(module, args, ctx=ctx)
    assert len(results) == len(type.outputs) == sum(name.startswith("out") for name in data)
    for i, result in enumerate(results):
        expected = data[f"out{i}"].astype(np.float64)
        assert result.shape == expected.shape
        assert result.dtype == dtype_of(type.outputs.data[i])
        error = np.linalg.norm(result.astype(np.float64) - expected) / np.linalg.norm(expected)
        assert error <= TOLERANCE[result.dtype.name]


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_corpus(path: pathlib.Path):
    module = parse_module(path.read_text(), name=path.name)
    check(path, module)


@pytest.mark.parametrize(
    "path", [path for path in CORPUS if "func.call" in path.read_text()], ids=lambda path: path.stem
)
def test_inlined_corpus(path: pathlib.Path):
    module = parse_module(path.read_text(), name=path.name)
    InlineCallsPass().apply(Context(), module)
    module.verify()
    assert len([op for op in module.ops if isinstance(op, FuncOp)]) == 1
    check(path, module)


# Modules that xDSL's own parser read keep their weights in the context.
def test_resources_in_a_context():
    path = next(path for path in CORPUS if path.stem == "hf_llama2l_sdpa")
    ctx = make_context()
    module = Parser(ctx, path.read_text()).parse_module()
    check(path, module, ctx)

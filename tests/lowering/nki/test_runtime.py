"""Locks in `flashlower.compile(..., target="nki")`: the source, its stages, calls, and errors that say what to do."""

import sys
from pathlib import Path

import nki_model
import numpy as np
import pytest
from attention_cases import AttentionCase
from nki_kernels import relative_error
from xdsl.utils.exceptions import DiagnosticException

import flashlower as fl

CASE = AttentionCase(keys=300, kv_lens=True, group=4)


def test_source_stages_and_file(tmp_path: Path):
    kernel = fl.compile(CASE.module_text(), target="nki")
    assert list(kernel.stages) == [
        "input",
        "fuse-attention",
        "outline-attention",
        "infer-attention-bounds",
        "flash-decoding",
        "convert-attention-to-nki",
    ]
    assert "nki.kernel @main" in kernel.stages["convert-attention-to-nki"]
    path = kernel.save(tmp_path / "decode.py")
    assert path.read_text() == kernel.source == fl.compile(CASE.module_text(), target="nki").source
    assert "flashlower" not in kernel.source.replace("printed by flashlower", "")


@pytest.mark.parametrize("cores", [1, 2])
def test_a_call(cores: int):
    nki_model.nki()
    kernel = fl.compile(CASE.module_text(), target="nki", hardware="trn3", cores=cores)
    out, lse = kernel(*CASE.inputs())
    want = CASE.expected()
    assert relative_error(out, want[0]) <= 1e-5
    assert relative_error(lse, want[1]) <= 1e-5


def test_two_cores_split_one_head():
    case = AttentionCase(batch=(1,), kv_heads=1, group=4, keys=4096)
    assert "nisa.core_barrier" in fl.compile(case.module_text(), target="nki", cores=2).source
    assert "nisa.core_barrier" not in fl.compile(case.module_text(), target="nki").source


def test_int64_and_bool_arguments():
    """NKI has neither: lengths are narrowed, masks become bytes."""
    nki_model.nki()
    case = AttentionCase(keys=60, kv_lens=True, steps=("mask",))
    text = case.module_text().replace("tensor<2xi32>", "tensor<2xi64>")
    inputs = case.inputs()
    inputs[3] = inputs[3].astype(np.int64)
    kernel = fl.compile(text, target="nki")
    assert relative_error(kernel(*inputs)[0], case.expected()[0]) <= 1e-5
    inputs[3][0] = 1 << 40
    with pytest.raises(ValueError, match="argument 3 has values that the kernel's int32 does not hold"):
        kernel(*inputs)


def test_arguments_that_do_not_fit():
    nki_model.nki()
    kernel = fl.compile(CASE.module_text(), target="nki")
    q, *others = CASE.inputs()
    with pytest.raises(TypeError, match="main takes 4 tensors, got 3"):
        kernel(*others)
    with pytest.raises(TypeError, match="argument 0 has dtype float64, but float32 is expected"):
        kernel(q.astype(np.float64), *others)
    with pytest.raises(ValueError, match=r"argument 0 has shape \(1, 8, 1, 16\), but \(2, 8, 1, 16\) is expected"):
        kernel(q[:1], *others)
    with pytest.raises(TypeError, match=r"argument 0 is a list, but nki.simulate takes NumPy arrays"):
        kernel(q.tolist(), *others)


def test_without_neurons_package(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "nki", None)
    with pytest.raises(ImportError, match=r"needs Amazon's Neuron package, NKI 0\.6\.0 or later"):
        fl.compile(CASE.module_text(), target="nki")(*CASE.inputs())


def test_a_function_that_calls_kernels_is_not_in_the_file():
    text = (Path(__file__).parents[2] / "corpus" / "torch" / "hf_llama2l_sdpa.mlir").read_text()
    kernel = fl.compile(text, target="nki")
    with pytest.raises(ValueError, match="is more than attention"):
        kernel()


def test_a_symbol_that_is_no_identifier():
    with pytest.raises(DiagnosticException, match="cannot name a Python function"):
        fl.compile(CASE.module_text().replace("@main", '@"import os"'), target="nki")


def test_options_of_the_other_target():
    with pytest.raises(DiagnosticException, match="unknown target 'h100', expected trn1, inf2, trn2 or trn3"):
        fl.compile(CASE.module_text(), target="nki", hardware="h100")
    with pytest.raises(ValueError, match="target is 'cuda', expected one of: triton, nki"):
        fl.compile(CASE.module_text(), target="cuda")  # pyright: ignore[reportArgumentType]

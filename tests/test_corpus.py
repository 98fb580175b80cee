"""Locks in the whole path on real exports: JAX, PyTorch and ONNX in, the numbers of the original out.

Each module of the corpus is fused, split, lowered and run, and compared with the outputs that its own framework
computed: with attention by NumPy, by the emitted kernels in Triton's interpreter, and decomposed into StableHLO again.
Modules that only look like attention must come out unfused, and right all the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pipelines import op_names, transform
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

import flashlower as fl
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.interpreters import argument_types, run_module
from flashlower.lowering.triton.compile import TARGETS, compile_module_kernels
from flashlower.lowering.triton.convert import ConvertAttentionToTritonPass
from flashlower.lowering.triton.printer import print_module
from flashlower.rewrites.decompose_attention import DecomposeAttentionPass
from flashlower.rewrites.flash_decoding import FlashDecodingPass
from flashlower.rewrites.fuse_attention import FuseAttentionPass
from flashlower.rewrites.inline import InlineCallsPass
from flashlower.rewrites.outline_attention import OutlineAttentionPass

CORPUS = Path(__file__).parent / "corpus"
GROUPS = {
    f"{front_end}/{name}": case["groups"]
    for front_end in ("jax", "torch", "onnx")
    for name, case in json.loads((CORPUS / front_end / "meta.json").read_text()).items()
}
TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2}
"""Largest relative error, by the dtype of the result."""


@cache
def text_of(case: str) -> str:
    return (CORPUS / f"{case}.mlir").read_text()


def data_of(case: str, module: ModuleOp) -> tuple[list[Any], list[Any]]:
    """Inputs in the function's dtypes (bf16 is stored as f32), and expected outputs."""
    with np.load(CORPUS / f"{case}.npz") as data:
        inputs = [data[f"in{i}"].astype(dtype) for i, (_, dtype) in enumerate(argument_types(module))]
        expected = [data[f"out{i}"] for i in range(sum(name.startswith("out") for name in data.files))]
    return inputs, expected


def check(results: Any, expected: Sequence[Any]) -> None:
    results = results if isinstance(results, tuple | list) else (results,)
    assert len(results) == len(expected)
    for result, want in zip(results, expected, strict=True):
        assert result.shape == want.shape
        if result.dtype.kind in "iub":
            assert np.array_equal(result, want)
            continue
        difference = result.astype(np.float64) - want.astype(np.float64)
        error = np.linalg.norm(difference.ravel()) / np.linalg.norm(want.astype(np.float64).ravel())
        assert error <= TOLERANCE[str(result.dtype)]


def run_passes(module: ModuleOp, *passes: ModulePass) -> ModuleOp:
    context = make_context()
    for module_pass in passes:
        module_pass.apply(context, module)
        module.verify()
    return module


def test_the_corpus_is_complete() -> None:
    assert len(GROUPS) == 29
    assert sum(GROUPS.values()) == 28
    assert sum(groups == 0 for groups in GROUPS.values()) == 5


@pytest.mark.parametrize("case", GROUPS)
def test_groups_are_found(case: str) -> None:
    module = run_passes(parse_module(text_of(case)), InlineCallsPass())
    exponentials = op_names(module).count("stablehlo.exponential")
    run_passes(module, FuseAttentionPass())
    assert op_names(module).count("attention.sdpa") == GROUPS[case]
    # The softmax of every group is gone, and nothing else (SiLU has exponentials too).
    assert op_names(module).count("stablehlo.exponential") == exponentials - GROUPS[case]


@pytest.mark.parametrize("case", GROUPS)
def test_attention_by_numpy(case: str) -> None:
    module = parse_module(text_of(case))
    inputs, expected = data_of(case, module)
    check(fl.interpret(module, *inputs), expected)


@pytest.mark.parametrize("case", GROUPS)
@pytest.mark.parametrize("splits", ["auto", 3])
def test_attention_by_emitted_kernels(case: str, splits: Any) -> None:
    module = parse_module(text_of(case))
    inputs, expected = data_of(case, module)
    check(fl.interpret(module, *inputs, kernels="triton", splits=splits), expected)


@pytest.mark.parametrize("case", GROUPS)
@pytest.mark.parametrize("splits", [1, 2, 7])
def test_fused_split_and_decomposed(case: str, splits: int) -> None:
    module = parse_module(text_of(case))
    inputs, expected = data_of(case, module)
    run_passes(module, FuseAttentionPass(), FlashDecodingPass(splits=splits), DecomposeAttentionPass())
    assert not any(name.startswith("attention.") for name in op_names(module))
    check(run_module(module, inputs), expected)


@pytest.mark.parametrize("case", GROUPS)
def test_decomposed_on_jax(case: str) -> None:
    pytest.importorskip("jax", reason="the extra jax is not installed")
    from jax_client import run_module_on_jax

    module = parse_module(text_of(case))
    inputs, expected = data_of(case, module)
    run_passes(module, FuseAttentionPass(), FlashDecodingPass(splits=3), DecomposeAttentionPass())
    check(run_module_on_jax(module, inputs), expected)


@pytest.mark.parametrize("case", GROUPS)
def test_split_as_xdsl_opt_does(case: str) -> None:
    names = op_names(transform(text_of(case), "fuse-attention,flash-decoding{splits=2}"))
    assert names.count("attention.partial") == names.count("attention.combine") == GROUPS[case]


TO_KERNELS = (
    "fuse-attention,outline-attention,infer-attention-bounds,flash-decoding{splits=4},convert-attention-to-triton"
)


def test_printed_files_run(tmp_path: Path) -> None:
    """Python runs what is printed of every module: by one process, as each start of Triton takes a second."""
    for i, case in enumerate(GROUPS):
        source = print_module(transform(text_of(case), TO_KERNELS))
        assert source.count("@triton.jit") == 2 * GROUPS[case], case
        (tmp_path / f"kernels_{i}.py").write_text(source)
    script = "import runpy, sys\nfor path in sys.argv[1:]: runpy.run_path(path)"
    files = sorted(map(str, tmp_path.iterdir()))
    subprocess.run([sys.executable, "-c", script, *files], check=True, timeout=120)


@pytest.mark.parametrize("case", ["jax/gqa_decode_repeat", "torch/hf_llama2l_sdpa", "onnx/attention_4d"])
def test_xdsl_opt_prints_the_same(case: str) -> None:
    """The command, where the tests above go through the same passes and printer in this process."""
    split = xdsl_opt(case, "fuse-attention,flash-decoding{splits=2}")
    assert split.count("attention.partial") == split.count("attention.combine") == GROUPS[case]
    assert (
        xdsl_opt(case, TO_KERNELS, "-t", "triton").strip() == print_module(transform(text_of(case), TO_KERNELS)).strip()
    )


COMPILED = [case for case, groups in GROUPS.items() if groups]


@pytest.mark.parametrize("number", range(len(COMPILED)), ids=lambda number: COMPILED[number])
def test_kernels_compile_for_gpus(number: int) -> None:
    """For real, with no device: H100, and A100, B200 or MI300 in turn; test_convert.py compiles for all of them."""
    case = COMPILED[number]
    others = [target for target in TARGETS if target != "cuda:90"]
    targets = ("cuda:90", others[number % len(others)])
    module = parse_module(text_of(case))
    passes = (FuseAttentionPass(), OutlineAttentionPass(), FlashDecodingPass(splits=2), ConvertAttentionToTritonPass())
    compiled = compile_module_kernels(run_passes(module, *passes), targets)
    assert len(compiled) == 2 * GROUPS[case] * len(targets)
    for (_, target), kernel in compiled.items():
        assert ("ptx" if target.startswith("cuda") else "amdgcn") in kernel.asm


def xdsl_opt(case: str, passes: str, *options: str) -> str:
    command = [str(Path(sys.executable).with_name("xdsl-opt")), str(CORPUS / f"{case}.mlir"), "-p", passes, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout

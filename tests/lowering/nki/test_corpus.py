"""Locks in the NKI path on real exports: each module of the corpus gives the numbers of its own framework.

The kernels run on the model in `tests/nki_model`, which is strict about the documented rules, or on Amazon's simulator.
"""

import json
import subprocess
import sys
from pathlib import Path

import nki_model
import numpy as np
import pytest

import flashlower as fl
from flashlower.dialects.parsing import parse_module
from flashlower.interpreters import argument_types

CORPUS = Path(__file__).parents[2] / "corpus"
CASES = [
    f"{front_end}/{name}"
    for front_end in ("jax", "torch", "onnx")
    for name, case in json.loads((CORPUS / front_end / "meta.json").read_text()).items()
    if case["groups"]
]
TOLERANCE = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 1e-2}
PIPELINE = "fuse-attention,outline-attention,flash-decoding,convert-attention-to-nki"


@pytest.mark.parametrize("case", CASES)
def test_kernels_on_the_model(case: str):
    nki_model.nki()
    text = (CORPUS / f"{case}.mlir").read_text()
    with np.load(CORPUS / f"{case}.npz") as data:
        inputs = [data[f"in{i}"].astype(dtype) for i, (_, dtype) in enumerate(argument_types(parse_module(text)))]
        expected = [data[f"out{i}"] for i in range(sum(name.startswith("out") for name in data.files))]
    results = fl.interpret(text, *inputs, kernels="nki", splits=2)
    results = results if isinstance(results, tuple) else (results,)
    assert len(results) == len(expected)
    for got, want in zip(results, expected, strict=True):
        if got.dtype.kind in "iub":
            np.testing.assert_array_equal(got, want)
            continue
        error = np.linalg.norm(got.astype(np.float64) - want.astype(np.float64)) / np.linalg.norm(want)
        assert error <= TOLERANCE[str(got.dtype)]


def test_the_command_prints_kernels():
    """The tests above go through the same passes and printer for every module."""
    module = CORPUS / "jax" / "kvcache_decode_len.mlir"
    command = [str(Path(sys.executable).parent / "xdsl-opt"), str(module), "-p", PIPELINE, "-t", "nki"]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "@nki.jit" in run.stdout
    compile(run.stdout, "kernels", "exec")

"""Locks in that the kernels of cache updates give the bits on a GPU that NumPy's interpreter gives.

A GPU has divisions and conversions of its own; every kind of input that quantisers get wrong is drawn. Without one,
these tests do not run.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from quantizers import KINDS
from update_cases import UpdateCase, random_case

import flashlower as fl
from flashlower.dialects.parsing import parse_module
from flashlower.interpreters import run_module

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

BITS = {"bfloat16": np.int16, "float8_e4m3fn": np.int8, "float8_e5m2": np.int8}


def to_gpu(array: Any) -> torch.Tensor:
    if (bits := BITS.get(array.dtype.name)) is None:
        return torch.from_numpy(array.copy()).cuda()
    return torch.from_numpy(array.view(bits).copy()).cuda().view(getattr(torch, array.dtype.name))


def to_numpy(tensor: torch.Tensor) -> Any:
    name = str(tensor.dtype).removeprefix("torch.")
    if (bits := BITS.get(name)) is None:
        return tensor.cpu().numpy()
    return tensor.cpu().view(getattr(torch, np.dtype(bits).name)).numpy().view(getattr(ml_dtypes, name))


def check(case: UpdateCase) -> None:
    text, inputs = case.module_text(), case.inputs()
    results = fl.compile(text)(*(to_gpu(array) for array in inputs))
    for got, want in zip(results if isinstance(results, tuple) else (results,), run_module(parse_module(text), inputs)):
        found = to_numpy(got)
        same = found == want
        if want.dtype.kind != "i":
            same |= (found != found) & (want != want)
        assert same.all(), (case, np.argwhere(~same)[:5], found[~same][:5], want[~same][:5])


@pytest.mark.parametrize("seed", range(60))
def test_random_updates(seed: int) -> None:
    check(random_case(np.random.default_rng([seed, 21])))


@pytest.mark.parametrize("scale", ["bf16", "f16", "f32"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("codes", "zero"), [("u4", 7), ("i8", 0)])
def test_the_bytes_of_lightllm(codes: str, zero: int, kind: str, scale: str) -> None:
    """Many groups: rare quotients lie next to a border of codes."""
    check(
        UpdateCase(
            **{"batch": 4, "heads": 8, "tokens": 64, "channels": 128, "dtype": "bf16", "kind": kind},
            **{"cache": "token_table", "places": "slots", "page_size": 64},
            **{"codes": codes, "zero": zero, "scale": scale, "group": 8, "rounding": "toward_zero"},
        )
    )

"""
Locks in that kernels on quantised K and V compute on a GPU what they compute in Triton's interpreter.

There assembly is what the GPU runs, and tiles that lie transposed meet its tensor cores. Without a GPU, these tests do
not run.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from attention_cases import DTYPES
from quantized_cases import Format, QuantizedCase, random_quantized_case

import flashlower as fl

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

RANDOM_CASES = 80

SCHEDULES: list[dict[str, int]] = [
    {},
    {"transposed": 1, "assembly": 1, "half": 1, "block_m": 8, "block_n": 16, "warps": 1},
    {"transposed": 0, "assembly": 0, "block_m": 16, "heads": 1},
]

VIEWS: dict[Any, tuple[Any, torch.dtype]] = {
    ml_dtypes.bfloat16: (np.int16, torch.bfloat16),
    ml_dtypes.float8_e4m3fn: (np.int8, torch.float8_e4m3fn),
    ml_dtypes.float8_e5m2: (np.int8, torch.float8_e5m2),
}


def to_gpu(array: np.ndarray) -> torch.Tensor:
    bits, dtype = VIEWS.get(array.dtype.type, (array.dtype, None))
    tensor = torch.from_numpy(array.copy().view(bits))
    return (tensor if dtype is None else tensor.view(dtype)).cuda()


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:
        return tensor.cpu().view(torch.int16).numpy().view(DTYPES["bf16"])
    return tensor.cpu().numpy()


def check(case: QuantizedCase, splits: int | str, tolerance: float | None = None, **schedule: int) -> None:
    kernel = fl.compile(case.module_text(), splits=splits, schedule=schedule)
    results = kernel(*(to_gpu(array) for array in case.inputs()))
    found = results if isinstance(results, tuple) else (results,)
    case.check_kernel([to_numpy(result) for result in found], tolerance)


@pytest.mark.parametrize("seed", range(RANDOM_CASES))
def test_random_cases(seed: int) -> None:
    """Any format, layout, page size and mask: as the cost model has it, transposed, and without assembly."""
    rng = np.random.default_rng([seed, 21])
    case = random_quantized_case(rng)
    if case.dtype == "f64":
        case = dataclasses.replace(case, dtype="f32")
    check(case, int(rng.integers(1, 6)), **SCHEDULES[seed % 3])


LIGHTLLM = Format("u4", 32, zero=7, channels=8, part_type="bf16", round="bf16")


@pytest.mark.parametrize("mask", [(), ("causal",), ("window",), ("alibi", "soft_cap")], ids=str)
@pytest.mark.parametrize(
    "form",
    [
        LIGHTLLM,
        Format("u4", 32, planar=True, channels=64, zero=7),
        Format("i4", 32),
        Format("i8", 32),
        Format("i8", 32, channels=8, part_type="bf16", round="bf16"),
        Format("f8E4M3FN", 32, tokens=None, heads=False),
        Format("f8E5M2", 32),
    ],
    ids=str,
)
def test_the_choices_of_the_cost_model(form: Format, mask: tuple[str, ...]) -> None:
    """Decode steps as they are served: heads of 128, pages of 64, lengths; the result is as good as bf16 can be."""
    case = QuantizedCase(
        head_size=128,
        value_size=128,
        batch=(3,),
        kv_heads=2,
        group=4,
        queries=2,
        keys=960,
        page_size=64,
        kv_lens=True,
        steps=mask,
        dtype="bf16",
        k_format=form,
        v_format=form,
    )
    for splits in (1, 4):
        check(case, splits, tolerance=4e-3)

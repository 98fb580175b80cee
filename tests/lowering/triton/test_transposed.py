"""
Kernels whose tiles lie transposed compute what the operations mean.

Locked in: every feature of the operations with keys in the rows of the logits, with and without flash decoding, odd
sizes, masks and pages among them; tiles of eight rows, which no other arrangement has.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from attention_cases import CASES, AttentionCase, random_case
from pipelines import transform

from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.runtime import call

pytest.importorskip("triton", reason="kernels run where Triton can be installed")


def check(case: AttentionCase, splits: int, block_m: int = 16) -> None:
    schedule = f"schedule-attention{{transposed=1 block_m={block_m} block_n=16}}"
    passes = f"{schedule},flash-decoding{{splits={splits}}},convert-attention-to-triton"
    source = print_module(transform(case.module_text(), passes))
    assert "Tiles lie transposed" in source
    results = call(source, "main", case.inputs())
    case.check(list(results) if isinstance(results, tuple) else [results])


SMALL = [case for case in CASES if case.dtype != "f64"]


@pytest.mark.parametrize("number", range(len(SMALL)), ids=lambda number: str(SMALL[number]))
def test_every_feature(number: int):
    """With and without flash decoding in turn; test_convert.py has each feature with both."""
    check(SMALL[number], (1, 3)[number % 2])


@pytest.mark.parametrize("seed", range(8))
def test_random_mixtures_in_tiles_of_eight_rows(seed: int):
    rng = np.random.default_rng([seed, 8])
    case = random_case(rng)
    if case.dtype == "f64":
        case = dataclasses.replace(case, dtype="f32")
    check(case, int(rng.choice([1, 2, 7])), block_m=8)

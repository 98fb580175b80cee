"""Quantised K and V: what the interpreter and the passes make of them, against float64 on values dequantised here.

Every format (types of codes, packing in elements of 8 to 64 bits, groups of channels and of keys, zero points, offsets,
rounding), with any layout, page size, mask and length; K and V differ. The same through flash decoding, bounds and
decomposition, which must not lose an operand.
"""

import numpy as np
import pytest
from pipelines import transform
from quantized_cases import QUANTIZED_CASES, QuantizedCase, random_quantized_case

from flashlower.interpreters import run_module

PIPELINES = (
    "infer-attention-bounds,flash-decoding{splits=3},canonicalize",
    "flash-decoding{splits=1},canonicalize",
    "infer-attention-bounds,flash-decoding{splits=2},decompose-attention",
    "outline-attention,inline-calls,decompose-attention",
)


def case_of(seed: int) -> QuantizedCase:
    return random_quantized_case(np.random.default_rng(seed))


@pytest.mark.parametrize("case", QUANTIZED_CASES, ids=str)
def test_values_are_what_the_description_says(case: QuantizedCase):
    case.check(run_module(transform(case.module_text()), case.inputs()))


@pytest.mark.parametrize("seed", range(60))
def test_values_are_what_the_description_says_in_random_cases(seed: int):
    case = case_of(seed)
    case.check(run_module(transform(case.module_text()), case.inputs()))


@pytest.mark.parametrize("passes", PIPELINES)
@pytest.mark.parametrize("case", QUANTIZED_CASES, ids=str)
def test_passes_keep_what_they_mean(case: QuantizedCase, passes: str):
    case.check(run_module(transform(case.module_text(), passes), case.inputs()))


@pytest.mark.parametrize("seed", range(100, 160))
def test_passes_keep_what_they_mean_in_random_cases(seed: int):
    case = case_of(seed)
    passes = PIPELINES[seed % len(PIPELINES)]
    case.check(run_module(transform(case.module_text(), passes), case.inputs()))

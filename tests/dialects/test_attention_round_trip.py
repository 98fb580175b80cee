"""What the attention dialect prints, it parses to the same module: custom and generic form, every stage.

Short forms of score regions are a printer's choice, so a region that is printed with them must come back exactly.
"""

from io import StringIO

import numpy as np
import pytest
from attention_cases import CASES, AttentionCase, random_case
from pipelines import transform
from xdsl.dialects.builtin import ModuleOp
from xdsl.printer import Printer

PIPELINES = (
    "",
    "infer-attention-bounds,flash-decoding{splits=3},schedule-attention",
    "flash-decoding{splits=2},outline-attention",
)


def check_round_trip(module: ModuleOp) -> None:
    text = str(module)
    parsed = transform(text)
    assert parsed.is_structurally_equivalent(module)
    assert str(parsed) == text
    generic = StringIO()
    Printer(generic, print_generic_format=True).print_op(module)
    from_generic = transform(generic.getvalue())
    assert from_generic.is_structurally_equivalent(module)
    assert str(from_generic) == text


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_round_trip(case: AttentionCase, pipeline: str):
    check_round_trip(transform(case.module_text(), pipeline))


@pytest.mark.parametrize("seed", range(60))
def test_round_trip_of_random_cases(seed: int):
    rng = np.random.default_rng(seed)
    check_round_trip(transform(random_case(rng).module_text(), str(rng.choice(PIPELINES))))


@pytest.mark.parametrize("case", [case for case in CASES if case.steps], ids=str)
def test_short_forms_are_printed_where_the_region_is_one(case: AttentionCase):
    assert ("score(" in str(transform(case.module_text()))) == ("score(" in case.module_text())

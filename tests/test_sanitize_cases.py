"""Locks in that the calls that compute-sanitizer sees on a GPU have right results, each with what its name says.

Here they are small and run in Triton's interpreter: one of each kind, and those that no other test of calls draws.
"""

from __future__ import annotations

import pytest
from sanitize_cases import FEATURES

KINDS = ("pages of 100", "overlapping launches", "quantised, int4 in groups of 8, a head a tile", "update, int4")


@pytest.mark.parametrize("name", KINDS)
def test_features_have_right_results(name: str) -> None:
    FEATURES[name]("cpu")

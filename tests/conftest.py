"""What all tests share: draws that do not depend on what ran before, and an order that workers finish together."""

from __future__ import annotations

import random
import sys
import zlib

import numpy as np
import pytest
import stablehlo_runner


@pytest.fixture(autouse=True)
def _draws(request: pytest.FixtureRequest) -> None:
    """A test draws the same numbers wherever and after whatever it runs: those of its name."""
    seed = zlib.crc32(request.node.nodeid.encode())
    random.seed(seed)
    np.random.seed(seed)
    for value in (*vars(request.module).values(), stablehlo_runner.RNG):
        if isinstance(value, np.random.Generator):
            value.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(seed)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The minute of fuzzing first, so that no worker is alone with it in the end."""
    items.sort(key=lambda item: not item.nodeid.endswith("::test_further_cases_for_a_while"))

"""
Runs the first cases of the fuzzer of `fuse-attention` (tests/rewrites/fuzz_attention.py runs any number): random graphs
are fused completely, near misses are left alone or stay right, and so are graphs with any edge changed. The cases are
the same each time; `FUZZ_SEED` takes others, and a failure names their seed.
"""

from __future__ import annotations

import os

import pytest
from attention_graphs.check import check, check_mutated
from attention_graphs.fuzz import fuzz
from attention_graphs.generate import MUTANTS, generate


@pytest.mark.parametrize("seed", range(20))
def test_attention_is_found_and_right(seed: int) -> None:
    check(generate(seed))


# These compute something that no attention does; the others may be attention of another kind, by chance or by nature.
NEVER_FUSED = {
    *("foreign maximum", "logits escape", "weights escape", "relu", "dropout", "dropout select"),
    *("value from weights", "squared weights", "divided twice", "guard any", "guard inverted", "sum starts at one"),
    *("half of the LSE", "clamped to 2", "sink of the other sign", "guard of half the mask"),
    *("guard of a foreign mask", "reversed weights", "reversed logits", "maximum starts at zero"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_near_misses_stay_right(mutant: str) -> None:
    fused = check(generate(MUTANTS.index(mutant), mutant))
    assert not (fused and mutant in NEVER_FUSED)


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_edge_stays_right(seed: int) -> None:
    check_mutated(generate(seed, dtype="f64"), seed)


def test_further_cases_for_a_while() -> None:
    """`FUZZ_SECONDS` and `FUZZ_SEED` choose how long and which; by default a minute of the same, for one result."""
    seed = int(os.environ.get("FUZZ_SEED", "0"))
    counts, failures = fuzz(float(os.environ.get("FUZZ_SECONDS", "60")), seed)
    assert not failures, "\n".join([f"FUZZ_SEED={seed}", *failures])
    assert counts["attention"] > 0

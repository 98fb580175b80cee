"""
What a score function may not do is said while it is traced, and NumPy's numbers are numbers.

A kernel cannot notice any of this: a tensor that is too short is read beyond its end, and an integer of more than 64
bits wraps. What is traced is compared with the same function on arrays by `tests/test_api.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import flashlower as fl
from flashlower.frontends.sdpa import build_attention
from flashlower.frontends.trace import ScoreFunction

BATCH, HEADS, QUERIES, KEYS = 2, 4, 3, 8
SLOPES = np.ones(HEADS, np.float32)
SHORT = np.ones(KEYS - 1, np.float32)


def traced(score: ScoreFunction, lens: Any = None) -> str:
    q, kv = np.zeros((BATCH, HEADS, QUERIES, 16), np.float32), np.zeros((BATCH, 2, KEYS, 16), np.float32)
    return str(build_attention(q, kv, kv, score=score, kv_lens=lens).module)


@pytest.mark.parametrize(
    ("score", "error", "message"),
    [
        (lambda s, b, h, m, n: s + SHORT[n], ValueError, "dimension 0 of SHORT has size 7, but is read at .* up to 7"),
        (lambda s, b, h, m, n: s + SLOPES[7], ValueError, "dimension 0 of SLOPES has size 4, but is read at 7"),
        (lambda s, b, h, m, n: s + SLOPES[-1], ValueError, "dimension 0 of SLOPES has size 4, but is read at -1"),
        (lambda s, b, h, m, n: s + (n + 2**63) * 1.0, ValueError, "9223372036854775808, which is no integer of 64 bi"),
        (lambda s, b, h, m, n: n + m, TypeError, "must return a logit, got index"),
        (lambda s, b, h, m, n: fl.where(n > m, s, None), TypeError, "computes with NoneType"),
        (lambda s, b, h, m, n: fl.where(n > m, 0, None), TypeError, "computes with NoneType"),
        (lambda s, b, h, m, n: s + fl.exp(None), TypeError, "computes with NoneType"),
        (fl.alibi(SLOPES[:3]), ValueError, r"slopes has shape \[3\], expected \[4\], one for each query head"),
        (fl.bias(1.0), TypeError, "bias is a float, expected a tensor"),
        (fl.chain(None), TypeError, r"score is a NoneType, expected a function score\(s, b, h, m, n\)"),
        (fl.causal(1 << 70), ValueError, "which is no integer of 64 bits"),
    ],
)
def test_refused_by_the_trace(score: ScoreFunction, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        traced(score)


@pytest.mark.parametrize(
    ("make", "argument", "error", "message"),
    [
        (fl.causal, 1.5, TypeError, "offset is 1.5, expected a whole number"),
        (lambda left: fl.window(left, 0), "a", TypeError, "left is 'a', expected a whole number"),
        (fl.soft_cap, "a", TypeError, "a soft cap must be a number, got 'a'"),
        # Zero, or infinite, in the type of logits.
        (fl.soft_cap, 1e-300, ValueError, "a soft cap must be positive and finite in 32 bits, got 1e-300"),
        (fl.soft_cap, 1e300, ValueError, "a soft cap must be positive and finite in 32 bits, got 1e\\+300"),
        (fl.captured, np, TypeError, "flashlower.captured takes a tensor, got module"),
        (fl.captured, np.float32, TypeError, "flashlower.captured takes a tensor, got type"),
    ],
)
def test_refused_when_made(make: Any, argument: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(argument)


def test_lengths_say_which_keys_are_read() -> None:
    """A tensor as long as the longest sequence, not as the cache."""
    assert "SHORT" in traced(lambda s, b, h, m, n: s + SHORT[n], np.array([7, 3], np.int32))


def test_numbers_of_numpy() -> None:
    """The module `np` has a function `shape` and a class `dtype`, but is no tensor that the function captures."""
    numbers = traced(lambda s, b, h, m, n: np.float32(2) * fl.where(n > m + np.int64(1), s, -np.inf))
    assert numbers == traced(lambda s, b, h, m, n: 2.0 * fl.where(n > m + 1, s, float("-inf")))
    assert "%np" not in numbers
    assert traced(lambda s, b, h, m, n: s * fl.exp(np.float16(2))) == traced(lambda s, b, h, m, n: s * fl.exp(2))

"""Locks in which score functions are the same: calls of `flashlower.attention` share a kernel by these keys.

A key that misses a change gives wrong numbers, so the second half runs pairs of calls of which the second must not
use what the first one found.
"""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import flashlower as fl
from flashlower.frontends.score_key import score_key

TENSOR = np.arange(4, dtype=np.float32)
OTHER = np.ones(4, np.float32)
LIMIT = 3
TABLES = [TENSOR]
NAMES = {"limit": 3}
CONFIG = SimpleNamespace(cap=2.0)


def key(score: Any) -> Any:
    found = score_key(score)
    return None if found is None else found[0]


def limited(limit: Any) -> Any:
    return lambda s, b, h, m, n: fl.where(n > limit, s, -math.inf)


def biased(tensor: Any) -> Any:
    def score(s: Any, b: Any, h: Any, m: Any, n: Any) -> Any:
        return s + tensor[h]

    return score


@pytest.mark.parametrize(
    ("make", "tensors"),
    [
        (lambda: None, 0),
        (lambda: fl.causal(), 0),
        (lambda: fl.window(3, 4, offset=1), 0),
        (lambda: fl.soft_cap(2), 0),
        (lambda: fl.alibi(TENSOR.copy()), 1),
        (lambda: fl.chain(fl.bias(TENSOR.copy()), fl.mask(TENSOR > 1), biased(TENSOR)), 3),
        (lambda: limited(3), 0),
        (lambda: limited(np.int64(3)), 0),
        (lambda: biased(TENSOR.copy()), 1),
        (lambda: lambda s, b, h, m, n: s * LIMIT + limited(LIMIT)(s, b, h, m, n), 0),
        (lambda: lambda s, b, h, m, n: s + max(LIMIT, len((1, 2))) * math.sqrt(2.0), 0),
        (lambda: lambda s, b, h, m, n, factor=2.0: s * factor, 0),
        (lambda: lambda s, b, h, m, n: sum([s * x for x in (1.0, LIMIT)]), 0),
        (lambda: partial(lambda cap, s, b, h, m, n: s * cap, 2.0), 0),
        (lambda: lambda s, b, h, m, n: s * CONFIG.cap, 0),
        (lambda: biased(fl.captured(TENSOR)), 1),
    ],
)
def test_equal_functions_have_equal_keys(make: Any, tensors: int) -> None:
    first, second = score_key(make()), score_key(make())
    assert first is not None and second is not None
    assert first[0] == second[0] and hash(first[0]) == hash(second[0])
    assert len(first[1]) == len(second[1]) == tensors


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (fl.causal(), fl.causal(0)),
        (fl.window(1, 2), fl.window(2, 1)),
        (fl.causal(), None),
        (fl.soft_cap(2.0), fl.soft_cap(3.0)),
        (fl.chain(fl.causal(), fl.soft_cap(2.0)), fl.chain(fl.soft_cap(2.0), fl.causal())),
        (fl.bias(TENSOR), fl.bias(TENSOR.astype(np.float16))),
        (fl.bias(TENSOR), fl.bias(TENSOR[:1])),
        (fl.bias(TENSOR > 0), fl.mask(TENSOR > 0)),
        # One tensor or two: as many arguments of the kernel.
        (fl.chain(fl.bias(TENSOR), fl.bias(TENSOR)), fl.chain(fl.bias(TENSOR), fl.bias(OTHER))),
        (limited(3), limited(4)),
        (limited(1), limited(True)),
        (limited(1), limited(1.0)),
        (limited(0.0), limited(-0.0)),
        (biased(TENSOR), biased(TENSOR[:2])),
        (lambda s, b, h, m, n, c=2.0: s * c, lambda s, b, h, m, n, c=3.0: s * c),
        (partial(lambda c, s, b, h, m, n: s * c, 2.0), partial(lambda c, s, b, h, m, n: s * c, 3.0)),
        (lambda s, b, h, m, n: s + n, lambda s, b, h, m, n: s + m),
    ],
)
def test_other_functions_have_other_keys(a: Any, b: Any) -> None:
    assert key(a) != key(b)
    assert key(a) is not None


class Window:
    """Its limit is computed."""

    size = 3

    @property
    def limit(self) -> int:
        return LIMIT

    def score(self, s: Any, b: Any, h: Any, m: Any, n: Any) -> Any:
        return s


def importing(s: Any, b: Any, h: Any, m: Any, n: Any) -> Any:
    from math import pi

    return s * pi


def assigning(s: Any, b: Any, h: Any, m: Any, n: Any) -> Any:
    global LIMIT
    LIMIT += 0
    return s


@pytest.mark.parametrize(
    "score",
    [
        lambda s, b, h, m, n: s * NAMES["limit"],
        lambda s, b, h, m, n: s + fl.captured(TABLES[0])[h],
        lambda s, b, h, m, n, t=TENSOR: s * float(t[0]),
        lambda s, b, h, m, n: s * np.random.rand(),
        lambda s, b, h, m, n: s * Window().limit,
        lambda s, b, h, m, n: s * Window.size,
        lambda s, b, h, m, n: s * globals()["LIMIT"],
        lambda s, b, h, m, n: s * undefined,  # noqa: F821
        Window().score,
        importing,
        assigning,
        pytest,
    ],
)
def test_what_may_change_unseen_has_no_key(score: Any) -> None:
    assert key(score) is None


RNG = np.random.default_rng(0)
Q, K, V = (RNG.standard_normal((1, 4, n, 16)).astype(np.float32) for n in (1, 9, 9))


def attend(score: Any) -> Any:
    return fl.attention(Q, K, V, score=score, splits=1)


def expect(result: Any, change: Any) -> None:
    logits = np.einsum("hk,hnk->hn", Q[0, :, 0].astype(np.float64), K[0]) / 4
    p = np.exp(change(logits, np.arange(9)))
    want = np.einsum("hn,hnd->hd", p / p.sum(1, keepdims=True), V[0])
    np.testing.assert_allclose(result[0, :, 0], want, atol=1e-5)


def test_changed_values_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers in closures, globals, objects, modules' attributes, lists; each call after the first would be stale."""
    config, sizes, number = SimpleNamespace(cap=1.0), [1.0, 1.0], 1.0

    def score(s: Any, b: Any, h: Any, m: Any, n: Any) -> Any:
        return s * number + config.cap * n + sum(sizes) * LIMIT

    def check(c: float, cap: float) -> None:
        expect(attend(score), lambda s, n: s * c + cap * n)

    check(1.0, 1.0)
    number = 2.0
    check(2.0, 1.0)
    config.cap = 0.5
    check(2.0, 0.5)
    sizes.append(math.inf)
    assert np.isnan(attend(score)).all()
    sizes.pop()
    monkeypatch.setattr(math, "tau", 3.0, raising=True)
    expect(attend(lambda s, b, h, m, n: s * math.tau), lambda s, n: s * 3.0)
    monkeypatch.setattr(math, "tau", 1.0, raising=True)
    expect(attend(lambda s, b, h, m, n: s * math.tau), lambda s, n: s)


def test_changed_tensors_are_seen() -> None:
    """Other contents, another tensor, a tensor read twice that becomes two."""
    for bias in (TENSOR, TENSOR * 2, np.float32([5, 4, 3, 2])):
        added = bias[:, None]
        for _ in range(2):
            expect(attend(biased(bias)), lambda s, n, a=added: s + a)
        expect(attend(fl.chain(biased(bias), lambda s, b, h, m, n: s * n)), lambda s, n, a=added: (s + a) * n)
    one, two = (np.random.default_rng(i).standard_normal((4, 1, 9)).astype(np.float32) for i in (8, 9))
    for a, b in ((one, one), (one, two), (two, one), (two, two)):
        expect(attend(fl.chain(fl.bias(a), fl.bias(b))), lambda s, n, a=(a + b)[:, 0]: s + a)


def test_nothing_is_kept_alive() -> None:
    import gc
    import weakref

    class Array(np.ndarray):
        pass

    tensor = TENSOR.copy().view(Array)
    score = biased(tensor)
    attend(score)
    alive = weakref.ref(tensor), weakref.ref(score)
    del tensor, score
    gc.collect()
    assert [ref() for ref in alive] == [None, None]

"""Ready-made score functions: masks, bias, soft cap, ALiBi."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from xdsl.dialects.builtin import FloatAttr, f32

from flashlower.dialects.attention.score import SoftCap
from flashlower.frontends.symbols import Symbol, where
from flashlower.frontends.tensors import Tensor, is_tensor
from flashlower.frontends.trace import Captured, ScoreFunction, call_with_symbols, current_trace


class ReadyMade:
    """A score function of ours: it captures tensors by itself, and is what its name and its parts say."""

    def __init__(self, score: ScoreFunction, name: str, *parts: Any):
        self._score = score
        self.name = name
        self.parts = parts

    def __call__(self, *args: Symbol) -> Any:
        return self._score(*args)


def causal(offset: int | None = None) -> ScoreFunction:
    """
    Keeps keys up to the query's position, n <= m + offset.

    None: the last query sees the last existing key (decoding); 0: query and key positions count alike (top-left).
    """
    offset = _whole_or_none(offset, "offset")

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        return where(n <= _position(m, b, offset), s, -math.inf)

    return ReadyMade(score, "causal", offset)


def window(left: int, right: int, offset: int | None = None) -> ScoreFunction:
    """
    Keeps keys from position - left to position + right, both included.

    A query's position is m + offset, as in `causal`.
    """
    left, right, offset = _whole(left, "left"), _whole(right, "right"), _whole_or_none(offset, "offset")

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        if offset is None and current_trace().kv_lens is not None:
            position = _position(m, b, None)
            return where((n >= _plus(position, -left)) & (n <= _plus(position, right)), s, -math.inf)
        start = current_trace().last_key(b) if offset is None else offset
        assert isinstance(start, int)
        return where((n >= _plus(m, start - left)) & (n <= _plus(m, start + right)), s, -math.inf)

    return ReadyMade(score, "window", left, right, offset)


def soft_cap(cap: float) -> ScoreFunction:
    """cap * tanh(s / cap): keeps logits within (-cap, cap)."""
    try:
        cap = float(cap)
    except (TypeError, ValueError, OverflowError) as e:
        raise TypeError(f"a soft cap must be a number, got {cap!r}") from e
    limits = np.finfo(np.float32)
    if not float(limits.tiny) <= cap <= float(limits.max):
        raise ValueError(f"a soft cap must be positive and finite in 32 bits, got {cap}")

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        return Symbol(SoftCap(FloatAttr(cap, f32)).build(s.value, {}))

    return ReadyMade(score, "soft_cap", cap)


def alibi(slopes: Tensor) -> ScoreFunction:
    """Adds slopes[h] * (n - position), with positions as in `causal()`; slopes has shape [Hq] (Press et al., 2022)."""

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        captured, heads = Captured(slopes, "slopes"), current_trace().sizes["hq"]
        if tuple(slopes.shape) != (heads,):
            raise ValueError(f"slopes has shape {list(slopes.shape)}, expected [{heads}], one for each query head")
        slope = captured[h]
        return s + slope * (n - _position(m, b, None))

    return ReadyMade(score, "alibi", slopes)


def bias(tensor: Tensor) -> ScoreFunction:
    """Adds a float tensor that broadcasts to [B, Hq, M, N]."""

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        return s + _broadcast(tensor, "bias", b, h, m, n)

    return ReadyMade(score, "bias", tensor)


def mask(tensor: Tensor) -> ScoreFunction:
    """Keeps keys where a bool tensor that broadcasts to [B, Hq, M, N] is true."""

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        return where(_broadcast(tensor, "mask", b, h, m, n), s, -math.inf)

    return ReadyMade(score, "mask", tensor)


def chain(*scores: ScoreFunction) -> ScoreFunction:
    """Applies score functions from left to right."""

    def score(s: Symbol, b: Symbol, h: Symbol, m: Symbol, n: Symbol) -> Symbol:
        for function in scores:
            s = call_with_symbols(function, s, b, h, m, n)
        return s

    return ReadyMade(score, "chain", *scores)


def _whole(value: int, what: str) -> int:
    try:
        return operator.index(value)
    except TypeError as e:
        raise TypeError(f"{what} is {value!r}, expected a whole number") from e


def _whole_or_none(value: int | None, what: str) -> int | None:
    return None if value is None else _whole(value, what)


def _plus(x: Symbol, constant: int) -> Symbol:
    return x + constant if constant else x


def _position(m: Symbol, b: Symbol, offset: int | None) -> Symbol:
    start = current_trace().last_key(b) if offset is None else offset
    return _plus(m, start) if isinstance(start, int) else m + start


def _broadcast(tensor: Tensor, name: str, *indices: Symbol) -> Symbol:
    """The element of a tensor that broadcasts to [B, Hq, M, N] as NumPy broadcasts."""
    if not is_tensor(tensor):
        raise TypeError(f"{name} is a {type(tensor).__name__}, expected a tensor")
    full = list(current_trace().sizes.values())
    shape = [int(size) for size in tensor.shape]
    if len(shape) > 4 or any(size not in (1, full_size) for size, full_size in zip(shape[::-1], full[::-1])):
        raise ValueError(f"{name} has shape {shape}, which does not broadcast to [B, Hq, M, N] = {full}")
    own = indices[4 - len(shape) :]
    return current_trace().read(tensor, name, tuple(0 if size == 1 else i for size, i in zip(shape, own)))

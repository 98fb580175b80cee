"""`flashlower.attention`: one call that builds the operation, compiles it, and runs it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from flashlower.frontends.quantized import Quantized
from flashlower.frontends.score_key import score_key
from flashlower.frontends.sdpa import Layout, build_attention
from flashlower.frontends.tensors import Tensor
from flashlower.frontends.trace import ScoreFunction
from flashlower.lowering.bounded_cache import BoundedCache
from flashlower.lowering.kernel import Kernel, compile
from flashlower.lowering.triton.runtime import Launcher

MAX_CALLS = 1024
"""Calls that are told apart by shapes, dtypes and options; the oldest goes first."""


@dataclass(frozen=True)
class _Call:
    """What `attention` found for some shapes, dtypes and options."""

    kernel: Kernel
    launcher: Launcher
    order: tuple[int, ...]
    """The kernel's arguments, by their positions among all tensors of the call."""


_calls: BoundedCache[_Call] = BoundedCache(MAX_CALLS)


@lru_cache(maxsize=256)
def _compiled(text: str, splits: int | Literal["auto"]) -> Kernel:
    return compile(text, splits=splits)


def attention(
    q: Tensor,
    k: Tensor | Quantized,
    v: Tensor | Quantized,
    *,
    layout: Layout = "bhsd",
    scale: float | None = None,
    score: ScoreFunction | None = None,
    kv_lens: Tensor | None = None,
    block_table: Tensor | None = None,
    sinks: Tensor | None = None,
    splits: int | None = None,
    return_lse: bool = False,
    out: Tensor | tuple[Tensor | None, ...] | None = None,
    workspace: Tensor | None = None,
) -> Any:
    """
    Scaled dot-product attention with a score function, compiled for these shapes and run.

    - `layout="bhsd"`: q [B, Hq, M, K], k [B, Hkv, N, K], v [B, Hkv, N, D], result [B, Hq, M, D]; `"bshd"`: heads after
      the sequence. Any strides. Hq must be a multiple of Hkv. Tensors are all NumPy arrays or all torch tensors; the
      result is of the same kind, in q's dtype (float16, bfloat16 or float32).
    - k and v may be quantised: `flashlower.quantized(data, scale, ...)`.
    - `scale`: factor of the dot products, 1 / sqrt(K) by default.
    - `score(s, b, h, m, n)`: the new logit from the scaled one and its indices; see `flashlower.frontends.trace` and
      `causal`, `window`, `soft_cap`, `alibi`, `bias`, `mask`, `chain`.
    - `kv_lens` int32 or int64 [B]: keys beyond a sequence's length do not exist. Length 0 gives 0 and LSE -inf.
    - `block_table` int32 or int64 [B, max_pages]: k and v are pools [pages, page_size, Hkv, K or D], whatever the
      layout of q, and key n of a sequence is slot n % page_size of page `block_table[b, n // page_size]`. With pages
      of one slot it is a token table. Entries for pages beyond a sequence's length are not read; all others must be
      numbers of pages. N is max_pages * page_size.
    - `sinks` [Hq]: a logit per head that takes part in the sum and has no value.
    - `splits`: the number of splits of flash decoding; None leaves it to the cost model.
    - `return_lse`: also return LSE [B, Hq, M] in float32, natural logarithm.
    - `out`: what the result is written to, a tensor of its shape and dtype with any strides; with `return_lse` a tuple
      (out, lse), or out alone.
    - `workspace`: a contiguous tensor of any dtype with at least `flashlower.workspace_size(q, k, v, ...)` bytes for
      partial results. With it, and `out` for every result, a call allocates nothing.

    What it computes is that of `attention.sdpa` (`flashlower.dialects.attention.SdpaOp`). Raises `ValueError` for
    shapes and `TypeError` for dtypes, devices and score functions that do not fit.
    """
    call, arguments = _prepare(q, k, v, layout, scale, score, kv_lens, block_table, sinks, splits, return_lse)
    if block_table is not None and all(str(getattr(x, "device", "cpu")) == "cpu" for x in (block_table, kv_lens)):
        _check_pages(block_table, kv_lens, *k.shape[:2])
    return call.launcher(arguments, out=out, workspace=workspace)


def workspace_size(q: Tensor, k: Tensor | Quantized, v: Tensor | Quantized, **options: Any) -> int:
    """
    The bytes of `workspace` that `attention(q, k, v, **options)` needs; it depends on shapes and options alone.

    Compiles the kernel, so the call itself is fast. Takes the options of `attention`, and raises what it raises.
    """
    for name in ("out", "workspace"):
        options.pop(name, None)
    return _prepare(q, k, v, **options)[0].kernel.workspace_size()


def _prepare(
    q: Tensor,
    k: Tensor | Quantized,
    v: Tensor | Quantized,
    layout: Layout = "bhsd",
    scale: float | None = None,
    score: ScoreFunction | None = None,
    kv_lens: Tensor | None = None,
    block_table: Tensor | None = None,
    sinks: Tensor | None = None,
    splits: int | None = None,
    return_lse: bool = False,
) -> tuple[_Call, list[Tensor]]:
    """What to call, and the arguments; built for the first call of its kind."""
    paged = block_table is not None
    (key_tensor, *key_parts), (value_tensor, *value_parts) = _tensors(k, paged=paged), _tensors(v, paged=paged)
    optional = [x for x in (block_table, kv_lens, sinks) if x is not None]
    tensors = [q, key_tensor, value_tensor, *key_parts, *value_parts, *optional]
    scored = score_key(score)
    key: Hashable = None
    try:
        if scored is not None:
            given = (_kind(k), _kind(v), block_table is None, kv_lens is None, sinks is None)
            types = [x for tensor in tensors for x in (tensor.shape, tensor.dtype)]
            factor = None if scale is None else float(scale)
            key = (scored[0], given, layout, factor, splits, return_lse, *types)
            if (call := _calls.get(key)) is not None:
                if not scored[1]:
                    return call, tensors
                tensors += scored[1]
                return call, [tensors[index] for index in call.order]
    except (AttributeError, TypeError, ValueError, OverflowError):
        # No tensor, or no option: what follows says so.
        key = None
    if splits is not None and (not isinstance(splits, int) or splits < 1):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ValueError(
            f"splits is {splits!r}, expected a whole number, at least 1, or None (the cost model's choice)"
        )
    built = build_attention(
        q,
        k,
        v,
        layout=layout,
        scale=scale,
        score=score,
        kv_lens=kv_lens,
        block_table=block_table,
        sinks=sinks,
        return_lse=return_lse,
    )
    kernel = _compiled(str(built.module), "auto" if splits is None else splits)
    # The tensors of the call come first; those of the score function follow in the order of its trace.
    positions = {id(tensor): len(tensors) + index for index, tensor in enumerate(scored[1] if scored else ())}
    read = [positions.get(id(tensor), -1) for tensor in built.arguments[len(tensors) :]]
    call = _Call(kernel, kernel.launcher(kernel.entry), (*range(len(tensors)), *read))
    if key is not None and -1 not in read:
        _calls.put(key, call)
    return call, built.arguments


def _check_pages(block_table: Any, kv_lens: Any, pages: int, page_size: int) -> None:
    """Raises `ValueError` for an entry that is no page where a sequence needs one: a kernel would read other memory."""
    table = np.asarray(block_table)
    batch, width = table.shape
    lengths = np.full(batch, width * page_size) if kv_lens is None else np.asarray(kv_lens)
    first_keys = page_size * np.arange(int(width))
    wrong = np.argwhere((first_keys < lengths[:, None]) & ((table < 0) | (table >= pages)))
    if len(wrong):
        b, page = (int(i) for i in wrong[0])
        raise ValueError(
            f"block_table[{b}, {page}] is {table[b, page]}, expected the number of one of {pages} pages; kv_lens says "
            "how many keys a sequence has, and entries beyond them are not read"
        )


def _tensors(x: Tensor | Quantized, *, paged: bool) -> list[Tensor]:
    """The tensors of K or V, in the order in which `build_attention` takes them."""
    return [x.pool if paged else x.storage, *x.parts.values()] if isinstance(x, Quantized) else [x]


def _kind(x: Tensor | Quantized) -> Hashable:
    """What tells a quantised K or V from others of the same tensors."""
    return (x.attr, x.lanes, x.planar, x.heads_first, tuple(x.parts)) if isinstance(x, Quantized) else None

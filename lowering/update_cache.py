"""`flashlower.update_cache`: one call that stores new keys and values in caches."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from flashlower.frontends.quantized import Quantized
from flashlower.frontends.sdpa import Layout
from flashlower.frontends.tensors import Tensor
from flashlower.frontends.update_cache import RoundingName, ScalingName, build_update
from flashlower.lowering.bounded_cache import BoundedCache
from flashlower.lowering.kernel import Kernel, compile
from flashlower.lowering.triton.arguments import check_writable

MAX_CALLS = 1024
"""Calls that are told apart by shapes, dtypes and options; the oldest goes first."""


@dataclass(frozen=True)
class _Call:
    """What `update_cache` found for some shapes, dtypes and options."""

    kernel: Kernel
    written: dict[str, int]
    """The arguments that are written to, by their names."""
    token_group: int
    """Tokens that share a made scale."""


_calls: BoundedCache[_Call] = BoundedCache(MAX_CALLS)


@lru_cache(maxsize=256)
def _compiled(text: str) -> Kernel:
    return compile(text)


def update_cache(
    k: Tensor,
    v: Tensor | None,
    k_cache: Tensor | Quantized,
    v_cache: Tensor | Quantized | None,
    *,
    layout: Layout = "bhsd",
    positions: Tensor | None = None,
    slots: Tensor | None = None,
    block_table: Tensor | None = None,
    scaling: ScalingName | None = None,
    rounding: RoundingName = "to_nearest_even",
) -> None:
    """
    Stores new keys and values in caches, in place, quantised where a cache is `flashlower.quantized`.

    - `layout="bhsd"`: k [B, Hkv, T, K], v [B, Hkv, T, D] of T new tokens; `"bshd"`: heads after the tokens. Any
      strides; float16, bfloat16 or float32. v and v_cache may be None: one cache alone (MLA).
    - `k_cache`, `v_cache`: what `flashlower.attention` takes as k and v, in the same layout as k; with `block_table` or
      `slots` they are pools [pages, page_size, Hkv, K or D]. Codes, and made scales, zero points and offsets are
      overwritten.
    - `positions` int32 or int64 [B]: that of the first new token of each sequence, the length before the call (-3: the
      first three are padding); or [B, T]: that of each token. In pools, `block_table` [B, max_pages] says in which
      pages they are.
    - `slots` int32 or int64 [B, T]: numbers in a pool, page * page_size + slot, in place of positions.
    - `scaling`: "symmetric" or "asymmetric" makes scales for the new tokens (and zero points or offsets), "given" takes
      those of the caches. None: "asymmetric" for a cache with a zero tensor or offset, "given" without a scale, else
      "symmetric". Scales that all heads or all tokens share cannot be made, but are given.
    - `rounding` of integer codes: "to_nearest_even", or "toward_zero" as LightLLM does.

    A token whose position or slot is negative or beyond the cache is not stored, nor one whose page is not in the
    table (-1). Scales of T tokens (KIVI's keys) are made for whole, aligned groups: T divides the number of new tokens,
    and `positions` are multiples of it.

    What it computes is that of `attention.update_cache` (`flashlower.dialects.attention.UpdateCacheOp`), infinities and
    NaN included. Raises `ValueError` for shapes and `TypeError` for dtypes and devices that do not fit.
    """
    call, tensors = _prepare(k, v, k_cache, v_cache, layout, positions, slots, block_table, scaling, rounding)
    check_writable({name: tensors[index] for name, index in call.written.items()})
    if positions is not None and str(getattr(positions, "device", "cpu")) == "cpu":
        _check_aligned(positions, call.token_group)
    call.kernel(*tensors)


def _prepare(
    k: Tensor,
    v: Tensor | None,
    k_cache: Tensor | Quantized,
    v_cache: Tensor | Quantized | None,
    layout: Layout,
    positions: Tensor | None,
    slots: Tensor | None,
    block_table: Tensor | None,
    scaling: ScalingName | None,
    rounding: RoundingName,
) -> tuple[_Call, list[Tensor]]:
    """What to call, and the arguments; built for the first call of its kind."""
    places = [x for x in (positions, slots, block_table) if x is not None]
    caches = [k_cache, *([] if v_cache is None else [v_cache])]
    # In the order of the function that `build_update` makes.
    tensors = [*places, k, *_tensors(k_cache)]
    if v is not None and v_cache is not None:
        tensors += [v, *_tensors(v_cache)]
    key: Hashable = None
    try:
        given = (v is None, *(x is None for x in (positions, slots, block_table)), *map(_kind, caches))
        key = (given, layout, scaling, rounding, *(x for tensor in tensors for x in (tensor.shape, tensor.dtype)))
        if (call := _calls.get(key)) is not None:
            return call, tensors
    except (AttributeError, TypeError):
        # No tensor, or no option: what follows says so.
        key = None
    built = build_update(
        k,
        v,
        k_cache,
        v_cache,
        layout=layout,
        positions=positions,
        slots=slots,
        block_table=block_table,
        scaling=scaling,
        rounding=rounding,
    )
    call = _Call(_compiled(str(built.module)), built.written, built.token_group)
    if key is not None:
        _calls.put(key, call)
    return call, tensors


def _tensors(cache: Tensor | Quantized) -> list[Tensor]:
    """The tensors of a cache: the storage, then what stands beside it."""
    return [cache.storage, *cache.parts.values()] if isinstance(cache, Quantized) else [cache]


def _kind(cache: Tensor | Quantized) -> Hashable:
    """What tells a quantised cache from others of the same tensors."""
    return (cache.attr, cache.lanes, cache.planar, tuple(cache.parts)) if isinstance(cache, Quantized) else None


def _check_aligned(positions: Any, group: int) -> None:
    """Raises `ValueError` for a first position inside of a group of tokens; a kernel would not store it."""
    if group > 1 and (wrong := [int(first) for first in positions if int(first) % group]):
        raise ValueError(
            f"positions has {wrong[0]}, but scales are made for groups of {group} tokens: expected multiples of it"
        )

"""Sizes of tiles and operands that the cost model reckons with."""

from __future__ import annotations

from typing import cast

from xdsl.dialects.builtin import DYNAMIC_INDEX, FixedBitwidthType, TensorType
from xdsl.ir import Attribute
from xdsl.ir.affine import AffineExpr

from flashlower.dialects.attention import AttentionOp

MIN_DOT_SIZE = 16
"""The least size of a block in `tl.dot`."""

ASSUMED_HEAD_SIZE = 128
"""The size that a dynamic head size is taken for."""


def next_power_of_two(value: int) -> int:
    """The least power of two that is not below `value` (1 for values below 2)."""
    return 1 << max(value - 1, 0).bit_length()


def block_rows(rows: int) -> int:
    """`block_m` for a number of packed rows (queries times head group): 16 to 64, or 128 from 65 rows on."""
    return min(max(next_power_of_two(rows), 16), 128)


def reached_keys(op: AttentionOp, queries: int, keys: int) -> int:
    """The most keys of `keys` that `queries` queries reach, as far as the bounds of the operation say."""
    if op.reach is None:
        return keys
    ends = [AffineExpr.constant(keys)]
    lengths = (op.kv_lens, op.kv_lens_layout)
    ends += [AffineExpr.symbol(i) for i, scalar in enumerate(op.bounds.scalars) if scalar == lengths]
    reached = op.reach.most_keys(queries, ends)
    return keys if reached is None else min(keys, reached)


def packed_rows(sizes: dict[str, int]) -> int | None:
    """Queries times head group, None where that is not known."""
    return None if DYNAMIC_INDEX in (sizes["m"], sizes["g"]) else sizes["m"] * sizes["g"]


def static_size(size: int) -> int:
    """A head size, or what a dynamic one is taken for."""
    return ASSUMED_HEAD_SIZE if size == DYNAMIC_INDEX else size


def key_bytes_of(op: AttentionOp, sizes: dict[str, int]) -> int:
    """The bytes of K and V that a tile holds of one key; where they are quantised, those of the codes."""
    total = 0
    lanes = op.lanes()
    for name, dim, value in (("k", "k", op.key), ("v", "d", op.value)):
        elements = max(next_power_of_two(static_size(sizes[dim]) // lanes.get(name, 1)), 16)
        total += elements * element_bytes_of(value.type)
    return total


def element_bytes_of(type: Attribute) -> int:
    """The bytes of an element of a tensor type."""
    return cast(FixedBitwidthType, cast(TensorType[Attribute], type).element_type).size

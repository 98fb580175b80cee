"""Which keys of a run exist: the length of a sequence, and the positions of keys, with keys on the partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from flashlower.dialects import nki
from flashlower.dialects.nki.types import PARTITIONS
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.grid import u8
from flashlower.lowering.nki.problem import Problem, column


@dataclass(frozen=True)
class ExistingKeys:
    """Of the keys of some tiles: their positions, the length of their sequence, and which of them are beyond it."""

    position: SSAValue | None = None
    """[128, tiles], f32."""
    length: SSAValue | None = None
    """[128, 1], f32: the number of keys, the same on all partitions."""
    absent: SSAValue | None = None
    """[128, tiles], bytes."""


def key_positions(b: KernelBuilder, n: Sum, free: Sequence[int]) -> SSAValue:
    """Positions of keys from n on, [128, *free]: that of partition p in tile t is n + t * 128 + p."""
    position = b.tile("position", [PARTITIONS, *free])
    b.add(nki.IotaOp(position, [(PARTITIONS, prod(free))], b.offset(n), 1))
    return position


def existing_keys(
    b: KernelBuilder, problem: Problem, indices: Mapping[str, Sum], n: Sum, keys: int, free: Sequence[int]
) -> ExistingKeys:
    """What there is to know of the tiles of `keys` keys from n on; nothing where there are no lengths."""
    lens = problem.kv_lens
    if lens is None:
        return ExistingKeys()
    b.comment("Keys from the length on do not exist.")
    raw = b.tile("length_i32", [PARTITIONS, 1], i32)
    at = lens.offset({name: indices[name] for name in (*problem.batch_dims, "h")})
    b.add(nki.DmaCopyOp(raw, b.ap(lens.tensor, [(0, PARTITIONS)], at)))
    length = column(b, "length", PARTITIONS)
    b.add(nki.TensorCopyOp(length, raw))
    if problem.pages is not None and keys % PARTITIONS:
        # A table has no entries for the last tile's rows beyond the last key.
        b.add(nki.TensorScalarOp(length, length, "minimum", float(problem.sizes["n"])))
    position = key_positions(b, n, free)
    absent = b.tile("absent", [PARTITIONS, *free], u8)
    b.add(nki.TensorScalarOp(absent, position, "greater_equal", length))
    return ExistingKeys(position, length, absent)

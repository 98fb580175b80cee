"""Which keys a program walks over: all that exist, or those of one split."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects.builtin import DYNAMIC_INDEX, i32, i64
from xdsl.ir import SSAValue

from flashlower.dialects.attention import AttentionOp, PartialOp
from flashlower.dialects.tl.types import element_type
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Programs, Sizes
from flashlower.lowering.triton.parameters import Access

INT32_MAX = (1 << 31) - 1


@dataclass(frozen=True)
class KeyRange:
    """Keys lo..hi in i32; `masked` if the last tile may reach beyond `hi`; `split` counts the splits of a partial."""

    lo: SSAValue
    hi: SSAValue
    masked: bool
    split: SSAValue | None


def key_range(
    b: KernelBuilder, op: AttentionOp, sizes: Sizes, programs: Programs, lens: Access | None, block_n: int
) -> KeyRange:
    """The keys of a program; `lens` is how the kernel reads the lengths, None if every sequence has all N keys."""
    keys = sizes.static["n"]
    masked = lens is not None or keys == DYNAMIC_INDEX or keys % block_n != 0
    length = sizes.value("n")
    if lens is not None:
        # A length beyond N is N, a negative one is 0.
        length = b.load(lens.move(b, b.arg(lens.pointer), programs.indices))
        length = b.minimum(b.maximum(length, 0), b.cast(sizes.value("n"), element_type(length.type)))
        length = b.cast(length, i32)
        length.name_hint = "kv_len"
    if not isinstance(op, PartialOp):
        return KeyRange(b.constant(0), length, masked, None)

    split = b.program_id(1, name="split")
    tile_size = op.tile.value.data
    tile, splits = sizes.constexpr("TILE", tile_size), sizes.constexpr("SPLITS", op.num_splits)
    tiles = b.cdiv(length, tile, comment="This split's share of the tiles: keys lo to hi")
    most_tiles = -(-(INT32_MAX if keys == DYNAMIC_INDEX else keys) // tile_size)
    if most_tiles * op.num_splits > INT32_MAX:
        tiles = b.cast(tiles, i64)
    tiles.name_hint = "num_tiles"
    first = b.floordiv(b.mul(tiles, b.cast(split, tiles.type)), b.cast(splits, tiles.type))
    last = b.floordiv(b.mul(tiles, b.cast(b.add(split, 1), tiles.type)), b.cast(splits, tiles.type))
    lo = b.mul(b.cast(first, i32), tile, name="lo")
    hi = b.minimum(b.mul(b.cast(last, i32), tile), length, name="hi")
    return KeyRange(lo, hi, masked, split)

"""Tiles in memory: their addresses, the blocks of a head size, and loads that give a type `tl.dot` computes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.dialects.builtin import DYNAMIC_INDEX, Float32Type, bf16, f32, i64
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects.tl import PtrType
from flashlower.dialects.tl.types import element_type, is_float8, shape_of
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Programs, Sizes
from flashlower.lowering.triton.parameters import Access
from flashlower.rewrites.schedule.measure import MIN_DOT_SIZE, next_power_of_two


@dataclass(frozen=True)
class HeadPart:
    """
    A run of a head size that one block covers; `mask` is false beyond the head, None if no offset is.

    Where heads share a tile, `heads` are those of the offsets, counted from the first one of the program, in i32.
    """

    suffix: str
    block: SSAValue
    offsets: SSAValue
    mask: SSAValue | None
    heads: SSAValue | None = None


def padded_block(size: int) -> int:
    """The least block of `tl.dot` that covers a size: a power of two, at least 16."""
    return max(next_power_of_two(size), MIN_DOT_SIZE)


def head_blocks(size: int) -> tuple[int, ...]:
    """The blocks that cover a head size: one, or two where that needs less padding (576 is 512 and 64)."""
    whole = padded_block(size)
    first = whole // 2
    if size > first >= MIN_DOT_SIZE and padded_block(size - first) < first:
        return (first, padded_block(size - first))
    return (whole,)


def head_parts(b: KernelBuilder, sizes: Sizes, dim: str) -> list[HeadPart]:
    """
    The blocks of the head size of Q and K ("k") or V ("d"), with their offsets in i64.

    Raises `DiagnosticException` if the size is dynamic.
    """
    size = sizes.static[dim]
    if size == DYNAMIC_INDEX:
        raise DiagnosticException(f"the head size {dim} is dynamic, but tiles of a Triton kernel need it static")
    return block_parts(b, sizes, dim, size)


def block_parts(b: KernelBuilder, sizes: Sizes, dim: str, size: int) -> list[HeadPart]:
    """The blocks of a number of elements along a head, called `dim` in names, with their offsets in i64."""
    blocks = head_blocks(size)
    parts: list[HeadPart] = []
    start = 0
    for number, block_size in enumerate(blocks):
        suffix = str(number) if len(blocks) > 1 else ""
        block = sizes.constexpr(f"BLOCK_{dim.upper()}{suffix}", block_size)
        offsets = b.arange(0, block)
        if start:
            offsets = b.add(offsets, sizes.constexpr(f"BLOCK_{dim.upper()}0", start))
        offsets = b.cast(offsets, i64, name=f"offs_{dim}{suffix}")
        mask = None
        if start + block_size > size:
            limit = sizes.constexpr(dim.upper(), size)
            mask = b.lt(offsets, b.cast(limit, i64), name=f"mask_{dim}{suffix}")
        parts.append(HeadPart(suffix, block, offsets, mask))
        start += block_size
    return parts


def whole(b: KernelBuilder, pointer: SSAValue, shape: Sequence[SSAValue | int], name: str | None = None) -> SSAValue:
    """Pointers to a whole tile: spread over the dimensions that the tensor lacks."""
    found = shape_of(pointer.type)
    if len(found) < len(shape) or 1 in found:
        pointer = b.broadcast_to(pointer, shape)
    if name is not None and pointer.name_hint is None:
        pointer.name_hint = name
    return pointer


def row_pointers(b: KernelBuilder, access: Access, programs: Programs) -> SSAValue:
    """Pointers to one number a row, [BLOCK_M]."""
    rows = access.offset(b, programs.wide_rows())
    pointer = access.base(b, programs.indices)
    if rows is not None:
        if len(programs.rows) > 1:
            rows.name_hint = f"{access.name}_rows"
        pointer = b.add(pointer, rows)
    return whole(b, pointer, (programs.block_m,))


def row_tile_pointers(
    b: KernelBuilder, access: Access, programs: Programs, dim: str, parts: Sequence[HeadPart]
) -> list[SSAValue]:
    """Pointers to the rows of a program, [BLOCK_M, BLOCK] for each part of the head size `dim`."""
    rows = programs.wide_rows()
    if len(rows) > 1 and (offset := access.offset(b, rows)) is not None:
        offset.name_hint = f"{access.name}_rows"
        pointer = b.add(access.base(b, programs.indices), b.rows(offset))
    else:
        base = access.base(b, programs.indices)
        pointer = access.move(b, base, {name: b.rows(row) for name, row in rows.items()})
    if len(parts) > 1 and pointer.name_hint is None:
        pointer.name_hint = f"{access.name}_row_ptrs"
    tiles: list[SSAValue] = []
    for part in parts:
        tile = access.move(b, pointer, {dim: b.columns(part.offsets)})
        tiles.append(whole(b, tile, (programs.block_m, part.block), f"{access.name}_ptrs{part.suffix}"))
    return tiles


def tile_mask(b: KernelBuilder, rows: SSAValue | None, columns: SSAValue | None) -> SSAValue | None:
    """The mask of a tile from those of its two dimensions."""
    return b.all_of([None if rows is None else b.rows(rows), None if columns is None else b.columns(columns)])


def own_mask(b: KernelBuilder, programs: Programs, part: HeadPart) -> SSAValue | None:
    """The mask of a block [BLOCK_M, BLOCK] of Q or the output: rows and channels that exist, of the same head."""
    masks = [tile_mask(b, programs.row_mask, part.mask)]
    if part.heads is not None:
        masks.append(b.eq(b.rows(programs.rows["h"]), b.columns(part.heads)))
    return b.all_of(masks)


def load_floats(
    b: KernelBuilder, pointer: SSAValue, mask: SSAValue | None, name: str | None, *, widen: bool = True
) -> SSAValue:
    """Loads numbers, 0 where the mask is false; 8-bit floats are widened to bf16, which is exact, or not."""
    element = cast(PtrType, element_type(pointer.type)).pointee
    if not is_float8(element):
        return b.load(pointer, mask=mask, other=0.0, name=name)
    # There are no literals of 8-bit floats.
    zero = None if mask is None else b.cast(b.constant(0.0, f32), element)
    loaded = b.load(pointer, mask=mask, other=zero)
    if not widen:
        loaded.name_hint = name
        return loaded
    return b.cast(loaded, bf16, name=name)


def dot_precision(operand: SSAValue) -> str | None:
    """The `input_precision` of a product of such operands: f32 is not rounded to tf32."""
    return "ieee" if isinstance(element_type(operand.type), Float32Type) else None


def scaled(b: KernelBuilder, x: SSAValue, factor: SSAValue | None, element: Attribute) -> SSAValue:
    """A block of rows times a number for each of its columns or one for all, computed in f32."""
    if factor is None:
        return x
    factor = b.columns(factor) if shape_of(factor.type) else factor
    return b.cast(b.mul(b.cast(x, f32), factor), element, name=x.name_hint)

"""How kernels unpack quantised K and V: in which tiles, by how many warps, whether by assembly."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Literal, cast

from xdsl.dialects.builtin import DYNAMIC_INDEX, BFloat16Type, TensorType, i32
from xdsl.ir import Attribute

from flashlower.dialects.attention import AttentionOp
from flashlower.dialects.attention.layout import INNER_DIMS, index_names, layout_terms, used_indices
from flashlower.rewrites.schedule.measure import MIN_DOT_SIZE
from flashlower.rewrites.schedule.splits import RAGGED_CHUNK, ragged_splits
from flashlower.rewrites.schedule.targets import TargetDescription

DECODE_ROWS = 8
"""Up to so many rows, tiles of words lie transposed: that is the short side of the matrix unit."""

SCHEDULERS = 4
"""Warps of a core that may issue at once."""

STREAMING_KEYS = 32
"""Keys of a tile that streams."""


@dataclass(frozen=True)
class Unpacking:
    """What unpacking asks of a schedule."""

    tile: tuple[int, int, int] | None
    """`block_m`, warps and the most keys of a tile; None where they are those of other kernels."""
    options: dict[str, int]
    """Optional fields of the schedule."""


@dataclass(frozen=True)
class Streaming:
    """The schedule of a kernel that waits for memory."""

    warps: int
    stages: int
    programs: int
    """Of a core."""
    chunk: int
    """
    The most keys of a split where lengths differ: `RAGGED_CHUNK`, or more, as a program that has twice as many bytes
    under way is done with twice as many keys in the same time.
    """


def choose_unpacking(
    op: AttentionOp, rows: int | None, block_m: int, key_bytes: int, target: TargetDescription
) -> Unpacking:
    """What a kernel of `rows` packed rows, in tiles of `block_m`, should have for K and V of `key_bytes` a key."""
    lanes = op.lanes()
    options = {"assembly": 1} if lanes and _has_assembly(op, target) else {}
    if len(lanes) < 2 or block_m > 16:
        return Unpacking(None, options)
    if options:
        warps, keys = _unpacking_tile(op, key_bytes, target)
        if rows is None or rows > DECODE_ROWS:
            return Unpacking((block_m, warps, keys), options)
        if _pairs_heads(op):
            return Unpacking((DECODE_ROWS, 2, 32), {"heads": 2, "transposed": 1, **options})
        if _gains_from_f16(op):
            options["half"] = 1
        if (stream := streaming(op, key_bytes, target)) is not None:
            return Unpacking((DECODE_ROWS, stream.warps, STREAMING_KEYS), {"transposed": 1, **options})
        if key_bytes <= 128 and _channel_scales(op) == "value" and not _is_few(op, target):
            # V of a head has as many words as the matrix unit has rows: further warps would unpack them again.
            warps, keys = 1, 32
        return Unpacking((DECODE_ROWS, warps, keys), {"transposed": 1, **options})
    if target.compute_capability is not None and not _packs_floats(op):
        # Here too every warp unpacks all of V; the exponents of packed 8-bit floats are work that more warps share.
        return Unpacking((block_m, 1, 32), options)
    return Unpacking(None, options)


def heads_obstacle(op: AttentionOp, heads: int, block_m: int) -> str | None:
    """Why so many KV heads cannot share a tile of rows; None if they can."""
    sizes = op.dim_sizes()
    if sizes["m"] != 1 or not 0 < sizes["g"] * heads <= block_m:
        return f"a tile of {block_m} rows is for one query of each of their query heads"
    if sizes["h"] == DYNAMIC_INDEX or sizes["h"] % heads:
        return f"their number must be a multiple of {heads}"
    for name in ("k", "v"):
        quantization, packing = op.quantization(name), op.packing(name)
        if quantization is None or packing is None or packing.lanes == 1:
            return f"codes of {name} must share elements"
        if packing.width < MIN_DOT_SIZE or packing.width & (packing.width - 1):
            return f"{name} has {packing.width} elements, expected a power of two of at least {MIN_DOT_SIZE}"
        for part, shared in quantization.shared():
            group = shared.channel_group
            outside = group is None or (packing.planar and group % packing.width == 0)
            if outside and "h" in used_indices(shared.layout.data):
                return f"{name}_{part} is one for many channels, but not for all heads"
    own = ("q", "sinks", "out", "lse", "k", "v")
    for name, _, layout in op.layouts():
        used = used_indices(layout.data)
        if (name not in own and not name.startswith(("k_", "v_")) and "h" in used) or (
            "g" in used and name not in own[:4]
        ):
            return "they have other keys"
    return None


def has_floats(op: AttentionOp) -> bool:
    """Whether any codes are 8-bit floats."""
    return any(attr is not None and attr.is_float for attr in (op.key_quantization, op.value_quantization))


def streaming(op: AttentionOp, key_bytes: int, target: TargetDescription) -> Streaming | None:
    """
    How kernels on transposed tiles of codes with `key_bytes` a key have `bytes_in_flight`, where they wait for these:
    codes of 8 bits of which a key and head has one scale at most.

    They have a program of one warp for each scheduler of a core, with several tiles under way; or, where sequences and
    heads make more programs, of two warps with one tile. Which of these is best was measured (docs/benchmarks.md).
    """
    if not 128 < key_bytes <= 256 or _channel_scales(op) is not None:
        return None
    tile_bytes, most_tiles = STREAMING_KEYS * key_bytes, target.max_stages - 1
    whole_cores = max(round(target.bytes_in_flight / (SCHEDULERS * most_tiles * tile_bytes)), 1)
    chunk = RAGGED_CHUNK * max(most_tiles // whole_cores, 1)
    sizes = op.dim_sizes()
    work = [size for name, size in sizes.items() if name not in ("g", "m", "n", "k", "d")]
    if op.kv_lens is not None and sizes["n"] != DYNAMIC_INDEX:
        work.append(ragged_splits(sizes["n"], chunk))
    # As many programs as cores hold, where nobody knows.
    programs = 2 * SCHEDULERS if DYNAMIC_INDEX in work else prod(work) / target.cores
    tiles = min(max(round(target.bytes_in_flight / (max(programs, SCHEDULERS) * tile_bytes)), 1), most_tiles)
    if tiles == 1:
        return Streaming(warps=2, stages=2, programs=2 * SCHEDULERS, chunk=chunk)
    return Streaming(warps=1, stages=tiles + 1, programs=SCHEDULERS, chunk=chunk)


def _has_assembly(op: AttentionOp, target: TargetDescription) -> bool:
    """Whether quantised K and V lie in words that the target has assembly for."""
    capability = target.compute_capability
    for name, value in (("k", op.key), ("v", op.value)):
        quantization = op.quantization(name)
        if quantization is None:
            continue
        element = cast(TensorType[Attribute], value.type).element_type
        # 8-bit floats are converted by an instruction of compute capability 8.9.
        if element != i32 or capability is None or (quantization.attr.is_float and capability < 89):
            return False
    return True


def _gains_from_f16(op: AttentionOp) -> bool:
    """Whether codes of 8 bits become f16 in fewer instructions than bf16, and may be it."""
    element = cast(TensorType[Attribute], op.query.type).element_type
    attrs = [attr for attr in (op.key_quantization, op.value_quantization) if attr is not None]
    return isinstance(element, BFloat16Type) and any(attr.bits == 8 and attr.rounded_to is None for attr in attrs)


def _packs_floats(op: AttentionOp) -> bool:
    """Whether 8-bit floats share the elements of integers."""
    attrs = [(op.key_quantization, "k"), (op.value_quantization, "v")]
    return any(attr is not None and attr.is_float and op.lanes()[name] > 1 for attr, name in attrs)


def _unpacking_tile(op: AttentionOp, key_bytes: int, target: TargetDescription) -> tuple[int, int]:
    """
    The warps of a program that unpacks words of `key_bytes` a key for a decode step, and the keys of a tile.

    Every warp unpacks all of V, so there are few. What is best was measured (docs/benchmarks.md): with one warp and
    tiles of 32 keys more programs are on a core at once, two warps and 64 keys need fewer of them.
    """
    if key_bytes > 256:
        return 4, 64
    if key_bytes > 128:
        return (1, 32) if _fills(op, target) else (2, 64)
    match _channel_scales(op):
        case "value":
            return 2, 64
        case "lane":
            return 1, 32
        case _:
            return 1, 64


def _fills(op: AttentionOp, target: TargetDescription) -> bool:
    """Whether there are at least as many sequences and heads as cores."""
    work = [size for name, size in op.dim_sizes().items() if name not in ("g", "m", "n", "k", "d")]
    return DYNAMIC_INDEX in work or prod(work) >= target.cores


def _is_few(op: AttentionOp, target: TargetDescription) -> bool:
    """Whether there are so few sequences and heads that two warps for each scheduler take over 64 splits."""
    work = [size for name, size in op.dim_sizes().items() if name not in ("g", "m", "n", "k", "d")]
    return DYNAMIC_INDEX not in work and prod(work) * 64 < 2 * SCHEDULERS * target.cores


def _pairs_heads(op: AttentionOp) -> bool:
    """
    Whether pairs of heads should share a tile: tokens of a page lie outside of its heads, so that a head has few bytes
    of a token together, and values have scales of their own, of which there are as many pieces.
    """
    if _channel_scales(op) != "value" or heads_obstacle(op, 2, DECODE_ROWS) is not None:
        return False
    layout = op.key_layout.data
    names = index_names(layout.num_dims - len(INNER_DIMS))
    order = [names[term.dim] for terms in layout_terms(layout) for term in terms]
    return "h" in order and any(dim in order[: order.index("h")] for dim in ("slot", "n"))


def _channel_scales(op: AttentionOp) -> Literal["value", "lane"] | None:
    """Whether scales differ between the channels of a key: from value to value, or from lane to lane of the words."""
    found: Literal["value", "lane"] | None = None
    for name in op.lanes():
        quantization, packing = op.quantization(name), op.packing(name)
        if quantization is None or packing is None or quantization.scale is None:
            continue
        group = quantization.scale.channel_group
        if group is not None and not (packing.planar and group % packing.width == 0):
            return "value"
        if group is not None:
            found = "lane"
    return found

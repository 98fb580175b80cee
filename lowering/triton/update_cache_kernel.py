"""
The kernel of `attention.update_cache`: rows of new values, quantised in registers and stored at their places.

A row is one token of one head. A program has a tile of rows of any tokens and heads, or the tokens of one group of one
head where scales are shared by tokens. Channels lie in a tile as [groups, channels of a group], so that a maximum over
the last axis is that of a group; where several codes share an element, the tile is regrouped to [width, lanes] (planar:
[lanes, width]) and the lanes are added up. Nothing is stored for tokens without a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import DYNAMIC_INDEX, AffineMapAttr, f32, i64
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects.attention import UpdateCacheOp
from flashlower.dialects.attention.layout import Term, dim_names, index_names, layout_terms, layout_to_str
from flashlower.dialects.attention.quantization import Part
from flashlower.dialects.tl import JitOp
from flashlower.dialects.tl.types import bit_width, element_type, shape_of
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.cache_places import CachePlaces, Place
from flashlower.lowering.triton.frame import Sizes, split_index
from flashlower.lowering.triton.host import Host
from flashlower.lowering.triton.memory import whole
from flashlower.lowering.triton.parameters import Parameters
from flashlower.lowering.triton.quantize import Quantizer
from flashlower.rewrites.schedule.measure import next_power_of_two

MAX_TILE = 2048
"""Values of a tile, at most; a row or a group of tokens may have more."""

MIN_PROGRAMS = 256
"""Programs that a kernel should have before its tiles grow: some for each core of a GPU."""

VALUES_PER_WARP = 512
"""Values that a warp quantises."""


@dataclass(frozen=True)
class Tile:
    """How the channels of a row lie in a tile: `blocks` groups of `block` channels, some of them padding."""

    channels: int
    blocks: int
    block: int
    lanes: int = 1
    planar: bool = False

    @property
    def size(self) -> int:
        return self.blocks * self.block

    @property
    def width(self) -> int:
        """Elements of the storage, padding included."""
        return self.size // self.lanes

    @property
    def in_order(self) -> bool:
        """Whether position i of the tile is channel i."""
        return not self.planar or self.size == self.channels

    @staticmethod
    def of(op: UpdateCacheOp) -> Tile:
        """
        The tile of an operation. Raises `DiagnosticException` where groups and words do not regroup into each other.
        """
        channels = op.dim_sizes()[op.channel]
        if channels == DYNAMIC_INDEX:
            raise DiagnosticException(f"the head size {op.channel} is dynamic, but a Triton kernel needs it static")
        packing, groups = op.packing(), op.groups()
        lanes, planar = (1, False) if packing is None else (packing.lanes, packing.planar and packing.lanes > 1)
        size = lanes * next_power_of_two(channels // lanes)
        group = channels if groups is None else groups.channels
        if group == channels:
            return Tile(channels, 1, size, lanes, planar)
        if group != next_power_of_two(group):
            raise DiagnosticException(
                f"{op.name}: a Triton kernel makes scales for groups of a power of two, or for all {channels} "
                f"channels, not for {group}"
            )
        tile = Tile(channels, size // group, group, lanes, planar)
        if not tile.in_order and (channels // lanes) % group:
            raise DiagnosticException(
                f"{op.name}: groups of {group} channels do not lie in one lane of words whose lanes have "
                f"{channels // lanes} channels each; expected neighbours in a word (k floordiv {lanes})"
            )
        return tile


def tile_rows(rows: Sequence[int], size: int) -> int:
    """How many rows of `size` values a tile has: few enough that there are programs for every core."""
    most = max(MAX_TILE // size, 1)
    if DYNAMIC_INDEX in rows:
        return max(most // 4, 1)
    return min(most, next_power_of_two(max(prod(rows) // MIN_PROGRAMS, 1)))


class UpdateCacheKernel:
    """The kernel of one operation, and its `parameters`. Raises `DiagnosticException` for what it cannot do."""

    def __init__(self, op: UpdateCacheOp, name: str, host: Host):
        self._op = op
        self._tile = Tile.of(op)
        groups = op.groups()
        self._tokens = 1 if groups is None else groups.tokens
        """Tokens that share a scale."""
        self._layouts = {name: layout for name, _, layout in op.layouts()}
        self._types = {name: element_type(value.type) for name, value, _ in op.layouts()}
        self.parameters = Parameters(host)
        self._accesses = {
            name: self.parameters.tensor(name, value, layout, host.sizes) for name, value, layout in op.layouts()
        }
        Sizes.register(self.parameters, host)
        CachePlaces.register(self.parameters, host)
        self._outer = dim_names(op.batch_rank)[: op.batch_rank]
        self._row_dims = (*self._outer, "m", "h")
        self._rows = next_power_of_two(self._tokens)
        if self._tokens == 1:
            self._rows = tile_rows([host.sizes[dim] for dim in self._row_dims], self._tile.size)
        self.num_warps = min(next_power_of_two(max(self._rows * self._tile.size // VALUES_PER_WARP, 1)), 8)
        self._b = KernelBuilder(name, self.parameters.types(), doc=self._doc())
        self._sizes = Sizes(self._b, host.sizes)
        self._places = CachePlaces(self._b, op, self._sizes, self._accesses)

    def _doc(self) -> str:
        op = self._op
        lines = ["New keys or values into a cache, at the places of their tokens."]
        lines += [f"{name}{layout_to_str(layout.data)}: {self._types[name]}" for name, _, layout in op.layouts()]
        if op.quantization is not None and op.quantizer is not None:
            attr, quantizer = op.quantization, op.quantizer
            zero = f" around {attr.zero.data}" if attr.zero.data else ""
            lines.append(f"Codes: {attr.code_name}{zero}, rounded {quantizer.rounding}; scales: {quantizer.scaling}.")
        return "\n".join(lines)

    def grid(self, host: Host) -> SSAValue:
        """The number of programs."""
        if self._tokens > 1:
            return host.multiply(host.product((*self._outer, "h")), host.sizes["m"] // self._tokens)
        return host.ceil_divide(host.product(self._row_dims), self._rows)

    def build(self) -> JitOp:
        """Builds the kernel."""
        b, op = self._b, self._op
        self._block_r = self._sizes.constexpr("BLOCK_R", self._rows)
        place, first = self._token_group() if self._tokens > 1 else self._single_tokens()
        self._find_channels()
        new = b.load(self._element_pointers("new", place), mask=self._element_mask(place.exists), other=0.0, name="new")
        attr, quantizer, packing = op.quantization, op.quantizer, op.packing()
        cache = self._types["cache"]
        if attr is None or quantizer is None or packing is None:
            self._store_elements(place, self._converted(new, cache))
            return b.finish()
        arithmetic = Quantizer(b, attr, quantizer, self._types["new"])
        values = b.cast(new, f32, name="x")
        if op.made():
            parts = self._make_parts(arithmetic, values, place, first)
        else:
            parts = dict[Part, SSAValue]()
            for part, layout in self._shared():
                parts[part] = self._load_part(part, layout, place)
        codes = arithmetic.codes(values, parts)
        if packing.lanes == 1:
            self._store_elements(place, arithmetic.stored(codes, cache))
            return b.finish()
        width = self._sizes.constexpr("BLOCK_W", self._tile.width)
        lanes = self._sizes.constexpr("LANES", packing.lanes)
        words = arithmetic.pack(codes, packing, self._block_r, width, lanes, cache)
        self._store_words(place, words, width, packing.width)
        return b.finish()

    def _shared(self) -> list[tuple[Part, AffineMapAttr]]:
        parts = self._op.parts()
        return [] if parts is None else [(part, shared.layout) for part, shared in parts.shared()]

    # Rows.

    def _single_tokens(self) -> tuple[Place, Place]:
        """The rows of a program, any tokens and heads."""
        b, sizes = self._b, self._sizes
        rows = b.add(b.mul(b.program_id(0, name="pid"), self._block_r), b.arange(0, self._block_r), name="offs_r")
        static = [sizes.static[dim] for dim in self._row_dims]
        mask = None
        if DYNAMIC_INDEX in static or prod(static) % self._rows:
            count: SSAValue | None = None
            for dim in self._row_dims:
                if not sizes.is_one(dim):
                    count = sizes.value(dim) if count is None else b.mul(count, sizes.value(dim))
            mask = b.lt(rows, 1 if count is None else count, name="mask_r")
        digits = split_index(b, sizes, rows, self._row_dims)
        indices = {dim: b.cast(index, i64, name=f"offs_{dim}") for dim, index in digits.items()}
        place = self._places.find(indices, self._block_r, mask)
        return place, place

    def _token_group(self) -> tuple[Place, Place]:
        """The rows of a program, all tokens of one group and head, and the place of the first one."""
        b, sizes = self._b, self._sizes
        count = sizes.constexpr("GROUPS_M", sizes.static["m"] // self._tokens)
        tokens = sizes.constexpr("GROUP_M", self._tokens)
        program = b.program_id(0, name="pid")
        digits = split_index(b, sizes, b.floordiv(program, count), (*self._outer, "h"))
        outer = {dim: b.cast(index, i64, name=f"off_{dim}") for dim, index in digits.items()}
        start = b.mul(b.mod(program, count), tokens, name="start_m")

        def find(count: SSAValue, mask: SSAValue | None, prefix: str) -> Place:
            offs_m = b.cast(b.add(start, b.arange(0, count)), i64, name=f"{prefix}offs_m")
            return self._places.find({**outer, "m": offs_m}, count, mask, tokens, prefix)

        mask = None
        if self._rows != self._tokens:
            mask = b.lt(b.arange(0, self._block_r), tokens, name="mask_r")
        return find(self._block_r, mask, ""), find(b.constant(1), None, "group_")

    # Channels.

    def _find_channels(self) -> None:
        """The channels of a tile [groups, group], and which of them there are."""
        b, sizes, tile = self._b, self._sizes, self._tile
        self._block_g = sizes.constexpr("GROUPS", tile.blocks)
        self._block_c = sizes.constexpr("GROUP", tile.block)
        self._shape = (self._block_r, self._block_g, self._block_c)
        groups = b.arange(0, self._block_g, name="offs_g")
        offsets = b.add(b.mul(b.rows(groups), self._block_c), b.columns(b.arange(0, self._block_c)))
        self._groups, self._group_mask, self._channel_mask = groups, None, None
        if tile.in_order:
            if tile.size > tile.channels:
                self._channel_mask = b.lt(offsets, sizes.value(self._op.channel), name="mask_c")
            if tile.blocks * tile.block > tile.channels and tile.blocks > 1:
                self._group_mask = b.lt(groups, sizes.constexpr("USED_GROUPS", tile.channels // tile.block))
        else:
            # Lanes have so many channels each, and padding after them.
            block = sizes.constexpr("BLOCK_W", tile.width)
            used = sizes.constexpr("WIDTH", tile.channels // tile.lanes)
            inside = b.mod(offsets, block)
            self._channel_mask = b.lt(inside, used, name="mask_c")
            offsets = b.add(b.mul(b.floordiv(offsets, block), used), inside)
            if tile.blocks > 1:
                per_lane = sizes.constexpr("BLOCK_GROUPS", tile.width // tile.block)
                used_groups = sizes.constexpr("LANE_GROUPS", tile.channels // tile.lanes // tile.block)
                inside = b.mod(groups, per_lane)
                self._group_mask = b.lt(inside, used_groups)
                self._groups = b.add(b.mul(b.floordiv(groups, per_lane), used_groups), inside)
        self._channels = b.cast(offsets, i64, name="offs_c")
        self._groups = b.cast(self._groups, i64)

    # Pointers.

    def _cube(self, x: SSAValue) -> SSAValue:
        """Something of each row [rows], or of each channel [groups, group], in the shape of a tile."""
        b = self._b
        match len(shape_of(x.type)):
            case 0:
                return x
            case 1:
                return b.expand_dims(b.rows(x), 2)
            case _:
                return b.expand_dims(x, 0)

    def _offset(self, name: str, place: Place) -> tuple[SSAValue, SSAValue | None]:
        """The pointer to what a program has of an operand, and offsets of rows, but for the channel."""
        b, access = self._b, self._accesses[name]
        numbers: dict[str, SSAValue] = {}
        blocks: dict[str, SSAValue] = {}
        terms = {self._name(term): term for terms in layout_terms(self._layouts[name].data) for term in terms}
        for dim, index in place.indices.items():
            if dim in terms and (divisor := terms[dim].divisor) != 1:
                index = b.floordiv(index, b.constant(divisor, i64))
            (blocks if shape_of(index.type) else numbers)[dim] = index
        return access.base(b, numbers), access.offset(b, blocks)

    def _name(self, term: Term) -> str:
        return index_names(self._op.batch_rank)[term.dim]

    def _element_pointers(self, name: str, place: Place, divisor: int = 1) -> SSAValue:
        """Pointers to an element of each value of a tile."""
        b, access, channel = self._b, self._accesses[name], self._op.channel
        pointer, rows = self._offset(name, place)
        if rows is not None:
            pointer = b.add(pointer, self._cube(rows))
        if channel in access.strides:
            channels = self._channels if divisor == 1 else b.floordiv(self._channels, b.constant(divisor, i64))
            pointer = access.move(b, pointer, {channel: self._cube(channels)})
        return pointer

    def _element_mask(self, exists: SSAValue) -> SSAValue:
        mask = self._b.all_of(
            [self._cube(exists), None if self._channel_mask is None else self._cube(self._channel_mask)]
        )
        assert mask is not None
        return mask

    # Loads and stores.

    def _load_part(self, part: Part, layout: AffineMapAttr, place: Place) -> SSAValue:
        """A given scale, zero point or offset for the values of a tile, in a shape that broadcasts to it."""
        b, name = self._b, f"cache_{part}"
        divisors = {self._name(term): term.divisor for terms in layout_terms(layout.data) for term in terms}
        pointers = self._element_pointers(name, place, divisors.get(self._op.channel, 1))
        masks = [self._cube(mask) for mask in (place.exists, self._channel_mask) if mask is not None]
        shape = shape_of(pointers.type)
        # What all rows or all channels share is there whichever of them are.
        mask = b.all_of([mask for mask in masks if _broadcasts(shape_of(mask.type), shape)])
        return b.load(pointers, mask=mask, other=0, name=part)

    def _make_parts(self, arithmetic: Quantizer, values: SSAValue, place: Place, first: Place) -> dict[Part, SSAValue]:
        """Makes scales and what goes with them, stores them, and gives them in a shape that broadcasts to a tile."""
        b, over_rows = self._b, self._tokens > 1
        exists = None if self._channel_mask is None else self._cube(self._channel_mask)
        if over_rows and self._rows != self._tokens:
            exists = self._element_mask(place.exists)
        types: dict[Part, Attribute] = {part: self._types[f"cache_{part}"] for part, _ in self._shared()}
        made = arithmetic.make(values, exists, types, over_rows=over_rows)
        parts: dict[Part, SSAValue] = {}
        groups = b.columns(self._groups)
        mask = b.all_of([b.rows(first.exists), None if self._group_mask is None else b.columns(self._group_mask)])
        for part, value in made.items():
            value = b.columns(value) if over_rows else value
            pointer, rows = self._offset(f"cache_{part}", first)
            if rows is not None:
                pointer = b.add(pointer, b.rows(rows))
            pointer = self._accesses[f"cache_{part}"].move(b, pointer, {self._op.channel: groups})
            shape = (b.constant(1) if over_rows else self._block_r, self._block_g)
            b.store(whole(b, pointer, shape, f"{part}_ptrs"), value, mask=mask)
            parts[part] = b.expand_dims(value, 2)
        return parts

    def _converted(self, new: SSAValue, element: Attribute) -> SSAValue:
        """Floats in the type of the cache; between two narrow ones, by way of f32."""
        b = self._b
        if element_type(new.type) != element and bit_width(element) == bit_width(element_type(new.type)):
            new = b.cast(new, f32)
        return b.cast(new, element)

    def _store_elements(self, place: Place, values: SSAValue) -> None:
        """Stores a tile, an element each."""
        b = self._b
        pointers = whole(b, self._element_pointers("cache", place), self._shape, "cache_ptrs")
        b.store(pointers, values, mask=self._element_mask(place.exists))

    def _store_words(self, place: Place, words: SSAValue, block: SSAValue, width: int) -> None:
        """Stores words [rows, width]."""
        b = self._b
        offs_w = b.arange(0, block, name="offs_w")
        mask = None
        if width != self._tile.width:
            mask = b.columns(b.lt(offs_w, self._sizes.constexpr("WIDTH", width)))
        pointer, rows = self._offset("cache", place)
        if rows is not None:
            pointer = b.add(pointer, b.rows(rows))
        wide = b.columns(b.cast(offs_w, i64))
        pointer = self._accesses["cache"].move(b, pointer, {self._op.channel: wide})
        pointer = whole(b, pointer, (self._block_r, block), "cache_ptrs")
        b.store(pointer, words, mask=b.all_of([b.rows(place.exists), mask]))


def _broadcasts(shape: Sequence[int], target: Sequence[int]) -> bool:
    return len(shape) <= len(target) and all(a in (1, c) for a, c in zip(reversed(shape), reversed(target)))

"""Scales, zero points and offsets in a kernel: how they are loaded, and how they meet a block of codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

from xdsl.dialects.builtin import f32
from xdsl.ir import Attribute, SSAValue

from flashlower.dialects.tl import PtrType
from flashlower.dialects.tl.types import shape_of
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Programs
from flashlower.lowering.triton.key_tiles import KeyTile, KeyTiles, TileTensor
from flashlower.lowering.triton.lanes import Lanes
from flashlower.lowering.triton.memory import HeadPart, load_floats
from flashlower.lowering.triton.operands import HEAD_DIMS, OperandName, block_mask
from flashlower.lowering.triton.parameters import Access


class SharedTensor:
    """A scale, zero point or offset in a kernel."""

    def __init__(self, b: KernelBuilder, operand: OperandName, part: str, access: Access, head: Lanes):
        self._operand: OperandName = operand
        self._b = b
        self.name = f"{operand}_{part}"
        self._access = access
        self.stored = cast(PtrType, b.arg(access.pointer).type).pointee
        """The type in memory."""
        self.element: Attribute = f32
        """The type in registers."""
        self._dim = HEAD_DIMS[operand]
        self.per_channel = self._dim in access.strides
        """Whether channels have different ones."""
        keys = access.dims & {"n", "page", "slot"}
        self.per_key = bool(keys)
        """Whether keys have different ones, if only by not existing."""
        self._spread = not keys & access.strides.keys()
        self.parts: Sequence[HeadPart] = ()
        self.which: Sequence[int] = [0] * len(head.lanes)
        """The part that a block of the head has."""
        if self.per_channel:
            self.parts, self.which = head.groups(b, access.groups.get(self._dim, 1))
        self.per_block = not any(shape_of(part.offsets.type) for part in self.parts)
        """Whether all channels of a block of the head have the same one."""

    def start(self, tiles: KeyTiles, programs: Programs) -> None:
        """Builds the pointers, or loads what all keys share."""
        b = self._b
        if self.per_key:
            self._tensor = TileTensor(
                tiles,
                self._access,
                programs,
                self._dim,
                self.parts,
                transposed=self._operand == "k",
                spread=self._spread,
            )
            return
        base = self._access.base(b, programs.indices)
        if not self.parts:
            self._constants = [self._load(base, None, "")]
            return
        self._constants = [
            self._load(self._access.move(b, base, {self._dim: part.offsets}), part.mask, part.suffix)
            for part in self.parts
        ]

    def _load(self, pointers: SSAValue, mask: SSAValue | None, suffix: str) -> SSAValue:
        value = load_floats(self._b, pointers, mask if shape_of(pointers.type) else None, None)
        value = self._b.cast(value, self.element)
        value.name_hint = f"{self.name}{suffix}"
        return value

    def constant(self, position: int) -> SSAValue:
        """What all keys share: a scalar, or [BLOCK] for a block of the head."""
        return self._constants[self.which[position]]

    def at(self, tile: KeyTile, mask_n: SSAValue | None) -> SharedTile:
        """What the keys of a tile have."""
        return SharedTile(self, tile, mask_n, self._tensor.at(tile) if self.per_key else ())

    def load_part(self, index: int, pointers: SSAValue, mask_n: SSAValue | None) -> SSAValue:
        """Loads what a part has in a tile; keys where `mask_n` is false get 0."""
        b, shape = self._b, self._b.logical_shape(pointers)
        if self.per_block:
            return self._load(pointers, mask_n, self.parts[index].suffix if self.parts else "")
        part = self.parts[index]
        channels, keys = shape if self._operand == "k" else shape[::-1]
        masks = part.mask if channels > 1 else None, mask_n if keys > 1 else None
        return self._load(pointers, block_mask(b, self._operand, *masks), part.suffix)

    def along_channels(self, x: SSAValue) -> SSAValue:
        """Something of each channel along a block of codes."""
        return self._b.rows(x) if self._operand == "k" else self._b.columns(x)

    def along_keys(self, x: SSAValue) -> SSAValue:
        """Something of each key along a block of codes."""
        return self._b.columns(x) if self._operand == "k" else self._b.rows(x)


@dataclass
class SharedTile:
    """What a scale, zero point or offset is in one tile; everything is loaded once, where it is first asked for."""

    tensor: SharedTensor
    tile: KeyTile
    mask_n: SSAValue | None
    pointers: Sequence[SSAValue]

    def __post_init__(self) -> None:
        self._loaded: dict[int, SSAValue] = {}

    def _load(self, index: int) -> SSAValue:
        if index not in self._loaded:
            self._loaded[index] = self.tensor.load_part(index, self.pointers[index], self.mask_n)
        return self._loaded[index]

    def vector(self, position: int) -> SSAValue:
        """That of each key for a block of the head, [BLOCK_N]; a scalar where the keys of a tile share one."""
        return self._load(self.tensor.which[position])

    def of(self, position: int) -> SSAValue:
        """That of a block of the head, in a shape that broadcasts with it."""
        tensor = self.tensor
        if not tensor.per_key:
            constant = tensor.constant(position)
            return tensor.along_channels(constant) if shape_of(constant.type) else constant
        value = self._load(tensor.which[position])
        return tensor.along_keys(value) if len(shape_of(value.type)) == 1 else value

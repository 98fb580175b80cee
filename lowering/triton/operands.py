"""K and V as the dots of an attention kernel take them: which blocks of the head there are, and how each is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, cast

from xdsl.dialects.builtin import bf16
from xdsl.ir import Attribute, SSAValue

from flashlower.dialects.tl import PtrType
from flashlower.dialects.tl.types import is_float8
from flashlower.lowering.triton.builder import KernelBuilder
from flashlower.lowering.triton.frame import Programs, Sizes
from flashlower.lowering.triton.key_tiles import KeyTile, KeyTiles, TileTensor
from flashlower.lowering.triton.memory import HeadPart, head_parts, load_floats, tile_mask
from flashlower.lowering.triton.parameters import Access

OperandName = Literal["k", "v"]
HEAD_DIMS: dict[OperandName, str] = {"k": "k", "v": "d"}
"""The dimension along the head of K and of V."""


class OperandTile(Protocol):
    """K or V in one tile of keys."""

    def blocks(self) -> Iterator[SSAValue]:
        """Loads the blocks of the head one by one: [BLOCK, BLOCK_N] of K, [BLOCK_N, BLOCK] of V."""
        ...

    def key_factor(self, part: int) -> SSAValue | None:
        """
        What the dots of each key with one block are still to be multiplied with, [BLOCK_N] in f32; None for nothing.

        Blocks that have the same one get the same value.
        """
        ...


class Operand(Protocol):
    """K or V of one kernel; `start` is called once, before the loop over tiles."""

    @property
    def half(self) -> bool:
        """Whether the dots are in f16 though the query is bf16."""
        ...

    @property
    def parts(self) -> Sequence[HeadPart]:
        """The blocks of the head size, each of which has a dot of its own."""
        ...

    def start(self, tiles: KeyTiles, programs: Programs) -> None:
        """Builds what does not change from tile to tile."""
        ...

    def at(self, tile: KeyTile, mask_n: SSAValue | None) -> OperandTile:
        """What it has in a tile; keys where `mask_n` is false are not read."""
        ...

    def scale(self) -> SSAValue | None:
        """What all dots are still to be multiplied with, a number in f32; None for nothing."""
        ...

    def unit(self) -> SSAValue | None:
        """What the weights of all keys were divided by for their range, a number in f32; None for 1."""
        ...

    def channel_scale(self, part: int) -> SSAValue | None:
        """What Q or the output is to be multiplied with in a block of the head: [BLOCK] or a number in f32, or None."""
        ...


class FloatOperand:
    """K or V in floats."""

    half = False

    def __init__(self, b: KernelBuilder, sizes: Sizes, name: OperandName, access: Access):
        self._b = b
        self._name: OperandName = name
        self._access = access
        self.parts = head_parts(b, sizes, HEAD_DIMS[name])

    def start(self, tiles: KeyTiles, programs: Programs) -> None:
        """Builds the pointers."""
        self._tensor = TileTensor(
            tiles, self._access, programs, HEAD_DIMS[self._name], self.parts, transposed=self._name == "k"
        )

    def at(self, tile: KeyTile, mask_n: SSAValue | None) -> OperandTile:
        """The blocks of a tile."""
        return _FloatTile(self._b, self._name, self.parts, self._tensor.at(tile), mask_n)

    def scale(self) -> SSAValue | None:
        """Floats are what they are."""
        return None

    def unit(self) -> SSAValue | None:
        """Floats are what they are."""
        return None

    def channel_scale(self, part: int) -> SSAValue | None:
        """Floats are what they are."""
        return None


class _FloatTile:
    def __init__(
        self,
        b: KernelBuilder,
        name: OperandName,
        parts: Sequence[HeadPart],
        pointers: Sequence[SSAValue],
        mask_n: SSAValue | None,
    ):
        self._b = b
        self._name: OperandName = name
        self._parts = parts
        self._pointers = pointers
        self._mask_n = mask_n

    def blocks(self) -> Iterator[SSAValue]:
        for part, pointers in zip(self._parts, self._pointers):
            mask = block_mask(self._b, self._name, part.mask, self._mask_n)
            yield load_floats(self._b, pointers, mask, f"{self._name}{part.suffix}")

    def key_factor(self, part: int) -> SSAValue | None:
        return None


def block_mask(b: KernelBuilder, name: OperandName, head: SSAValue | None, keys: SSAValue | None) -> SSAValue | None:
    """The mask of a block of K or V from those of its channels and its keys."""
    return tile_mask(b, head, keys) if name == "k" else tile_mask(b, keys, head)


def dot_element(pointer: Attribute) -> Attribute:
    """The type in which the dots are done for a query with this pointer."""
    element = cast(PtrType, pointer).pointee
    return bf16 if is_float8(element) else element

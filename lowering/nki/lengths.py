"""Which keys of a run exist: the length of a sequence, and the positions of keys, with keys on the partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import IntegerType, Signedness, i32
from xdsl.ir import Attribute, SSAValue

from flashlower.dialects import nki
from flashlower.dialects.nki.types import HARDWARE, PARTITIONS, element_bytes, tile_of
from flashlower.lowering.nki.access import Access
from flashlower.lowering.nki.blocks import Block
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.grid import Elementwise, Value, u8
from flashlower.lowering.nki.problem import Problem, column


@dataclass(frozen=True)
class ExistingKeys:
    """Of the keys of some tiles: their positions, the length of their sequence, and which of them are beyond it."""

    position: SSAValue | None = None
    """[partitions, tiles], f32."""
    length: SSAValue | None = None
    """[partitions, 1], f32: the number of keys, the same on all partitions. Of several sequences, one for each."""
    absent: SSAValue | None = None
    """[partitions, tiles], bytes. Of several sequences with lengths of their own, tiles for each."""


def key_positions(b: KernelBuilder, n: Sum, free: Sequence[int], partitions: int = PARTITIONS) -> SSAValue:
    """Positions of keys from n on, [partitions, *free]: that of partition p in tile t is n + t * 128 + p."""
    position = b.tile("position", [partitions, *free])
    b.add(nki.IotaOp(position, [(PARTITIONS, prod(free))], b.offset(n), 1))
    return position


def existing_keys(
    b: KernelBuilder,
    problem: Problem,
    indices: Mapping[str, Sum],
    n: Sum,
    keys: int,
    free: Sequence[int],
    *,
    rows: int = 0,
    partitions: int = PARTITIONS,
) -> ExistingKeys:
    """
    What there is to know of the tiles of `keys` keys from n on, on so many partitions; nothing where there are no
    lengths.

    The length is there on the partitions of keys, and on those of `rows` rows.
    """
    lens = problem.kv_lens
    if lens is None:
        return ExistingKeys()
    b.comment("Keys from the length on do not exist.")
    raw = b.tile("length_i32", [partitions, 1], i32)
    _load_lengths(b, problem, lens, raw, indices, [], max(keys, rows))
    length = column(b, "length", partitions)
    b.add(nki.TensorCopyOp(length, raw))
    position = key_positions(b, n, free, partitions)
    absent = b.tile("absent", [partitions, *free], u8)
    b.add(nki.TensorScalarOp(absent, position, "greater_equal", length))
    return ExistingKeys(position, length, absent)


def existing_by_pair(
    b: KernelBuilder, problem: Problem, block: Block, elementwise: Elementwise, keys: int
) -> tuple[ExistingKeys, Value]:
    """
    What there is to know where the sequences or the heads of a block have lengths of their own; which keys do not
    exist also as a value of the tile of logits.
    """
    lens, grid = problem.kv_lens, elementwise.grid
    assert lens is not None
    b.comment("Keys from the length on do not exist; sequences, or heads of them, have lengths of their own.")
    *by_sequence, by_head, _, _ = (size > 1 and lens.stride(name) != 0 for name, size in block.dims())
    raw = elementwise.new("length_i32", (*by_sequence, by_head, False, False), i32)
    pattern = [(lens.stride(block.batch_dim), block.sequences)] if any(by_sequence) else []
    if by_head:
        pattern += [(lens.stride("h"), block.heads), (0, block.group)]
    _load_lengths(b, problem, lens, raw.tile, grid.starts, pattern, keys)
    length = elementwise.copy(raw, raw.axes, "length")
    position = elementwise.materialize(grid.index("n"), "position")
    absent = elementwise.binary("greater_equal", position, length, element=u8, name="absent")
    return ExistingKeys(position.tile, length.tile, absent.tile), absent


def _load_lengths(
    b: KernelBuilder,
    problem: Problem,
    lens: Access,
    target: SSAValue,
    indices: Mapping[str, Sum],
    pattern: Sequence[tuple[int, int]],
    needed: int,
) -> None:
    """Lengths on all partitions, of which only those that are needed are read from HBM; the others get 0."""
    at = lens.offset({name: indices[name] for name in (*problem.batch_dims, "h")})
    partitions = tile_of(target).partitions
    if needed < partitions:
        b.add(nki.MemsetOp(target, 0))
        partitions = needed
    b.add(nki.DmaCopyOp(b.view(target, (0, partitions)), b.ap(lens.tensor, [(0, partitions), *pattern], at)))


u16 = IntegerType(16, Signedness.UNSIGNED)


class Clearing:
    """
    Sets rows of keys that do not exist to 0, in tiles [keys, tiles, size] of K or V.

    In V because their weight is 0 and 0 * NaN is not; in K because the transposition of trn1's Tensor engine is a
    product as well. `absent` has a byte for each key of some tiles.

    Rows are multiplied by 0 or 1 as integers, whatever their elements are, on the GpSimd engine, which has little else
    to do: no bit of a row that exists changes. From trn2 on it computes integers of 32 bits; on trn1 it computes in
    f32, which has every integer of 16 bits.
    """

    def __init__(self, b: KernelBuilder, absent: SSAValue, rows: Sequence[tuple[Attribute, int]]):
        """For rows of so many elements of a type."""
        self._b = b
        later = HARDWARE[b.kernel.target.data].generation >= 3
        self._words = (i32, u16, u8) if later else (u16, u8)
        self._existing: dict[Attribute, SSAValue] = {}
        for element, size in rows:
            factor = self._factor(self._word(element, size))
            if factor not in self._existing:
                existing = self._existing[factor] = b.tile("existing", tile_of(absent).shape, factor)
                b.add(nki.TensorScalarOp(existing, absent, "equal", 0.0))

    def _word(self, element: Attribute, size: int) -> Attribute:
        """The largest integer of which a row is a whole number."""
        row = size * element_bytes(element)
        return next(word for word in self._words if row % element_bytes(word) == 0)

    @staticmethod
    def _factor(word: Attribute) -> Attribute:
        """The type of 0 and 1 for words: integers of 32 bits mix with no others."""
        return word if word == i32 else u8

    def clear(self, rows: SSAValue, at: Sum, shift: Sum, keys: int, tiles: int) -> None:
        """
        Clears rows of `keys` keys a tile, of so many tiles from `shift` on.

        `at` is the place of the byte of the first tile.
        """
        b, type = self._b, tile_of(rows)
        _, whole, size = type.shape
        word = self._word(type.element_type, size)
        row = size * element_bytes(type.element_type) // element_bytes(word)
        factors = self._spread(self._existing[self._factor(word)], at, keys, tiles, row)
        pattern = [(whole * row, keys), (row, tiles), (1, row)]
        words = b.add(nki.ApOp(rows, pattern, b.offset(shift * row), element=word)).result
        b.add(nki.TensorTensorOp(words, words, factors, "multiply", "gpsimd"))

    def _spread(self, flags: SSAValue, at: Sum, keys: int, tiles: int, row: int) -> SSAValue:
        """The flag of every key for each element of its row."""
        pattern = [(tile_of(flags).free_size, keys), (1, tiles), (0, row)]
        return self._b.add(nki.ApOp(flags, pattern, self._b.offset(at))).result

"""Which keys of a run exist: the length of a sequence, and the positions of keys, with keys on the partitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from xdsl.dialects.builtin import i32
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
    b: KernelBuilder,
    problem: Problem,
    indices: Mapping[str, Sum],
    n: Sum,
    keys: int,
    free: Sequence[int],
    rows: int = 0,
) -> ExistingKeys:
    """
    What there is to know of the tiles of `keys` keys from n on; nothing where there are no lengths.

    The length is there on the partitions of keys, and on those of `rows` rows.
    """
    lens = problem.kv_lens
    if lens is None:
        return ExistingKeys()
    b.comment("Keys from the length on do not exist.")
    raw = b.tile("length_i32", [PARTITIONS, 1], i32)
    _load_lengths(b, problem, lens, raw, indices, [], max(keys, rows))
    length = column(b, "length", PARTITIONS)
    b.add(nki.TensorCopyOp(length, raw))
    if problem.pages is not None and keys % PARTITIONS:
        # A table has no entries for the last tile's rows beyond the last key.
        b.add(nki.TensorScalarOp(length, length, "minimum", float(problem.sizes["n"])))
    position = key_positions(b, n, free)
    absent = b.tile("absent", [PARTITIONS, *free], u8)
    b.add(nki.TensorScalarOp(absent, position, "greater_equal", length))
    return ExistingKeys(position, length, absent)


def absent_by_pair(b: KernelBuilder, problem: Problem, block: Block, elementwise: Elementwise, keys: int) -> Value:
    """Which keys do not exist, bytes, where the sequences or the heads of a block have lengths of their own."""
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
    return elementwise.binary("greater_equal", position, length, element=u8, name="absent")


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
    if needed < PARTITIONS:
        b.add(nki.MemsetOp(target, 0))
    partitions = min(needed, PARTITIONS)
    b.add(nki.DmaCopyOp(b.view(target, (0, partitions)), b.ap(lens.tensor, [(0, partitions), *pattern], at)))


WORD_BYTES = 4


class Clearing:
    """
    Sets rows of keys that do not exist to 0, in tiles [keys, tiles, size] of K or V.

    In V because their weight is 0 and 0 * NaN is not; in K because the transposition of trn1's Tensor engine is a
    product as well. `absent` has a byte for each key of some tiles.

    From trn2 on, 32-bit words are multiplied by 0 or 1 on the GpSimd engine, which has little else to do and computes
    integers exactly: no bit of a row that exists changes. On trn1 the Vector engine clears them.
    """

    def __init__(self, b: KernelBuilder, absent: SSAValue, element: Attribute, size: int):
        """For rows of V of so many elements of a type."""
        self._b = b
        self._absent = absent
        self._row_words, rest = divmod(size * element_bytes(element), WORD_BYTES)
        self._existing = None
        if HARDWARE[b.kernel.target.data].generation >= 3 and not rest:
            self._existing = b.tile("existing", tile_of(absent).shape, i32)
            b.add(nki.TensorScalarOp(self._existing, absent, "equal", 0.0))

    def clear(self, rows: SSAValue, at: Sum, shift: Sum, keys: int, tiles: int) -> None:
        """
        Clears rows of `keys` keys a tile, of so many tiles from `shift` on.

        `at` is the place of the byte of the first tile.
        """
        b = self._b
        flags = self._absent if self._existing is None else self._existing
        row = tile_of(rows).shape[2] if self._existing is None else self._row_words
        pattern = [(tile_of(flags).free_size, keys), (1, tiles), (0, row)]
        spread = b.add(nki.ApOp(flags, pattern, b.offset(at))).result
        if self._existing is None:
            b.add(nki.TensorCopyPredicatedOp(b.view(rows, (0, keys), (shift, tiles)), 0.0, spread))
            return
        whole = tile_of(rows).shape[1] * row
        words = b.add(
            nki.ApOp(rows, [(whole, keys), (row, tiles), (1, row)], b.offset(shift * row), element=i32)
        ).result
        b.add(nki.TensorTensorOp(words, words, spread, "multiply", "gpsimd"))

"""
Index algebra: which element of a tensor a computation reads, through any number of reshapes and transposes.

Detection gives every dimension of the probabilities a variable, and follows values backwards with one `Index` per
dimension. A reshape splits and merges variables, so an index is a sum of digits of variables (`(v // 4) % 2`) times
strides, plus a constant. Two reads are the same read exactly if value and indices are equal, which is what makes
the structural test of `match` exact: a permutation that only looks like a transposed K has other indices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from xdsl.dialects.builtin import DYNAMIC_INDEX
from xdsl.ir import Operation, OpResult, SSAValue
from xdsl.traits import is_side_effect_free

from flashlower.rewrites.fuse_attention import hlo


@dataclass(frozen=True, eq=False)
class Var:
    """A variable that runs from 0 to `size` - 1. `label` is for messages."""

    size: int
    label: str


# Tuples, as these are built and compared far more often than anything else.
class Digit(NamedTuple):
    """`(var // div) % size`; the whole variable where div is 1 and size the variable's."""

    var: Var
    div: int
    size: int

    @property
    def is_whole(self) -> bool:
        return self.div == 1 and self.size == self.var.size


class Index(NamedTuple):
    """A sum of digits times strides, largest stride first, plus an offset."""

    terms: tuple[tuple[Digit, int], ...] = ()
    offset: int = 0

    @staticmethod
    def of(var: Var) -> Index:
        return Index(((Digit(var, 1, var.size), 1),))

    @staticmethod
    def make(terms: Sequence[tuple[Digit, int]], offset: int = 0) -> Index:
        """Sorts the terms and joins neighbouring digits of one variable, so that equal indices compare equal."""
        ordered = sorted(terms, key=lambda t: -t[1])
        joined: list[tuple[Digit, int]] = []
        for digit, stride in ordered:
            if joined:
                high, high_stride = joined[-1]
                if (
                    high.var is digit.var
                    and digit.size != DYNAMIC_INDEX
                    and high.div == digit.div * digit.size
                    and high_stride == stride * digit.size
                ):
                    joined[-1] = (Digit(digit.var, digit.div, digit.size * high.size), stride)
                    continue
            joined.append((digit, stride))
        return Index(tuple(joined), offset)

    @property
    def key(self) -> tuple[tuple[tuple[Digit, int], ...], int]:
        """What the index computes: digits of size 1 are always 0 and do not count."""
        return tuple(t for t in self.terms if t[0].size != 1), self.offset

    def uses(self, var: Var) -> bool:
        """Whether the index varies with `var`."""
        return any(d.var is var and d.size != 1 for d, _ in self.terms)


Indices = tuple[Index, ...]

# Exporters repeat a few operations of a mask or a softmax, not whole graphs.
MAX_REPEATED_OPS = 64


def same_indices(a: Indices, b: Indices) -> bool:
    """Whether two reads of one tensor read the same element."""
    return len(a) == len(b) and all(x.key == y.key for x, y in zip(a, b))


def vars_of(indices: Indices) -> set[Var]:
    """The variables that the indices vary with."""
    return {d.var for index in indices for d, _ in index.terms if d.size != 1}


def reshape_indices(indices: Indices, shape: Sequence[int], new_shape: Sequence[int]) -> Indices | None:
    """
    The indices of an element after its tensor of `shape` was reshaped to `new_shape`.

    None where they are not digits of the variables any more, or where sizes are dynamic and dimensions of size
    other than 1 change.
    """
    # Digits of size 1 are 0 wherever they stand. Keeping them in order keeps names for dimensions of size 1.
    ones = [t[0] for index in indices for t in index.terms if t[0].size == 1]
    kept = [(i, s) for i, s in zip(indices, shape) if s != 1]
    if [s for _, s in kept] == [s for s in new_shape if s != 1] and list(shape).count(DYNAMIC_INDEX) < 2:
        rest = iter(index for index, _ in kept)
        result = [None if size == 1 else next(rest) for size in new_shape]
    elif DYNAMIC_INDEX in (*shape, *new_shape) or 0 in (*shape, *new_shape):
        return None
    else:
        linear: list[tuple[Digit, int]] = []
        offset = 0
        stride = 1
        for index, size in zip(reversed(indices), reversed(shape)):
            linear += [(d, s * stride) for d, s in index.terms if d.size != 1]
            offset += index.offset * stride
            stride *= size
        split = split_linear(linear, offset, new_shape)
        if split is None:
            return None
        result = [None if size == 1 else index for index, size in zip(split, new_shape)]
    names = iter(ones)
    filled: list[Index] = []
    for index in result:
        if index is None:
            one = next(names, None)
            index = Index() if one is None else Index(((one, 1),))
        filled.append(index)
    return tuple(filled)


def split_linear(terms: Sequence[tuple[Digit, int]], offset: int, shape: Sequence[int]) -> list[Index] | None:
    """Cuts one linear index into an index per dimension of `shape`."""
    result: list[Index] = []
    stride = math.prod(shape)
    pending = list(terms)
    for size in shape:
        stride //= size
        mine: list[tuple[Digit, int]] = []
        rest: list[tuple[Digit, int]] = []
        for digit, s in pending:
            if s >= stride:
                if s % stride:
                    return None
                mine.append((digit, s // stride))
            elif s * digit.size <= stride:
                rest.append((digit, s))
            else:
                # The digit runs across the boundary: cut it in two.
                low = stride // s
                if stride % s or digit.size % low:
                    return None
                rest.append((Digit(digit.var, digit.div, low), s))
                mine.append((Digit(digit.var, digit.div * low, digit.size // low), 1))
        mine_offset, offset = divmod(offset, stride)
        if mine_offset + sum((d.size - 1) * s for d, s in mine) >= size:
            return None
        if offset + sum((d.size - 1) * s for d, s in rest) >= stride:
            return None
        result.append(Index.make(mine, mine_offset))
        pending = rest
    return result


def same_value(a: SSAValue, b: SSAValue) -> bool:
    """Whether two values are one, or are computed by the same operations, as front ends that share nothing write."""
    worklist = [(a, b)]
    seen: set[tuple[SSAValue, SSAValue]] = set()
    while worklist:
        pair = x, y = _unconverted(worklist[-1][0]), _unconverted(worklist.pop()[1])
        if x is y or pair in seen:
            continue
        seen.add(pair)
        if len(seen) > MAX_REPEATED_OPS or not (isinstance(x, OpResult) and isinstance(y, OpResult)):
            return False
        if not _same_operation(x.op, y.op):
            return False
        worklist += zip(x.op.operands, y.op.operands, strict=True)
    return True


def _unconverted(value: SSAValue) -> SSAValue:
    """The value before conversions to the type that it has."""
    while isinstance(value, OpResult) and value.op.name == "stablehlo.convert":
        if value.op.operands[0].type != value.type:
            break
        value = value.op.operands[0]
    return value


def _same_operation(a: Operation, b: Operation) -> bool:
    """Whether two operations compute the same from the same operands."""
    return (
        a.name == b.name
        and a.name.startswith("stablehlo.")
        and len(a.results) == len(b.results) == 1
        and a.results[0].type == b.results[0].type
        and len(a.operands) == len(b.operands)
        and a.properties == b.properties
        and a.attributes == b.attributes
        and (not (a.regions or b.regions) or hlo.reduce_kind(a) == hlo.reduce_kind(b) is not None)
        and is_side_effect_free(a)
    )


class Read(NamedTuple):
    """An element of a tensor: the value and an index per dimension."""

    value: SSAValue
    indices: Indices

    def same_as(self, other: Read) -> bool:
        """Whether two reads give the same number; what is computed twice is the same."""
        return same_indices(self.indices, other.indices) and same_value(self.value, other.value)


def _broadcast_indices(op: Operation, indices: Indices) -> Indices | None:
    """The indices of the operand of stablehlo.broadcast_in_dim; None where it may have size 1 or not."""
    result_shape = hlo.shape(op.results[0])
    result: list[Index] = []
    for size, dim in zip(hlo.shape(op.operands[0]), hlo.broadcast_dimensions(op)):
        if size == DYNAMIC_INDEX and result_shape[dim] != DYNAMIC_INDEX:
            return None
        result.append(Index() if size == 1 and result_shape[dim] != 1 else indices[dim])
    return tuple(result)


@dataclass
class Tracer:
    """Follows reads backwards, and remembers every operation that it went through."""

    visited: set[object] = field(default_factory=set[object])

    def view(self, read: Read) -> Read | None:
        """One step through a transpose, reshape or broadcast, or None."""
        op = hlo.owner(read.value)
        return self.step(read) if op is not None and op.name in hlo.VIEWS else None

    def step(self, read: Read) -> Read | None:
        """One step through an operation that only moves data, or None."""
        if not isinstance(read.value, OpResult):
            return None
        op = read.value.op
        indices: Indices | None = None
        if op.name == "stablehlo.transpose":
            permutation = hlo.permutation(op)
            source = [Index()] * len(permutation)
            for index, position in zip(read.indices, permutation):
                source[position] = index
            indices = tuple(source)
        elif op.name == "stablehlo.reshape":
            indices = reshape_indices(read.indices, hlo.shape(op.results[0]), hlo.shape(op.operands[0]))
        elif op.name == "stablehlo.broadcast_in_dim":
            indices = _broadcast_indices(op, read.indices)
        elif op.name == "stablehlo.slice":
            indices = tuple(
                Index(tuple((d, s * stride) for d, s in index.terms), index.offset * stride + start)
                for index, (start, stride) in zip(read.indices, hlo.slice_starts(op))
            )
        if indices is None:
            return None
        self.visited.add(op)
        return Read(op.operands[0], indices)

    def source(self, read: Read, *, through_converts: bool = True) -> Read:
        """The read that this one comes down to, through views, slices and float conversions."""
        while True:
            if (step := self.step(read)) is None:
                if not through_converts or not hlo.is_float_convert(read.value):
                    return read
                op = hlo.owner(read.value)
                assert op is not None
                self.visited.add(op)
                step = Read(op.operands[0], read.indices)
            read = step

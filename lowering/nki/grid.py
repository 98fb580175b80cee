"""Tiles of logits: which indices lie on their partitions and free axes, and elementwise work on them.

Everything that a score region computes is f32, truth values are bytes. A value lies on the partitions and on those
free axes that it depends on, and is spread over the others by an access pattern of step 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, prod

from xdsl.dialects.builtin import Float32Type, IntegerType, Signedness, f32
from xdsl.ir import Attribute, SSAValue

from flashlower.dialects import nki
from flashlower.dialects.nki.types import tile_of
from flashlower.lowering.nki.builder import KernelBuilder, Sum

u8 = IntegerType(8, Signedness.UNSIGNED)

NEGATED = {
    "equal": "not_equal",
    "not_equal": "equal",
    "less": "greater_equal",
    "greater_equal": "less",
    "greater": "less_equal",
    "less_equal": "greater",
}


ZERO = Sum()


@dataclass(frozen=True)
class Index:
    """An affine function of the indices of a logit: `start` plus each index that varies in a tile times a factor."""

    start: Sum = ZERO
    factors: Mapping[str, int] = field(default_factory=dict[str, int])

    def __add__(self, other: Index | int) -> Index:
        if isinstance(other, int):
            return Index(self.start + other, self.factors)
        factors = dict(self.factors)
        for name, factor in other.factors.items():
            factors[name] = factors.get(name, 0) + factor
        return Index(self.start + other.start, {name: factor for name, factor in factors.items() if factor})

    def __mul__(self, factor: int) -> Index:
        return Index(self.start * factor, {n: f * factor for n, f in self.factors.items() if f * factor})

    @property
    def constant(self) -> int | None:
        """The number that it is, None where it varies."""
        return None if self.factors or self.start.terms else self.start.constant

    @property
    def is_natural(self) -> bool:
        """Whether it is certainly not negative: indices and loop counters are not."""
        return (
            self.start.constant >= 0
            and all(factor >= 0 for factor in self.start.terms.values())
            and all(factor >= 0 for factor in self.factors.values())
        )


@dataclass(frozen=True)
class Value:
    """A tile that has some of the free axes of its grid."""

    tile: SSAValue
    axes: tuple[bool, ...]

    @property
    def element(self) -> Attribute:
        return tile_of(self.tile).element_type


Operand = Value | float


@dataclass(frozen=True)
class Grid:
    """
    The shape of a tile of logits. Index `name` of a logit at partition p and free position (i, j, ...) is
    start[name] + p * partition[name] + i * free[0][name] + ...
    """

    partitions: int
    sizes: tuple[int, ...]
    partition: Mapping[str, int]
    free: tuple[Mapping[str, int], ...]
    starts: Mapping[str, Sum]

    def index(self, name: str) -> Index:
        """An index of the score region: `hq`, `m`, `n` or a batch dimension."""
        varies = any(name in steps for steps in (self.partition, *self.free))
        return Index(self.starts.get(name, Sum()), {name: 1} if varies else {})

    def channel(self, index: Index) -> int:
        """What one partition adds to an index."""
        return sum(factor * self.partition.get(name, 0) for name, factor in index.factors.items())

    def steps(self, index: Index) -> tuple[int, ...]:
        """What one step along each free axis adds to an index."""
        return tuple(sum(f * steps.get(name, 0) for name, f in index.factors.items()) for steps in self.free)

    @property
    def everywhere(self) -> tuple[bool, ...]:
        """All free axes."""
        return (True,) * len(self.sizes)

    def shape(self, axes: Sequence[bool]) -> list[int]:
        """The shape of a value with these axes."""
        return [self.partitions, *(size if there else 1 for size, there in zip(self.sizes, axes, strict=True))]


class Elementwise:
    """Emits elementwise instructions on values of one grid."""

    def __init__(self, b: KernelBuilder, grid: Grid):
        self.b = b
        self.grid = grid

    def new(self, name: str, axes: Sequence[bool], element: Attribute = f32) -> Value:
        """A new value."""
        return Value(self.b.tile(name, self.grid.shape(axes), element), tuple(axes))

    def spread(self, value: Value, axes: Sequence[bool]) -> SSAValue:
        """A value as a tile of the shape of these axes."""
        if value.axes == tuple(axes):
            return value.tile
        shape = self.grid.shape(value.axes)
        pattern = [(prod(shape[1:]), shape[0])]
        for position, (size, there) in enumerate(zip(self.grid.shape(axes)[1:], value.axes, strict=True)):
            pattern.append((prod(shape[position + 2 :]) if there else 0, size))
        return self.b.add(nki.ApOp(value.tile, pattern)).result

    def joined(self, *values: Operand) -> tuple[bool, ...]:
        """The axes of a result."""
        axes = [False] * len(self.grid.sizes)
        for value in values:
            if isinstance(value, Value):
                axes = [a or c for a, c in zip(axes, value.axes, strict=True)]
        return tuple(axes)

    def materialize(self, index: Index, name: str = "index") -> Value:
        """An index as f32 numbers."""
        steps = self.grid.steps(index)
        # A size of 1 needs no axis.
        axes = tuple(step != 0 and size > 1 for step, size in zip(steps, self.grid.sizes, strict=True))
        result = self.new(name, axes)
        self._iota(result, index)
        return result

    def pattern(self, index: Index, axes: Sequence[bool]) -> list[tuple[int, int]]:
        """The pattern of `iota` and `affine_select` for an index over these axes."""
        steps = self.grid.steps(index)
        sizes = self.grid.shape(axes)[1:]
        found = [(step, size) for step, size in zip(steps, sizes, strict=True) if size > 1]
        return found or [(0, 1)]

    def _iota(self, dst: Value, index: Index) -> None:
        pattern = self.pattern(index, dst.axes)
        self.b.add(nki.IotaOp(dst.tile, pattern, self.b.offset(index.start), self.grid.channel(index)))

    def is_vector(self, value: Operand) -> bool:
        """Whether a value is [P, 1] and f32, an operand of `tensor_scalar`."""
        return isinstance(value, Value) and not any(value.axes) and isinstance(value.element, Float32Type)

    def binary(
        self,
        op: str,
        lhs: Operand,
        rhs: Operand,
        *,
        element: Attribute = f32,
        into: Value | None = None,
        name: str = "t",
    ) -> Value:
        """An operator of the Vector engine on two values, or a value and a number."""
        axes = self.joined(lhs, rhs)
        dst = (
            into
            if into is not None and into.axes == axes and into.element == element
            else self.new(name, axes, element)
        )
        if isinstance(lhs, Value) and (isinstance(rhs, float | int) or (self.is_vector(rhs) and lhs.axes == axes)):
            scalar = rhs.tile if isinstance(rhs, Value) else rhs
            self.b.add(nki.TensorScalarOp(dst.tile, lhs.tile, op, scalar))
        elif isinstance(rhs, Value) and (isinstance(lhs, float | int) or (self.is_vector(lhs) and rhs.axes == axes)):
            scalar = lhs.tile if isinstance(lhs, Value) else lhs
            self.b.add(nki.TensorScalarOp(dst.tile, rhs.tile, op, scalar, reverse0=True))
        else:
            assert isinstance(lhs, Value) and isinstance(rhs, Value)
            self.b.add(nki.TensorTensorOp(dst.tile, self.spread(lhs, axes), self.spread(rhs, axes), op))
        return dst

    def activation(
        self, op: str, value: Value, *, scale: float | None = None, into: Value | None = None, name: str = "t"
    ) -> Value:
        """A function of the Scalar engine."""
        fits = into is not None and into.axes == value.axes and isinstance(into.element, Float32Type)
        dst = into if into is not None and fits else self.new(name, value.axes)
        self.b.add(nki.ActivationOp(dst.tile, op, value.tile, scale=scale))
        return dst

    def compare(self, op: str, index: Index, name: str = "keep") -> Value:
        """Where an index compares with 0, as bytes."""
        return self.binary(op, self.materialize(index), 0.0, element=u8, name=name)

    def copy(self, value: Operand, axes: Sequence[bool], name: str = "t") -> Value:
        """A new tile with these axes and the contents of a value."""
        dst = self.new(name, axes)
        if isinstance(value, Value):
            self.b.add(nki.TensorCopyOp(dst.tile, self.spread(value, axes)))
        else:
            self.b.add(nki.MemsetOp(dst.tile, float(value)))
        return dst

    def affine_select(self, op: str, index: Index, value: Value, other: float) -> Value:
        """A value where an index compares with 0, elsewhere a number; in place."""
        channel = self.grid.channel(index)
        start = self.b.offset(index.start)
        pattern = self.pattern(index, value.axes)
        self.b.add(nki.AffineSelectOp(value.tile, value.tile, other, op, pattern, start, channel))
        return value

    def varies_over(self, index: Index) -> tuple[bool, ...]:
        """The axes that an index needs."""
        steps = self.grid.steps(index)
        return tuple(step != 0 and size > 1 for step, size in zip(steps, self.grid.sizes, strict=True))

    def floor_divide(self, value: Value, divisor: int) -> Value:
        """floor(value / divisor) of whole numbers below 2^22."""
        dst = self.new("quotient", value.axes)
        floor_divide(self.b, dst.tile, value.tile, divisor)
        return dst


def floor_divide(b: KernelBuilder, dst: SSAValue, value: SSAValue, divisor: int) -> None:
    """
    dst = floor(value / divisor) of whole numbers below 2^22, tiles of f32.

    (value + 1/2) / divisor - 1/2 is nearer to the quotient than to any other whole number, and adding 2^23 with its
    half rounds to the nearest.
    """
    magic = 1.5 * 2.0**23
    b.comment(f"n // {divisor}: a sum with 1.5 * 2**23 is rounded to a whole number.")
    b.add(nki.TensorScalarOp(dst, value, "add", 0.5, op1="multiply", operand1=1.0 / divisor))
    b.add(nki.TensorScalarOp(dst, dst, "subtract", 0.5, op1="add", operand1=magic))
    b.add(nki.TensorScalarOp(dst, dst, "subtract", magic))


MASKED = -inf
"""The logit of a key that is masked or does not exist."""

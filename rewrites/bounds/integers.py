"""Integers of a score region as affine expressions of query, key and symbols."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AffineMapAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    Signedness,
    TensorType,
)
from xdsl.ir import Attribute, Operation, OpResult, SSAValue
from xdsl.utils.hints import isa

from flashlower.dialects.attention import AttentionOp
from flashlower.dialects.attention.layout import INNER_DIMS, Term, make_layout
from flashlower.rewrites.bounds.linear import Linear, Range, Symbol
from flashlower.rewrites.bounds.linear import Term as LinearTerm

INDEX_BITS = 64
LARGEST_SIZE = (1 << 31) - 1
"""What a dynamic number of queries or keys may be: kernels count them in 32 bits."""


def integer_range(type: Attribute) -> Range | None:
    """The values of an integer type, None for any other type and for unsigned ones."""
    match type:
        case IndexType():
            bits = INDEX_BITS
        case IntegerType(width=width, signedness=sign) if sign.data != Signedness.UNSIGNED and width.data > 1:
            bits = width.data
        case _:
            return None
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


class Integers:
    """
    Reads integers of the score region of one operation.

    `symbols` collects what is read from outside, each integer once, and its layout. Arithmetic on `index` is taken
    not to overflow, since its width is the target's; of other types it is read only where it is proved not to.
    """

    def __init__(self, op: AttentionOp):
        self._op = op
        self._sizes = op.dim_sizes()
        self._block = op.score.block
        *batch, _, m, n = self._block.args[1:]
        self._batch: dict[SSAValue, int] = {arg: position for position, arg in enumerate(batch)}
        self._known: dict[SSAValue, Linear | None] = {m: Linear.term("m"), n: Linear.term("n")}
        self.symbols: list[tuple[SSAValue, AffineMapAttr]] = []
        queries, keys = (LARGEST_SIZE if self._sizes[dim] == DYNAMIC_INDEX else self._sizes[dim] for dim in ("m", "n"))
        self.ranges: dict[LinearTerm, Range] = {
            "m": (0, max(queries - 1, 0)),
            "m0": (0, max(queries - 1, 0)),
            "m1": (1, max(queries, 1)),
            "n": (0, max(keys - 1, 0)),
        }

    def read(self, value: SSAValue) -> Linear | None:
        """The expression that an integer is, None where that is not known."""
        if value not in self._known:
            self._known[value] = self._checked(value)
        return self._known[value]

    def _checked(self, value: SSAValue) -> Linear | None:
        if (limits := integer_range(value.type)) is None or (found := self._read(value)) is None:
            return None
        if isinstance(value.type, IndexType):
            return found
        low, high = found.bounds(self.ranges)
        return found if limits[0] <= low and high <= limits[1] else None

    def _read(self, value: SSAValue) -> Linear | None:
        if not isinstance(value, OpResult):
            # An argument of the region: only batch dimensions and the head are left. Else one from outside.
            return None if value.owner is self._block else self._symbol(value, [])
        op = value.op
        if isinstance(op, arith.ConstantOp) and isinstance(op.value, IntegerAttr):
            return Linear.number(op.value.value.data)
        if op.parent is not self._block:
            return self._symbol(value, [])
        if isinstance(op, tensor.ExtractOp):
            return self._symbol(op.tensor, op.indices)
        return self._compute(op)

    def _compute(self, op: Operation) -> Linear | None:
        operands = [self.read(operand) for operand in op.operands]
        match op, operands:
            case arith.AddiOp(), [Linear() as x, Linear() as y]:
                return x + y
            case arith.SubiOp(), [Linear() as x, Linear() as y]:
                return x - y
            case arith.MuliOp(), [Linear() as x, Linear() as y] if x.is_constant or y.is_constant:
                return y * x.constant if x.is_constant else x * y.constant
            case arith.IndexCastOp() | arith.ExtSIOp() | arith.TruncIOp(), [Linear() as x]:
                return x
            case arith.ExtUIOp(), [Linear() as x] if self._is_natural(x):
                return x
            case arith.FloorDivSIOp(), [Linear() as x, Linear() as y] if y.is_constant and y.constant > 0:
                return x.floordiv(y.constant)
            case arith.CeilDivSIOp(), [Linear() as x, Linear() as y] if y.is_constant and y.constant > 0:
                return -(-x).floordiv(y.constant)
            case arith.DivSIOp() | arith.DivUIOp(), [Linear() as x, Linear() as y]:
                return x.floordiv(y.constant) if self._divides(x, y) else None
            case arith.RemSIOp() | arith.RemUIOp(), [Linear() as x, Linear() as y]:
                return x - x.floordiv(y.constant) * y.constant if self._divides(x, y) else None
            case arith.ShRSIOp(), [Linear() as x, Linear() as y] if y.is_constant and 0 <= y.constant < 32:
                return x.floordiv(1 << y.constant)
            case _:
                return None

    def _is_natural(self, x: Linear) -> bool:
        return x.bounds(self.ranges)[0] >= 0

    def _divides(self, x: Linear, y: Linear) -> bool:
        """Whether x / y is rounded towards 0 as it is towards below: x is not negative."""
        return y.is_constant and y.constant > 0 and self._is_natural(x)

    def _symbol(self, source: SSAValue, indices: Sequence[SSAValue]) -> Linear | None:
        """A number from outside: a captured scalar, or an element of a captured tensor for each batch."""
        type, terms = source.type, list[list[Term]]()
        shape = type.get_shape() if isa(type, TensorType[Attribute]) else ()
        if len(shape) != len(indices):
            return None
        names = list(self._sizes)
        for size, index in zip(shape, indices):
            if index in self._batch and size == self._sizes[names[self._batch[index]]]:
                terms.append([Term(self._batch[index], 1)])
            elif size == 1 and (x := self.read(index)) is not None and x == Linear.number(0):
                terms.append([])
            else:
                return None
        element_type = type.element_type if isa(type, TensorType[Attribute]) else type
        if (limits := integer_range(element_type)) is None:
            return None
        key = source, make_layout(len(names), terms)
        assert len(names) == self._op.batch_rank + len(INNER_DIMS)
        if key not in self.symbols:
            self.symbols.append(key)
        symbol = Symbol(self.symbols.index(key))
        self.ranges[symbol] = limits
        return Linear.term(symbol)

"""Score regions on tiles: the scalar function of one logit becomes instructions on a whole tile of logits.

Integers that are affine in the indices stay formulas: comparing them is `affine_select`, reading a tensor at them is an
access pattern. Everything else is computed on the tiles of `grid`.
"""

from __future__ import annotations

import math as python_math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import cast

from xdsl.dialects import arith, math, tensor
from xdsl.dialects.builtin import Float32Type, FloatAttr, IntegerAttr, IntegerType, TensorType, i32
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects import nki
from flashlower.dialects.attention import AttentionOp, YieldOp
from flashlower.dialects.attention.score import score_arg_names
from flashlower.dialects.nki.types import tile_of
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.grid import NEGATED, Elementwise, Index, Operand, Value, u8

EXACT_INTEGERS = 1 << 24
"""f32 holds every whole number up to here."""

TensorOf = TensorType[Attribute]


@dataclass(frozen=True)
class Compare:
    """An index compared with 0."""

    op: str
    index: Index


@dataclass(frozen=True)
class Both:
    """A conjunction."""

    parts: tuple[Compare | Value, ...]


Scalar = Value | Index | Compare | Both | float | bool
"""What a value of the region is: a tile, or a formula."""

_INTEGER_COMPARISONS = ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")
"""`arith.cmpi` by the number of its predicate, the signed ones; the unsigned follow in the order of lt, le, gt, ge."""

_FLOAT_COMPARISONS = {1: "equal", 2: "greater", 3: "greater_equal", 4: "less", 5: "less_equal", 13: "not_equal"}
"""`arith.cmpf` by the number of its predicate, those that have an operator of the same meaning for NaN."""

_BINARY: dict[type[Operation], str] = {
    arith.AddfOp: "add",
    arith.SubfOp: "subtract",
    arith.MulfOp: "multiply",
    arith.MaximumfOp: "maximum",
    arith.MaxnumfOp: "maximum",
    arith.MinimumfOp: "minimum",
    arith.MinnumfOp: "minimum",
    arith.AddiOp: "add",
    arith.SubiOp: "subtract",
    arith.MuliOp: "multiply",
    arith.MaxSIOp: "maximum",
    arith.MinSIOp: "minimum",
    math.PowFOp: "power",
}

_FUNCTIONS: dict[type[Operation], tuple[str, float | None]] = {
    math.AbsFOp: ("abs", None),
    math.AbsIOp: ("abs", None),
    math.ExpOp: ("exp", None),
    math.Exp2Op: ("exp", python_math.log(2.0)),
    math.LogOp: ("log", None),
    math.RsqrtOp: ("rsqrt", None),
    math.SqrtOp: ("sqrt", None),
    math.TanhOp: ("tanh", None),
}

_FOLD: dict[str, Callable[[float, float], float]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "maximum": max,
    "minimum": min,
    "power": lambda x, y: x**y,
    "equal": lambda x, y: float(x == y),
    "not_equal": lambda x, y: float(x != y),
    "less": lambda x, y: float(x < y),
    "less_equal": lambda x, y: float(x <= y),
    "greater": lambda x, y: float(x > y),
    "greater_equal": lambda x, y: float(x >= y),
}


def constant_of(value: SSAValue) -> int | float | None:
    """The number that `arith.constant` gives, or None for any other value."""
    op = value.owner
    if isinstance(op, arith.ConstantOp) and isinstance(op.value, IntegerAttr | FloatAttr):
        return op.value.value.data
    return None


def _is_bool(type: Attribute) -> bool:
    return isa(type, IntegerType) and type.width.data == 1


class ScoreLowering:
    """
    Lowers the score region of one operation on one tile of logits.

    `tensors` are the kernel's tensors by what the region captures. `load` fills a tile of a captured tensor; keys that
    do not exist are not read.
    """

    def __init__(
        self,
        op: AttentionOp,
        b: KernelBuilder,
        elementwise: Elementwise,
        tensors: Mapping[SSAValue, SSAValue],
        load: Callable[[Value, SSAValue, Index], None],
    ):
        self._op = op
        self._b = b
        self._e = elementwise
        self._grid = elementwise.grid
        self._tensors = tensors
        self._load = load
        self._values: dict[SSAValue, Scalar] = {}
        self._uses: dict[SSAValue, int] = {}

    def apply(self, logits: Value) -> Value:
        """The new logits; the tile of the old ones may be overwritten."""
        if not self._op.score.blocks:
            return logits
        block = self._op.score.block
        for argument, name in zip(block.args, score_arg_names(self._op.batch_rank), strict=True):
            self._values[argument] = self._grid.index(name)
        self._values[block.args[0]] = logits
        for captured in self._op.captures():
            if (constant := constant_of(captured)) is not None:
                self._values[captured] = self._constant(constant, captured.type)
            elif not isa(captured.type, TensorOf):
                raise DiagnosticException(
                    f"the score region of {self._op.name} reads a value of type {captured.type}; an NKI kernel takes "
                    "tensors: pass it as one"
                )
        for op in block.ops:
            for operand in op.operands:
                self._uses[operand] = self._uses.get(operand, 0) + 1
        for op in block.ops:
            if isinstance(op, YieldOp):
                break
            if op.results:
                self._values[op.results[0]] = self._emit(op)
            for operand in op.operands:
                self._uses[operand] -= 1
        result = self._values[cast(YieldOp, block.last_op).value]
        tile = self._as_operand(result)
        if not isinstance(tile, Value) or tile.axes != self._grid.everywhere:
            return self._e.copy(tile, self._grid.everywhere, "scores")
        return tile

    # Values.

    def _constant(self, value: int | float, type: Attribute) -> Scalar:
        if isinstance(value, float):
            return value
        if _is_bool(type):
            return bool(value)
        if isa(type, IntegerType):
            bits = type.width.data
            value = (value + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
        if abs(value) > EXACT_INTEGERS:
            raise DiagnosticException(
                f"the score region of {self._op.name} has the integer {value}, but kernels count up to {EXACT_INTEGERS}"
            )
        return Index(Sum(value))

    def _error(self, op: Operation, why: str) -> DiagnosticException:
        return DiagnosticException(f"cannot lower {op.name} in the score region of {self._op.name} to NKI: {why}")

    def _as_operand(self, value: Scalar) -> Operand:
        """A tile or a number."""
        match value:
            case Value():
                return value
            case Index():
                constant = value.constant
                return self._e.materialize(value) if constant is None else float(constant)
            case Compare() | Both():
                return self.as_tile(value)
            case _:
                return float(value)

    def as_tile(self, condition: Scalar) -> Value:
        """A condition as bytes."""
        match condition:
            case Value():
                return condition
            case Compare():
                return self._e.compare(condition.op, condition.index)
            case Both():
                first, *others = (self.as_tile(part) for part in condition.parts)
                for other in others:
                    first = self._e.binary("multiply", first, other, element=u8, name="keep")
                return first
            case bool():
                return self._e.binary(
                    "add", self._e.copy(float(condition), (False,) * len(self._grid.sizes)), 0.0, element=u8
                )
            case _:
                raise DiagnosticException(f"the score region of {self._op.name} uses a number as a truth value")

    def _reusable(self, operand: SSAValue) -> Value | None:
        """A tile that nothing else reads."""
        value = self._values.get(operand)
        return value if isinstance(value, Value) and self._uses.get(operand, 0) == 1 else None

    # Operations.

    def _emit(self, op: Operation) -> Scalar:
        for value in (*op.results, *(v for v in op.operands if v not in self._tensors)):
            if isa(value.type, TensorOf):
                raise self._error(op, f"it computes on {value.type}")
        if (constant := constant_of(op.results[0])) is not None:
            return self._constant(constant, op.results[0].type)
        match op:
            case tensor.ExtractOp():
                return self._extract(op)
            case tensor.DimOp():
                return self._dim(op)
            case arith.SelectOp():
                return self._select(op)
            case arith.CmpiOp():
                return self._cmpi(op)
            case arith.CmpfOp():
                if (name := _FLOAT_COMPARISONS.get(op.predicate.value.data)) is None:
                    raise self._error(op, "the Vector engine has no such comparison")
                return self._compare(name, *map(self._as_operand, self._operands(op)))
            case arith.AndIOp() | arith.OrIOp() | arith.XOrIOp():
                return self._logic(op)
            case arith.IndexCastOp() | arith.ExtSIOp() | arith.TruncIOp() | arith.ExtUIOp():
                return self._convert_integer(op)
            case arith.SIToFPOp() if _is_bool(op.operands[0].type):
                # The one bit of a truth value is its sign.
                return self._binary("multiply", op.operands[0], -1.0)
            case arith.SIToFPOp() | arith.UIToFPOp():
                return self._as_operand(self._operands(op)[0])
            case arith.ExtFOp():
                return self._operands(op)[0]
            case arith.TruncFOp():
                return self._round(op)
            case arith.NegfOp():
                return self._binary("multiply", op.operands[0], -1.0)
            case arith.DivfOp():
                return self._divide(op)
            case arith.FloorDivSIOp() | arith.DivSIOp() | arith.DivUIOp() | arith.RemSIOp() | arith.RemUIOp():
                return self._divide_integers(op)
            case _:
                pass
        if (name := _BINARY.get(type(op))) is not None:
            return self._arithmetic(op, name)
        if (function := _FUNCTIONS.get(type(op))) is not None:
            value = self._as_operand(self._operands(op)[0])
            if not isinstance(value, Value):
                raise self._error(op, "its operand is a constant: fold it")
            return self._e.activation(function[0], value, scale=function[1], into=self._reusable(op.operands[0]))
        raise self._error(op, "no instruction computes it")

    def _operands(self, op: Operation) -> list[Scalar]:
        return [self._values[operand] for operand in op.operands]

    def _arithmetic(self, op: Operation, name: str) -> Scalar:
        lhs, rhs = self._operands(op)
        if isinstance(lhs, Index) and isinstance(rhs, Index):
            match name:
                case "add":
                    return lhs + rhs
                case "subtract":
                    return lhs + rhs * -1
                case "multiply" if rhs.constant is not None:
                    return lhs * rhs.constant
                case "multiply" if lhs.constant is not None:
                    return rhs * lhs.constant
                case _:
                    pass
        return self._binary(name, *op.operands)

    def _binary(self, name: str, lhs: SSAValue, rhs: SSAValue | float) -> Scalar:
        left = self._as_operand(self._values[lhs])
        right = self._as_operand(self._values[rhs]) if isinstance(rhs, SSAValue) else rhs
        if not isinstance(left, Value) and not isinstance(right, Value):
            return _FOLD[name](left, right)
        reusable = [self._reusable(v) for v in (lhs, rhs) if isinstance(v, SSAValue)]
        axes = self._e.joined(left, right)
        into = next(
            (v for v in reusable if v is not None and v.axes == axes and isinstance(v.element, Float32Type)), None
        )
        hint = "scores" if axes == self._grid.everywhere else "t"
        return self._e.binary(name, left, right, into=into, name=hint)

    def _compare(self, name: str, lhs: Operand, rhs: Operand) -> Scalar:
        if not isinstance(lhs, Value) and not isinstance(rhs, Value):
            return bool(_FOLD[name](lhs, rhs))
        return self._e.binary(name, lhs, rhs, element=u8, name="keep")

    def _cmpi(self, op: arith.CmpiOp) -> Scalar:
        predicate = op.predicate.value.data
        lhs, rhs = self._operands(op)
        below: Scalar | None = None
        if predicate >= len(_INTEGER_COMPARISONS):
            # Unsigned: the same as signed where neither is negative; x < c also wants x not to be.
            predicate -= 4
            if not (isinstance(rhs, Index) and rhs.is_natural):
                raise self._error(op, "it compares numbers as unsigned that may be negative")
            if not (isinstance(lhs, Index) and lhs.is_natural):
                if predicate not in (2, 3):
                    raise self._error(op, "it compares numbers as unsigned that may be negative")
                below = self._compare_integers("greater_equal", lhs, Index())
        result = self._compare_integers(_INTEGER_COMPARISONS[predicate], lhs, rhs)
        return result if below is None else self._both(below, result)

    def _compare_integers(self, name: str, lhs: Scalar, rhs: Scalar) -> Scalar:
        if isinstance(lhs, Index) and isinstance(rhs, Index):
            difference = lhs + rhs * -1
            if (constant := difference.constant) is not None:
                return bool(_FOLD[name](constant, 0))
            return Compare(name, difference)
        return self._compare(name, self._as_operand(lhs), self._as_operand(rhs))

    def _both(self, lhs: Scalar, rhs: Scalar) -> Scalar:
        if isinstance(lhs, bool) or isinstance(rhs, bool):
            known, other = (lhs, rhs) if isinstance(lhs, bool) else (rhs, lhs)
            return other if known else False
        parts: list[Compare | Value] = []
        for value in (lhs, rhs):
            if isinstance(value, Both):
                parts += value.parts
            else:
                assert isinstance(value, Compare | Value)
                parts.append(value)
        return Both(tuple(parts))

    def _not(self, value: Scalar) -> Scalar:
        match value:
            case bool():
                return not value
            case Compare():
                return Compare(NEGATED[value.op], value.index)
            case _:
                return self._e.binary("equal", self.as_tile(value), 0.0, element=u8, name="keep")

    def _logic(self, op: Operation) -> Scalar:
        if not _is_bool(op.results[0].type):
            raise self._error(op, "the engines compute in f32; only truth values have bits")
        lhs, rhs = self._operands(op)
        match op:
            case arith.AndIOp():
                return self._both(lhs, rhs)
            case arith.OrIOp() if isinstance(lhs, bool) or isinstance(rhs, bool):
                known, other = (lhs, rhs) if isinstance(lhs, bool) else (rhs, lhs)
                return True if known else other
            case arith.XOrIOp() if isinstance(lhs, bool) or isinstance(rhs, bool):
                known, other = (lhs, rhs) if isinstance(lhs, bool) else (rhs, lhs)
                return self._not(other) if known else other
            case _:
                name = "maximum" if isinstance(op, arith.OrIOp) else "not_equal"
                return self._e.binary(name, self.as_tile(lhs), self.as_tile(rhs), element=u8, name="keep")

    def _convert_integer(self, op: Operation) -> Scalar:
        (value,) = self._operands(op)
        if _is_bool(op.operands[0].type) and isinstance(op, arith.ExtSIOp):
            tile = self._as_operand(value)
            return self._e.binary("multiply", tile, -1.0) if isinstance(tile, Value) else -tile
        if _is_bool(op.results[0].type):
            raise self._error(op, "the engines compute in f32; only truth values have bits")
        if isinstance(value, bool):
            return Index(Sum(int(value)))
        return value

    def _round(self, op: Operation) -> Scalar:
        """A conversion to a narrower float rounds: through a tile of that type."""
        value = self._as_operand(self._operands(op)[0])
        if not isinstance(value, Value):
            raise self._error(op, "its operand is a constant: fold it")
        narrow = self._e.new("narrow", value.axes, op.results[0].type)
        self._b.add(nki.TensorCopyOp(narrow.tile, value.tile))
        return self._e.copy(narrow, value.axes)

    def _divide(self, op: Operation) -> Scalar:
        lhs, rhs = map(self._as_operand, self._operands(op))
        if not isinstance(rhs, Value):
            if not isinstance(lhs, Value):
                return lhs / rhs
            return self._binary("multiply", op.operands[0], 1.0 / rhs)
        inverse = self._e.new("inverse", rhs.axes)
        self._b.add(nki.ReciprocalOp(inverse.tile, rhs.tile))
        return self._e.binary("multiply", inverse, lhs)

    def _divide_integers(self, op: Operation) -> Scalar:
        lhs, rhs = self._operands(op)
        divisor = rhs.constant if isinstance(rhs, Index) else None
        if divisor is None or divisor < 1:
            raise self._error(op, "the divisor is not a positive constant")
        if isinstance(lhs, Index) and lhs.constant is not None:
            quotient, rest = divmod(lhs.constant, divisor)
            if lhs.constant < 0 and not isinstance(op, arith.FloorDivSIOp) and rest:
                quotient, rest = quotient + 1, rest - divisor
            return Index(Sum(rest if isinstance(op, arith.RemSIOp | arith.RemUIOp) else quotient))
        if not isinstance(op, arith.FloorDivSIOp) and not (isinstance(lhs, Index) and lhs.is_natural):
            raise self._error(op, "it may divide a negative number")
        value = self._as_operand(lhs)
        assert isinstance(value, Value)
        quotient_tile = self._e.floor_divide(value, divisor)
        if not isinstance(op, arith.RemSIOp | arith.RemUIOp):
            return quotient_tile
        whole = self._e.binary("multiply", quotient_tile, float(divisor))
        return self._e.binary("subtract", value, whole)

    # Selections.

    def _select(self, op: arith.SelectOp) -> Scalar:
        condition, lhs, rhs = self._operands(op)
        if isinstance(condition, bool):
            return lhs if condition else rhs
        if _is_bool(op.results[0].type):
            # a where c, b where not: (c and a) or (not c and b)
            then = self._both(condition, lhs)
            other = self._both(self._not(condition), rhs)
            return self._e.binary("maximum", self.as_tile(then), self.as_tile(other), element=u8, name="keep")
        left, right = self._as_operand(lhs), self._as_operand(rhs)
        if isinstance(left, Value) and not isinstance(right, Value):
            return self._select_or_number(condition, left, right, self._reusable(op.lhs))
        if isinstance(right, Value) and not isinstance(left, Value):
            return self._select_or_number(self._not(condition), right, left, self._reusable(op.rhs))
        predicate = self.as_tile(condition)
        axes = self._e.joined(predicate, left, right)
        dst = self._e.copy(right, axes, "selected")
        source = self._e.spread(left, axes) if isinstance(left, Value) else left
        self._b.add(nki.TensorCopyPredicatedOp(dst.tile, source, self._e.spread(predicate, axes)))
        return dst

    def _select_or_number(self, condition: Scalar, value: Value, number: float, reusable: Value | None = None) -> Value:
        """A value where a condition holds, else a number, one conjunct after another."""
        if isinstance(condition, bool):
            return value if condition else self._e.copy(number, value.axes)
        parts = condition.parts if isinstance(condition, Both) else (condition,)
        axes = list(value.axes)
        for part in parts:
            assert isinstance(part, Compare | Value)
            needed = part.axes if isinstance(part, Value) else self._e.varies_over(part.index)
            axes = [a or c for a, c in zip(axes, needed, strict=True)]
        whole = tuple(axes) == value.axes and isinstance(value.element, Float32Type)
        in_place = whole and (reusable is value or (value.axes == self._grid.everywhere and reusable is not None))
        dst = value if in_place else self._e.copy(value, axes, "scores")
        for part in parts:
            if isinstance(part, Compare):
                self._e.affine_select(part.op, part.index, dst, number)
            elif isinstance(part, Value):
                predicate = self._e.spread(part, dst.axes)
                self._b.add(nki.SelectReduceOp(dst.tile, predicate, dst.tile, number))
        return dst

    # Captured tensors.

    def _extract(self, op: tensor.ExtractOp) -> Scalar:
        source = self._tensors[op.tensor]
        shape = tile_of(source).shape
        total = Index()
        for position, index in enumerate(op.indices):
            value = self._values[index]
            if not isinstance(value, Index):
                return self._gather(op, source)
            total = total + value * prod(shape[position + 1 :])
        tile = self._e.new(source.name_hint or "captured", self._e.varies_over(total), tile_of(source).element_type)
        self._load(tile, source, total)
        if tile.element == u8 or (any(tile.axes) and not isa(tile.element, IntegerType)):
            return tile
        return self._e.copy(tile, tile.axes, source.name_hint or "captured")

    def _gather(self, op: tensor.ExtractOp, source: SSAValue) -> Scalar:
        """Elements at computed indices: an indirect DMA of one element a partition for each free position."""
        e, b = self._e, self._b
        type = tile_of(source)
        if prod(type.shape) > EXACT_INTEGERS:
            raise self._error(op, f"{type} has more elements than f32 counts")
        total: Operand = 0.0
        for position, index in enumerate(op.indices):
            value = self._as_operand(self._values[index])
            stride = float(prod(type.shape[position + 1 :]))
            if isinstance(value, Value):
                step = e.binary("multiply", value, stride)
                total = e.binary("add", step, total)
            else:
                total = e.binary("add", total, value * stride) if isinstance(total, Value) else total + value * stride
        assert isinstance(total, Value)
        rows = e.new("rows", total.axes, i32)
        b.add(nki.TensorCopyOp(rows.tile, total.tile))
        result = e.new(source.name_hint or "captured", total.axes, type.element_type)
        # Keys that do not exist may lie outside of the tensor.
        b.add(nki.MemsetOp(result.tile, 0.0))
        flat = b.add(nki.ReshapeOp(source, [prod(type.shape), 1])).result
        partitions, *free = tile_of(rows.tile).shape
        pattern = [(prod(free), partitions), (1, 1)]
        with b.loop("i", prod(free)) as i:
            row = b.tile("row", [partitions, 1], i32)
            b.add(nki.TensorCopyOp(row, b.add(nki.ApOp(rows.tile, pattern, b.offset(i))).result))
            element = b.add(nki.ApOp(flat, [(1, partitions), (1, 1)], 0, row)).result
            target = b.add(nki.ApOp(result.tile, pattern, b.offset(i))).result
            b.add(nki.DmaCopyOp(target, element, "skip"))
        if result.element == u8 or (any(result.axes) and not isa(result.element, IntegerType)):
            return result
        return e.copy(result, result.axes, source.name_hint or "captured")

    def _dim(self, op: tensor.DimOp) -> Scalar:
        position = constant_of(op.index)
        if not isinstance(position, int):
            raise self._error(op, "its dimension is not a constant")
        return Index(Sum(tile_of(self._tensors[op.source]).shape[position]))

"""Reads a score region as an expression: the inverse of `emit`, for operations that a front end has made already."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import AnyFloat, FloatAttr, IntegerAttr, i1
from xdsl.ir import Operation, SSAValue

from flashlower.dialects.attention import SdpaOp, YieldOp
from flashlower.dialects.attention.score import score_arg_names
from flashlower.rewrites.fuse_attention.access import Digit, Index, Indices, Read
from flashlower.rewrites.fuse_attention.emit import FLOAT_BINARY, FLOAT_UNARY, INT_BINARY
from flashlower.rewrites.fuse_attention.expression import (
    Affine,
    Bool,
    BoolConst,
    CompareFloat,
    Const,
    Expr,
    Float,
    FromInt,
    Logit,
    TensorRead,
)
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.score import ScoreReader, select_int
from flashlower.rewrites.fuse_attention.simplify import (
    compare,
    conjunction,
    disjunction,
    float_op,
    int_op,
    negate,
    select,
    select_bool,
)

_FLOAT_NAMES: dict[type[Operation], str] = {
    op: name for table in (FLOAT_BINARY, FLOAT_UNARY) for name, op in table.items()
}
_INT_NAMES: dict[type[Operation], str] = {
    arith.AddiOp: "add",
    arith.SubiOp: "subtract",
    **{op: name for name, op in INT_BINARY.items()},
}
_PREDICATES = {0: "EQ", 1: "NE", 2: "LT", 3: "LE", 4: "GT", 5: "GE"}
_FLOAT_PREDICATES = {1: "eq", 2: "gt", 3: "ge", 4: "lt", 5: "le", 13: "ne"}


@dataclass
class RegionReader:
    """Reads the score region of one operation; what it captures is read on by `reader`."""

    op: SdpaOp
    reader: ScoreReader
    args: Mapping[str, Affine]
    """The indices of the region by name."""
    has_new_formula: bool = field(default=False, init=False)
    """Whether a captured tensor is a formula."""
    _known: dict[SSAValue, Expr] = field(default_factory=dict[SSAValue, Expr], init=False)

    def read(self) -> Float:
        """The score. Raises `NotAttention` for an operation that expressions do not have."""
        block = self.op.score.block
        names = score_arg_names(self.op.batch_rank)
        self._known.update((arg, self.args[name]) for name, arg in zip(names[1:], block.args[1:], strict=True))
        self._known[block.args[0]] = Logit()
        for op in block.ops:
            if isinstance(op, YieldOp) and op.value in self._known:
                return cast(Float, self._known[op.value])
            if (expr := self._expr(op)) is None:
                raise NotAttention(f"{op.name} in a score region is not read")
            self._known[op.results[0]] = expr
        raise NotAttention("a score region yields nothing")

    def _expr(self, op: Operation) -> Expr | None:
        if isinstance(op, tensor.ExtractOp):
            return self._extract(op)
        if any(operand not in self._known for operand in op.operands):
            # A number that the region captures.
            return None
        args = [self._known[operand] for operand in op.operands]
        match op:
            case arith.ConstantOp():
                return _constant(op)
            case arith.IndexCastOp() | arith.ExtFOp():
                return args[0]
            case arith.SIToFPOp():
                return FromInt(cast(Affine, args[0]))
            case arith.SelectOp():
                return _select(op, args)
            case arith.CmpiOp() if op.lhs.type != i1 and (direction := _PREDICATES.get(op.predicate.value.data)):
                return compare(direction, *cast(list[Affine], args))
            case arith.CmpfOp() if kind := _FLOAT_PREDICATES.get(op.predicate.value.data):
                return CompareFloat(kind, *cast(list[Float], args))
            case arith.AndIOp() if op.result.type == i1:
                return conjunction(cast(list[Bool], args))
            case arith.OrIOp() if op.result.type == i1:
                return disjunction(cast(list[Bool], args))
            case arith.XOrIOp() if args[1] == BoolConst(True):
                return negate(cast(Bool, args[0]))
            case _ if name := _FLOAT_NAMES.get(type(op)):
                return float_op(name, tuple(cast(list[Float], args)))
            case _ if (name := _INT_NAMES.get(type(op))) and op.results[0].type != i1:
                return int_op(name, tuple(cast(list[Affine], args)))
            case _:
                return None

    def _extract(self, op: tensor.ExtractOp) -> Expr | None:
        indices = [_index(self._known.get(index)) for index in op.indices]
        if None in indices:
            return None
        expr = self.reader.expr(Read(op.tensor, cast(Indices, tuple(indices))))
        captured = next(iter(expr.coefficients))[0] if isinstance(expr, Affine) and expr.coefficients else expr
        self.has_new_formula |= not (isinstance(captured, TensorRead) and captured.value is op.tensor)
        return expr


def _index(value: Expr | None) -> Index | None:
    """An integer as the index of a tensor, if it is a sum of positions times strides."""
    if not isinstance(value, Affine):
        return None
    terms = [(atom, c) for atom, c in value.coefficients if isinstance(atom, Digit) and c > 0]
    return Index.make(terms, value.constant) if len(terms) == len(value.coefficients) else None


def _constant(op: arith.ConstantOp) -> Expr | None:
    match op.value:
        case FloatAttr(value=number):
            return Const(number.data)
        case IntegerAttr(value=number):
            return BoolConst(bool(number.data)) if op.result.type == i1 else Affine(constant=number.data)
        case _:
            return None


def _select(op: arith.SelectOp, args: list[Expr]) -> Expr:
    condition = cast(Bool, args[0])
    if isinstance(op.result.type, AnyFloat):
        return select(condition, cast(Float, args[1]), cast(Float, args[2]))
    if op.result.type == i1:
        return select_bool(condition, cast(Bool, args[1]), cast(Bool, args[2]))
    return select_int(condition, cast(Affine, args[1]), cast(Affine, args[2]))

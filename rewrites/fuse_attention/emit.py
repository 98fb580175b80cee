"""Writes a score expression as the score region of `attention.sdpa`, as short forms where it has them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, cast

import numpy as np
from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith
from xdsl.dialects import math as math_dialect
from xdsl.dialects.builtin import AnyFloat, FloatAttr, IndexType, IntegerAttr, i1, i64
from xdsl.ir import Region, SSAValue

from flashlower.dialects.attention import YieldOp
from flashlower.dialects.attention import score as forms
from flashlower.dialects.attention.score import constant_index
from flashlower.dialects.numpy_values import numpy_dtype
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Digit
from flashlower.rewrites.fuse_attention.expression import (
    NEGATIVE_INFINITY,
    Affine,
    And,
    Atom,
    Bool,
    BoolConst,
    Compare,
    CompareFloat,
    Const,
    Float,
    FloatOp,
    FromInt,
    IntOp,
    Logit,
    Not,
    Or,
    Select,
    SoftCap,
    TensorRead,
)
from flashlower.rewrites.fuse_attention.hlo import NotAttention

FLOAT_BINARY = {
    "add": arith.AddfOp,
    "subtract": arith.SubfOp,
    "multiply": arith.MulfOp,
    "divide": arith.DivfOp,
    "maximum": arith.MaximumfOp,
    "minimum": arith.MinimumfOp,
    "power": math_dialect.PowFOp,
}
FLOAT_UNARY = {
    "negate": arith.NegfOp,
    "abs": math_dialect.AbsFOp,
    "exponential": math_dialect.ExpOp,
    "log": math_dialect.LogOp,
    "tanh": math_dialect.TanhOp,
    "sqrt": math_dialect.SqrtOp,
    "rsqrt": math_dialect.RsqrtOp,
    "floor": math_dialect.FloorOp,
    "ceil": math_dialect.CeilOp,
    "sine": math_dialect.SinOp,
    "cosine": math_dialect.CosOp,
}
INT_BINARY = {
    "multiply": arith.MuliOp,
    "maximum": arith.MaxSIOp,
    "minimum": arith.MinSIOp,
    "divide": arith.DivSIOp,
    "remainder": arith.RemSIOp,
}

Linear = dict[str | Atom, int]
"""An affine expression over region arguments (by name; `h` and `g` for parts of hq) and other atoms."""


class ScoreDimensions(Protocol):
    """What a score region must know of the dimensions of attention."""

    names: dict[Digit, str]
    """The dimension (`b`..., `h`, `g`, `m`, `n`, `k`, `d`) that a digit is."""
    group_size: int
    head_size: int

    @property
    def batch_rank(self) -> int:
        """The number of batch dimensions."""
        ...

    def pieces(self, digit: Digit) -> list[tuple[Digit, int]] | None:
        """A digit as a sum of named digits times strides; None where it is none."""
        ...


@dataclass
class Emitter:
    """Emits one score region."""

    dims: ScoreDimensions
    type: AnyFloat
    factor: float
    """The factor of the logit that is already in the scale."""
    args: dict[str, SSAValue] = field(init=False)
    _known: dict[Float, SSAValue] = field(default_factory=dict[Float, SSAValue], init=False)

    def region(self, score: Float) -> Region:
        """The region of a score; empty where it is the scaled logit itself."""
        if score == Logit(self.factor):
            return Region()
        block = forms.score_block(self.dims.batch_rank, self.type)
        self.args = dict(zip(forms.score_arg_names(self.dims.batch_rank), block.args))
        region = Region(block)
        try:
            with ImplicitBuilder(block):
                YieldOp(self._float(score))
        except NotAttention:
            # Captured tensors must not keep uses in a region that is thrown away.
            region.drop_all_references()
            raise
        return region

    # Floats

    def _rounded(self, value: float) -> float:
        with np.errstate(over="ignore"):
            return float(np.float64(value).astype(numpy_dtype(self.type)))

    def _constant(self, value: float) -> SSAValue:
        return arith.ConstantOp(FloatAttr(self._rounded(value), self.type)).result

    def _float(self, value: Float) -> SSAValue:
        if isinstance(value, Const):
            # Not shared: short forms have a constant of their own each.
            return self._constant(value.value)
        if value not in self._known:
            self._known[value] = self._build(value)
        return self._known[value]

    def _build(self, value: Float) -> SSAValue:
        match value:
            case Logit(factor):
                s = self.args["s"]
                return s if factor == self.factor else arith.MulfOp(s, self._constant(factor / self.factor)).result
            case Const(number):
                return self._constant(number)
            case TensorRead():
                return self._read(value)
            case FromInt(number):
                integer = arith.IndexCastOp(self._int(number), i64).result
                return arith.SIToFPOp(integer, self.type).result
            case SoftCap(inner, cap):
                return forms.SoftCap(FloatAttr(cap, self.type)).build(self._float(inner), self.args)
            case Select(condition, then, otherwise):
                if otherwise == NEGATIVE_INFINITY:
                    return self._keep(condition, self._float(then))
                kept = self._float(then)
                chosen = self._bool(condition)
                return arith.SelectOp(chosen, kept, self._float(otherwise)).result
            case FloatOp("add", (inner, FloatOp("multiply", (TensorRead() as slope, FromInt(distance))))):
                return self._alibi(inner, slope, distance)
            case FloatOp("multiply", (operand, Const(c))) if self._rounded(c) == 1.0:
                # What is left of log2(e) * ln(2).
                return self._float(operand)
            case FloatOp(name, (lhs, rhs)):
                left = self._float(lhs)
                return FLOAT_BINARY[name](left, self._float(rhs)).results[0]
            case FloatOp(name, (operand,)):
                return FLOAT_UNARY[name](self._float(operand)).results[0]
            case _:
                raise NotAttention(f"no score region can hold {value}")

    def _alibi(self, inner: Float, slope: TensorRead, distance: Affine) -> SSAValue:
        s = self._float(inner)
        linear = self._linear(distance)
        access = self._access(slope)
        if linear == {"n": 1, "m": -1} and access is not None:
            return forms.Alibi(access, -distance.constant).build(s, self.args)
        return arith.AddfOp(s, arith.MulfOp(self._float(slope), self._float(FromInt(distance))).result).result

    def _keep(self, condition: Bool, s: SSAValue) -> SSAValue:
        """`s` where every part of the condition holds, else -inf; a pair of bounds around m is a window."""
        parts = list(condition.values if isinstance(condition, And) else (condition,))
        above: tuple[Bool, int] | None = None
        below: tuple[Bool, int] | None = None
        for part in parts:
            match part:
                case Compare("le", value):
                    linear = self._linear(value)
                    if linear == {"n": 1, "m": -1}:
                        below = part, -value.constant
                    elif linear == {"n": -1, "m": 1}:
                        above = part, value.constant
                case _:
                    pass
        if below is not None:
            parts.remove(below[0])
            if above is None:
                s = forms.Causal(below[1]).build(s, self.args)
            else:
                parts.remove(above[0])
                s = forms.Window(above[1], below[1]).build(s, self.args)
        for part in parts:
            s = forms.keep(self._bool(part), s)
        return s

    # Conditions

    def _bool(self, value: Bool) -> SSAValue:
        match value:
            case BoolConst(b):
                return arith.ConstantOp(IntegerAttr(int(b), i1)).result
            case TensorRead():
                return self._read(value)
            case Compare(kind, difference):
                return self._compare(kind, difference)
            case CompareFloat(kind, lhs, rhs):
                predicate = "une" if kind == "ne" else "o" + kind
                return arith.CmpfOp(self._float(lhs), self._float(rhs), predicate).result
            case Not(inner):
                true = arith.ConstantOp(IntegerAttr(1, i1)).result
                return arith.XOrIOp(self._bool(inner), true).result
            case And(values) | Or(values):
                op = arith.AndIOp if isinstance(value, And) else arith.OrIOp
                result = self._bool(values[0])
                for v in values[1:]:
                    result = op(result, self._bool(v)).result
                return result

    def _compare(self, kind: str, difference: Affine) -> SSAValue:
        """`difference <= 0` with the key alone on the left where it can be, else with positive terms on the left."""
        linear = self._linear(difference)
        predicate = {"le": "sle", "eq": "eq", "ne": "ne"}[kind]
        constant = difference.constant
        if linear.get("n") == -1:
            linear = {a: -c for a, c in linear.items()}
            constant = -constant
            predicate = {"sle": "sge"}.get(predicate, predicate)
        if linear.get("n") == 1:
            del linear["n"]
            rest = {a: -c for a, c in linear.items()}
            if predicate == "sle" and constant == 1 and rest:
                # n <= x - 1 reads better as n < x.
                return arith.CmpiOp(self.args["n"], self._sum(rest, 0), "slt").result
            return arith.CmpiOp(self.args["n"], self._sum(rest, -constant), predicate).result
        left = {a: c for a, c in linear.items() if c > 0}
        right = {a: -c for a, c in linear.items() if c < 0}
        return arith.CmpiOp(self._sum(left, 0), self._sum(right, -constant), predicate).result

    # Integers

    def _linear(self, value: Affine) -> Linear:
        """Coefficients over region arguments: digits of heads become hq where they add up to it."""
        linear: Linear = {}
        for atom, c in sorted(value.coefficients, key=_order):
            if not isinstance(atom, Digit) or (pieces := self.dims.pieces(atom)) is None:
                linear[atom] = linear.get(atom, 0) + c
                continue
            for piece, stride in pieces:
                name = self.dims.names[piece]
                if name in ("k", "d"):
                    raise NotAttention("a score depends on the head size")
                linear[name] = linear.get(name, 0) + c * stride
        group, heads = self.dims.group_size, self.dims.head_size
        h, g = linear.pop("h", 0), linear.pop("g", 0)
        if group == 1 or heads == 1 or h == g * group:
            hq = h if group == 1 else g
            if hq:
                linear["hq"] = hq
        else:
            linear.update({name: c for name, c in (("h", h), ("g", g)) if c})
        return {a: c for a, c in linear.items() if c}

    def _int(self, value: Affine) -> SSAValue:
        """An integer as `positive terms - (negative terms)`."""
        linear = self._linear(value)
        positive = {a: c for a, c in linear.items() if c > 0}
        negative = {a: -c for a, c in linear.items() if c < 0}
        if not negative:
            return self._sum(positive, value.constant)
        minuend = self._sum(positive, 0)
        return arith.SubiOp(minuend, self._sum(negative, -value.constant)).result

    def _sum(self, linear: Linear, constant: int) -> SSAValue:
        result: SSAValue | None = None
        for atom, c in linear.items():
            term = self._atom(atom)
            if c != 1:
                term = arith.MuliOp(term, constant_index(c)).result
            result = term if result is None else arith.AddiOp(result, term).result
        if result is None:
            return constant_index(constant)
        return arith.AddiOp(result, constant_index(constant)).result if constant else result

    def _atom(self, atom: str | Atom) -> SSAValue:
        match atom:
            case "h":
                return arith.DivSIOp(self.args["hq"], constant_index(self.dims.group_size)).result
            case "g":
                return arith.RemSIOp(self.args["hq"], constant_index(self.dims.group_size)).result
            case str():
                return self.args[atom]
            case TensorRead():
                value = self._read(atom)
                return value if isinstance(value.type, IndexType) else arith.IndexCastOp(value, IndexType()).result
            case IntOp("select", args):
                condition, then, otherwise = args
                chosen = self._bool(cast(Bool, condition))
                return arith.SelectOp(chosen, self._int(cast(Affine, then)), self._int(cast(Affine, otherwise))).result
            case IntOp(name, args):
                lhs, rhs = (self._int(cast(Affine, a)) for a in args)
                return INT_BINARY[name](lhs, rhs).results[0]
            case Digit(var, div, size):
                # A part of a dimension that no layout tells apart.
                value = self._int(Affine.atom(Digit(var, 1, var.size)))
                if div != 1:
                    value = arith.DivSIOp(value, constant_index(div)).result
                return value if div * size == var.size else arith.RemSIOp(value, constant_index(size)).result

    # Captured tensors

    def _access(self, read: TensorRead) -> forms.Access | None:
        """A read whose indices are region arguments or 0, as short forms have it."""
        names: list[str | None] = []
        for index in read.indices:
            linear = self._linear(Affine.of_index(index))
            if not linear and not index.offset:
                names.append(None)
            elif len(linear) == 1 and not index.offset:
                ((name, c),) = linear.items()
                if c != 1 or name not in self.args:
                    return None
                names.append(cast(str, name))
            else:
                return None
        return forms.Access(read.value, tuple(names))

    def _read(self, read: TensorRead) -> SSAValue:
        indices = [self._int(Affine.of_index(index)) for index in read.indices]
        return forms.extract(read.value, indices, self.type)


def _order(item: tuple[Atom, int]) -> tuple[int, str, int]:
    """A fixed order of atoms, so that the same module gives the same text."""
    atom, _ = item
    if isinstance(atom, Digit):
        return 0, atom.var.label, atom.div
    if isinstance(atom, TensorRead):
        return 1, ",".join(str(hlo.shape(atom.value))), 0
    return 2, atom.name, 0

"""The values of a score function while it is traced: symbols, whose operators build `arith` and `math`."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from xdsl.dialects import arith
from xdsl.dialects import math as math_dialect
from xdsl.dialects.builtin import AnyFloat, FloatAttr, IntegerAttr, f32, i1, i64
from xdsl.ir import Attribute, SSAValue

from flashlower.dialects.attention.score import constant_index

FLOAT_OPS = {"add": arith.AddfOp, "sub": arith.SubfOp, "mul": arith.MulfOp, "div": arith.DivfOp}
INT_OPS = {"add": arith.AddiOp, "sub": arith.SubiOp, "mul": arith.MuliOp, "floordiv": arith.FloorDivSIOp}
BOOL_OPS = {"and": arith.AndIOp, "or": arith.OrIOp, "xor": arith.XOrIOp}


class Symbol:
    """A value of a score function: a logit (float), an index (integer) or a condition."""

    # NumPy's numbers leave operators to symbols.
    __array_ufunc__ = None

    def __init__(self, value: SSAValue):
        self.value = value

    def __bool__(self) -> bool:
        raise TypeError(
            "a score function is traced: use flashlower.where(condition, a, b) instead of `if`, "
            "and &, |, ~ instead of `and`, `or`, `not`"
        )

    def __index__(self) -> int:
        raise TypeError(
            "an index of a score function has no number while it is traced; wrap the tensor that it should index in "
            "flashlower.captured(tensor)"
        )

    def __add__(self, other: Any) -> Symbol:
        return _arithmetic("add", self, other)

    def __radd__(self, other: Any) -> Symbol:
        return _arithmetic("add", other, self)

    def __sub__(self, other: Any) -> Symbol:
        return _arithmetic("sub", self, other)

    def __rsub__(self, other: Any) -> Symbol:
        return _arithmetic("sub", other, self)

    def __mul__(self, other: Any) -> Symbol:
        return _arithmetic("mul", self, other)

    def __rmul__(self, other: Any) -> Symbol:
        return _arithmetic("mul", other, self)

    def __truediv__(self, other: Any) -> Symbol:
        return _arithmetic("div", self, other)

    def __rtruediv__(self, other: Any) -> Symbol:
        return _arithmetic("div", other, self)

    def __floordiv__(self, other: Any) -> Symbol:
        return _arithmetic("floordiv", self, other)

    def __rfloordiv__(self, other: Any) -> Symbol:
        return _arithmetic("floordiv", other, self)

    def __mod__(self, other: Any) -> Symbol:
        # arith.remsi takes the sign of the dividend, Python's % that of the divisor.
        return self - self // other * other

    def __rmod__(self, other: Any) -> Symbol:
        return other - other // self * self

    def __neg__(self) -> Symbol:
        return 0 - self

    def __lt__(self, other: Any) -> Symbol:
        return _compare("lt", self, other)

    def __le__(self, other: Any) -> Symbol:
        return _compare("le", self, other)

    def __gt__(self, other: Any) -> Symbol:
        return _compare("gt", self, other)

    def __ge__(self, other: Any) -> Symbol:
        return _compare("ge", self, other)

    # Comparisons give symbols, as NumPy's give arrays; that is not what `object` promises of == and !=.
    def __eq__(self, other: Any) -> Symbol:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _compare("eq", self, other)

    def __ne__(self, other: Any) -> Symbol:  # pyright: ignore[reportIncompatibleMethodOverride]
        return _compare("ne", self, other)

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> Symbol:
        return _logical("and", self, other)

    __rand__ = __and__

    def __or__(self, other: Any) -> Symbol:
        return _logical("or", self, other)

    __ror__ = __or__

    def __invert__(self) -> Symbol:
        return _logical("xor", self, True)


def is_float(value: SSAValue) -> bool:
    return isinstance(value.type, AnyFloat)


def operand_of(value: Any, like: Attribute) -> SSAValue:
    """
    A symbol's value, or a number as a constant of the type `like` (a float constant where the number is one).

    Raises `TypeError` for what is neither, and `ValueError` for an integer of more than 64 bits.
    """
    if isinstance(value, Symbol):
        return value.value
    if isinstance(value, np.generic):
        value = cast(object, value.item())
    if isinstance(value, bool):
        return arith.ConstantOp(IntegerAttr(int(value), i1)).result
    if isinstance(value, int) and not isinstance(like, AnyFloat):
        if not -(1 << 63) <= value < 1 << 63:
            raise ValueError(f"a score function computes with {value}, which is no integer of 64 bits")
        return constant_index(value)
    if isinstance(value, int | float):
        return arith.ConstantOp(FloatAttr(float(value), like if isinstance(like, AnyFloat) else f32)).result
    raise TypeError(
        f"a score function computes with {type(value).__name__}, which it cannot; "
        "capture tensors with flashlower.captured(tensor) and index them"
    )


def _operands(lhs: Any, rhs: Any) -> tuple[SSAValue, SSAValue]:
    """Both operands in one type: integers become floats beside floats."""
    like = next(x.value.type for x in (lhs, rhs) if isinstance(x, Symbol))
    left, right = operand_of(lhs, like), operand_of(rhs, like)
    if left.type != right.type:
        left, right = _as_float(left), _as_float(right)
    return left, right


def _as_float(value: SSAValue) -> SSAValue:
    if is_float(value):
        return value
    if value.type == i1:
        return arith.UIToFPOp(value, f32).result
    return arith.SIToFPOp(arith.IndexCastOp(value, i64).result, f32).result


def _arithmetic(name: str, lhs: Any, rhs: Any) -> Symbol:
    left, right = _operands(lhs, rhs)
    if name == "div" or i1 in (left.type, right.type):
        left, right = _as_float(left), _as_float(right)
    ops = FLOAT_OPS if is_float(left) else INT_OPS
    if name not in ops:
        raise TypeError(f"a score function has no {name} of {left.type}")
    return Symbol(ops[name](left, right).results[0])


def _compare(name: str, lhs: Any, rhs: Any) -> Symbol:
    left, right = _operands(lhs, rhs)
    if is_float(left):
        return Symbol(arith.CmpfOp(left, right, "une" if name == "ne" else "o" + name).result)
    return Symbol(arith.CmpiOp(left, right, name if name in ("eq", "ne") else "s" + name).result)


def _logical(name: str, lhs: Any, rhs: Any) -> Symbol:
    left, right = operand_of(lhs, i1), operand_of(rhs, i1)
    if left.type != i1 or right.type != i1:
        raise TypeError(f"&, | and ~ of a score function take conditions, got {left.type} and {right.type}")
    return Symbol(BOOL_OPS[name](left, right).results[0])


def where(condition: Any, then: Any, otherwise: Any) -> Symbol:
    """In a score function: `then` where the condition holds, else `otherwise`."""
    chosen = _logical("and", condition, True) if isinstance(condition, bool) else condition
    symbols = [x for x in (then, otherwise) if isinstance(x, Symbol)]
    if not isinstance(chosen, Symbol) or chosen.value.type != i1:
        raise TypeError("the first argument of flashlower.where must be a condition of a score function")
    if symbols:
        left, right = _operands(then, otherwise)
    else:
        left, right = _as_float(operand_of(then, f32)), _as_float(operand_of(otherwise, f32))
    return Symbol(arith.SelectOp(chosen.value, left, right).result)


def exp(x: Symbol) -> Symbol:
    """In a score function: e to the power of x."""
    return Symbol(math_dialect.ExpOp(_as_float(operand_of(x, f32))).result)


def tanh(x: Symbol) -> Symbol:
    """In a score function: the hyperbolic tangent."""
    return Symbol(math_dialect.TanhOp(_as_float(operand_of(x, f32))).result)

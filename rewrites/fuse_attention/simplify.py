"""
Building expressions, with the few identities that bring masks to one form.

Graphs write one mask in many ways: an added 0 / -inf, a select of either polarity, a comparison of iotas in any order,
a product of scales. These constructors apply identities as they build, so that `n <= m` comes out the same from all of
them. Integer comparisons become `affine <= 0`, `== 0` or `!= 0`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from flashlower.rewrites.fuse_attention.expression import (
    NEGATIVE_INFINITY,
    Affine,
    And,
    Bool,
    BoolConst,
    Compare,
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
    children,
    has_logit,
)

# From this value on, adding a logit to a finite mask value gives the mask value back (f32 has 24 bits), so that an
# added mask and a selected one are the same.
ABSORBING = -1e30

# Logits and finite biases are far below this.
_LARGE = 1e20

# Integers below this are exact in f32.
_EXACT = 1 << 24


# Conditions and integers


def compare(direction: str, lhs: Affine, rhs: Affine) -> Bool:
    """A comparison of integers; `direction` is StableHLO's EQ, NE, GE, GT, LE or LT."""
    match direction:
        case "GE":
            return compare("LE", rhs, lhs)
        case "GT":
            return compare("LT", rhs, lhs)
        case "LT":
            return compare("LE", lhs + Affine(constant=1), rhs)
        case _:
            pass
    difference = lhs - rhs
    low, high = difference.bounds()
    if direction == "LE":
        if high <= 0 or low > 0:
            return BoolConst(high <= 0)
        return Compare("le", difference)
    if low > 0 or high < 0 or low == high == 0:
        return BoolConst((low == high == 0) == (direction == "EQ"))
    return Compare(direction.lower(), difference)


def negate(value: Bool) -> Bool:
    """Logical not, pushed down to comparisons."""
    match value:
        case BoolConst(b):
            return BoolConst(not b)
        case Compare("le", v):
            return Compare("le", v * -1 + Affine(constant=1))
        case Compare(kind, v):
            return Compare("ne" if kind == "eq" else "eq", v)
        case Not(v):
            return v
        case Or(values):
            return conjunction(negate(v) for v in values)
        case And(values):
            return disjunction(negate(v) for v in values)
        case _:
            return Not(value)


def conjunction(values: Iterable[Bool]) -> Bool:
    """Logical and: flat, without repetitions, in the order in which the conditions came."""
    parts: dict[Bool, None] = {}
    for value in values:
        for part in value.values if isinstance(value, And) else (value,):
            if isinstance(part, BoolConst):
                if not part.value:
                    return part
            else:
                parts.setdefault(part)
    if not parts:
        return BoolConst(True)
    return next(iter(parts)) if len(parts) == 1 else And(tuple(parts))


def disjunction(values: Iterable[Bool]) -> Bool:
    """Logical or, as `conjunction`."""
    parts: dict[Bool, None] = {}
    for value in values:
        for part in value.values if isinstance(value, Or) else (value,):
            if isinstance(part, BoolConst):
                if part.value:
                    return part
            else:
                parts.setdefault(part)
    if not parts:
        return BoolConst(False)
    return next(iter(parts)) if len(parts) == 1 else Or(tuple(parts))


def select_bool(condition: Bool, then: Bool, otherwise: Bool) -> Bool:
    """`condition ? then : otherwise` of conditions."""
    return disjunction([conjunction([condition, then]), conjunction([negate(condition), otherwise])])


def select(condition: Bool, then: Float, otherwise: Float) -> Float:
    """`condition ? then : otherwise`; keeps of keeps become one keep of a conjunction."""
    if isinstance(condition, BoolConst):
        return then if condition.value else otherwise
    if then == otherwise:
        return then
    if then == NEGATIVE_INFINITY:
        return select(negate(condition), otherwise, then)
    if otherwise == NEGATIVE_INFINITY and isinstance(then, Select) and then.otherwise == NEGATIVE_INFINITY:
        return select(conjunction([then.condition, condition]), then.then, otherwise)
    return Select(condition, then, otherwise)


def int_op(name: str, args: tuple[Affine, ...]) -> Affine | None:
    """An elementwise StableHLO operation on integers; None for a division whose result may be undefined."""
    match name, args:
        case "add", (a, b):
            return a + b
        case "subtract", (a, b):
            return a - b
        case "negate", (a,):
            return a * -1
        case "multiply", (a, b) if b.is_constant:
            return a * b.constant
        case "multiply", (a, b) if a.is_constant:
            return b * a.constant
        case "divide" | "remainder", (_, b) if not (b.is_constant and b.constant > 0):
            return None
        case _:
            return Affine.atom(IntOp(name, args))


# Floats


def _fold_constants(name: str, numbers: list[float]) -> float | None:
    """The value of an operation on constants; None where it is unknown or not finite."""
    if any(map(math.isnan, numbers)):
        return None
    try:
        match name, numbers:
            case "maximum", _:
                value = max(numbers)
            case "minimum", _:
                value = min(numbers)
            case "power", [a, b]:
                value = math.pow(a, b)
            case "abs", [a]:
                value = abs(a)
            case "exponential", [a]:
                value = math.exp(a)
            case "log", [a]:
                value = math.log(a)
            case "tanh", [a]:
                value = math.tanh(a)
            case "sqrt", [a]:
                value = math.sqrt(a)
            case "rsqrt", [a]:
                value = 1 / math.sqrt(a)
            case _:
                return None
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    return value if math.isfinite(value) else None


def _is_bounded(value: Float) -> bool:
    """Whether a value is made of logits and of small numbers, so that a finite mask value swallows it."""
    match value:
        case TensorRead():
            return False
        case Const(number):
            return abs(number) < _LARGE
        case FloatOp(name):
            return name in ("add", "subtract", "multiply", "divide", "tanh") and all(map(_is_bounded, value.args))
        case _:
            return all(map(_is_bounded, children(value)))


def _as_added_mask(value: Float, absorbing: float) -> Select | None:
    """`condition ? 0 : low` of a value that is 0 where a condition holds and low elsewhere, in either polarity."""
    match value:
        case Select(condition, Const(0.0), Const(low)) if low <= absorbing:
            return value
        case Select(condition, Const(low), Const(0.0)) if low <= absorbing:
            return Select(negate(condition), value.otherwise, value.then)
        case _:
            return None


def add(lhs: Float, rhs: Float, absorbing: float = ABSORBING) -> Float:
    """A sum, with the logit on the left; an added mask whose low value is at most `absorbing` becomes a select."""
    if (has_logit(rhs) and not has_logit(lhs)) or isinstance(lhs, Const):
        lhs, rhs = rhs, lhs
    match lhs, rhs:
        case Const(a), Const(b):
            return Const(a + b)
        case FromInt(a), FromInt(b) if (a + b).fits(_EXACT):
            return FromInt(a + b)
        case FromInt(a), Const(b) if b.is_integer() and (a + Affine(constant=int(b))).fits(_EXACT):
            return FromInt(a + Affine(constant=int(b)))
        case _, Const(0.0):
            return lhs
        case _, Const(b) if b == -math.inf:
            # As for an added mask, logits are taken to be finite.
            return rhs
        case _:
            pass
    for value, other in ((rhs, lhs), (lhs, rhs)):
        mask = _as_added_mask(value, absorbing)
        if mask is not None and (mask.otherwise == NEGATIVE_INFINITY or _is_bounded(other)):
            return select(mask.condition, other, mask.otherwise)
    return FloatOp("add", (lhs, rhs))


def multiply(lhs: Float, rhs: Float) -> Float:
    """A product, with constants on the right; constant factors of the logit fold into it."""
    if isinstance(lhs, Const):
        lhs, rhs = rhs, lhs
    match lhs, rhs:
        case Const(a), Const(b):
            return Const(a * b)
        case _, Const(1.0):
            return lhs
        case Logit(factor), Const(c):
            return Logit(factor * c)
        case FromInt(a), Const(c) if c.is_integer() and (a * int(c)).fits(_EXACT):
            return FromInt(a * int(c))
        case FloatOp("tanh", (inner,)), Const(c) if 1 / _LARGE < c < _LARGE:
            return SoftCap(multiply(inner, rhs), c)
        case FloatOp("multiply", (inner, Const(d))), Const(c) if math.isfinite(c * d):
            return multiply(inner, Const(c * d))
        case FloatOp("divide", (numerator, Const(d))), Const(c) if d == c and 1 / _LARGE < c < _LARGE:
            return numerator
        case FloatOp("add", (a, b)), Const(c) if has_logit(lhs) and 1 / _LARGE < c < _LARGE:
            return add(multiply(a, rhs), multiply(b, rhs))
        case Select(condition, then, Const(low)), Const(c) if has_logit(lhs) and 1 / _LARGE < c < _LARGE:
            return select(condition, multiply(then, rhs), Const(low * c))
        case _:
            return FloatOp("multiply", (lhs, rhs))


def divide(lhs: Float, rhs: Float) -> Float:
    """A quotient."""
    match lhs, rhs:
        case Const(a), Const(b) if b != 0:
            return Const(a / b)
        case _, Const(1.0):
            return lhs
        case _, Const(c) if has_logit(lhs) and 1 / _LARGE < abs(c) < _LARGE:
            return multiply(lhs, Const(1 / c))
        case _:
            return FloatOp("divide", (lhs, rhs))


def float_op(name: str, args: tuple[Float, ...], absorbing: float = ABSORBING) -> Float:
    """Any elementwise StableHLO operation on floats; `absorbing` as for `add`."""
    match name, args:
        case _, (Select(condition, Const(), Const()), Const()) | (Const(), Select(condition, Const(), Const())):
            # (1 - mask) * -1e9 and the like: a choice of two constants stays one.
            then, otherwise = (
                tuple(getattr(a, side) if isinstance(a, Select) else a for a in args) for side in ("then", "otherwise")
            )
            return select(condition, float_op(name, then), float_op(name, otherwise))
        case "add", (a, b):
            return add(a, b, absorbing)
        case "subtract", (Const(a), Const(b)):
            return Const(a - b)
        case "subtract", (FromInt(a), FromInt(b)) if (a - b).fits(_EXACT):
            return FromInt(a - b)
        case "subtract", (Const(a), FromInt(b)) if a.is_integer() and (b * -1 + Affine(constant=int(a))).fits(_EXACT):
            return FromInt(b * -1 + Affine(constant=int(a)))
        case "subtract", (a, Const(b)):
            return add(a, Const(-b))
        case "subtract", (a, Select(_, Const(), Const()) as b):
            return add(a, float_op("multiply", (b, Const(-1.0))), absorbing)
        case "multiply", (a, b):
            return multiply(a, b)
        case "divide", (a, b):
            return divide(a, b)
        case "negate", (a,):
            return multiply(a, Const(-1.0))
        case _:
            return _fold(name, args)


def _fold(name: str, args: tuple[Float, ...]) -> Float:
    """An operation of constants is a constant, where it has a finite value."""
    numbers = [a.value for a in args if isinstance(a, Const)]
    value = _fold_constants(name, numbers) if len(numbers) == len(args) else None
    return FloatOp(name, args) if value is None else Const(value)

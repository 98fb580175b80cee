"""
The score as an expression of the logit and of indices, with the few identities that bring masks to one form.

Graphs write one mask in many ways: an added 0 / -inf, a select of either polarity, a comparison of iotas in any
order, a product of scales. The constructors below apply identities as they build, so that `n <= m` comes out the
same from all of them. Integer comparisons become `affine <= 0`, `== 0` or `!= 0`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from xdsl.dialects.builtin import DYNAMIC_INDEX
from xdsl.ir import SSAValue

from flashlower.rewrites.fuse_attention.access import Digit, Indices

# Below this, adding a logit to a finite mask value gives the mask value back (f32 has 24 bits), so that an added
# mask and a selected one are the same.
ABSORBING = -1e30


@dataclass(frozen=True)
class TensorRead:
    """An element of a captured tensor."""

    value: SSAValue
    indices: Indices

    @cached_property
    def _key(self) -> tuple[object, ...]:
        return self.value, tuple(i.key for i in self.indices)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorRead) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


@dataclass(frozen=True)
class IntOp:
    """An integer operation that is not affine; `name` is that of a StableHLO operation, `select` with a condition."""

    name: str
    args: tuple[Affine | Bool, ...]


Atom: TypeAlias = Digit | TensorRead | IntOp


@dataclass(frozen=True)
class Affine:
    """An integer: a sum of atoms times coefficients, plus a constant."""

    coefficients: frozenset[tuple[Atom, int]] = frozenset()
    constant: int = 0

    @staticmethod
    def make(coefficients: Mapping[Atom, int], constant: int = 0) -> Affine:
        return Affine(frozenset((a, c) for a, c in coefficients.items() if c), constant)

    @staticmethod
    def atom(atom: Atom) -> Affine:
        return Affine(frozenset([(atom, 1)]))

    def __add__(self, other: Affine) -> Affine:
        coefficients = dict(self.coefficients)
        for atom, c in other.coefficients:
            coefficients[atom] = coefficients.get(atom, 0) + c
        return Affine.make(coefficients, self.constant + other.constant)

    def __mul__(self, factor: int) -> Affine:
        return Affine.make({a: c * factor for a, c in self.coefficients}, self.constant * factor)

    def __sub__(self, other: Affine) -> Affine:
        return self + other * -1

    @property
    def is_constant(self) -> bool:
        return not self.coefficients

    def bounds(self) -> tuple[float, float]:
        """The least and greatest value, infinite where an atom is not bounded."""
        low = high = float(self.constant)
        for atom, c in self.coefficients:
            if not isinstance(atom, Digit) or atom.size == DYNAMIC_INDEX:
                return -math.inf, math.inf
            span = c * (atom.size - 1)
            low, high = low + min(span, 0), high + max(span, 0)
        return low, high


def _fold_constants(name: str, numbers: list[float]) -> float | None:
    """The value of an operation on constants; None where it is unknown or not finite."""
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


# Conditions


@dataclass(frozen=True)
class BoolConst:
    value: bool


@dataclass(frozen=True)
class Compare:
    """`value <= 0`, `value == 0` or `value != 0`, for `le`, `eq`, `ne`."""

    kind: str
    value: Affine


@dataclass(frozen=True)
class CompareFloat:
    """An ordered comparison (`ne`: unordered) of floats; `kind` in lower case as StableHLO's direction."""

    kind: str
    lhs: Float
    rhs: Float


@dataclass(frozen=True)
class Not:
    value: Bool


@dataclass(frozen=True)
class And:
    values: tuple[Bool, ...]


@dataclass(frozen=True)
class Or:
    values: tuple[Bool, ...]


Bool: TypeAlias = BoolConst | Compare | CompareFloat | Not | And | Or | TensorRead


# Floats


@dataclass(frozen=True)
class Logit:
    """The dot product of q and k, times a constant."""

    factor: float = 1.0


@dataclass(frozen=True)
class Const:
    value: float


@dataclass(frozen=True)
class FloatOp:
    """An operation on floats; `name` is that of a StableHLO operation."""

    name: str
    args: tuple[Float, ...]


@dataclass(frozen=True)
class SoftCap:
    """`cap * tanh(value / cap)`."""

    value: Float
    cap: float


@dataclass(frozen=True)
class Select:
    condition: Bool
    then: Float
    otherwise: Float


@dataclass(frozen=True)
class FromInt:
    value: Affine


Float: TypeAlias = Logit | Const | FloatOp | SoftCap | Select | FromInt | TensorRead
Expr: TypeAlias = Float | Affine | Bool

NEGATIVE_INFINITY = Const(-math.inf)


# Constructors


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


def has_logit(value: Float) -> bool:
    """Whether the expression holds the logit (conditions are not searched: they never do, see `score`)."""
    match value:
        case Logit():
            return True
        case FloatOp(_, args):
            return any(has_logit(a) for a in args)
        case SoftCap(inner, _):
            return has_logit(inner)
        case Select(_, then, otherwise):
            return has_logit(then) or has_logit(otherwise)
        case _:
            return False


def _is_mask(value: Float) -> bool:
    """Whether a value is 0 where a condition holds and -inf, or as good as that, elsewhere."""
    match value:
        case Select(_, Const(0.0), Const(v)) | Select(_, Const(v), Const(0.0)):
            return v <= ABSORBING
        case _:
            return False


def add(lhs: Float, rhs: Float) -> Float:
    """A sum, with the logit on the left; an added mask becomes a selected one."""
    if (has_logit(rhs) and not has_logit(lhs)) or isinstance(lhs, Const):
        lhs, rhs = rhs, lhs
    match lhs, rhs:
        case Const(a), Const(b):
            return Const(a + b)
        case FromInt(a), FromInt(b):
            return FromInt(a + b)
        case FromInt(a), Const(b) if b == int(b):
            return FromInt(a + Affine(constant=int(b)))
        case _, Const(0.0):
            return lhs
        case _:
            pass
    if isinstance(rhs, Select) and _is_mask(rhs):
        if rhs.then == Const(0.0):
            return select(rhs.condition, lhs, rhs.otherwise)
        return select(negate(rhs.condition), lhs, rhs.then)
    if isinstance(lhs, Select) and _is_mask(lhs):
        return add(rhs, lhs)
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
        case FromInt(a), Const(c) if c == int(c):
            return FromInt(a * int(c))
        case FloatOp("tanh", (inner,)), Const(c) if c > 0:
            return SoftCap(multiply(inner, rhs), c)
        case FloatOp("divide", (numerator, Const(d))), Const(c) if d == c:
            return numerator
        case _:
            return FloatOp("multiply", (lhs, rhs))


def divide(lhs: Float, rhs: Float) -> Float:
    """A quotient."""
    match lhs, rhs:
        case Const(a), Const(b) if b != 0:
            return Const(a / b)
        case _, Const(1.0):
            return lhs
        case Logit(factor), Const(c) if c != 0:
            return Logit(factor / c)
        case _:
            return FloatOp("divide", (lhs, rhs))


def float_op(name: str, args: tuple[Float, ...]) -> Float:
    """Any elementwise StableHLO operation on floats."""
    match name, args:
        case "add", (a, b):
            return add(a, b)
        case "subtract", (a, FromInt(b)) if isinstance(a, FromInt):
            return FromInt(a.value - b)
        case "subtract", (a, Const(b)):
            return add(a, Const(-b))
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


def int_op(name: str, args: tuple[Affine, ...]) -> Affine:
    """Any elementwise StableHLO operation on integers."""
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
        case _:
            return Affine.atom(IntOp(name, args))


def masked_by(value: Float) -> set[Bool | Float]:
    """
    What can make a logit -inf: conditions that keep it otherwise, and added tensors.

    If each of these for one mask is among those of a score, a row that the mask empties is empty in the score.
    """
    match value:
        case Select(condition, then, Const(v)) if v == -math.inf:
            conditions = condition.values if isinstance(condition, And) else (condition,)
            return {*conditions, *masked_by(then)}
        case FloatOp("add", (lhs, rhs)):
            return masked_by(lhs) | masked_by(rhs)
        case TensorRead():
            return {value}
        case _:
            return set()

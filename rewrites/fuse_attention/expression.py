"""
The score as an expression of the logit and of indices; `simplify` builds them.

Floats, conditions and integers are trees of frozen dataclasses. An integer is affine in digits of variables, captured
tensors and whatever else is no sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from xdsl.dialects.builtin import DYNAMIC_INDEX
from xdsl.ir import SSAValue

from flashlower.rewrites.fuse_attention.access import Digit, Index, Indices


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
        if isinstance(atom, Digit) and atom.size == 1:
            return Affine()
        return Affine(frozenset([(atom, 1)]))

    @staticmethod
    def of_index(index: Index) -> Affine:
        """The value of an index."""
        return sum((Affine.atom(d) * stride for d, stride in index.terms), Affine(constant=index.offset))

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

    def fits(self, limit: int) -> bool:
        """Whether the value is known to lie between -limit and limit - 1."""
        low, high = self.bounds()
        return low >= -limit and high < limit

    def bounds(self) -> tuple[float, float]:
        """The least and greatest value, infinite where an atom is not bounded."""
        low = high = float(self.constant)
        for atom, c in self.coefficients:
            if not isinstance(atom, Digit) or atom.size == DYNAMIC_INDEX:
                return -math.inf, math.inf
            span = c * (atom.size - 1)
            low, high = low + min(span, 0), high + max(span, 0)
        return low, high


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


# What an expression holds


def children(value: Float) -> tuple[Float, ...]:
    """The floats that a float is computed from, those in conditions not included."""
    match value:
        case FloatOp(_, args):
            return args
        case SoftCap(inner, _):
            return (inner,)
        case Select(_, then, otherwise):
            return (then, otherwise)
        case _:
            return ()


def has_logit(value: Float) -> bool:
    """Whether the expression holds the logit, conditions not included."""
    return isinstance(value, Logit) or any(map(has_logit, children(value)))


def captures(expr: Expr) -> set[TensorRead]:
    """The tensors that an expression reads."""
    match expr:
        case TensorRead():
            return {expr}
        case Affine(coefficients):
            parts: list[Expr] = []
            for atom, _ in coefficients:
                parts += [atom] if isinstance(atom, TensorRead) else atom.args if isinstance(atom, IntOp) else []
        case FromInt(inner) | Not(inner) | Compare(_, inner) | SoftCap(inner, _):
            parts = [inner]
        case And(values) | Or(values) | FloatOp(_, values):
            parts = list(values)
        case CompareFloat(_, lhs, rhs):
            parts = [lhs, rhs]
        case Select(condition, then, otherwise):
            parts = [condition, then, otherwise]
        case _:
            parts = []
    return set[TensorRead]().union(*map(captures, parts))


Cause: TypeAlias = Bool | TensorRead
"""Why a value may be -inf: a condition does not hold, or an added tensor is."""


def masked_by(value: Float) -> set[Cause]:
    """Causes each of which is enough to make a score -inf."""
    match value:
        case Select(condition, then, Const(v)) if v == -math.inf:
            return {*conjuncts(condition), *masked_by(then)}
        case Select(_, then, otherwise):
            return masked_by(then) & masked_by(otherwise)
        case FloatOp("add", (lhs, rhs)):
            return masked_by(lhs) | masked_by(rhs)
        case FloatOp("subtract", (lhs, _)):
            return masked_by(lhs)
        case TensorRead():
            return {value}
        case _:
            return set()


def causes_of_infinity(value: Float) -> set[Cause] | None:
    """All causes that can make a value -inf; None where there may be others."""
    match value:
        case Const(v):
            return set() if math.isfinite(v) else None
        case FromInt():
            return set()
        case TensorRead():
            return {value}
        case Select(condition, then, Const(v)) if v == -math.inf:
            rest = causes_of_infinity(then)
            return None if rest is None else {*conjuncts(condition), *rest}
        case FloatOp("add", (lhs, rhs)):
            left, right = causes_of_infinity(lhs), causes_of_infinity(rhs)
            return None if left is None or right is None else left | right
        case _:
            return None


def conjuncts(condition: Bool) -> tuple[Bool, ...]:
    """The conditions that a condition is the conjunction of."""
    return condition.values if isinstance(condition, And) else (condition,)


def tree_size(value: Expr, limit: int) -> int:
    """
    The number of nodes of an expression, counted until there are more than `limit`.

    Shared parts count each time, as everything that walks an expression visits them each time.
    """
    count = 0
    worklist: list[Expr] = [value]
    while worklist and count <= limit:
        count += 1
        match worklist.pop():
            case Affine(coefficients):
                for atom, _ in coefficients:
                    worklist += atom.args if isinstance(atom, IntOp) else ()
                    count += 1
            case FromInt(inner) | Not(inner) | Compare(_, inner) | SoftCap(inner, _):
                worklist.append(inner)
            case And(values) | Or(values) | FloatOp(_, values):
                worklist += values
            case CompareFloat(_, lhs, rhs):
                worklist += (lhs, rhs)
            case Select(condition, then, otherwise):
                worklist += (condition, then, otherwise)
            case _:
                pass
    return count

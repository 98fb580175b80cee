"""Values of score regions on a tile of logits: numbers, formulas of indices, conditions, tiles; arithmetic on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from xdsl.dialects import arith, math
from xdsl.dialects.builtin import Float32Type, FloatAttr, IntegerAttr, IntegerType, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.utils.exceptions import DiagnosticException
from xdsl.utils.hints import isa

from flashlower.dialects.attention import AttentionOp
from flashlower.lowering.nki.builder import KernelBuilder, Sum
from flashlower.lowering.nki.grid import Elementwise, Index, Operand, Value, u8

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

BINARY: dict[type[Operation], str] = {
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


@dataclass(frozen=True)
class Function:
    """A function of the Scalar engine: its name, the factor of its operand, and what it is of a constant."""

    name: str
    fold: Callable[[float], float]
    scale: float | None = None


FUNCTIONS: dict[type[Operation], Function] = {
    math.AbsFOp: Function("abs", abs),
    math.AbsIOp: Function("abs", abs),
    math.ExpOp: Function("exp", np.exp),
    math.Exp2Op: Function("exp", np.exp2, float(np.log(2.0))),
    math.LogOp: Function("log", np.log),
    math.RsqrtOp: Function("rsqrt", lambda x: 1.0 / np.sqrt(x)),
    math.SqrtOp: Function("sqrt", np.sqrt),
    math.TanhOp: Function("tanh", np.tanh),
}

FOLD: dict[str, Callable[[float, float], float]] = {
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


def is_bool(type: Attribute) -> bool:
    return isa(type, IntegerType) and type.width.data == 1


class ScoreValues:
    """
    The values of one score region on one tile of logits.

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

    def _constant(self, value: int | float, type: Attribute) -> Scalar:
        if isinstance(value, float):
            return value
        if is_bool(type):
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

    def _operands(self, op: Operation) -> list[Scalar]:
        return [self._values[operand] for operand in op.operands]

    def _binary(self, name: str, lhs: SSAValue, rhs: SSAValue | float) -> Scalar:
        left = self._as_operand(self._values[lhs])
        right = self._as_operand(self._values[rhs]) if isinstance(rhs, SSAValue) else rhs
        if not isinstance(left, Value) and not isinstance(right, Value):
            return FOLD[name](left, right)
        reusable = [self._reusable(v) for v in (lhs, rhs) if isinstance(v, SSAValue)]
        axes = self._e.joined(left, right)
        into = next(
            (v for v in reusable if v is not None and v.axes == axes and isinstance(v.element, Float32Type)), None
        )
        hint = "scores" if axes == self._grid.everywhere else "t"
        return self._e.binary(name, left, right, into=into, name=hint)

    def _compare(self, name: str, lhs: Operand, rhs: Operand) -> Scalar:
        if not isinstance(lhs, Value) and not isinstance(rhs, Value):
            return bool(FOLD[name](lhs, rhs))
        return self._e.binary(name, lhs, rhs, element=u8, name="keep")

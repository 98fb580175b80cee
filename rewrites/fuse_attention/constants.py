"""
Masks that exporters folded into constants, read back as formulas.

A tensor that depends on no input of the function is evaluated, spread over the variables that index it, and compared
with the formulas that masks are: constant, affine in the indices, or true for a band of keys around each query. A
formula is taken only if it gives every element exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AnyFloat,
    BFloat16Type,
    DenseIntOrFPElementsAttr,
    Float16Type,
    Float32Type,
    Float64Type,
    TensorType,
)
from xdsl.interpreter import Interpreter
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.utils.exceptions import DiagnosticException, InterpretationError

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Digit, Indices, Read, Var
from flashlower.rewrites.fuse_attention.expression import Affine, Bool, BoolConst, Const, Expr, FromInt
from flashlower.rewrites.fuse_attention.simplify import compare, conjunction, select

Array = NDArray[Any]

# Larger constants stay captured tensors: reading them back would cost more than it is worth.
MAX_ELEMENTS = 1 << 24

_PLAIN_FLOATS = (BFloat16Type, Float16Type, Float32Type, Float64Type)

# Whatever an interpreter may raise for what it cannot run; such a constant stays a captured tensor.
_CANNOT_RUN = (
    *(DiagnosticException, InterpretationError, NotImplementedError),
    *(ArithmeticError, LookupError, TypeError, ValueError),
)


@dataclass
class ConstantFolder:
    """Evaluates values that depend on no block argument, each once."""

    interpreter: Interpreter
    _constant: dict[SSAValue, bool] = field(default_factory=dict[SSAValue, bool])
    _values: dict[SSAValue, Array | None] = field(default_factory=dict[SSAValue, Array | None])

    def is_constant(self, value: SSAValue) -> bool:
        """Whether `value` depends on operations of StableHLO and arith without inputs only."""
        worklist = [value]
        while worklist:
            v = worklist[-1]
            op = hlo.owner(v)
            if v in self._constant:
                worklist.pop()
            elif op is None:
                self._constant[v] = False
            else:
                known = [self._constant.get(o) for o in op.operands]
                if False in known or None not in known:
                    self._constant[v] = False not in known and _may_be_constant(op)
                else:
                    worklist += [o for o, k in zip(op.operands, known) if k is None]
        return self._constant[value]

    def splat(self, value: SSAValue) -> float | int | bool | None:
        """The one value of a constant whose elements are all the same, or None (NaN included)."""
        converts: list[Operation] = []
        # Views are not evaluated: they only repeat the value.
        while (op := hlo.owner(value)) is not None:
            if op.name == "stablehlo.convert":
                converts.append(op)
            elif op.name not in hlo.VIEWS:
                break
            value = op.operands[0]
        if op is not None and not converts and (number := _number(op)) is not None:
            return number if number == number else None
        if not self.is_constant(value) or (array := self.evaluate(value)) is None or not array.size:
            return None
        element = array.reshape(-1)[:1].reshape(())
        if element != element or (array.size > 1 and not (array == element).all()):
            return None
        for convert in reversed(converts):
            if (converted := self._run(convert, (element,))) is None:
                return None
            element = converted[0]
        return element.item()

    def is_negative_infinity(self, value: SSAValue) -> bool:
        """Whether every element of a value is -inf."""
        return self.splat(value) == -math.inf

    def constant_factor(self, op: Operation) -> tuple[SSAValue, float] | None:
        """`(x, c)` where an operation computes `x * c` of floats for a finite constant c other than 0."""
        if op.name not in ("stablehlo.multiply", "stablehlo.divide") or not hlo.is_float(op.results[0]):
            return None
        for constant, other in ((1, 0), (0, 1)):
            if op.name == "stablehlo.multiply" or (op.name == "stablehlo.divide" and constant == 1):
                c = self.splat(op.operands[constant])
                if c is not None and c != 0 and math.isfinite(c):
                    return op.operands[other], float(c) if op.name == "stablehlo.multiply" else 1.0 / float(c)
        return None

    def evaluate(self, value: SSAValue) -> Array | None:
        """The elements of a constant value, or None where it is too large or holds what cannot be evaluated."""
        worklist = [value]
        while worklist:
            v = worklist[-1]
            op = hlo.owner(v)
            if v in self._values:
                worklist.pop()
            elif op is None or not _is_small(v) or any(self._values.get(o, v) is None for o in op.operands):
                self._values[v] = None
            elif missing := [o for o in op.operands if o not in self._values]:
                worklist += missing
            else:
                results = self._run(op, tuple(self._values[o] for o in op.operands))
                self._values.update(zip(op.results, results or [None] * len(op.results)))
        return self._values[value]

    def _run(self, op: Operation, args: tuple[Any, ...]) -> tuple[Array, ...] | None:
        try:
            return tuple(np.asarray(result) for result in self.interpreter.run_op(op, args))
        except _CANNOT_RUN:
            return None


def _number(op: Operation) -> float | None:
    """The value of a `stablehlo.constant` of one float; most constants are one, and no interpreter is needed for it."""
    value = op.properties.get("value") if op.name == "stablehlo.constant" else None
    if not isinstance(value, DenseIntOrFPElementsAttr):
        return None
    dense = cast(DenseIntOrFPElementsAttr[AnyFloat], value)
    is_number = len(dense) == 1 and isinstance(dense.get_element_type(), _PLAIN_FLOATS)
    return dense.get_values()[0] if is_number else None


def _may_be_constant(op: Operation) -> bool:
    """Whether an operation has the same results for the same operands, and no region that reads other values."""
    return (
        op.name.startswith(("stablehlo.", "arith."))
        and op.name != "stablehlo.custom_call"
        and (not op.regions or op.name == "stablehlo.reduce_window" or hlo.reduce_kind(op) is not None)
    )


def _is_small(value: SSAValue) -> bool:
    """Whether a value is a tensor of known shape that is worth evaluating."""
    type = value.type
    if not isinstance(type, TensorType):
        return False
    shape = cast(TensorType[Attribute], type).get_shape()
    return DYNAMIC_INDEX not in shape and math.prod(shape) <= MAX_ELEMENTS


def _axes(indices: Indices) -> list[Digit]:
    """The digits that indices vary with, each once; whole variables where digits of one overlap."""
    digits = {d: None for index in indices for d, _ in index.terms if d.size != 1}
    axes: dict[Digit, None] = {}
    for digit in digits:
        end = digit.div * digit.size
        overlaps = (o.var is digit.var and o != digit and o.div < end and digit.div < o.div * o.size for o in digits)
        axes[Digit(digit.var, 1, digit.var.size) if any(overlaps) else digit] = None
    return sorted(axes, key=lambda d: (d.var.label, -d.div))


def _spread(array: Array, read: Read, axes: list[Digit]) -> Array:
    """The elements over the axes: `result[a0, a1, ...]` is what the read reads at those values."""
    positions: list[Array | int] = []
    for index in read.indices:
        position: Array | int = index.offset
        for digit, stride in index.terms:
            if digit.size != 1:
                axis = axes.index(digit if digit in axes else Digit(digit.var, 1, digit.var.size))
                values = np.arange(axes[axis].size)
                if axes[axis] != digit:
                    values = values // digit.div % digit.size
                position = position + (values * stride).reshape([-1 if a == axis else 1 for a in range(len(axes))])
        positions.append(position)
    return np.broadcast_to(array[tuple(positions)], [a.size for a in axes])


def fit(folder: ConstantFolder, read: Read) -> Expr | None:
    """A formula of the indices that gives exactly the elements of a constant tensor, or None."""
    array = folder.evaluate(read.value)
    axes = _axes(read.indices)
    if array is None or math.prod(a.size for a in axes) > MAX_ELEMENTS:
        return None
    values = _spread(array, read, axes)
    for axis in reversed(range(len(axes))):
        if (values == values.take([0], axis)).all():
            values = values.take(0, axis)
            del axes[axis]
    if values.dtype == np.bool_:
        return _fit_band(values, axes)
    if not hlo.is_float(read.value):
        # Sums of two such numbers must not wrap in the fit.
        small = abs(values.astype(np.float64)).max(initial=0) < 2**31
        return _fit_affine(values.astype(np.int64), axes) if small else None
    floats = values.astype(np.float64)
    distinct = np.unique(floats)
    if len(distinct) == 1:
        return Const(float(distinct[0]))
    if len(distinct) == 2 and not np.isnan(distinct).any():
        low, high = map(float, distinct)
        band = _fit_band(floats == high, axes)
        return None if band is None else select(band, Const(high), Const(low))
    if np.isfinite(floats).all() and (floats == np.floor(floats)).all() and abs(floats).max() < 2**31:
        affine = _fit_affine(floats.astype(np.int64), axes)
        return None if affine is None else FromInt(affine)
    return None


def _fit_affine(values: Array, axes: list[Digit]) -> Affine | None:
    """sum(c_i * a_i) + c, from the first elements of each axis, if it gives all elements."""
    origin = int(values[(0,) * values.ndim])
    result = Affine(constant=origin)
    predicted = np.full(values.shape, origin, np.int64)
    for axis, digit in enumerate(axes):
        unit = [0] * values.ndim
        unit[axis] = 1
        slope = int(values[tuple(unit)]) - origin
        result = result + Affine.atom(digit) * slope
        steps = np.arange(digit.size, dtype=np.int64) * slope
        predicted = predicted + steps.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return result if np.array_equal(values, predicted) else None


def _fit_band(keep: Array, axes: list[Digit]) -> Bool | None:
    """A band `a <= key - row <= b` or an interval of one digit, if it gives all elements."""
    if keep.all() or not keep.any():
        return BoolConst(bool(keep.all()))
    if len(axes) == 1:
        axes = [Digit(Var(1, ""), 1, 1), *axes]
        keep = keep[None, :]
    if len(axes) != 2:
        return None
    for flip in (False, True):
        rows, keys = reversed(axes) if flip else axes
        # Keys are labelled n; a mask of other variables may be a band either way.
        if keys.var.label == "n" or flip or all(a.var.label != "n" for a in axes):
            band = _fit_band_of(keep.T if flip else keep, rows, keys)
            if band is not None:
                return band
    return None


def _fit_band_of(keep: Array, rows: Digit, keys: Digit) -> Bool | None:
    row_index, key_index = np.arange(rows.size)[:, None], np.arange(keys.size)[None, :]
    some = np.flatnonzero(keep.any(axis=1))
    first = keep[some].argmax(axis=1)
    last = keys.size - 1 - keep[some][:, ::-1].argmax(axis=1)
    lows = [None, *sorted({int(d) for d in (first - some)[first > 0]})[:1]]
    highs = [None, *sorted({int(d) for d in (last - some)[last < keys.size - 1]})[-1:]]
    difference = key_index - row_index
    for low in lows:
        for high in highs:
            predicted = np.ones_like(keep)
            if low is not None:
                predicted &= difference >= low
            if high is not None:
                predicted &= difference <= high
            if np.array_equal(predicted, keep):
                row, key = Affine.atom(rows), Affine.atom(keys)
                return conjunction(
                    compare(direction, key, row + Affine(constant=bound))
                    for direction, bound in (("GE", low), ("LE", high))
                    if bound is not None
                )
    return None

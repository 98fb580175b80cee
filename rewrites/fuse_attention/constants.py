"""
Masks that exporters folded into constants, read back as formulas.

A tensor that depends on no input of the function is evaluated, spread over the variables that index it, and compared
with the formulas that masks are: constant, affine in the indices, or true for a band of keys around each query. A
formula is taken only if it gives every element exactly.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.interpreter import Interpreter
from xdsl.ir import SSAValue
from xdsl.utils.exceptions import InterpretationError

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Digit, Read, Var, vars_of
from flashlower.rewrites.fuse_attention.expression import (
    Affine,
    Bool,
    BoolConst,
    Const,
    Expr,
    FromInt,
    compare,
    conjunction,
    select,
)

Array = NDArray[Any]

# Larger constants stay captured tensors: reading them back would cost more than it is worth.
MAX_ELEMENTS = 1 << 24


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
            if v in self._constant:
                worklist.pop()
                continue
            op = hlo.owner(v)
            if op is None or (op.regions and hlo.reduce_kind(op) is None and op.name != "stablehlo.reduce_window"):
                self._constant[v] = False
                continue
            unknown = [o for o in op.operands if o not in self._constant]
            if unknown and not any(self._constant.get(o) is False for o in op.operands):
                worklist.extend(unknown)
                continue
            self._constant[v] = (
                op.name.startswith(("stablehlo.", "arith."))
                and op.name != "stablehlo.custom_call"
                and all(self._constant[o] for o in op.operands if o in self._constant)
                and all(o in self._constant for o in op.operands)
            )
        return self._constant[value]

    def splat(self, value: SSAValue) -> float | int | bool | None:
        """The one value of a constant whose elements are all the same, or None."""
        value = hlo.through_views(value)
        if not self.is_constant(value) or (array := self.evaluate(value)) is None or not array.size:
            return None
        first = array.flat[0].item()
        return first if (array == first).all() else None

    def is_negative_infinity(self, value: SSAValue) -> bool:
        """Whether every element of a value is -inf."""
        return self.splat(value) == -math.inf

    def evaluate(self, value: SSAValue) -> Array | None:
        """The elements of a constant value, or None where it is too large or holds what cannot be evaluated."""
        if value not in self._values:
            self._values[value] = self._evaluate(value)
        return self._values[value]

    def _evaluate(self, value: SSAValue) -> Array | None:
        op = hlo.owner(value)
        if op is None or math.prod(hlo.shape(value)) > MAX_ELEMENTS or -1 in hlo.shape(value):
            return None
        args: list[Array] = []
        for operand in op.operands:
            if (arg := self.evaluate(operand)) is None:
                return None
            args.append(arg)
        try:
            return self.interpreter.run_op(op, tuple(args))[0]
        except InterpretationError:
            return None


def _spread(array: Array, read: Read, variables: list[Var]) -> Array:
    """The elements over the variables: `result[v0, v1, ...]` is what the read reads at those values."""
    index: list[Array | int] = []
    for i in read.indices:
        position: Array | int = i.offset
        for digit, stride in i.terms:
            if digit.size != 1:
                axis = variables.index(digit.var)
                values = np.arange(digit.var.size) // digit.div % digit.size * stride
                position = position + values.reshape([-1 if a == axis else 1 for a in range(len(variables))])
        index.append(position)
    return np.broadcast_to(array[tuple(index)], [v.size for v in variables])


def fit(folder: ConstantFolder, read: Read) -> Expr | None:
    """A formula of the indices that gives exactly the elements of a constant tensor, or None."""
    array = folder.evaluate(read.value)
    variables = sorted(vars_of(read.indices), key=lambda v: v.label)
    if array is None or math.prod(v.size for v in variables) > MAX_ELEMENTS:
        return None
    values = _spread(array, read, variables)
    for axis in reversed(range(len(variables))):
        if (values == values.take([0], axis)).all():
            values = values.take(0, axis)
            del variables[axis]
    if values.dtype == np.bool_:
        return _fit_band(values, variables)
    if not hlo.is_float(read.value):
        return _fit_affine(values.astype(np.int64), variables)
    floats = values.astype(np.float64)
    distinct = np.unique(floats)
    if len(distinct) == 1:
        return Const(float(distinct[0]))
    if len(distinct) == 2 and not np.isnan(distinct).any():
        low, high = map(float, distinct)
        band = _fit_band(floats == high, variables)
        return None if band is None else select(band, Const(high), Const(low))
    if np.isfinite(floats).all() and (floats == np.floor(floats)).all() and abs(floats).max() < 2**53:
        affine = _fit_affine(floats.astype(np.int64), variables)
        return None if affine is None else FromInt(affine)
    return None


def _fit_affine(values: Array, variables: list[Var]) -> Affine | None:
    """sum(c_i * v_i) + c, from the first elements of each axis, if it gives all elements."""
    origin = int(values[(0,) * values.ndim])
    result = Affine(constant=origin)
    predicted = np.full(values.shape, origin, np.int64)
    for axis, var in enumerate(variables):
        unit = [0] * values.ndim
        unit[axis] = 1
        slope = int(values[tuple(unit)]) - origin
        result = result + Affine.atom(Digit(var, 1, var.size)) * slope
        steps = np.arange(var.size, dtype=np.int64) * slope
        predicted = predicted + steps.reshape([-1 if a == axis else 1 for a in range(values.ndim)])
    return result if np.array_equal(values, predicted) else None


def _fit_band(keep: Array, variables: list[Var]) -> Bool | None:
    """A band `a <= key - row <= b` or an interval of one variable, if it gives all elements."""
    if keep.all() or not keep.any():
        return BoolConst(bool(keep.all()))
    if len(variables) == 1:
        variables = [Var(1, ""), *variables]
        keep = keep[None, :]
    if len(variables) != 2:
        return None
    for flip in (False, True):
        rows, keys = reversed(variables) if flip else variables
        # Keys are labelled n; a mask of other variables may be a band either way.
        if keys.label == "n" or flip or all(v.label != "n" for v in variables):
            band = _fit_band_of(keep.T if flip else keep, rows, keys)
            if band is not None:
                return band
    return None


def _fit_band_of(keep: Array, rows: Var, keys: Var) -> Bool | None:
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
                row, key = (Affine.atom(Digit(v, 1, v.size)) if v.size > 1 else Affine() for v in (rows, keys))
                return conjunction(
                    compare(direction, key, row + Affine(constant=bound))
                    for direction, bound in (("GE", low), ("LE", high))
                    if bound is not None
                )
    return None

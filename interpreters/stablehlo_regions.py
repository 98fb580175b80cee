"""StableHLO's reductions, sorts, loops and branches on NumPy arrays.

Source: the StableHLO specification.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    ReturnedValues,
    TerminatorValue,
    impl,
    impl_terminator,
    register_impls,
)
from xdsl.ir import Region

from flashlower.dialects import stablehlo
from flashlower.dialects.stablehlo.base import i64_values
from flashlower.interpreters.numerics import Array, Kernel, compute, convert
from flashlower.interpreters.stablehlo_windows import windows
from flashlower.interpreters.values import dtype_of

_UFUNCS: dict[str, np.ufunc] = {
    "add": np.add,
    "multiply": np.multiply,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
}


def _reduced_by(ufunc: np.ufunc, axes: tuple[int, ...], dtype: np.dtype) -> Kernel:
    def kernel(value: Array, init: Array) -> Array:
        # Starting from the initial value also makes empty dimensions right; integers must not be widened.
        return ufunc(init, ufunc.reduce(value, axes, dtype=value.dtype, initial=_identity(ufunc, value.dtype)))

    return kernel


def _identity(ufunc: np.ufunc, dtype: np.dtype) -> object:
    """A start that changes no result, where NumPy does not know one: of maximum and minimum."""
    if ufunc not in (np.maximum, np.minimum):
        return ufunc.identity
    if dtype.kind == "b":
        return ufunc is np.minimum
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return limits.min if ufunc is np.maximum else limits.max
    return -np.inf if ufunc is np.maximum else np.inf


def fold(
    interpreter: Interpreter, body: Region, values: Sequence[Array], inits: Sequence[Array], axes: Sequence[int]
) -> tuple[Array, ...]:
    """Reduce arrays over some axes with the computation of a region, starting from initial values.

    A body of one op is NumPy's own reduction, with narrow floats summed in float32. Any other body runs on arrays:
    neighbours are combined in order, half of them at a time.
    """
    axes = tuple(axes)
    # A body may compute in a wider type than its inputs have; the results are of the body's type.
    dtypes = [dtype_of(arg.type) for arg in body.block.args]
    values = [convert(value, dtype) for value, dtype in zip(values, dtypes, strict=False)]
    inits = [convert(init, dtype) for init, dtype in zip(inits, dtypes, strict=False)]
    if (kind := stablehlo.reduction_kind(body)) is not None:
        dtype = values[0].dtype
        return (compute(_reduced_by(_UFUNCS[kind], axes, dtype), dtype, values[0], inits[0]),)

    kept = [axis for axis in range(values[0].ndim) if axis not in axes]
    shape = [values[0].shape[axis] for axis in kept]
    flat = [np.transpose(value, (*kept, *axes)).reshape(*shape, -1) for value in values]

    def combine(lhs: Sequence[Array], rhs: Sequence[Array]) -> list[Array]:
        return list(interpreter.run_ssacfg_region(body, (*lhs, *rhs), "reduction"))

    result = [np.broadcast_to(init, shape) for init in inits]
    if flat[0].shape[-1] == 0:
        return tuple(result)
    while (count := flat[0].shape[-1]) > 1:
        even = count - count % 2
        pairs = combine([value[..., 0:even:2] for value in flat], [value[..., 1:even:2] for value in flat])
        flat = [np.concatenate((pair, value[..., even:]), axis=-1) for pair, value in zip(pairs, flat, strict=True)]
    return tuple(np.broadcast_to(value, shape) for value in combine(result, [value[..., 0] for value in flat]))


@register_impls
class StableHLORegionFunctions(InterpreterFunctions):
    """Ops with regions."""

    @impl_terminator(stablehlo.ReturnOp)
    def run_return(
        self, interpreter: Interpreter, op: stablehlo.ReturnOp, args: PythonValues
    ) -> tuple[TerminatorValue, PythonValues]:
        return ReturnedValues(args), ()

    @impl(stablehlo.ReduceOp)
    def run_reduce(self, interpreter: Interpreter, op: stablehlo.ReduceOp, args: PythonValues) -> PythonValues:
        count = len(op.inputs)
        return fold(interpreter, op.body, args[:count], args[count:], i64_values(op.dimensions))

    @impl(stablehlo.ReduceWindowOp)
    def run_reduce_window(
        self, interpreter: Interpreter, op: stablehlo.ReduceWindowOp, args: PythonValues
    ) -> PythonValues:
        count, window = len(op.inputs), op.window
        rank = len(window)
        views = [windows(value, init, window) for value, init in zip(args[:count], args[count:], strict=True)]
        return fold(interpreter, op.body, views, args[count:], range(rank, 2 * rank))

    @impl(stablehlo.SortOp)
    def run_sort(self, interpreter: Interpreter, op: stablehlo.SortOp, args: PythonValues) -> PythonValues:
        """Each element's place is the number of elements that come before it: all pairs are compared at once."""
        axis = -1 if op.dimension is None else op.dimension.value.data
        values = [np.moveaxis(value, axis, -1) for value in args]
        pairs: list[Array] = []
        for value in values:
            pairs += np.broadcast_arrays(value[..., :, np.newaxis], value[..., np.newaxis, :])
        (before,) = interpreter.run_ssacfg_region(op.comparator, tuple(pairs), "comparator")
        count = values[0].shape[-1]
        earlier = np.tri(count, k=-1, dtype=bool).T
        # before[i, j]: i comes before j. Equal elements stay in order.
        tied = ~before & ~np.swapaxes(before, -1, -2)
        place = np.sum(before | (tied & earlier), axis=-2)
        order = np.argsort(place, axis=-1, kind="stable")
        return tuple(np.moveaxis(np.take_along_axis(value, order, -1), -1, axis) for value in values)

    @impl(stablehlo.WhileOp)
    def run_while(self, interpreter: Interpreter, op: stablehlo.WhileOp, args: PythonValues) -> PythonValues:
        while interpreter.run_ssacfg_region(op.cond, args, "while condition")[0]:
            args = interpreter.run_ssacfg_region(op.body, args, "while body")
        return args

    @impl(stablehlo.IfOp)
    def run_if(self, interpreter: Interpreter, op: stablehlo.IfOp, args: PythonValues) -> PythonValues:
        return interpreter.run_ssacfg_region(op.true_branch if args[0] else op.false_branch, (), "branch")

    @impl(stablehlo.CaseOp)
    def run_case(self, interpreter: Interpreter, op: stablehlo.CaseOp, args: PythonValues) -> PythonValues:
        index = int(args[0])
        last = len(op.branches) - 1
        return interpreter.run_ssacfg_region(op.branches[index if 0 <= index <= last else last], (), "branch")

"""StableHLO on NumPy arrays: elementwise ops, and ops that move elements.

A region of scalar tensors (the body of a reduction) runs on arrays: elementwise ops take arguments of any shapes
that broadcast.

Source: the StableHLO specification.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls
from xdsl.utils.exceptions import InterpretationError

from flashlower.dialects import stablehlo
from flashlower.dialects.stablehlo.attributes import ComparisonType, integers
from flashlower.dialects.stablehlo.base import bits_of, i64_values, type_of
from flashlower.interpreters import numerics
from flashlower.interpreters.arith import elementwise
from flashlower.interpreters.numerics import Array
from flashlower.interpreters.values import attr_to_numpy, dtype_of, get_context, static_shape


@register_impls
class StableHLOElementwiseFunctions(InterpreterFunctions):
    """Ops whose result elements are functions of the operands' elements at the same index."""

    run_add = elementwise(stablehlo.AddOp, np.add)
    run_and = elementwise(stablehlo.AndOp, np.bitwise_and)
    run_atan2 = elementwise(stablehlo.Atan2Op, np.arctan2)
    run_cbrt = elementwise(stablehlo.CbrtOp, np.cbrt)
    run_ceil = elementwise(stablehlo.CeilOp, np.ceil)
    run_clamp = elementwise(stablehlo.ClampOp, numerics.clamp)
    run_cosine = elementwise(stablehlo.CosineOp, np.cos)
    run_divide = elementwise(stablehlo.DivOp, numerics.divide)
    run_exponential = elementwise(stablehlo.ExpOp, np.exp)
    run_exponential_minus_one = elementwise(stablehlo.Expm1Op, np.expm1)
    run_floor = elementwise(stablehlo.FloorOp, np.floor)
    run_log = elementwise(stablehlo.LogOp, np.log)
    run_log_plus_one = elementwise(stablehlo.Log1pOp, np.log1p)
    run_logistic = elementwise(stablehlo.LogisticOp, numerics.logistic)
    run_maximum = elementwise(stablehlo.MaxOp, np.maximum)
    run_minimum = elementwise(stablehlo.MinOp, np.minimum)
    run_multiply = elementwise(stablehlo.MulOp, np.multiply)
    run_negate = elementwise(stablehlo.NegOp, np.negative)
    run_not = elementwise(stablehlo.NotOp, np.invert)
    run_or = elementwise(stablehlo.OrOp, np.bitwise_or)
    run_power = elementwise(stablehlo.PowOp, numerics.power)
    run_remainder = elementwise(stablehlo.RemOp, np.fmod)
    run_round_nearest_afz = elementwise(stablehlo.RoundNearestAfzOp, numerics.round_half_away)
    run_round_nearest_even = elementwise(stablehlo.RoundNearestEvenOp, np.rint)
    run_rsqrt = elementwise(stablehlo.RsqrtOp, numerics.rsqrt)
    run_shift_left = elementwise(stablehlo.ShiftLeftOp, numerics.shift_left)
    run_shift_right_arithmetic = elementwise(stablehlo.ShiftRightArithmeticOp, numerics.shift_right_arithmetic)
    run_shift_right_logical = elementwise(stablehlo.ShiftRightLogicalOp, numerics.shift_right_logical)
    run_sign = elementwise(stablehlo.SignOp, np.sign)
    run_sine = elementwise(stablehlo.SineOp, np.sin)
    run_sqrt = elementwise(stablehlo.SqrtOp, np.sqrt)
    run_subtract = elementwise(stablehlo.SubtractOp, np.subtract)
    run_tan = elementwise(stablehlo.TanOp, np.tan)
    run_tanh = elementwise(stablehlo.TanhOp, np.tanh)
    run_xor = elementwise(stablehlo.XorOp, np.bitwise_xor)

    @impl(stablehlo.AbsOp)
    def run_abs(self, interpreter: Interpreter, op: stablehlo.AbsOp, args: PythonValues) -> PythonValues:
        # The modulus of a complex number is real, so the operand's arithmetic is not the result's.
        dtype = dtype_of(op.result.type)
        if args[0].dtype.kind == "c":
            return (np.abs(args[0]).astype(dtype),)
        return (numerics.compute(np.abs, dtype, args[0]),)

    @impl(stablehlo.IsFiniteOp)
    def run_is_finite(self, interpreter: Interpreter, op: stablehlo.IsFiniteOp, args: PythonValues) -> PythonValues:
        return (np.asarray(np.isfinite(args[0])),)

    @impl(stablehlo.ConvertOp)
    def run_convert(self, interpreter: Interpreter, op: stablehlo.ConvertOp, args: PythonValues) -> PythonValues:
        return (numerics.convert(args[0], dtype_of(op.result.type)),)

    @impl(stablehlo.BitcastConvertOp)
    def run_bitcast_convert(
        self, interpreter: Interpreter, op: stablehlo.BitcastConvertOp, args: PythonValues
    ) -> PythonValues:
        source, dtype = np.ascontiguousarray(args[0]), dtype_of(op.result.type)
        bits = [bits_of(type_of(value).element_type) or 8 for value in (op.operand, op.result)]
        if min(bits) in (2, 4):
            return (numerics.cast_narrow(source, bits[0], dtype, bits[1]).reshape(static_shape(op.result.type)),)
        if dtype.itemsize < source.dtype.itemsize:
            source = source.reshape(*args[0].shape, 1)
        return (source.view(dtype).reshape(static_shape(op.result.type)),)

    @impl(stablehlo.CompareOp)
    def run_compare(self, interpreter: Interpreter, op: stablehlo.CompareOp, args: PythonValues) -> PythonValues:
        lhs, rhs = args
        if op.compare_type is not None and op.compare_type.data == ComparisonType.TOTALORDER:
            lhs, rhs = numerics.total_order(lhs), numerics.total_order(rhs)
        return (np.asarray(numerics.COMPARISONS[op.comparison_direction.data](lhs, rhs)),)

    @impl(stablehlo.PopcntOp)
    def run_popcnt(self, interpreter: Interpreter, op: stablehlo.PopcntOp, args: PythonValues) -> PythonValues:
        bits = bits_of(type_of(op.operand).element_type) or 64
        # Integers of 2 and 4 bits are stored in 8.
        unsigned = args[0].astype(np.int64).view(np.uint64) & np.uint64(2**bits - 1)
        return (np.bitwise_count(unsigned).astype(args[0].dtype),)

    @impl(stablehlo.ReducePrecisionOp)
    def run_reduce_precision(
        self, interpreter: Interpreter, op: stablehlo.ReducePrecisionOp, args: PythonValues
    ) -> PythonValues:
        return (numerics.reduce_precision(args[0], op.exponent_bits.value.data, op.mantissa_bits.value.data),)

    @impl(stablehlo.SelectOp)
    def run_select(self, interpreter: Interpreter, op: stablehlo.SelectOp, args: PythonValues) -> PythonValues:
        return (numerics.select(*args),)


def iota(shape: Sequence[int], dimension: int, dtype: np.dtype) -> Array:
    """Each element is its index in one dimension."""
    along = np.arange(shape[dimension]).astype(dtype)
    expanded = [1] * len(shape)
    expanded[dimension] = shape[dimension]
    return np.broadcast_to(along.reshape(expanded), shape)


def broadcast_in_dim(value: Array, dimensions: Sequence[int], shape: Sequence[int]) -> Array:
    """Dimension i of the value becomes dimension `dimensions[i]` of the result."""
    order = np.argsort(dimensions) if dimensions else ()
    expanded = [1] * len(shape)
    for i, dim in enumerate(dimensions):
        expanded[dim] = value.shape[i]
    return np.broadcast_to(np.transpose(value, order).reshape(expanded), shape)


def pad(value: Array, fill: Array, low: Sequence[int], high: Sequence[int], interior: Sequence[int]) -> Array:
    """Padding before, after and between elements; negative padding at an edge cuts off."""
    spread = np.full(
        [size + max(size - 1, 0) * between for size, between in zip(value.shape, interior, strict=True)],
        fill,
        value.dtype,
    )
    spread[tuple(slice(None, None, between + 1) for between in interior)] = value
    result = np.full([a + size + b for size, a, b in zip(spread.shape, low, high, strict=True)], fill, value.dtype)
    source = tuple(
        slice(max(0, -a), max(0, size - max(0, -b))) for size, a, b in zip(spread.shape, low, high, strict=True)
    )
    kept = spread[source]
    target = tuple(slice(max(0, a), max(0, a) + size) for size, a in zip(kept.shape, low, strict=True))
    result[target] = kept
    return result


def dot_general(
    lhs: Array,
    rhs: Array,
    batching: tuple[Sequence[int], Sequence[int]],
    contracting: tuple[Sequence[int], Sequence[int]],
    dtype: np.dtype,
) -> Array:
    """Sums of products, accumulated in float32 for narrower floats and in the result's dtype otherwise."""
    work = numerics.working_dtype(dtype)
    lhs_free = [dim for dim in range(lhs.ndim) if dim not in (*batching[0], *contracting[0])]
    rhs_free = [dim for dim in range(rhs.ndim) if dim not in (*batching[1], *contracting[1])]
    batch = [lhs.shape[dim] for dim in batching[0]]
    lhs_shape, rhs_shape = [lhs.shape[dim] for dim in lhs_free], [rhs.shape[dim] for dim in rhs_free]
    terms = int(np.prod([lhs.shape[dim] for dim in contracting[0]], dtype=np.int64))
    a = np.transpose(lhs.astype(work), (*batching[0], *lhs_free, *contracting[0]))
    b = np.transpose(rhs.astype(work), (*batching[1], *contracting[1], *rhs_free))
    with np.errstate(all="ignore"):
        product = np.matmul(
            a.reshape(*batch, int(np.prod(lhs_shape, dtype=np.int64)), terms),
            b.reshape(*batch, terms, int(np.prod(rhs_shape, dtype=np.int64))),
        )
        return product.reshape((*batch, *lhs_shape, *rhs_shape)).astype(dtype)


@register_impls
class StableHLOShapeFunctions(InterpreterFunctions):
    """Constants, ops that reshape and combine tensors, and the matrix product."""

    @impl(stablehlo.ConstantOp)
    def run_constant(self, interpreter: Interpreter, op: stablehlo.ConstantOp, args: PythonValues) -> PythonValues:
        return (attr_to_numpy(op.value, get_context(interpreter)),)

    @impl(stablehlo.IotaOp)
    def run_iota(self, interpreter: Interpreter, op: stablehlo.IotaOp, args: PythonValues) -> PythonValues:
        type = op.output.type
        return (iota(static_shape(type), op.iota_dimension.value.data, dtype_of(type)),)

    @impl(stablehlo.DynamicIotaOp)
    def run_dynamic_iota(
        self, interpreter: Interpreter, op: stablehlo.DynamicIotaOp, args: PythonValues
    ) -> PythonValues:
        return (iota(args[0].tolist(), op.iota_dimension.value.data, dtype_of(op.result.type)),)

    @impl(stablehlo.GetDimensionSizeOp)
    def run_get_dimension_size(
        self, interpreter: Interpreter, op: stablehlo.GetDimensionSizeOp, args: PythonValues
    ) -> PythonValues:
        return (np.asarray(args[0].shape[op.dimension.value.data], np.int32),)

    @impl(stablehlo.BroadcastInDimOp)
    def run_broadcast_in_dim(
        self, interpreter: Interpreter, op: stablehlo.BroadcastInDimOp, args: PythonValues
    ) -> PythonValues:
        dimensions = i64_values(op.broadcast_dimensions)
        return (broadcast_in_dim(args[0], dimensions, static_shape(op.result.type)),)

    @impl(stablehlo.DynamicBroadcastInDimOp)
    def run_dynamic_broadcast_in_dim(
        self, interpreter: Interpreter, op: stablehlo.DynamicBroadcastInDimOp, args: PythonValues
    ) -> PythonValues:
        return (broadcast_in_dim(args[0], i64_values(op.broadcast_dimensions), args[1].tolist()),)

    @impl(stablehlo.ReshapeOp)
    def run_reshape(self, interpreter: Interpreter, op: stablehlo.ReshapeOp, args: PythonValues) -> PythonValues:
        return (args[0].reshape(static_shape(op.result.type)),)

    @impl(stablehlo.DynamicReshapeOp)
    def run_dynamic_reshape(
        self, interpreter: Interpreter, op: stablehlo.DynamicReshapeOp, args: PythonValues
    ) -> PythonValues:
        return (args[0].reshape(args[1].tolist()),)

    @impl(stablehlo.TransposeOp)
    def run_transpose(self, interpreter: Interpreter, op: stablehlo.TransposeOp, args: PythonValues) -> PythonValues:
        return (np.transpose(args[0], i64_values(op.permutation)),)

    @impl(stablehlo.ReverseOp)
    def run_reverse(self, interpreter: Interpreter, op: stablehlo.ReverseOp, args: PythonValues) -> PythonValues:
        return (np.flip(args[0], i64_values(op.dimensions)),)

    @impl(stablehlo.ConcatenateOp)
    def run_concatenate(
        self, interpreter: Interpreter, op: stablehlo.ConcatenateOp, args: PythonValues
    ) -> PythonValues:
        return (np.concatenate(args, op.dimension.value.data),)

    @impl(stablehlo.PadOp)
    def run_pad(self, interpreter: Interpreter, op: stablehlo.PadOp, args: PythonValues) -> PythonValues:
        value, fill = args
        return (
            pad(
                value,
                fill,
                i64_values(op.edge_padding_low),
                i64_values(op.edge_padding_high),
                i64_values(op.interior_padding),
            ),
        )

    @impl(stablehlo.DotGeneralOp)
    def run_dot_general(self, interpreter: Interpreter, op: stablehlo.DotGeneralOp, args: PythonValues) -> PythonValues:
        lhs, rhs = args
        numbers = op.dot_dimension_numbers
        batching = integers(numbers.lhs_batching_dimensions), integers(numbers.rhs_batching_dimensions)
        contracting = integers(numbers.lhs_contracting_dimensions), integers(numbers.rhs_contracting_dimensions)
        return (dot_general(lhs, rhs, batching, contracting, dtype_of(op.result.type)),)

    @impl(stablehlo.OptimizationBarrierOp)
    def run_optimization_barrier(
        self, interpreter: Interpreter, op: stablehlo.OptimizationBarrierOp, args: PythonValues
    ) -> PythonValues:
        return args

    @impl(stablehlo.CompositeOp)
    def run_composite(self, interpreter: Interpreter, op: stablehlo.CompositeOp, args: PythonValues) -> PythonValues:
        return interpreter.call_op(op.decomposition, args)

    @impl(stablehlo.CustomCallOp)
    def run_custom_call(self, interpreter: Interpreter, op: stablehlo.CustomCallOp, args: PythonValues) -> PythonValues:
        raise InterpretationError(f'custom call of "{op.call_target_name.data}" cannot be run')

"""arith and math on NumPy arrays.

A scalar is an array of any shape: the value of the op at every position where its region is run. Arguments
broadcast, and the result has the dtype of the op's result type.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from xdsl.dialects import arith, math
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls
from xdsl.ir import Operation
from xdsl.utils.exceptions import InterpretationError

from flashlower.interpreters import numerics
from flashlower.interpreters.numerics import Array, Kernel
from flashlower.interpreters.values import attr_to_numpy, dtype_of, get_context

Impl: TypeAlias = Any
"""A method that xDSL has marked as the implementation of an op."""


def elementwise(op_type: type[Operation], kernel: Kernel) -> Impl:
    """The implementation of an op of one result that applies a function to its operands' elements."""

    @impl(op_type)
    def run(self: Any, interpreter: Interpreter, op: Operation, args: PythonValues) -> PythonValues:
        return (numerics.compute(kernel, dtype_of(op.results[0].type), *args),)

    return run


def _unsigned(kernel: Kernel) -> Kernel:
    """A function of integers, applied to their bits as unsigned numbers."""
    return lambda *args: kernel(*map(numerics.as_unsigned, args))


def _floor_divide(lhs: Array, rhs: Array) -> Array:
    return np.floor_divide(lhs, rhs)


def _ceil_divide(lhs: Array, rhs: Array) -> Array:
    # Without a sign change, which the smallest number does not survive.
    return np.floor_divide(lhs, rhs) + (np.remainder(lhs, rhs) != 0)


_ORDERED = {"eq": np.equal, "gt": np.greater, "ge": np.greater_equal, "lt": np.less, "le": np.less_equal}


def compare_floats(predicate: str, lhs: Array, rhs: Array) -> Array:
    """arith.cmpf: predicates in `o` hold only of numbers, those in `u` hold of NaN too."""
    unordered = np.isnan(lhs) | np.isnan(rhs)
    match predicate:
        case "false" | "true":
            return np.full(unordered.shape, predicate == "true")
        case "ord":
            return ~unordered
        case "uno":
            return unordered
        case "one":
            return ~unordered & (lhs != rhs)
        case "une":
            return unordered | (lhs != rhs)
        case _:
            holds = _ORDERED[predicate[1:]](lhs, rhs)
            return holds | unordered if predicate[0] == "u" else holds & ~unordered


def compare_integers(predicate: str, lhs: Array, rhs: Array) -> Array:
    """arith.cmpi: the sign matters where the predicate's first letter says so."""
    match predicate:
        case "eq":
            return np.equal(lhs, rhs)
        case "ne":
            return np.not_equal(lhs, rhs)
        case _:
            read = numerics.as_unsigned if predicate[0] == "u" else numerics.as_signed
            return _ORDERED[predicate[1:]](read(lhs), read(rhs))


@register_impls
class ArithFunctions(InterpreterFunctions):
    """Constants, comparisons, selections, conversions and arithmetic of arith."""

    run_addf = elementwise(arith.AddfOp, np.add)
    run_subf = elementwise(arith.SubfOp, np.subtract)
    run_mulf = elementwise(arith.MulfOp, np.multiply)
    run_divf = elementwise(arith.DivfOp, np.divide)
    run_negf = elementwise(arith.NegfOp, np.negative)
    run_maximumf = elementwise(arith.MaximumfOp, np.maximum)
    run_minimumf = elementwise(arith.MinimumfOp, np.minimum)
    run_maxnumf = elementwise(arith.MaxnumfOp, np.fmax)
    run_minnumf = elementwise(arith.MinnumfOp, np.fmin)
    run_muli = elementwise(arith.MuliOp, np.multiply)
    run_divsi = elementwise(arith.DivSIOp, numerics.divide)
    run_floordivsi = elementwise(arith.FloorDivSIOp, _floor_divide)
    run_ceildivsi = elementwise(arith.CeilDivSIOp, _ceil_divide)
    run_remsi = elementwise(arith.RemSIOp, np.fmod)
    run_divui = elementwise(arith.DivUIOp, _unsigned(np.floor_divide))
    run_ceildivui = elementwise(arith.CeilDivUIOp, _unsigned(_ceil_divide))
    run_remui = elementwise(arith.RemUIOp, _unsigned(np.remainder))
    run_minsi = elementwise(arith.MinSIOp, np.minimum)
    run_maxsi = elementwise(arith.MaxSIOp, np.maximum)
    run_minui = elementwise(arith.MinUIOp, _unsigned(np.minimum))
    run_maxui = elementwise(arith.MaxUIOp, _unsigned(np.maximum))
    run_andi = elementwise(arith.AndIOp, np.bitwise_and)
    run_ori = elementwise(arith.OrIOp, np.bitwise_or)
    run_xori = elementwise(arith.XOrIOp, np.bitwise_xor)
    run_shli = elementwise(arith.ShLIOp, numerics.shift_left)
    run_shrsi = elementwise(arith.ShRSIOp, numerics.shift_right_arithmetic)
    run_shrui = elementwise(arith.ShRUIOp, numerics.shift_right_logical)

    @impl(arith.ConstantOp)
    def run_constant(self, interpreter: Interpreter, op: arith.ConstantOp, args: PythonValues) -> PythonValues:
        return (attr_to_numpy(op.value, get_context(interpreter)),)

    @impl(arith.AddiOp)
    def run_addi(self, interpreter: Interpreter, op: arith.AddiOp, args: PythonValues) -> PythonValues:
        # NumPy's sum of booleans is their disjunction; one bit wraps around.
        dtype = dtype_of(op.result.type)
        return (numerics.compute(np.bitwise_xor if dtype == np.bool_ else np.add, dtype, *args),)

    @impl(arith.SubiOp)
    def run_subi(self, interpreter: Interpreter, op: arith.SubiOp, args: PythonValues) -> PythonValues:
        # NumPy does not subtract booleans; modulo 2, addition is the same.
        dtype = dtype_of(op.result.type)
        return (numerics.compute(np.bitwise_xor if dtype == np.bool_ else np.subtract, dtype, *args),)

    @impl(arith.CmpiOp)
    def run_cmpi(self, interpreter: Interpreter, op: arith.CmpiOp, args: PythonValues) -> PythonValues:
        predicate = arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data]
        return (np.asarray(compare_integers(predicate, *args)),)

    @impl(arith.CmpfOp)
    def run_cmpf(self, interpreter: Interpreter, op: arith.CmpfOp, args: PythonValues) -> PythonValues:
        predicate = arith.CMPF_COMPARISON_OPERATIONS[op.predicate.value.data]
        return (np.asarray(compare_floats(predicate, *args)),)

    @impl(arith.SelectOp)
    def run_select(self, interpreter: Interpreter, op: arith.SelectOp, args: PythonValues) -> PythonValues:
        return (numerics.select(*args),)


def _read_signed(op_type: type[Operation]) -> Impl:
    @impl(op_type)
    def run(self: Any, interpreter: Interpreter, op: Operation, args: PythonValues) -> PythonValues:
        return (numerics.convert(numerics.as_signed(args[0]), dtype_of(op.results[0].type)),)

    return run


def _read_unsigned(op_type: type[Operation]) -> Impl:
    @impl(op_type)
    def run(self: Any, interpreter: Interpreter, op: Operation, args: PythonValues) -> PythonValues:
        return (numerics.convert(numerics.as_unsigned(args[0]), dtype_of(op.results[0].type)),)

    return run


def _converted(op_type: type[Operation]) -> Impl:
    @impl(op_type)
    def run(self: Any, interpreter: Interpreter, op: Operation, args: PythonValues) -> PythonValues:
        return (numerics.convert(args[0], dtype_of(op.results[0].type)),)

    return run


@register_impls
class ArithConversionFunctions(InterpreterFunctions):
    """Conversions of arith. What the source's bits mean is the op's to say."""

    run_extf = _converted(arith.ExtFOp)
    run_truncf = _converted(arith.TruncFOp)
    run_fptosi = _converted(arith.FPToSIOp)
    run_sitofp = _read_signed(arith.SIToFPOp)
    run_uitofp = _read_unsigned(arith.UIToFPOp)
    run_extsi = _read_signed(arith.ExtSIOp)
    run_extui = _read_unsigned(arith.ExtUIOp)
    run_index_cast = _read_signed(arith.IndexCastOp)

    @impl(arith.FPToUIOp)
    def run_fptoui(self, interpreter: Interpreter, op: arith.FPToUIOp, args: PythonValues) -> PythonValues:
        dtype = dtype_of(op.results[0].type)
        if dtype == np.bool_:
            return (numerics.convert(args[0], dtype),)
        return (numerics.convert(args[0], np.dtype(f"u{dtype.itemsize}")).view(dtype),)

    @impl(arith.TruncIOp)
    def run_trunci(self, interpreter: Interpreter, op: arith.TruncIOp, args: PythonValues) -> PythonValues:
        dtype = dtype_of(op.results[0].type)
        if dtype == np.bool_:
            return (np.asarray((args[0] & 1) != 0),)
        return (numerics.convert(args[0], dtype),)

    @impl(arith.BitcastOp)
    def run_bitcast(self, interpreter: Interpreter, op: arith.BitcastOp, args: PythonValues) -> PythonValues:
        dtype = dtype_of(op.results[0].type)
        if dtype.itemsize != args[0].dtype.itemsize:
            raise InterpretationError(f"cannot read the bits of {args[0].dtype} as {dtype}")
        return (np.asarray(args[0]).view(dtype),)


def _fma(a: Array, b: Array, c: Array) -> Array:
    return a * b + c


@register_impls
class MathFunctions(InterpreterFunctions):
    """The functions of math that NumPy has."""

    run_absf = elementwise(math.AbsFOp, np.abs)
    run_absi = elementwise(math.AbsIOp, np.abs)
    run_acos = elementwise(math.AcosOp, np.arccos)
    run_asin = elementwise(math.AsinOp, np.arcsin)
    run_atan = elementwise(math.AtanOp, np.arctan)
    run_atan2 = elementwise(math.Atan2Op, np.arctan2)
    run_cbrt = elementwise(math.CbrtOp, np.cbrt)
    run_ceil = elementwise(math.CeilOp, np.ceil)
    run_copysign = elementwise(math.CopySignOp, np.copysign)
    run_cos = elementwise(math.CosOp, np.cos)
    run_cosh = elementwise(math.CoshOp, np.cosh)
    run_exp = elementwise(math.ExpOp, np.exp)
    run_exp2 = elementwise(math.Exp2Op, np.exp2)
    run_expm1 = elementwise(math.ExpM1Op, np.expm1)
    run_floor = elementwise(math.FloorOp, np.floor)
    run_fma = elementwise(math.FmaOp, _fma)
    run_log = elementwise(math.LogOp, np.log)
    run_log10 = elementwise(math.Log10Op, np.log10)
    run_log1p = elementwise(math.Log1pOp, np.log1p)
    run_log2 = elementwise(math.Log2Op, np.log2)
    run_powf = elementwise(math.PowFOp, np.power)
    run_round = elementwise(math.RoundOp, numerics.round_half_away)
    run_roundeven = elementwise(math.RoundEvenOp, np.rint)
    run_rsqrt = elementwise(math.RsqrtOp, numerics.rsqrt)
    run_sin = elementwise(math.SinOp, np.sin)
    run_sinh = elementwise(math.SinhOp, np.sinh)
    run_sqrt = elementwise(math.SqrtOp, np.sqrt)
    run_tan = elementwise(math.TanOp, np.tan)
    run_tanh = elementwise(math.TanhOp, np.tanh)
    run_trunc = elementwise(math.TruncOp, np.trunc)

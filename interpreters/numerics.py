"""Arithmetic on NumPy arrays with the rules that StableHLO and arith share.

Results have exactly the dtype that is asked for. Floats narrower than 32 bits are computed in float32 and rounded
once; integers wrap; integer division rounds towards zero. Arguments broadcast, so that a computation on scalars
runs on arrays of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import ml_dtypes
import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Kernel: TypeAlias = Callable[..., Any]


def is_float(dtype: np.dtype) -> bool:
    """Whether a dtype holds real floating-point numbers, those of ml_dtypes included."""
    if dtype.kind == "f":
        return True
    try:
        ml_dtypes.finfo(dtype)
    except ValueError:
        return False
    return dtype.kind != "c"


def working_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype that values of a dtype are computed in."""
    if is_float(dtype):
        return np.dtype(np.float32) if dtype.itemsize < 4 else dtype
    # NumPy's own kinds; the others are ml_dtypes' integers of 2 and 4 bits.
    return dtype if dtype.kind in "biuc" else np.dtype(np.int8)


def compute(kernel: Kernel, dtype: np.dtype, *arguments: Array) -> Array:
    """Apply a NumPy function elementwise, in the arithmetic and with the result of a dtype."""
    work = working_dtype(dtype)
    with np.errstate(all="ignore"):
        result = kernel(*(np.asarray(argument).astype(work, copy=False) for argument in arguments))
        return np.asarray(result).astype(dtype, copy=False)


def divide(lhs: Array, rhs: Array) -> Array:
    """Quotient; of integers, rounded towards zero."""
    if lhs.dtype.kind not in "iu":
        return np.divide(lhs, rhs)
    quotient = np.floor_divide(lhs, rhs)
    inexact = (quotient * rhs != lhs) & (rhs != 0)
    return quotient + (inexact & ((lhs < 0) != (rhs < 0)))


def power(base: Array, exponent: Array) -> Array:
    """Power; of integers with a negative exponent, the reciprocal rounded towards zero."""
    if base.dtype.kind != "i":
        return np.power(base, exponent)
    reciprocal = np.where(base == 1, 1, np.where(base == -1, 1 - 2 * (exponent & 1), 0))
    return np.where(exponent < 0, reciprocal, np.power(base, np.maximum(exponent, 0)))


def logistic(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def rsqrt(x: Array) -> Array:
    return 1 / np.sqrt(x)


def round_half_away(x: Array) -> Array:
    """The nearest integer; ties away from zero."""
    whole = np.trunc(x)
    return np.where(np.abs(x - whole) >= 0.5, whole + np.copysign(1, x), whole)


def select(pred: Array, on_true: Array, on_false: Array) -> Array:
    return np.where(pred, on_true, on_false)


def clamp(low: Array, value: Array, high: Array) -> Array:
    return np.minimum(np.maximum(value, low), high)


def shift_left(value: Array, amount: Array) -> Array:
    bits = 8 * value.dtype.itemsize
    fits = (amount >= 0) & (amount < bits)
    return np.where(fits, np.left_shift(value, np.where(fits, amount, 0)), 0)


def shift_right_arithmetic(value: Array, amount: Array) -> Array:
    """Shift that repeats the sign; an amount that is too large leaves only signs."""
    bits = 8 * value.dtype.itemsize
    fits = (amount >= 0) & (amount < bits)
    signed = as_signed(value)
    return np.right_shift(signed, np.where(fits, amount, bits - 1).astype(signed.dtype)).view(value.dtype)


def shift_right_logical(value: Array, amount: Array) -> Array:
    """Shift that fills with zeros; an amount that is too large leaves only zeros."""
    bits = 8 * value.dtype.itemsize
    fits = (amount >= 0) & (amount < bits)
    unsigned = as_unsigned(value)
    shifted = np.right_shift(unsigned, np.where(fits, amount, 0).astype(unsigned.dtype))
    return np.where(fits, shifted, 0).astype(unsigned.dtype).view(value.dtype)


def as_signed(value: Array) -> Array:
    """Integers with their bits read as signed; true is -1."""
    if value.dtype.kind == "b":
        return -value.astype(np.int8)
    return value.view(f"i{value.dtype.itemsize}") if value.dtype.kind == "u" else value


def as_unsigned(value: Array) -> Array:
    """Integers with their bits read as unsigned; true is 1."""
    if value.dtype.kind == "b":
        return value.astype(np.uint8)
    return value.view(f"u{value.dtype.itemsize}") if value.dtype.kind == "i" else value


def convert(value: Array, dtype: np.dtype) -> Array:
    """The same numbers in another dtype.

    Floats become integers by rounding towards zero, with NaN as 0 and the largest and smallest integers for what is
    out of range; anything but 0 becomes true; integers wrap; complex numbers lose their imaginary part.
    """
    if value.dtype == dtype:
        return value
    with np.errstate(all="ignore"):
        if dtype == np.bool_:
            return np.asarray(value != 0)
        if value.dtype.kind == "c" and dtype.kind != "c":
            value = np.real(value)
        if is_float(value.dtype) and not is_float(dtype) and dtype.kind != "c":
            return _float_to_integer(value, dtype)
        return np.asarray(value).astype(dtype)


def _float_to_integer(value: Array, dtype: np.dtype) -> Array:
    limits = ml_dtypes.iinfo(dtype)
    whole = np.trunc(np.where(np.isnan(value), 0, value.astype(np.float64)))
    # 2^63 - 1 is no float64: compare before converting instead of clipping.
    high, low = whole >= float(limits.max), whole <= float(limits.min)
    exact = np.where(high | low, 0, whole).astype(np.uint64 if limits.min == 0 else np.int64)
    return np.where(high, limits.max, np.where(low, limits.min, exact)).astype(dtype)


def cast_narrow(value: Array, bits: int, dtype: np.dtype, new_bits: int) -> Array:
    """
    The same bits in elements of another width, one of them 2 or 4 bits, for which NumPy has a byte; the lowest first.
    """
    count, new_count = (1, bits // new_bits) if bits >= new_bits else (new_bits // bits, 1)
    # Values of a narrow element, read as unsigned.
    unsigned = as_unsigned(value if value.dtype.kind in "iu" else value.astype(np.int8)).astype(np.uint64)
    parts = (unsigned & ((1 << bits) - 1)).reshape(*value.shape[: value.ndim - (count > 1)], count)
    word = np.bitwise_or.reduce(parts << (np.arange(count, dtype=np.uint64) * np.uint64(bits)), axis=-1)
    shifts = np.arange(new_count, dtype=np.uint64) * np.uint64(new_bits)
    found = (word[..., None] >> shifts) & np.uint64((1 << new_bits) - 1)
    return found.astype(f"u{dtype.itemsize}").view(dtype) if new_bits >= 8 else found.astype(np.int8).astype(dtype)


def reduce_precision(value: Array, exponent_bits: int, mantissa_bits: int) -> Array:
    """
    Floats rounded as a type with so many bits would, ties to even, in their own dtype.

    What is too large becomes infinite, what is smaller than the smallest normal number becomes 0. Raises `ValueError`
    for a dtype without infinities.
    """
    info = cast(Any, ml_dtypes.finfo(value.dtype))
    infinity: Array = np.asarray(np.inf).astype(value.dtype)
    if not np.isinf(infinity):
        raise ValueError(f"reduce_precision of {value.dtype}, which has no infinity")
    unsigned = np.dtype(f"u{value.dtype.itemsize}")
    magnitude: Array = np.abs(value).view(unsigned)
    inf: Array = infinity.view(unsigned)
    finite: Array = magnitude < inf
    one: Any = unsigned.type(1)
    dropped: int = info.nmant - mantissa_bits
    if dropped > 0:
        half: Array = (one << (dropped - 1)) - one
        odd: Array = (magnitude >> dropped) & one
        # A carry out of the mantissa is a carry into the exponent, as it should be.
        magnitude = np.where(finite, (magnitude + half + odd) >> dropped << dropped, magnitude)
    if exponent_bits < info.nexp:
        bias: int = (1 << (info.nexp - 1)) - 1
        reduced: int = (1 << (exponent_bits - 1)) - 1
        exponent: Array = (magnitude >> int(info.nmant)).astype(np.int64)
        magnitude = np.where(finite & (exponent > bias + reduced), inf, magnitude)
        magnitude = np.where(exponent <= bias - reduced, np.zeros((), unsigned), magnitude)
    rounded: Array = magnitude.astype(unsigned).view(value.dtype)
    return np.where(np.isnan(value), value, np.copysign(rounded, value))


def total_order(value: Array) -> Array:
    """Integers that compare as the floats do in IEEE 754's total order: -NaN < -inf < ... < -0 < 0 < ... < NaN."""
    bits = value.view(f"i{value.dtype.itemsize}")
    return np.where(bits < 0, np.bitwise_xor(~bits, np.iinfo(bits.dtype).min), bits)


COMPARISONS: dict[str, Kernel] = {
    "EQ": np.equal,
    "NE": np.not_equal,
    "GE": np.greater_equal,
    "GT": np.greater,
    "LE": np.less_equal,
    "LT": np.less,
}
"""Relations by StableHLO's names."""

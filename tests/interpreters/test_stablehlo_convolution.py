"""StableHLO's convolution, popcnt and reduce_precision, which vision models and low-precision code bring along.

Convolution is compared with the sum of its definition, an element at a time, and with JAX, which also says what the
others do with every bit pattern.
"""

from __future__ import annotations

import itertools
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from stablehlo_runner import integers, normal, run, tensor

import flashlower as fl


def convolution(x: Any, kernel: Any, strides: Any, padding: Any, lhs: Any, rhs: Any, flip: Any, f: int, g: int) -> Any:
    """The definition, for inputs [b, f, 0, 1] and kernels [o, i, 0, 1]."""
    batch, out, inner = x.shape[0] // g, kernel.shape[0], kernel.shape[1]
    spread = [low + (size - 1) * d + 1 + high for size, d, (low, high) in zip(x.shape[2:], lhs, padding, strict=True)]
    sizes = [(n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(spread, kernel.shape[2:], rhs, strides, strict=True)]
    result = np.zeros((batch, out, *sizes))
    for b, o, i, j, c, u, v in itertools.product(*map(range, (*result.shape, inner, *kernel.shape[2:]))):
        at = []
        for place, k, axis in ((i, u, 0), (j, v, 1)):
            position = place * strides[axis] + k * rhs[axis] - padding[axis][0]
            index, rest = divmod(position, lhs[axis])
            at.append(index if rest == 0 and 0 <= index < x.shape[2 + axis] else None)
        if None not in at:
            u, v = (
                size - 1 - k if turned else k for size, k, turned in zip(kernel.shape[2:], (u, v), flip, strict=True)
            )
            source = b + batch * (o // (out // g)), c + inner * (o // (out // f))
            result[b, o, i, j] += x[(*source, *at)] * kernel[o, c, u, v]
    return result


@pytest.mark.parametrize(
    "strides, padding, lhs, rhs, flip, f, g",
    [
        ((1, 1), ((0, 0), (0, 0)), (1, 1), (1, 1), (False, False), 1, 1),
        ((2, 1), ((1, 2), (0, 3)), (1, 2), (2, 1), (True, False), 1, 1),
        ((1, 3), ((-1, 1), (2, -1)), (2, 1), (1, 2), (False, True), 2, 1),
        ((1, 2), ((1, 1), (0, 0)), (1, 1), (1, 1), (False, False), 1, 2),
    ],
)
def test_convolution(strides: Any, padding: Any, lhs: Any, rhs: Any, flip: Any, f: int, g: int) -> None:
    x, kernel = normal(4, 6, 5, 7), normal(4, 6 // f, 2, 3)
    expected = convolution(x, kernel, strides, padding, lhs, rhs, flip, f, g)
    # The same in another layout: the permutations say where each role stands.
    moved, turned = np.transpose(x, (2, 0, 3, 1)), np.transpose(kernel, (3, 2, 1, 0))

    def array(values: Any, type: str = "i64") -> str:
        return f"array<{type}: {', '.join(map(str, values)).lower()}>"

    properties = (
        "<{dimension_numbers = #stablehlo.conv<[0, b, 1, f]x[1, 0, i, o]->[b, f, 1, 0]>, "
        f"window_strides = {array(strides)}, padding = dense<{[list(pair) for pair in padding]}> : tensor<2x2xi64>, "
        f"lhs_dilation = {array(lhs)}, rhs_dilation = {array(rhs)}, window_reversal = {array(flip, 'i1')}, "
        f"feature_group_count = {f} : i64, batch_group_count = {g} : i64}}>"
    )
    want = np.transpose(expected, (0, 1, 3, 2)).astype(np.float32)
    (result,) = run("convolution", [moved, turned], tensor(want), properties)
    np.testing.assert_allclose(result, want, rtol=1e-4, atol=1e-5)


def test_convolution_without_places() -> None:
    properties = (
        "<{dimension_numbers = #stablehlo.conv<[b, f, 0]x[o, i, 0]->[b, f, 0]>, feature_group_count = 1 : i64, "
        "batch_group_count = 1 : i64}>"
    )
    (result,) = run("convolution", [normal(2, 3, 2), normal(5, 3, 4)], "tensor<2x5x0xf32>", properties)
    assert result.shape == (2, 5, 0)


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.uint16, np.int64])
def test_popcnt(dtype: type) -> None:
    info = np.iinfo(dtype)
    x = np.array([0, 1, info.min, info.max, 5], dtype)
    (result,) = run("popcnt", [x], tensor(x))
    assert result.tolist() == [bin(int(value) & (2**info.bits - 1)).count("1") for value in x]


def test_popcnt_of_narrow_integers() -> None:
    x = np.array([0, 7, -8, -1], ml_dtypes.int4)
    (result,) = run("popcnt", [x], tensor(x))
    assert result.astype(int).tolist() == [0, 3, 1, 4]


# The number of bits of a type: its values come out as they are, and those of a wider type as it rounds them.
@pytest.mark.parametrize("narrow, exponent, mantissa", [(np.float16, 5, 10), (ml_dtypes.bfloat16, 8, 7)])
def test_reduce_precision_is_a_conversion(narrow: Any, exponent: int, mantissa: int) -> None:
    scale = 2.0 ** integers(-14, 15, 4000).astype(np.float64)
    x = np.append(normal(4000) * scale, [np.inf, -np.inf, 0.0, -0.0, 1e30, -65520]).astype(np.float32)
    want = x.astype(narrow).astype(np.float32)
    # What would be subnormal is 0, with its sign.
    want = np.where(np.abs(want) < ml_dtypes.finfo(narrow).smallest_normal, np.copysign(0, x), want).astype(np.float32)
    (result,) = run(
        "reduce_precision", [x], tensor(x), f"<{{exponent_bits = {exponent} : i32, mantissa_bits = {mantissa} : i32}}>"
    )
    np.testing.assert_array_equal(result.view(np.uint32), want.view(np.uint32))


@pytest.mark.parametrize("exponent, mantissa", [(5, 10), (8, 0), (2, 3), (1, 30), (11, 23), (4, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
def test_like_jax(exponent: int, mantissa: int, dtype: Any) -> None:
    jax = pytest.importorskip("jax", reason="the extra jax is not installed")
    unsigned = np.uint32 if dtype is np.float32 else np.uint16
    # Every bit pattern of 16, or random ones.
    bits = np.arange(2**16) if unsigned is np.uint16 else np.random.default_rng().integers(0, 2**32, 2**16)
    x = bits.astype(unsigned).view(dtype)

    def reduced(x: Any) -> Any:
        return jax.lax.reduce_precision(x, exponent, mantissa)

    result, want = fl.interpret(fl.from_jax(reduced, x), x), np.asarray(jax.jit(reduced)(x))
    nan = np.isnan(want)
    np.testing.assert_array_equal(np.isnan(result), nan)
    np.testing.assert_array_equal(result[~nan].view(unsigned), want[~nan].view(unsigned))


@pytest.mark.parametrize("groups", [{}, {"feature_group_count": 3}, {"batch_group_count": 2}])
def test_convolution_like_jax(groups: dict[str, int]) -> None:
    jax = pytest.importorskip("jax", reason="the extra jax is not installed")
    x, kernel = normal(4, 9, 8, 6), normal(3, 2, 6 // groups.get("feature_group_count", 1), 12)

    def convolved(x: Any, kernel: Any) -> Any:
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel, (2, 1), ((1, 2), (0, 3)), (1, 2), (2, 1), dimension_numbers=layout, **groups
        )

    want = np.asarray(convolved(x, kernel))
    np.testing.assert_allclose(fl.interpret(fl.from_jax(convolved, x, kernel), x, kernel), want, rtol=1e-4, atol=1e-5)

"""StableHLO's elementwise ops: rounding, wrapping, special numbers, conversions.

Each expected value is written from the op's definition in the StableHLO specification, an element at a time where the
implementation is vectorised; inputs are random.
"""
# MLIR does not wrap.

import ml_dtypes
import numpy as np
import pytest
from stablehlo_runner import integers, normal, run, tensor


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize(
    "op, function, positive",
    [
        ("abs", np.abs, False),
        ("cbrt", np.cbrt, False),
        ("ceil", np.ceil, False),
        ("cosine", np.cos, False),
        ("exponential", np.exp, False),
        ("exponential_minus_one", np.expm1, False),
        ("floor", np.floor, False),
        ("log", np.log, True),
        ("log_plus_one", np.log1p, True),
        ("logistic", lambda x: 1 / (1 + np.exp(-x)), False),
        ("negate", np.negative, False),
        ("rsqrt", lambda x: x**-0.5, True),
        ("sign", np.sign, False),
        ("sine", np.sin, False),
        ("sqrt", np.sqrt, True),
        ("tan", np.tan, False),
        ("tanh", np.tanh, False),
    ],
)
def test_float_functions(op, function, positive, dtype):
    x = normal(5, 7, dtype=dtype)
    x = np.abs(x) if positive else x
    (result,) = run(op, [x], tensor(x))
    # Computed in more precision and rounded once, the result is the nearest number, or a neighbour of it.
    expected = function(x.astype(np.float64))
    np.testing.assert_allclose(result.astype(np.float64), expected, rtol=2 * float(ml_dtypes.finfo(dtype).eps))


# f32 arithmetic stays f32: adding a small number to a large one is lost, where f64 would keep it.
def test_float32_is_not_widened():
    large, small = np.full(3, 2.0**24, np.float32), np.ones(3, np.float32)
    (total,) = run("add", [large, small], "tensor<3xf32>")
    assert total.tolist() == [2.0**24] * 3


@pytest.mark.parametrize("dtype", [np.int8, np.int32, np.int64])
def test_integer_arithmetic(dtype):
    limits = np.iinfo(dtype)
    a = np.concatenate([integers(-100, 100, 40, dtype=dtype), np.array([limits.max, limits.min], dtype)])
    b = np.concatenate([integers(1, 9, 20, dtype=dtype), integers(-9, 0, 20, dtype=dtype), np.array([1, 1], dtype)])
    bits = 8 * a.dtype.itemsize

    def wrap(value: int) -> int:
        return (value + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1)

    pairs = list(zip(a.tolist(), b.tolist(), strict=True))
    quotients = [abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1) for x, y in pairs]
    for op, expected in {
        "add": [x + y for x, y in pairs],
        "subtract": [x - y for x, y in pairs],
        "multiply": [x * y for x, y in pairs],
        "divide": quotients,
        "remainder": [x - q * y for (x, y), q in zip(pairs, quotients, strict=True)],
        "maximum": [max(x, y) for x, y in pairs],
        "minimum": [min(x, y) for x, y in pairs],
        "and": [x & y for x, y in pairs],
        "or": [x | y for x, y in pairs],
        "xor": [x ^ y for x, y in pairs],
    }.items():
        (result,) = run(op, [a, b], tensor(a))
        assert result.tolist() == [wrap(value) for value in expected], op


def test_integer_power():
    base, exponent = np.repeat(np.arange(-3, 4), 8), np.tile(np.arange(-4, 4), 7)
    keep = (base != 0) | (exponent >= 0)
    base, exponent = base[keep].astype(np.int32), exponent[keep].astype(np.int32)
    (result,) = run("power", [base, exponent], tensor(base))
    assert result.tolist() == [int(float(b) ** int(e)) for b, e in zip(base, exponent, strict=True)]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint32])
def test_shifts(dtype):
    bits = 8 * np.dtype(dtype).itemsize
    value = integers(-100, 100, 60).astype(dtype)
    amount = (np.arange(60) % (bits + 3)).astype(dtype)
    mask = 2**bits - 1

    def signed(x: int) -> int:
        return x - 2**bits if x & (1 << (bits - 1)) else x

    raw = [int(x) & mask for x in value]
    for op, shift in {
        "shift_left": lambda x, n: x << n,
        "shift_right_arithmetic": lambda x, n: signed(x) >> n,
        "shift_right_logical": lambda x, n: x >> n,
    }.items():
        (result,) = run(op, [value, amount], tensor(value))
        assert [int(x) & mask for x in result] == [shift(x, int(n)) & mask for x, n in zip(raw, amount, strict=True)], (
            op
        )


def test_booleans():
    a, b = np.array([0, 0, 1, 1], bool), np.array([0, 1, 0, 1], bool)
    for op, expected in {
        "add": a | b,
        "multiply": a & b,
        "maximum": a | b,
        "minimum": a & b,
        "and": a & b,
        "or": a | b,
        "xor": a ^ b,
    }.items():
        np.testing.assert_array_equal(run(op, [a, b], "tensor<4xi1>")[0], expected)
    np.testing.assert_array_equal(run("not", [a], "tensor<4xi1>")[0], ~a)


def test_nan_wins_maximum_and_minimum():
    a, b = np.array([np.nan, 1, 3], np.float32), np.array([1, np.nan, 2], np.float32)
    np.testing.assert_array_equal(run("maximum", [a, b], "tensor<3xf32>")[0], [np.nan, np.nan, 3])
    np.testing.assert_array_equal(run("minimum", [a, b], "tensor<3xf32>")[0], [np.nan, np.nan, 2])


def test_rounding():
    x = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, 2.4, -2.6], np.float32)
    assert run("round_nearest_even", [x], tensor(x))[0].tolist() == [0, 2, 2, 0, -2, 0, 2, -3]
    assert run("round_nearest_afz", [x], tensor(x))[0].tolist() == [1, 2, 3, -1, -2, 0, 2, -3]


SPECIAL = np.array([-np.nan, -np.inf, -1.5, -0.0, 0.0, 1.5, np.inf, np.nan], np.float32)


@pytest.mark.parametrize("direction", ["EQ", "NE", "LT", "LE", "GT", "GE"])
@pytest.mark.parametrize("kind", ["FLOAT", "TOTALORDER"])
def test_compare_floats(direction, kind):
    a, b = np.repeat(SPECIAL, 8), np.tile(SPECIAL, 8)
    # SPECIAL is listed in total order.
    keys = (
        (a.tolist(), b.tolist())
        if kind == "FLOAT"
        else (np.repeat(np.arange(8), 8).tolist(), np.tile(np.arange(8), 8).tolist())
    )
    holds = {
        "EQ": lambda x, y: x == y,
        "NE": lambda x, y: x != y,
        "LT": lambda x, y: x < y,
        "LE": lambda x, y: x <= y,
        "GT": lambda x, y: x > y,
        "GE": lambda x, y: x >= y,
    }[direction]
    (result,) = run(
        "compare",
        [a, b],
        "tensor<64xi1>",
        f"<{{comparison_direction = #stablehlo<comparison_direction {direction}>, "
        f"compare_type = #stablehlo<comparison_type {kind}>}}>",
    )
    assert result.tolist() == list(map(holds, *keys))


def test_select_and_clamp():
    x, y = normal(3, 4), normal(3, 4)
    np.testing.assert_array_equal(run("select", [x > 0, x, y], tensor(x))[0], np.where(x > 0, x, y))
    np.testing.assert_array_equal(run("select", [np.array(False), x, y], tensor(x))[0], y)
    low, high = np.float32(-0.5).reshape(()), np.float32(0.25).reshape(())
    np.testing.assert_array_equal(run("clamp", [low, x, high], tensor(x))[0], np.clip(x, -0.5, 0.25))


@pytest.mark.parametrize(
    "x, result, expected",
    [
        (np.array([1.9, -1.9, np.nan, np.inf, -np.inf], np.float32), "i8", [1, -1, 0, 127, -128]),
        (np.array([3e18, 1e30, -1e30], np.float64), "i64", [3 * 10**18, 2**63 - 1, -(2**63)]),
        (np.array([300.0, -3.0], np.float32), "ui8", [255, 0]),
        (np.array([300, -1, 128], np.int32), "i8", [44, -1, -128]),
        (np.array([0.0, -0.0, 0.25, np.nan], np.float32), "i1", [False, False, True, True]),
        (np.array([True, False]), "f32", [1.0, 0.0]),
        (np.array([257, -3], np.int32), "bf16", [256.0, -3.0]),
        (np.array([1 + 2**-9], np.float32), "bf16", [1.0]),
        (np.array([65520.0, 1e-9], np.float32), "f16", [np.inf, 0.0]),
    ],
)
def test_convert(x, result, expected):
    (got,) = run("convert", [x], f"tensor<{x.size}x{result}>")
    assert got.tolist() == expected


def test_bitcast_convert():
    x = normal(3, 2)
    (halves,) = run("bitcast_convert", [x], "tensor<3x2x2xi16>")
    low, high = halves[..., 0].view(np.uint16), halves[..., 1].view(np.uint16)
    np.testing.assert_array_equal(low + (high.astype(np.uint32) << 16), x.view(np.uint32))
    np.testing.assert_array_equal(run("bitcast_convert", [halves], "tensor<3x2xf32>")[0], x)

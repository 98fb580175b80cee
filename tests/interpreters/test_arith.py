"""arith, math and tensor.extract on scalars that stand for many positions at once.

A score region is written on scalars and run once, on arrays that broadcast over (batch..., head, query, key); these
tests run such regions both ways, and check the rules that Python's own numbers do not have: dtypes, wrapping, signs.
"""

import math as pymath

import numpy as np
import pytest
from xdsl.dialects import arith, math, tensor
from xdsl.dialects.builtin import (
    FloatAttr,
    IndexType,
    TensorType,
    bf16,
    f16,
    f32,
    f64,
    i1,
    i8,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.utils.test_value import create_ssa_value

from flashlower.dialects.parsing import parse_module
from flashlower.interpreters import make_interpreter, run_module
from flashlower.interpreters.values import dtype_of

RNG = np.random.default_rng(1)
MODULE = parse_module('"test.op"() : () -> ()')


def value(type: Attribute) -> SSAValue:
    return create_ssa_value(type)


def run(op: Operation, *args: object) -> np.ndarray:
    """Run one op, on arguments converted to its operands' types."""
    arrays = tuple(np.asarray(arg).astype(dtype_of(v.type)) for arg, v in zip(args, op.operands, strict=True))
    (result,) = make_interpreter(MODULE).run_op(op, arrays)
    assert isinstance(result, np.ndarray)
    assert result.dtype == dtype_of(op.results[0].type)
    return result


@pytest.mark.parametrize(
    "op, expected",
    [
        (arith.AddfOp, lambda x, y: x + y),
        (arith.SubfOp, lambda x, y: x - y),
        (arith.MulfOp, lambda x, y: x * y),
        (arith.DivfOp, lambda x, y: x / y),
        (arith.MaximumfOp, max),
        (arith.MinimumfOp, min),
        (arith.MaxnumfOp, max),
        (arith.MinnumfOp, min),
        (math.PowFOp, lambda x, y: abs(x) ** y),
        (math.Atan2Op, pymath.atan2),
    ],
)
@pytest.mark.parametrize("type, tolerance", [(f32, 1e-6), (f64, 1e-15), (f16, 1e-3), (bf16, 8e-3)])
def test_floats_broadcast(op, expected, type, tolerance):
    x = RNG.standard_normal((3, 1)).astype(dtype_of(type))
    y = RNG.standard_normal((1, 4)).astype(dtype_of(type))
    x = np.abs(x) if op is math.PowFOp else x
    result = run(op(value(type), value(type)), x, y)
    assert result.shape == (3, 4)
    for i, j in np.ndindex(3, 4):
        assert float(result[i, j]) == pytest.approx(expected(float(x[i, 0]), float(y[0, j])), rel=2 * tolerance)


@pytest.mark.parametrize(
    "op, expected",
    [
        (arith.AddiOp, lambda x, y: x + y),
        (arith.SubiOp, lambda x, y: x - y),
        (arith.MuliOp, lambda x, y: x * y),
        (arith.DivSIOp, lambda x, y: int(x / y)),
        (arith.FloorDivSIOp, lambda x, y: x // y),
        (arith.CeilDivSIOp, lambda x, y: -(-x // y)),
        (arith.RemSIOp, lambda x, y: int(pymath.fmod(x, y))),
        (arith.DivUIOp, lambda x, y: (x % 256) // (y % 256)),
        (arith.CeilDivUIOp, lambda x, y: -(-(x % 256) // (y % 256))),
        (arith.RemUIOp, lambda x, y: (x % 256) % (y % 256)),
        (arith.MinSIOp, min),
        (arith.MaxSIOp, max),
        (arith.MinUIOp, lambda x, y: min(x % 256, y % 256)),
        (arith.MaxUIOp, lambda x, y: max(x % 256, y % 256)),
        (arith.AndIOp, lambda x, y: x & y),
        (arith.OrIOp, lambda x, y: x | y),
        (arith.XOrIOp, lambda x, y: x ^ y),
    ],
)
def test_integers(op, expected):
    x, y = RNG.integers(-128, 128, 200), RNG.integers(1, 128, 200) * RNG.choice([-1, 1], 200)
    result = run(op(value(i8), value(i8)), x, y)
    for got, a, b in zip(result.tolist(), x.tolist(), y.tolist(), strict=True):
        assert got % 256 == expected(a, b) % 256


def test_shifts():
    x = np.array([-128, -3, 5, 127])
    assert run(arith.ShLIOp(value(i8), value(i8)), x, 1).tolist() == [0, -6, 10, -2]
    assert run(arith.ShRSIOp(value(i8), value(i8)), x, 2).tolist() == [-32, -1, 1, 31]
    assert run(arith.ShRUIOp(value(i8), value(i8)), x, 2).tolist() == [32, 63, 1, 31]


@pytest.mark.parametrize("predicate", arith.CMPI_COMPARISON_OPERATIONS)
def test_compare_integers(predicate):
    x, y = np.repeat(np.arange(-2, 3), 5), np.tile(np.arange(-2, 3), 5)
    a, b = (x % 2**32, y % 2**32) if predicate[0] == "u" else (x, y)
    expected = {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[predicate[-2:]]
    np.testing.assert_array_equal(run(arith.CmpiOp(value(i32), value(i32), predicate), x, y), expected)


# i1 is signed where the predicate says so: true is -1.
def test_compare_booleans():
    assert run(arith.CmpiOp(value(i1), value(i1), "slt"), [True, False], [False, True]).tolist() == [True, False]
    assert run(arith.CmpiOp(value(i1), value(i1), "ult"), [True, False], [False, True]).tolist() == [False, True]


@pytest.mark.parametrize("predicate", arith.CMPF_COMPARISON_OPERATIONS)
def test_compare_floats(predicate):
    numbers = [1.0, 2.0, pymath.nan]
    for a in numbers:
        for b in numbers:
            unordered = pymath.isnan(a) or pymath.isnan(b)
            if predicate in ("true", "false"):
                expected = predicate == "true"
            elif predicate in ("ord", "uno"):
                expected = unordered == (predicate == "uno")
            elif unordered:
                expected = predicate[0] == "u"
            else:
                relation = predicate[1:]
                expected = {"eq": a == b, "ne": a != b, "lt": a < b, "le": a <= b, "gt": a > b, "ge": a >= b}[relation]
            assert run(arith.CmpfOp(value(f32), value(f32), predicate), a, b) == expected


def test_nan_in_maximum_and_in_maxnum():
    assert np.isnan(run(arith.MaximumfOp(value(f32), value(f32)), np.nan, 1.0))
    assert np.isnan(run(arith.MinimumfOp(value(f32), value(f32)), 1.0, np.nan))
    assert run(arith.MaxnumfOp(value(f32), value(f32)), np.nan, 1.0) == 1
    assert run(arith.MinnumfOp(value(f32), value(f32)), 1.0, np.nan) == 1


def test_select_broadcasts():
    condition = np.array([[True, False, True]])
    result = run(arith.SelectOp(value(i1), value(f32), value(f32)), condition, np.ones((2, 1)), -np.inf)
    assert result.tolist() == [[1, -np.inf, 1]] * 2


@pytest.mark.parametrize(
    "op, x, expected",
    [
        (arith.ExtFOp(value(f16), f32), 0.1, float(np.float16(0.1))),
        (arith.TruncFOp(value(f32), bf16), 1.003, 1.0),
        (arith.SIToFPOp(value(i8), f32), -3, -3),
        (arith.UIToFPOp(value(i8), f32), -3, 253),
        (arith.SIToFPOp(value(i1), f32), True, -1),
        (arith.UIToFPOp(value(i1), f32), True, 1),
        (arith.FPToSIOp(value(f32), i32), -2.9, -2),
        (arith.FPToUIOp(value(f32), i8), 200.7, 200 - 256),
        (arith.ExtSIOp(value(i8), i64), -3, -3),
        (arith.ExtUIOp(value(i8), i64), -3, 253),
        (arith.ExtSIOp(value(i1), i32), True, -1),
        (arith.ExtUIOp(value(i1), i32), True, 1),
        (arith.TruncIOp(value(i32), i8), 300, 44),
        (arith.TruncIOp(value(i32), i1), 2, False),
        (arith.IndexCastOp(value(i32), IndexType()), -7, -7),
        (arith.IndexCastOp(value(IndexType()), i32), 2**32 + 5, 5),
        (arith.BitcastOp(value(f32), i32), 1.0, 0x3F800000),
        (arith.NegfOp(value(f32)), 2.0, -2.0),
    ],
)
def test_conversions(op, x, expected):
    assert run(op, x).tolist() == expected
    assert run(op, [[x], [x]]).tolist() == [[expected], [expected]]


@pytest.mark.parametrize(
    "op, function",
    [
        (math.AbsFOp, abs),
        (math.CbrtOp, pymath.cbrt),
        (math.CeilOp, pymath.ceil),
        (math.CosOp, pymath.cos),
        (math.ExpOp, pymath.exp),
        (math.Exp2Op, lambda x: 2.0**x),
        (math.ExpM1Op, pymath.expm1),
        (math.FloorOp, pymath.floor),
        (math.LogOp, pymath.log),
        (math.Log2Op, pymath.log2),
        (math.Log10Op, pymath.log10),
        (math.Log1pOp, pymath.log1p),
        (math.RoundEvenOp, round),
        (math.RsqrtOp, lambda x: x**-0.5),
        (math.SinOp, pymath.sin),
        (math.SqrtOp, pymath.sqrt),
        (math.TanOp, pymath.tan),
        (math.TanhOp, pymath.tanh),
        (math.TruncOp, pymath.trunc),
    ],
)
@pytest.mark.parametrize("type, tolerance", [(f32, 1e-6), (f64, 1e-14), (bf16, 8e-3)])
def test_functions(op, function, type, tolerance):
    x = np.abs(RNG.standard_normal(20)).astype(dtype_of(type)) + dtype_of(type).type(0.01)
    result = run(op(value(type)), x)
    np.testing.assert_allclose(
        result.astype(np.float64), [function(float(a)) for a in x], rtol=tolerance, atol=tolerance / 10
    )


def test_integer_absolute_value():
    assert run(math.AbsIOp(value(i32)), [-3, 4]).tolist() == [3, 4]


# Adding 1 to 2^24 is lost in f32, and would not be in the f64 of Python's numbers.
def test_float32_stays_float32():
    assert run(arith.AddfOp(value(f32), value(f32)), 2.0**24, 1.0) == 2.0**24
    (result,) = make_interpreter(MODULE).run_op(arith.ConstantOp(FloatAttr(0.1, 32)), ())
    assert result.dtype == np.float32 and result == np.float32(0.1)


def test_extract_at_arrays_of_indices():
    source = RNG.standard_normal((4, 5)).astype(np.float32)
    op = tensor.ExtractOp(value(TensorType(f32, (4, 5))), [value(IndexType())] * 2, f32)
    rows, columns = np.arange(4)[:, None], np.array([[4, 0, 2]])
    result = run(op, source, rows, columns)
    for i, j in np.ndindex(4, 3):
        assert result[i, j] == source[i, columns[0, j]]
    assert run(op, source, 1, 2) == source[1, 2]


# Where a selection discards what was read, the place read from may not exist.
def test_extract_out_of_range_does_not_fail():
    op = tensor.ExtractOp(value(TensorType(i32, (3,))), [value(IndexType())], i32)
    assert run(op, [7, 8, 9], [-2, 0, 2, 5]).tolist() == [7, 7, 9, 9]


def test_dim():
    op = tensor.DimOp(value(TensorType(f32, (2, 3))), value(IndexType()))
    assert run(op, np.zeros((2, 3)), 1) == 3


def test_functions_of_scalars_and_tensors():
    module = parse_module("""
    func.func @main(%x: f32, %t: tensor<2x3xf32>) -> (f32, tensor<1x2xf64>, tensor<2xf32>, tensor<3xf32>) {
      %c = arith.constant 0.5 : f32
      %d = arith.constant dense<[[1.0, 0xFFF0000000000000]]> : tensor<1x2xf64>
      %y = arith.mulf %x, %c : f32
      %z = math.exp %y : f32
      %pair = tensor.from_elements %x, %z : tensor<2xf32>
      %same = "tensor.splat"(%x) : (f32) -> tensor<3xf32>
      func.return %z, %d, %pair, %same : f32, tensor<1x2xf64>, tensor<2xf32>, tensor<3xf32>
    }
    """)
    z, d, pair, same = run_module(module, [np.float32(2), np.zeros((2, 3), np.float32)])
    assert z == np.exp(np.float32(1)) and z.dtype == np.float32
    assert d.tolist() == [[1.0, -np.inf]]
    assert pair.tolist() == [2.0, z] and same.tolist() == [2.0] * 3

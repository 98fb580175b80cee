"""
Operations of score regions mean on blocks what they mean in MLIR.

With K = 0 and one key per query, the LSE of a row is the value that the region yields for it, so each operation is
run on chosen numbers and compared with Python: rounding of divisions, NaN, signs, conversions, comparisons. The
numbers come from captured tensors (values in the loop) and from indices (values before it).
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from pipelines import transform

from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.runtime import call

pytest.importorskip("triton", reason="kernels run where Triton can be installed")

INTEGERS = [-9, -8, -7, -1, 0, 1, 2, 7, 8, 9, 1000]
FLOATS = [-math.inf, -3.5, -1.0, -0.25, 0.0, 1e-4, 0.5, 1.0, 2.5, 80.0, math.inf, math.nan]


def region_values(lines: str, tensors: dict[str, np.ndarray], types: dict[str, str], queries: int) -> np.ndarray:
    """What a region yields as %r, an f32, for the queries 0, 1, ..."""
    arguments = "".join(f", %{name}: tensor<{len(a)}x{types[name]}>" for name, a in tensors.items())
    text = f"""
func.func @main(%q: tensor<{queries}x1xf32>, %k: tensor<1x1xf32>, %v: tensor<1x1xf32>{arguments})
    -> tensor<{queries}xf32> {{
  %out, %lse = attention.sdpa q(%q[m, k] : tensor<{queries}x1xf32>) k(%k[n, k] : tensor<1x1xf32>)
    v(%v[n, d] : tensor<1x1xf32>) scale(1.0) score {{
    ^bb0(%s: f32, %hq: index, %m: index, %n: index):
      {lines}
      attention.yield %r : f32
    }} -> out[m, d] : tensor<{queries}x1xf32>, lse[m] : tensor<{queries}xf32>
  func.return %lse : tensor<{queries}xf32>
}}"""
    source = print_module(transform(text, "convert-attention-to-triton"))
    zeros = [np.zeros((queries, 1), np.float32), np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)]
    return call(source, "main", [*zeros, *tensors.values()])


def c_divide(a: int, b: int) -> int:
    return math.trunc(a / b)


def unsigned(a: int) -> int:
    return a % (1 << 32)


def signed(a: int) -> int:
    return (a + (1 << 31)) % (1 << 32) - (1 << 31)


BINARY_INTEGER = {
    "addi": lambda a, b: a + b,
    "subi": lambda a, b: a - b,
    "muli": lambda a, b: a * b,
    "divsi": c_divide,
    "remsi": math.fmod,
    "floordivsi": lambda a, b: a // b,
    "ceildivsi": lambda a, b: -(-a // b),
    "divui": lambda a, b: signed(unsigned(a) // unsigned(b)),
    "remui": lambda a, b: signed(unsigned(a) % unsigned(b)),
    "maxsi": max,
    "minsi": min,
    "maxui": lambda a, b: signed(max(unsigned(a), unsigned(b))),
    "minui": lambda a, b: signed(min(unsigned(a), unsigned(b))),
    "andi": lambda a, b: a & b,
    "ori": lambda a, b: a | b,
    "xori": lambda a, b: a ^ b,
}


@pytest.mark.parametrize("name", BINARY_INTEGER)
def test_integer_arithmetic(name: str):
    pairs = [(a, b) for a in INTEGERS for b in (-3, -1, 2, 7)]
    a, b = (np.array(column, np.int32) for column in zip(*pairs))
    lines = f"""
      %a = tensor.extract %ta[%m] : tensor<{len(a)}xi32>
      %b = tensor.extract %tb[%m] : tensor<{len(b)}xi32>
      %c = arith.{name} %a, %b : i32
      %r = arith.sitofp %c : i32 to f32"""
    got = region_values(lines, {"ta": a, "tb": b}, {"ta": "i32", "tb": "i32"}, len(a))
    np.testing.assert_allclose(got, np.array([BINARY_INTEGER[name](*pair) for pair in pairs], np.float32), rtol=1e-6)


COMPARISONS = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "slt": lambda a, b: a < b,
    "sle": lambda a, b: a <= b,
    "sgt": lambda a, b: a > b,
    "sge": lambda a, b: a >= b,
    "ult": lambda a, b: unsigned(a) < unsigned(b),
    "ule": lambda a, b: unsigned(a) <= unsigned(b),
    "ugt": lambda a, b: unsigned(a) > unsigned(b),
    "uge": lambda a, b: unsigned(a) >= unsigned(b),
}


@pytest.mark.parametrize("name", COMPARISONS)
def test_integer_comparisons(name: str):
    """On indices: m - 5 is compared with 2, before the loop, and with a value that is loaded in it."""
    lines = f"""
      %c5 = arith.constant 5 : index
      %c2 = arith.constant 2 : index
      %a = arith.subi %m, %c5 : index
      %p = arith.cmpi {name}, %a, %c2 : index
      %t = tensor.extract %t2[%n] : tensor<1xi64>
      %b = arith.index_cast %t : i64 to index
      %q2 = arith.cmpi {name}, %b, %a : index
      %x = arith.uitofp %p : i1 to f32
      %y = arith.sitofp %q2 : i1 to f32
      %c10 = arith.constant 10.0 : f32
      %x10 = arith.mulf %x, %c10 : f32
      %r = arith.addf %x10, %y : f32"""
    got = region_values(lines, {"t2": np.array([2], np.int64)}, {"t2": "i64"}, 12)
    # As a signed number, true is -1.
    compare = COMPARISONS[name]
    np.testing.assert_array_equal(got, [10 * compare(m - 5, 2) - compare(2, m - 5) for m in range(12)])


def is_nan(a: float, b: float) -> bool:
    return math.isnan(a) or math.isnan(b)


FLOAT_COMPARISONS = {
    "oeq": lambda a, b: a == b,
    "ogt": lambda a, b: a > b,
    "oge": lambda a, b: a >= b,
    "olt": lambda a, b: a < b,
    "ole": lambda a, b: a <= b,
    "one": lambda a, b: a != b and not is_nan(a, b),
    "ord": lambda a, b: not is_nan(a, b),
    "ueq": lambda a, b: a == b or is_nan(a, b),
    "ugt": lambda a, b: a > b or is_nan(a, b),
    "uge": lambda a, b: a >= b or is_nan(a, b),
    "ult": lambda a, b: a < b or is_nan(a, b),
    "ule": lambda a, b: a <= b or is_nan(a, b),
    "une": lambda a, b: a != b,
    "uno": is_nan,
}


@pytest.mark.parametrize("name", FLOAT_COMPARISONS)
def test_float_comparisons(name: str):
    pairs = [(a, b) for a in FLOATS for b in (-1.0, 0.5, math.inf, math.nan)]
    a, b = (np.array(column, np.float32) for column in zip(*pairs))
    lines = f"""
      %a = tensor.extract %ta[%m] : tensor<{len(a)}xf32>
      %b = tensor.extract %tb[%m] : tensor<{len(b)}xf32>
      %c = arith.cmpf {name}, %a, %b : f32
      %r = arith.uitofp %c : i1 to f32"""
    got = region_values(lines, {"ta": a, "tb": b}, {"ta": "f32", "tb": "f32"}, len(a))
    np.testing.assert_array_equal(got, [float(FLOAT_COMPARISONS[name](*pair)) for pair in pairs])


FLOAT_OPS = {
    "arith.maximumf": np.maximum,
    "arith.minimumf": np.minimum,
    "arith.maxnumf": np.fmax,
    "arith.minnumf": np.fmin,
    "arith.subf": np.subtract,
    "arith.divf": np.divide,
}


@pytest.mark.parametrize("element", ["f32", "f16"])
@pytest.mark.parametrize("name", FLOAT_OPS)
def test_float_arithmetic(name: str, element: str):
    """Two values of a table; a NaN of one of them is the result, or is ignored, as the operation says."""
    pairs = [(a, b) for a in FLOATS for b in (-1.0, 0.5, 2.0, math.nan) if math.isnan(a) or abs(a) < 100]
    dtype = np.float32 if element == "f32" else np.float16
    a, b = (np.array(column, dtype) for column in zip(*pairs))
    widen = f"%r = arith.extf %c : {element} to f32" if element != "f32" else "%r = arith.addf %c, %s : f32"
    lines = f"""
      %a = tensor.extract %ta[%m] : tensor<{len(a)}x{element}>
      %b = tensor.extract %tb[%m] : tensor<{len(b)}x{element}>
      %c = {name} %a, %b : {element}
      {widen}"""
    got = region_values(lines, {"ta": a, "tb": b}, {"ta": element, "tb": element}, len(a))
    expected = FLOAT_OPS[name](a, b).astype(np.float32)
    np.testing.assert_allclose(got, expected, rtol=1e-6 if element == "f32" else 1e-3)


MATH_OPS = {
    "absf": abs,
    "ceil": math.ceil,
    "cos": math.cos,
    "exp": math.exp,
    "exp2": lambda x: 2.0**x,
    "floor": math.floor,
    "sin": math.sin,
    "tanh": math.tanh,
    "log": lambda x: math.log(abs(x) + 1),
    "log2": lambda x: math.log2(abs(x) + 1),
    "sqrt": lambda x: math.sqrt(abs(x) + 1),
    "rsqrt": lambda x: 1 / math.sqrt(abs(x) + 1),
}


@pytest.mark.parametrize("element", ["f32", "f16"])
@pytest.mark.parametrize("name", MATH_OPS)
def test_math(name: str, element: str):
    """The logarithms and roots are taken of |x| + 1."""
    x = np.array([-20.0, -3.5, -1.0, -0.3, -1e-3, 0.0, 1e-3, 0.3, 1.0, 2.5, 9.0], np.float32)
    domain = name in ("log", "log2", "sqrt", "rsqrt")
    narrow = "" if element == "f32" else f"%y1 = arith.truncf %y0 : f32 to {element}"
    value = "%y0" if element == "f32" else "%y1"
    widen = "%r = arith.addf %z, %s : f32" if element == "f32" else f"%r = arith.extf %z : {element} to f32"
    lines = f"""
      %x = tensor.extract %t[%m] : tensor<{len(x)}xf32>
      %one = arith.constant 1.0 : f32
      %abs = math.absf %x : f32
      %shifted = arith.addf %abs, %one : f32
      %zero = arith.constant 0.0 : f32
      %y0 = arith.addf {"%shifted" if domain else "%x"}, %zero : f32
      {narrow}
      %z = math.{name} {value} : {element}
      {widen}"""
    got = region_values(lines, {"t": x}, {"t": "f32"}, len(x))
    expected = [MATH_OPS[name](float(value)) for value in x]
    tolerance = {"f32": 3e-6, "f16": 4e-3}[element]
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance / 10)


def test_tanh_is_bounded_and_exact_at_its_ends():
    """exp overflows far before 1e30; the soft cap of an infinite logit is the cap."""
    x = np.array([-np.inf, -1e30, -60.0, 0.0, 60.0, 1e30, np.inf], np.float32)
    lines = f"""
      %x = tensor.extract %t[%m] : tensor<{len(x)}xf32>
      %r = math.tanh %x : f32"""
    np.testing.assert_array_equal(region_values(lines, {"t": x}, {"t": "f32"}, len(x)), [-1, -1, -1, 0, 1, 1, 1])


def test_tanh_error_is_an_ulp_of_one():
    x = np.linspace(-4, 4, 401).astype(np.float32)
    lines = f"""
      %x = tensor.extract %t[%m] : tensor<{len(x)}xf32>
      %r = math.tanh %x : f32"""
    got = region_values(lines, {"t": x}, {"t": "f32"}, len(x))
    # The LSE that carries the value is rounded too, twice.
    np.testing.assert_allclose(got, np.tanh(x.astype(np.float64)), atol=4e-7)


CONVERSIONS = [
    ("i8 to i32", "extsi", lambda x: x),
    ("i8 to i32", "extui", lambda x: x % 256),
    ("i8 to i1", "trunci", lambda x: -(x & 1)),
]


def test_power() -> None:
    pairs = [(a, b) for a in FLOATS for b in (-3.0, -0.5, 0.0, 0.5, 2.0, 3.0, 1e30, math.inf, -math.inf, math.nan)]
    x, y = (np.array(column, np.float32) for column in zip(*pairs))
    lines = """
      %x = tensor.extract %a[%m] : tensor<{n}xf32>
      %y = tensor.extract %b[%m] : tensor<{n}xf32>
      %r = math.powf %x, %y : f32""".replace("{n}", str(len(pairs)))
    values = region_values(lines, {"a": x, "b": y}, {"a": "f32", "b": "f32"}, len(pairs))
    with np.errstate(all="ignore"):
        expected = np.power(x, y)
    # A row with a logit of +inf has no LSE.
    shown = expected != math.inf
    np.testing.assert_allclose(values[shown], expected[shown], rtol=1e-5)


@pytest.mark.parametrize(("types", "name", "function"), CONVERSIONS)
def test_integer_conversions(types: str, name: str, function):
    x = np.array([-128, -2, -1, 0, 1, 2, 5, 127], np.int8)
    target = types.split(" to ")[1]
    lines = f"""
      %x = tensor.extract %t[%m] : tensor<{len(x)}xi8>
      %y = arith.{name} %x : {types}
      %r = arith.sitofp %y : {target} to f32"""
    got = region_values(lines, {"t": x}, {"t": "i8"}, len(x))
    np.testing.assert_array_equal(got, [function(int(value)) for value in x])


def test_large_index_constants_do_not_overflow():
    """m * 2^30 + 2^40 needs 64 bits, of which f32 shows the leading ones."""
    lines = """
      %a = arith.constant 1073741824 : index
      %b = arith.constant 1099511627776 : index
      %x = arith.muli %m, %a : index
      %y = arith.addi %x, %b : index
      %z = arith.index_cast %y : index to i64
      %r = arith.sitofp %z : i64 to f32"""
    got = region_values(lines, {}, {}, 5)
    np.testing.assert_allclose(got, [m * 2.0**30 + 2.0**40 for m in range(5)], rtol=1e-6)


def test_captured_numbers_and_constants():
    """A constant from outside the region, and a tensor of rank 0, which is read once."""
    text = """
func.func @main(%q: tensor<3x1xf32>, %k: tensor<1x1xf32>, %v: tensor<1x1xf32>, %shift: tensor<f32>) -> tensor<3xf32> {
  %two = arith.constant 2.0 : f32
  %out, %lse = attention.sdpa q(%q[m, k] : tensor<3x1xf32>) k(%k[n, k] : tensor<1x1xf32>)
    v(%v[n, d] : tensor<1x1xf32>) scale(1.0) score {
    ^bb0(%s: f32, %hq: index, %m: index, %n: index):
      %x = tensor.extract %shift[] : tensor<f32>
      %y = arith.mulf %x, %two : f32
      %r = arith.addf %s, %y : f32
      attention.yield %r : f32
    } -> out[m, d] : tensor<3x1xf32>, lse[m] : tensor<3xf32>
  func.return %lse : tensor<3xf32>
}"""
    source = print_module(transform(text, "convert-attention-to-triton"))
    zeros = [np.zeros((3, 1), np.float32), np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)]
    got = call(source, "main", [*zeros, np.array(1.25, np.float32)])
    np.testing.assert_array_equal(got, [2.5] * 3)
    head, _, loop = source.partition("for start_n in")
    assert "shift = tl.load(shift_ptr)" in head and "shift_ptr" not in loop.partition("def main")[0]

"""CHLO, which JAX exports beside StableHLO (`jnp.var`, exact GELU, `top_k`): models that hold it are read and run.

Each expected value is written from the function's definition; the error function is compared with its integral.
"""

import ml_dtypes
import numpy as np
import pytest
from stablehlo_runner import RNG, tensor

from flashlower.dialects.parsing import ModuleTextError, parse_module
from flashlower.interpreters import run_module


def run(op: str, array: np.ndarray, results: str, properties: str = "") -> tuple[np.ndarray, ...]:
    count = len(results.split(", "))
    values = ", ".join(f"%r#{i}" for i in range(count))
    return run_module(
        parse_module(f"""
        func.func @main(%a: {tensor(array)}) -> ({results}) {{
          %r:{count} = "chlo.{op}"(%a) {properties} : ({tensor(array)}) -> ({results})
          func.return {values} : {results}
        }}
        """),
        [array],
    )


def error_function(x: np.ndarray) -> np.ndarray:
    """Simpson's rule on 2000 intervals."""
    t = np.linspace(0, 1, 2001)
    weights = np.full(t.shape, 2.0)
    weights[1::2] = 4
    weights[[0, -1]] = 1
    return 2 / np.sqrt(np.pi) * x * (np.exp(-((x[..., None] * t) ** 2)) * weights).sum(-1) / 6000


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize(
    "op, function, low, high",
    [
        ("acos", lambda x: np.arctan2(np.sqrt(1 - x * x), x), -0.9, 0.9),
        ("acosh", lambda x: np.log(x + np.sqrt(x * x - 1)), 1.1, 4),
        ("asin", lambda x: np.arctan2(x, np.sqrt(1 - x * x)), -0.9, 0.9),
        ("asinh", lambda x: np.sign(x) * np.log(np.abs(x) + np.sqrt(x * x + 1)), -4, 4),
        ("atanh", lambda x: np.log((1 + x) / (1 - x)) / 2, -0.9, 0.9),
        ("cosh", lambda x: (np.exp(x) + np.exp(-x)) / 2, -4, 4),
        ("erf", error_function, -3, 3),
        ("erfc", lambda x: 1 - error_function(x), -3, 2),
        ("sinh", lambda x: (np.exp(x) - np.exp(-x)) / 2, -4, 4),
        ("square", lambda x: x * x, -4, 4),
    ],
)
def test_functions(op, function, low, high, dtype):
    x = RNG.uniform(low, high, (5, 7)).astype(dtype)
    (result,) = run(op, x, tensor(x))
    assert result.dtype == dtype
    expected = function(x.astype(np.float64))
    np.testing.assert_allclose(
        result.astype(np.float64), expected, rtol=2 * float(ml_dtypes.finfo(dtype).eps), atol=1e-12
    )


# 1 - erf(x) would be 0 here.
def test_erfc_keeps_small_values():
    x = np.array([5.0, 9.0], np.float32)
    (result,) = run("erfc", x, tensor(x))
    np.testing.assert_allclose(result, [1.5374597944280349e-12, 4.13703174651381e-37], rtol=1e-6)


def test_square_of_integers_wraps():
    x = np.array([-3, 7, 2**17], np.int32)
    (result,) = run("square", x, tensor(x))
    assert result.tolist() == [9, 49, 0]


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.int32])
def test_top_k(dtype):
    x = RNG.integers(-3, 4, (4, 6, 9)).astype(dtype)
    values, indices = run("top_k", x, f"{tensor(x[..., :5])}, {tensor(x[..., :5].astype(np.int32))}", "<{k = 5 : i64}>")
    for row in np.ndindex(4, 6):
        # Python's sort is stable, so equal elements stay in the order of their indices.
        order = sorted(range(9), key=lambda i: -float(x[row][i]))[:5]
        assert indices[row].tolist() == order
        assert values[row].tolist() == x[row][order].tolist()


def test_top_k_of_more_than_there_are():
    with pytest.raises(ModuleTextError, match=r"k is 4, but expected 0 to the last dimension of \[2, 3\]"):
        run("top_k", np.zeros((2, 3), np.float32), "tensor<2x4xf32>, tensor<2x4xi32>", "<{k = 4 : i64}>")


def test_pretty_form_is_refused():
    with pytest.raises(ModuleTextError, match=r"chlo\.square is in pretty form"):
        parse_module("func.func @main(%a: tensor<2xf32>) {\n  %0 = chlo.square %a : tensor<2xf32>\n}")

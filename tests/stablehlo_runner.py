"""Runs single StableHLO ops on NumPy arrays, for tests."""

from collections.abc import Sequence

import numpy as np

from flashlower.dialects.numpy_values import element_type_of
from flashlower.dialects.parsing import parse_module
from flashlower.interpreters import run_module

RNG = np.random.default_rng(0)
Array = np.ndarray


def tensor(array: Array) -> str:
    """An array's type as text."""
    return f"tensor<{''.join(f'{size}x' for size in array.shape)}{element_type_of(array.dtype)}>"


def run(op: str, args: Sequence[Array], results: str, properties: str = "", regions: str = "") -> tuple[Array, ...]:
    """Run one op on arrays. `results` are its result types, separated by commas."""
    names = [f"%a{i}" for i in range(len(args))]
    types = [tensor(arg) for arg in args]
    count = len(results.split(", ")) if results else 0
    values = ", ".join(f"%r#{i}" for i in range(count))
    text = f"""
    func.func @main({", ".join(f"{n}: {t}" for n, t in zip(names, types, strict=True))}) -> ({results}) {{
      %r:{count} = "stablehlo.{op}"({", ".join(names)}) {properties} {regions} : ({", ".join(types)}) -> ({results})
      func.return {values} : {results}
    }}
    """
    outputs = run_module(parse_module(text), args)
    assert [tensor(output) for output in outputs] == results.split(", ")
    return outputs


def body(op: str, type: str) -> str:
    return f"""({{
      ^bb0(%lhs: {type}, %rhs: {type}):
        %c = "stablehlo.{op}"(%lhs, %rhs) : ({type}, {type}) -> {type}
        "stablehlo.return"(%c) : ({type}) -> ()
    }})"""


def normal(*shape: int, dtype: type = np.float32) -> Array:
    return RNG.standard_normal(shape).astype(dtype)


def integers(low: int, high: int, *shape: int, dtype: type = np.int32) -> Array:
    return RNG.integers(low, high, shape).astype(dtype)

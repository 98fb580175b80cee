"""Locks in that a JAX function becomes a module that `compile` and `interpret` take, with JAX's own numbers.

JAX is an extra: without it there is one error that names it.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import flashlower as fl


def test_without_jax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(ImportError, match=r"from_jax needs JAX: pip install 'flashlower\[jax\]'"):
        fl.from_jax(lambda x: x, np.zeros(3))


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("jitted", [False, True])
def test_attention_of_jax(is_causal: bool, jitted: bool) -> None:
    jax = pytest.importorskip("jax", reason="the extra jax is not installed")
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, n, h, 24)).astype(np.float32) for n, h in ((5, 6), (90, 2), (90, 2)))

    def attention(q: Any, k: Any, v: Any) -> Any:
        return jax.nn.dot_product_attention(q, k, v, is_causal=is_causal)

    module = fl.from_jax(jax.jit(attention) if jitted else attention, q, k, v)
    want = np.asarray(attention(q, k, v), np.float64)
    kernel = fl.compile(module, splits=2)
    for out in (kernel(q, k, v), fl.interpret(module, q, k, v), fl.interpret(module, q, k, v, kernels="triton")):
        assert np.linalg.norm(out - want) < 1e-5 * np.linalg.norm(want)


def test_text_is_no_function() -> None:
    """It has a method `lower`, as jitted functions do."""
    with pytest.raises(TypeError, match="function is a str, expected a function of JAX; exported StableHLO is text"):
        fl.from_jax("builtin.module {}")  # type: ignore[arg-type]


def test_unused_arguments_stay() -> None:
    jax = pytest.importorskip("jax", reason="the extra jax is not installed")
    x, unused = np.arange(3, dtype=np.float32), np.zeros((2, 2), np.int32)

    def function(used: Any, unused: Any) -> Any:
        return used["x"] * 2

    assert fl.interpret(fl.from_jax(function, {"x": x}, unused), x, unused).tolist() == [0, 2, 4]
    kept = jax.jit(function, keep_unused=True)
    assert fl.interpret(fl.from_jax(kept, {"x": x}, unused), x, unused).tolist() == [0, 2, 4]
    with pytest.raises(ValueError, match=r"uses 1 of 2 arguments, .* jit it with keep_unused=True"):
        fl.from_jax(jax.jit(function), {"x": x}, unused)


def test_symbolic_shapes() -> None:
    jax = pytest.importorskip("jax", reason="the extra jax is not installed")
    (size,) = jax.export.symbolic_shape("n")
    with pytest.raises(ValueError, match=r"argument leaf 0 has the symbolic shape \(2, n\), but sizes must be known"):
        fl.from_jax(lambda x: x, jax.ShapeDtypeStruct((2, size), np.float32))

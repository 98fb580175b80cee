"""Locks in that whole models in JAX come through: every attention found, none invented, JAX's own numbers.

The models are written in as many ways as there are models, and call `jax.nn.dot_product_attention` with every option;
loops over layers and vmap change the graph around the attention. bf16 results are rounded at other places than JAX's,
by about one unit in the last place of each operation.
"""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("jax", reason="the extra jax is not installed")

import jax

import flashlower as fl
from models.checks import Export, check
from models.jax_models import Model, models, variants

DTYPES = {"f32": (np.float32, 1e-5), "bf16": (ml_dtypes.bfloat16, 3e-2)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", models(np.float32))
def test_model(name: str, dtype: str) -> None:
    element, tolerance = DTYPES[dtype]
    check(export(models(element)[name]()), tolerance, kernels=dtype == "f32")


@pytest.mark.parametrize(
    ("name", "dtype"),
    [*((name, "f32") for name in variants(np.float32)), ("bias and mask", "bf16"), ("query lengths", "bf16")],
)
def test_dot_product_attention(name: str, dtype: str) -> None:
    element, tolerance = DTYPES[dtype]
    check(export(variants(element)[name]), tolerance, kernels=dtype == "f32")


def export(model: Model) -> Export:
    module = fl.from_jax(model.function, *model.args)
    inputs = [np.asarray(x) for x in jax.tree.leaves(model.args)]
    # Every model is run once.
    run = jax.jit(model.function).lower(*model.args).compile({"xla_backend_optimization_level": 0})
    return Export(module, inputs, [np.asarray(x) for x in jax.tree.leaves(run(*model.args))], model.groups)

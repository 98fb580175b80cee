"""JAX functions into stage 0."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from xdsl.dialects.builtin import ModuleOp

from flashlower.dialects.parsing import parse_module


def from_jax(function: Callable[..., Any], *args: Any, **kwargs: Any) -> ModuleOp:
    """
    The StableHLO of a JAX function, traced with these arguments (arrays or `jax.ShapeDtypeStruct`s).

    The module's `main` takes the leaves of the arguments in order, as `jax.tree.leaves` gives them. Raises
    `ImportError` where JAX is not installed, and what JAX raises for a function that it cannot trace.
    """
    try:
        jax: Any = import_module("jax")
    except ImportError as e:
        raise ImportError("from_jax needs JAX: pip install 'flashlower[jax]'") from e
    # A function that is jitted already has `lower`.
    jitted: Any = function if hasattr(function, "lower") else jax.jit(function)
    lowered: Any = jitted.lower(*args, **kwargs)
    module: Any = lowered.compiler_ir("stablehlo")
    return parse_module(module.operation.get_asm(print_generic_op_form=True), name="<jax>")

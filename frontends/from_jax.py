"""JAX functions into stage 0."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp

from flashlower.dialects.parsing import parse_module


def from_jax(function: Callable[..., Any], *args: Any, **kwargs: Any) -> ModuleOp:
    """
    The StableHLO of a JAX function, traced with these arguments (arrays or `jax.ShapeDtypeStruct`s).

    The module's `main` takes the leaves of the arguments in order, as `jax.tree.leaves` gives them, used or not.
    Raises `TypeError` for what is no function, `ImportError` where JAX is not installed, `ValueError` for symbolic
    shapes and for a jitted function that leaves arguments out, and what JAX raises for a function that it cannot trace.
    """
    if not callable(function):
        raise TypeError(
            f"function is a {type(function).__name__}, expected a function of JAX; exported StableHLO is text that "
            "flashlower.compile and flashlower.interpret take"
        )
    try:
        jax: Any = import_module("jax")
    except ImportError as e:
        raise ImportError("from_jax needs JAX: pip install 'flashlower[jax]'") from e
    leaves: list[Any] = jax.tree.leaves((args, kwargs))
    for i, leaf in enumerate(leaves):
        shape: tuple[Any, ...] = getattr(leaf, "shape", ())
        if not all(isinstance(size, int) for size in shape):
            raise ValueError(f"argument leaf {i} has the symbolic shape {shape}, but sizes must be known")
    # A function that is jitted already has `lower`, and options of its own.
    jitted: Any = function if hasattr(function, "lower") else jax.jit(function, keep_unused=True)
    lowered: Any = jitted.lower(*args, **kwargs)
    text: str = lowered.compiler_ir("stablehlo").operation.get_asm(print_generic_op_form=True)
    module = parse_module(text, name="<jax>")
    traced, kept = len(jax.tree.leaves(lowered.in_avals)), len(find_main(module).function_type.inputs)
    if kept != traced:
        raise ValueError(
            f"the jitted function uses {kept} of {traced} arguments, and JAX drops the others: pass the function "
            "without jit, or jit it with keep_unused=True"
        )
    return module


def find_main(module: ModuleOp) -> FuncOp:
    """The function `main`, which JAX's modules have."""
    return next(op for op in module.ops if isinstance(op, FuncOp) and op.sym_name.data == "main")

"""What must hold of a whole model: the attentions that are found in it, and the numbers of each way to run it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jax_client import run_module_on_jax
from xdsl.dialects.builtin import ModuleOp

import flashlower as fl
from flashlower.dialects.parsing import make_context
from flashlower.interpreters import run_module
from flashlower.rewrites.decompose_attention import DecomposeAttentionPass
from flashlower.rewrites.flash_decoding import FlashDecodingPass
from flashlower.rewrites.fuse_attention import FuseAttentionPass


@dataclass
class Export:
    """A model as a module, with inputs, and the results that its own framework computes of them."""

    module: ModuleOp
    inputs: list[Any]
    expected: list[Any]
    groups: int
    """How many attentions it has."""

    @cached_property
    def decomposed(self) -> ModuleOp:
        """The module with every attention found, split in 3, and written as plain tensor operations again."""
        return decomposed(self.module, splits=3)


def names_in(module: ModuleOp) -> list[str]:
    return [op.name for op in module.walk()]


def groups_found(module: ModuleOp) -> int:
    """How many attentions `fuse-attention` finds."""
    fused = module.clone()
    FuseAttentionPass().apply(make_context(), fused)
    fused.verify()
    return names_in(fused).count("attention.sdpa")


def decomposed(module: ModuleOp, splits: int) -> ModuleOp:
    """The module with every attention found, split, and written as plain tensor operations again."""
    result, context = module.clone(), make_context()
    for each in (FuseAttentionPass(), FlashDecodingPass(splits=splits), DecomposeAttentionPass()):
        each.apply(context, result)
        result.verify()
    assert not any(name.startswith("attention.") for name in names_in(result))
    return result


def error(got: Any, expected: list[Any]) -> float:
    """The largest relative error of the results, by norm; integers must be equal."""
    results = got if isinstance(got, tuple | list) else (got,)
    largest = 0.0
    for result, want in zip(results, expected, strict=True):
        assert result.shape == want.shape and result.dtype == want.dtype
        if result.dtype.kind in "iub":
            assert np.array_equal(result, want)
            continue
        a, b = result.astype(np.float64), want.astype(np.float64)
        difference, size = np.linalg.norm((a - b).ravel()), np.linalg.norm(b.ravel())
        # Not max(): it would lose a NaN.
        relative = 0.0 if difference == 0 else difference / size
        largest = relative if not relative <= largest else largest
    return largest


RUNS: dict[str, Callable[[Export], Any]] = {
    "NumPy": lambda e: fl.interpret(e.module, *e.inputs),
    "kernels": lambda e: fl.interpret(e.module, *e.inputs, kernels="triton", splits=2),
    "decomposed, NumPy": lambda e: run_module(e.decomposed, e.inputs),
    "decomposed, JAX": lambda e: run_module_on_jax(e.decomposed, e.inputs),
}
"""Ways to run a model: each fuses its attention first."""


def check(export: Export, tolerance: float = 1e-5, kernels: bool = True) -> None:
    """Exactly the model's attentions are found, and every way to run it gives its own framework's numbers.

    Without `kernels` they are not run: for models whose attention has been through them in another export.
    """
    assert groups_found(export.module) == export.groups
    for name, run in RUNS.items():
        if name == "kernels" and not kernels:
            continue
        difference = error(run(export), export.expected)
        assert difference <= tolerance, f"{name}: relative error {difference:.2e}"

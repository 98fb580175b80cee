"""What must hold of a random module: fusing it changes no result, and finds exactly what there is."""

from __future__ import annotations

from typing import Any

import numpy as np
from xdsl.ir import BlockArgument

from attention_graphs.generate import Case
from attention_graphs.mutate import mutate
from flashlower.dialects.attention import SdpaOp
from flashlower.dialects.parsing import make_context, parse_module
from flashlower.interpreters import run_module
from flashlower.rewrites.fuse_attention import FuseAttentionPass
from flashlower.rewrites.fuse_attention.fuse import fuse_attention

CACHES = tuple(f"stablehlo.{name}" for name in ("dynamic_update_slice", "concatenate", "gather", "slice"))
"""What K and V may be computed by before the group."""

TOLERANCE = {"f64": 1e-12, "f32": 1e-5, "f16": 3e-3, "bf16": 2e-2}


def check(case: Case) -> int:
    """Fuses a module and compares. Returns the number of fused groups; raises `AssertionError` where it is wrong."""
    module = parse_module(case.text)
    before = run_module(module, case.inputs)
    remarks = fuse_attention(module, make_context(), explain=True)
    module.verify()
    after = run_module(module, case.inputs)
    fused = [op for op in module.walk() if isinstance(op, SdpaOp)]
    explained = sum(remark.fused for remark in remarks)
    assert explained == len(fused), f"{explained} groups of {len(fused)} are explained"
    for i, (expected, got) in enumerate(zip(before, after, strict=True)):
        error = difference(expected, got, plain_softmax=bool(fused))
        assert error <= TOLERANCE[case.dtype], f"result {i} differs by {error:.2e}"
    if case.mutant is None:
        assert len(fused) == case.groups, f"{len(fused)} of {case.groups} groups fused"
        for op in fused:
            values = (op.query, op.key, op.value)
            moved = [v for v in values if not isinstance(v, BlockArgument) and v.owner.name not in CACHES]
            assert not moved, f"an operand is copied: {moved[0].owner}"
    if fused:
        # What is written must be readable, and nothing more is found in it.
        text = str(module)
        again = parse_module(text)
        FuseAttentionPass().apply(make_context(), again)
        assert str(again) == text, "the pass changes its own result"
    return len(fused)


def check_mutated(case: Case, seed: int) -> int | None:
    """
    Changes one edge of a module at random, and checks that fusing it changes no result, whatever it computes now.

    Returns the number of fused groups, or None where the change gives no module or no finite results.
    """
    module = parse_module(case.text)
    edge = mutate(module, seed)
    if edge is None:
        return None
    before = run_module(module, case.inputs)
    if not all(np.isfinite(result).all() and (abs(result) < 1e3).all() for result in before):
        return None
    FuseAttentionPass().apply(make_context(), module)
    module.verify()
    for i, (expected, got) in enumerate(zip(before, run_module(module, case.inputs), strict=True)):
        error = difference(expected, got, plain_softmax=False)
        assert error <= 1e-9, f"result {i} differs by {error:.2e} after {edge}"
    return sum(isinstance(op, SdpaOp) for op in module.walk())


def fused_text(case: Case) -> str:
    """The module after the pass, to look at."""
    module = parse_module(case.text)
    FuseAttentionPass().apply(make_context(), module)
    return str(module)


def difference(expected: np.ndarray[Any, Any], got: np.ndarray[Any, Any], *, plain_softmax: bool) -> float:
    """
    The relative error; a fully masked row is NaN in a plain softmax and 0 in `attention.sdpa`, where its LSE is -inf.
    """
    a, b = expected.astype(np.float64), got.astype(np.float64)
    b = np.where(np.isnan(a) & np.isneginf(b) & plain_softmax, np.nan, b)
    assert a.shape == b.shape and expected.dtype == got.dtype
    empty = np.isnan(a)
    if empty.any():
        assert plain_softmax or np.isnan(b[empty]).all(), "NaN became a number"
        assert not b[empty & ~np.isnan(b)].any(), "a fully masked row is not 0"
    same = empty | (a == b)
    a, b = np.where(same, 0, a), np.where(same, 0, b)
    size = np.linalg.norm(np.where(np.isfinite(expected), expected, 0).astype(np.float64))
    # Values are of the size of 1, but small results of large ones are not exact.
    return float(np.linalg.norm(a - b) / max(size, 0.3 * np.sqrt(a.size), 1e-6))

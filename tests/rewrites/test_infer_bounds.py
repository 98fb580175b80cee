"""
`infer-attention-bounds`: what it says of a score region is true.

Random regions are evaluated at every query and key. Locked in, for every block of queries: a key outside of `reach`
has the logit -inf whatever the dot product is, NaN too; in `unmasked` the logits are those of a region without masks;
masks that the pass drops change no result. And it does find bounds in a share of the regions, which
flash decoding then counts keys by.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from attention_cases import AttentionCase
from pipelines import op_names, transform
from score_regions import RandomRegion, attention_text
from xdsl.context import Context
from xdsl.ir.affine import AffineExpr
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects.attention import KeyIntervalAttr, SdpaOp
from flashlower.interpreters import run_module
from flashlower.rewrites.infer_bounds import InferAttentionBoundsPass

BATCH, REGIONS_A_TEST = 2, 40


def ends(interval: KeyIntervalAttr | None, block: list[int], symbols: list[int], keys: int) -> tuple[int, int]:
    """The keys of an interval for a block of queries."""
    if interval is None:
        return 0, keys

    def number(expr: AffineExpr) -> int:
        return expr.eval(block, symbols)

    lower = interval.evaluate_lower(number, max, min)
    upper = interval.evaluate_upper(number, max, min)
    first = min(max(0, 0 if lower is None else lower), keys)
    return first, max(first, min(keys, keys if upper is None else upper))


def check(op: SdpaOp, region: RandomRegion, queries: int, keys: int, lens: np.ndarray | None) -> None:
    b, m, n = np.arange(BATCH)[:, None, None], np.arange(queries)[:, None], np.arange(keys)
    exists = np.broadcast_to(n < (keys if lens is None else lens[:, None, None]), (BATCH, queries, keys))
    finite = np.random.default_rng(0).standard_normal((BATCH, queries, keys))
    shape = finite.shape

    def logits(function: Any, s: Any) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.broadcast_to(function(s, (b,), 0, m, n), shape)

    dead = np.all([logits(region, s) == -np.inf for s in (finite, np.full(shape, np.nan), finite + np.inf)], axis=0)
    masked, free = logits(region, finite), logits(region.unmasked, finite)
    numbers = {name: array for name, (_, array) in region.captured.items()}
    names = [value.name_hint for value, _ in op.bounds.scalars]
    for batch in range(BATCH):
        symbols = [int(np.broadcast_to(numbers[name or ""], (BATCH,))[batch]) for name in names]
        for m0 in range(queries):
            for m1 in range(m0 + 1, queries + 1):
                rows = (batch, slice(m0, m1))
                first, last = ends(op.reach, [m0, m1], symbols, keys)
                outside = exists[rows] & ((n < first) | (n >= last))
                assert dead[rows][outside].all(), f"a key outside of reach {first}..{last} of {m0}..{m1}"
                if op.unmasked is not None:
                    first, last = ends(op.unmasked, [m0, m1], symbols, keys)
                    inside = exists[rows] & (n >= first) & (n < last)
                    np.testing.assert_array_equal(masked[rows][inside], free[rows][inside])


@pytest.mark.parametrize("seed", range(8))
def test_bounds_of_random_regions_hold(seed: int):
    rng = np.random.default_rng(seed)
    reaches = unmasked = 0
    for _ in range(REGIONS_A_TEST):
        queries, keys = int(rng.choice([1, 2, 5, 9])), int(rng.choice([1, 4, 13, 37]))
        kv_lens = bool(rng.random() < 0.4)
        region = RandomRegion(rng, queries=queries, keys=keys, batch=BATCH)
        text = attention_text(region, batch=BATCH, kv_heads=1, group=1, queries=queries, keys=keys, kv_lens=kv_lens)
        module = transform(text)
        bounded = module.clone()
        InferAttentionBoundsPass().apply(Context(), bounded)
        bounded.verify()
        (op,) = (op for op in bounded.walk() if isinstance(op, SdpaOp))
        check(op, region, queries, keys, region.captured["lens"][1] if kv_lens else None)
        reaches += op.reach is not None
        unmasked += op.unmasked is not None
        inputs = [rng.standard_normal((BATCH, 1, size, 16)).astype(np.float32) for size in (queries, keys, keys)]
        inputs += [array for _, array in region.captured.values()]
        for got, want in zip(run_module(bounded, inputs), run_module(module, inputs), strict=True):
            np.testing.assert_array_equal(got, want)
    assert reaches >= REGIONS_A_TEST // 10
    assert unmasked >= REGIONS_A_TEST // 10


def test_a_window_is_split_by_its_own_keys():
    """24 of 20000 keys are not worth a split; without bounds all of them would be shared out."""
    text = AttentionCase(keys=20000, kv_heads=1, steps=("window",)).module_text()
    assert "attention.partial" in op_names(transform(text, "flash-decoding"))
    assert "attention.partial" not in op_names(transform(text, "infer-attention-bounds,flash-decoding"))


def test_bounds_without_tensors_have_no_form_in_stablehlo():
    text = """
    func.func @main(%q: tensor<4x8xf32>, %end: index) -> (tensor<1x1x2x4x8xf32>, tensor<1x1x2x4xf32>) {
      %p, %l = attention.partial q(%q[m, k] : tensor<4x8xf32>) k(%q[n, k] : tensor<4x8xf32>)
          v(%q[n, d] : tensor<4x8xf32>) splits(2) tile(16) scale(1.0) reach(n < s0) scalars(%end : index)
          -> out : tensor<1x1x2x4x8xf32>, lse : tensor<1x1x2x4xf32>
      func.return %p, %l : tensor<1x1x2x4x8xf32>, tensor<1x1x2x4xf32>
    }
    """
    with pytest.raises(DiagnosticException, match="read a scalar of type index; pass it as a tensor"):
        transform(text, "decompose-attention")

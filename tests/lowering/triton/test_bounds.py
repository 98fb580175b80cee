"""
Kernels that walk over the keys that their queries reach only, and drop masks where none is needed.

Kernels run in Triton's interpreter, on random score regions with lengths, groups in one tile and splits. Locked in:
they compute what the unbounded kernel and a float64 reference compute; a split of `attention.partial` holds the same
keys in a kernel, in the NumPy interpreter and in plain StableHLO; a program does not touch keys out of reach, nor
mask keys that need no mask; bounds written by hand are obeyed; the loops compile for every GPU that we name.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from attention_cases import AttentionCase
from attention_reference import reference_attention
from pipelines import transform
from score_regions import RandomRegion, attention_text
from xdsl.dialects.builtin import FunctionType
from xdsl.dialects.func import FuncOp, ReturnOp
from xdsl.rewriter import Rewriter

from flashlower.dialects import tl
from flashlower.dialects.attention import CombineOp, PartialOp
from flashlower.interpreters import run_module
from flashlower.lowering.triton.compile import TARGETS, compile_module_kernels
from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.runtime import call

pytest.importorskip("triton", reason="kernels run where Triton can be installed")

BOUNDS, CONVERT = "infer-attention-bounds", "convert-attention-to-triton"
SCHEDULE = "schedule<block_m = 64, block_n = 16, warps = 4, stages = 2>"
"""Few keys a tile, and rows enough for a loop without masks."""


def scheduled(text: str) -> str:
    return text.replace("      -> out", f"      {SCHEDULE}\n      -> out")


def run(text: str, inputs: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    return call(print_module(transform(text, CONVERT)), "main", inputs)


def close(got: Sequence[np.ndarray], want: Sequence[np.ndarray]) -> None:
    for x, y in zip(got, want, strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-5)


class Problem:
    """A random region with random sizes, and data for it."""

    def __init__(self, rng: np.random.Generator):
        queries, self.keys = int(rng.choice([1, 3, 25, 40])), int(rng.choice([16, 50, 90]))
        self.group, kv_lens = int(rng.choice([1, 2, 3])), bool(rng.random() < 0.4)
        region = RandomRegion(rng, queries=queries, keys=self.keys, batch=2)
        text = attention_text(
            region, batch=2, kv_heads=1, group=self.group, queries=queries, keys=self.keys, kv_lens=kv_lens
        )
        self.text = scheduled(text)
        shapes = [(2, self.group, queries, 16), (2, 1, self.keys, 16), (2, 1, self.keys, 16)]
        q, k, v = (rng.standard_normal(shape).astype(np.float32) for shape in shapes)
        self.inputs = [q, k, v, *(array for _, array in region.captured.values())]
        out, lse = reference_attention(
            q[:, None], k, v, scale=0.25, scores=[region], kv_lens=region.captured["lens"][1] if kv_lens else None
        )
        self.expected = [out[:, 0], lse[:, 0]]


@pytest.mark.parametrize("seed", range(24))
def test_random_regions(seed: int):
    problem = Problem(np.random.default_rng(seed))
    bounded = run(str(transform(problem.text, BOUNDS)), problem.inputs)
    close(bounded, problem.expected)
    close(bounded, run(problem.text, problem.inputs))


@pytest.mark.parametrize("seed", range(100, 108))
def test_splits_hold_the_same_keys_everywhere(seed: int):
    """The outputs of single splits, not only what a combine makes of them."""
    rng = np.random.default_rng(seed)
    problem = Problem(rng)
    splits = int(rng.choice([2, 3, 5]))
    module = transform(problem.text, f"{BOUNDS},flash-decoding{{splits={splits}}}")
    close(run(str(module), problem.inputs), problem.expected)
    function = next(op for op in module.walk() if isinstance(op, FuncOp))
    partial = next(op for op in module.walk() if isinstance(op, PartialOp))
    combine = next(op for op in module.walk() if isinstance(op, CombineOp))
    Rewriter.replace_op(function.body.block.last_op, ReturnOp(*partial.results))
    Rewriter.erase_op(combine)
    types = [result.type for result in partial.results]
    function.function_type = FunctionType.from_lists(list(function.function_type.inputs), types)
    text = str(module)
    expected = run_module(transform(text), problem.inputs)
    close(run(text, problem.inputs), expected)
    close(run_module(transform(text, "decompose-attention"), problem.inputs), expected)


def test_keys_out_of_reach_are_not_touched():
    """NaN in K and V outside of the tiles that a window of 20 keys has for its 5 queries."""
    case = AttentionCase(queries=5, keys=241, steps=("window",), kv_heads=1, batch=(1,))
    inputs = case.inputs()
    for tensor in inputs[1:3]:
        tensor[:, :, : (241 - 5 - 20) // 16 * 16] = np.nan
    results = run(str(transform(scheduled(case.module_text()), f"{BOUNDS},flash-decoding{{splits=3}}")), inputs)
    case.check(list(results))


def test_masks_are_dropped_where_they_are_not_needed():
    """By hand, and wrong on purpose: everything is said to be unmasked, so nothing is masked."""
    case = AttentionCase(queries=64, keys=64, steps=("causal",), kv_heads=1, group=1, batch=(1,))
    text = scheduled(case.module_text()).replace("      schedule", "      unmasked(n < m0 + 64)\n      schedule")
    unmasked = AttentionCase(queries=64, keys=64, kv_heads=1, group=1, batch=(1,))
    unmasked.check(list(run(text, case.inputs())))


def loops(module: str) -> list[tl.RangeOp]:
    return [op for op in transform(module, CONVERT).walk() if isinstance(op, tl.RangeOp)]


@pytest.mark.parametrize(("steps", "count"), [((), 1), (("causal_top",), 2), (("window",), 3), (("mask",), 1)])
def test_loops(steps: tuple[str, ...], count: int):
    """One loop without masks or with what nothing is known of, and one more for each side that is masked."""
    case = AttentionCase(queries=100, keys=100, steps=steps)
    assert len(loops(str(transform(scheduled(case.module_text()), BOUNDS)))) == count


def test_decoding_has_one_loop():
    """16 rows wait for memory: masks are cheap, and a second loop would fill the pipeline again."""
    case = AttentionCase(queries=2, keys=1000, steps=("window",))
    assert len(loops(str(transform(case.module_text(), BOUNDS)))) == 1


def test_loops_compile():
    """Three loops, for each target."""
    case = AttentionCase(queries=100, keys=333, group=2, steps=("window", "soft_cap"), dtype="bf16")
    module = transform(scheduled(case.module_text()), f"{BOUNDS},{CONVERT}")
    assert {target for _, target in compile_module_kernels(module)} == set(TARGETS)

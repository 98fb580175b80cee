"""
`convert-attention-to-triton`, run: the emitted kernels compute what the operations mean.

Kernels run in Triton's interpreter and are compared with float64 NumPy. Locked in: every feature of the operations
and its mixtures, with and without flash decoding; odd head sizes and head sizes in two blocks; any strides; NaN in K
and V behind a sequence's length reaches no result; dynamic sizes, with an error where operands disagree; schedules
change nothing but speed; kernels compile for every GPU that we name; one module always gives the same text.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from attention_cases import CASES, AttentionCase, random_case
from attention_reference import reference_attention
from pipelines import op_names, transform

from flashlower.dialects import tl
from flashlower.lowering.triton.compile import TARGETS, compile_module_kernels
from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.runtime import call

pytest.importorskip("triton", reason="kernels run where Triton can be installed")

CONVERT = "convert-attention-to-triton"


def pipeline(splits: int = 0) -> str:
    return f"flash-decoding{{splits={splits}}},{CONVERT}" if splits else CONVERT


def run(text: str, inputs: Sequence[np.ndarray], splits: int = 0) -> list[np.ndarray]:
    results = call(print_module(transform(text, pipeline(splits))), "main", inputs)
    return list(results) if isinstance(results, tuple) else [results]


def check(case: AttentionCase, splits: int = 0) -> None:
    case.check(run(case.module_text(), case.inputs(), splits))


SMALL = [case for case in CASES if case.dtype != "f64"]


@pytest.mark.parametrize("splits", [0, 3])
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_every_feature(case: AttentionCase, splits: int):
    check(case, splits)


@pytest.mark.parametrize("seed", range(12))
def test_random_mixtures(seed: int):
    rng = np.random.default_rng(seed)
    case = random_case(rng)
    if case.dtype == "f64":
        case = dataclasses.replace(case, dtype="f32")
    check(case, int(rng.choice([0, 1, 2, 7, 16])))


@pytest.mark.parametrize("splits", [0, 2])
@pytest.mark.parametrize(
    ("head_size", "value_size"), [(8, 8), (24, 16), (16, 24), (80, 80), (96, 40), (128, 64), (576, 512)]
)
def test_head_sizes(head_size: int, value_size: int, splits: int):
    """Padded to a power of two, or cut into two blocks; the head sizes of Q and V differ."""
    case = AttentionCase(head_size=head_size, value_size=value_size, keys=70, kv_lens=True, batch=(3,), group=3)
    check(case, splits)


@pytest.mark.parametrize("splits", [0, 2])
@pytest.mark.parametrize("scale", [-0.4, 0.0, 1.5e-44, 3.0])
def test_scales(scale: float, splits: int, monkeypatch: pytest.MonkeyPatch):
    """The scale follows masks and the maximum only where it is positive: -inf * 0 is NaN, and -inf * -1 is inf."""
    monkeypatch.setattr(AttentionCase, "scale", scale)
    check(AttentionCase(keys=70, kv_lens=True, batch=(3,), queries=3, steps=("causal",)), splits)


@pytest.mark.parametrize(
    ("keys", "splits"),
    [(1, 1), (1, 3), (31, 2), (31, 16), (100, 3), (100, 7), (241, 1), (241, 3), (241, 40), (1000, 2), (1000, 7)],
)
def test_splits(keys: int, splits: int):
    """Fewer tiles than splits too; the lengths hold one beyond N and one of 0."""
    case = AttentionCase(keys=keys, kv_lens=True, sinks=splits == 3, batch=(2,), kv_heads=1, steps=("causal",))
    check(case, splits)


@pytest.mark.parametrize("steps", [(), ("finite_mask",)])
def test_many_splits_are_combined_in_chunks(steps: tuple[str, ...]):
    """150 splits are more than the registers of a program hold, and no power of two; with and without their sums."""
    check(
        AttentionCase(keys=3000, batch=(), kv_heads=1, head_size=128, value_size=128, sinks=not steps, steps=steps),
        150,
    )


@pytest.mark.parametrize(("keys", "splits"), [(31, 3), (100, 2), (241, 16), (1000, 7)])
@pytest.mark.parametrize("flags", [{}, {"kv_lens": True, "dtype": "bf16"}, {"sinks": True}], ids=str)
def test_rows_of_nothing_but_a_finite_mask_are_means(flags: dict[str, Any], keys: int, splits: int):
    """Splits of 16 and more keys, none of the same number, weigh by that number, though their LSE are equal."""
    case = AttentionCase(kv_heads=1, steps=("finite_mask",), queries=2, keys=keys, **flags)
    case.check(run(scheduled(case.module_text(), 16, 16, 1, 1), case.inputs(), splits))


def test_heads_of_a_group_with_keys_of_their_own():
    """K and V that differ between the heads of a group, as repeated heads in memory do, are read for each of them."""
    q, kv = "tensor<2x6x3x16xf32>", "tensor<2x6x40x16xf32>"
    text = f"""
func.func @main(%q: {q}, %k: {kv}, %v: {kv}) -> {q} {{
  %out = attention.sdpa
      q(%q[b, h * 3 + g, m, k] : {q}) k(%k[b, h * 3 + g, n, k] : {kv}) v(%v[b, h * 3 + g, n, d] : {kv})
      scale(0.25) -> out[b, h * 3 + g, m, d] : {q}
  func.return %out : {q}
}}"""
    rng = np.random.default_rng(0)
    inputs = [rng.standard_normal((2, 6, rows, 16)).astype(np.float32) for rows in (3, 40, 40)]
    query, key, value = inputs
    want, _ = reference_attention(query[:, :, None], key, value, scale=0.25, scores=[])
    for splits in (0, 2):
        (out,) = run(text, inputs, splits)
        np.testing.assert_allclose(out, want.reshape(out.shape), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("layout", ["bhsd", "bshd", "flat", "grouped"])
def test_rows_over_several_tiles(layout: str):
    """200 queries of 3 heads are packed into tiles of 128 rows, the last one half empty."""
    check(AttentionCase(queries=200, keys=210, group=3, batch=(1,), kv_heads=1, layout=layout, steps=("causal",)))


def transposed(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.T).T


def reversed_in_memory(array: np.ndarray) -> np.ndarray:
    return np.flip(np.ascontiguousarray(np.flip(array)))


def spread(array: np.ndarray) -> np.ndarray:
    """Every element followed by a NaN, or its largest value."""
    filler = np.nan if array.dtype.kind in "fV" else True if array.dtype == bool else np.iinfo(array.dtype).max
    wide = np.full((*array.shape, 2), filler, array.dtype)
    wide[..., 0] = array
    return wide[..., 0]


@pytest.mark.parametrize("splits", [0, 3])
@pytest.mark.parametrize("view", [transposed, reversed_in_memory, spread])
def test_any_strides(view: Any, splits: int):
    case = AttentionCase(
        keys=50, queries=2, value_size=24, layout="flat", kv_lens=True, sinks=True, steps=("mask", "bias")
    )
    inputs = [view(array) for array in case.inputs()]
    case.check(run(case.module_text(), inputs, splits))


def test_broadcast_strides():
    """A stride of 0: all heads share one K, as `numpy.broadcast_to` gives it."""
    case = AttentionCase(batch=(), kv_heads=1, group=4)
    inputs = case.inputs()
    k = np.broadcast_to(inputs[1], (3, *inputs[1].shape[1:]))
    wide = AttentionCase(batch=(), kv_heads=3, group=4)
    q, _, v = wide.inputs()
    out, _ = run(wide.module_text(), [q, k, v])
    expected, _ = reference_attention(q.reshape(3, 4, 1, 16), np.ascontiguousarray(k), v, scale=wide.scale)
    np.testing.assert_allclose(out, expected.reshape(out.shape), atol=1e-5)


HEAD_LENS = """
func.func @main(%q: tensor<2x3x5x16xf32>, %k: tensor<2x60x16xf32>, %v: tensor<2x60x16xf32>, %lens: tensor<6xi64>)
    -> (tensor<2x3x5x16xf32>, tensor<2x3x5xf32>) {
  %out, %lse = attention.sdpa q(%q[h, g, m, k] : tensor<2x3x5x16xf32>) k(%k[h, n, k] : tensor<2x60x16xf32>)
    v(%v[h, n, d] : tensor<2x60x16xf32>) kv_lens(%lens[h * 3 + g] : tensor<6xi64>) scale(0.25)
    -> out[h, g, m, d] : tensor<2x3x5x16xf32>, lse[h, g, m] : tensor<2x3x5xf32>
  func.return %out, %lse : tensor<2x3x5x16xf32>, tensor<2x3x5xf32>
}
"""


@pytest.mark.parametrize("splits", [0, 2])
def test_lengths_that_differ_between_heads_of_a_group(splits: int):
    """Such heads do not share tiles. Lengths in i64 are clamped before they become 32 bits."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(s).astype(np.float32) for s in ((2, 3, 5, 16), (2, 60, 16), (2, 60, 16)))
    lens = np.array([0, -(1 << 40), 1 << 40, 60, 33, 1], np.int64)
    out, lse = run(HEAD_LENS, [q, k, v, lens], splits)
    for head, length in enumerate(np.clip(lens, 0, 60)):
        h, g = divmod(head, 3)
        expected, expected_lse = reference_attention(
            q[h : h + 1, g : g + 1],
            k[h : h + 1, :length],
            v[h : h + 1, :length],
            scale=0.25,
        )
        np.testing.assert_allclose(out[h, g], expected[0, 0], atol=1e-5)
        np.testing.assert_allclose(lse[h, g], expected_lse[0, 0], atol=1e-5)


DYNAMIC = """
func.func @main(%q: tensor<?x?x16xf32>, %k: tensor<?x?x16xf32>, %v: tensor<?x?x16xf32>, %bias: tensor<?x?xf32>)
    -> tensor<?x?x16xf32> {
  %out = attention.sdpa q(%q[b, m * 2 + g, k] : tensor<?x?x16xf32>) k(%k[b, n, k] : tensor<?x?x16xf32>)
    v(%v[b, n, d] : tensor<?x?x16xf32>) scale(1.0) score {
    ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
      %zero = arith.constant 0 : index
      %rows = tensor.dim %bias, %zero : tensor<?x?xf32>
      %row = arith.remsi %m, %rows : index
      %t = tensor.extract %bias[%row, %n] : tensor<?x?xf32>
      %r = arith.addf %s, %t : f32
      attention.yield %r : f32
    } -> out[b, m * 2 + g, d] : tensor<?x?x16xf32>
  func.return %out : tensor<?x?x16xf32>
}
"""


def dynamic_inputs(batch: int, queries: int, keys: int, rows: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = ((batch, queries * 2, 16), (batch, keys, 16), (batch, keys, 16), (rows, keys))
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 3, 50, 2), (3, 40, 70, 40)])
def test_dynamic_sizes(sizes: tuple[int, int, int, int]):
    """One text for all sizes: batch, queries, keys, and a size of a captured tensor that the score reads."""
    batch, queries, _, rows = sizes
    q, k, v, bias = inputs = dynamic_inputs(*sizes)
    (out,) = run(DYNAMIC, inputs)
    grouped = q.reshape(batch, queries, 2, 16).transpose(0, 2, 1, 3)[:, None]
    expected, _ = reference_attention(
        grouped,
        k[:, None],
        v[:, None],
        scale=1.0,
        scores=[lambda s, b, hq, m, n: s + bias[m % rows, n]],
    )
    np.testing.assert_allclose(out, expected[:, 0].transpose(0, 2, 1, 3).reshape(q.shape), atol=2e-5)


def test_disagreeing_dynamic_sizes_are_an_error_at_launch():
    q, k, v, bias = dynamic_inputs(2, 3, 50, 2)
    with pytest.raises(ValueError, match="dimension 1 of v must be the size of n: 49 and 50 differ"):
        run(DYNAMIC, [q, k, v[:, :49], bias])
    with pytest.raises(ValueError, match=r"dimension 0 of k must be the size of b"):
        run(DYNAMIC, [q, k[:1], v, bias])
    with pytest.raises(ValueError, match=r"dimension 1 of q must be a multiple of 2"):
        run(DYNAMIC, [q[:, :5], k, v, bias])


def scheduled(text: str, block_m: int, block_n: int, warps: int, stages: int) -> str:
    clause = f"schedule<block_m = {block_m}, block_n = {block_n}, warps = {warps}, stages = {stages}>\n      -> out"
    return text.replace("-> out", clause)


@pytest.mark.parametrize(("block_m", "block_n", "stages"), [(16, 16, 1), (16, 128, 2), (64, 32, 3), (128, 256, 4)])
def test_schedules_change_no_result(block_m: int, block_n: int, stages: int):
    case = AttentionCase(queries=20, keys=100, kv_lens=True, steps=("window", "bias"))
    case.check(run(scheduled(case.module_text(), block_m, block_n, 4, stages), case.inputs()))


COMPILED = AttentionCase(
    batch=(2, 2), queries=3, group=3, head_size=96, value_size=64, keys=300, dtype="bf16", kv_lens=True, sinks=True,
    steps=("causal", "soft_cap", "bias", "mask", "alibi"),
)  # fmt: skip


@pytest.mark.parametrize("splits", [0, 5])
def test_kernels_compile_for_every_gpu(splits: int):
    module = transform(COMPILED.module_text(), pipeline(splits))
    kernels = [op.sym_name.data for op in module.body.ops if isinstance(op, tl.JitOp)]
    compiled = compile_module_kernels(module)
    assert set(compiled) == {(kernel, target) for kernel in kernels for target in TARGETS}


@pytest.mark.parametrize("dtype", ["f32", "f16"])
@pytest.mark.parametrize("stages", [1, 2, 3, 4])
def test_kernels_compile_with_any_number_of_stages(stages: int, dtype: str):
    text = dataclasses.replace(COMPILED, dtype=dtype, steps=()).module_text()
    assert compile_module_kernels(transform(scheduled(text, 16, 32, 4, stages), CONVERT), ["cuda:90"])


def test_text_is_the_same_each_time():
    texts = {print_module(transform(COMPILED.module_text(), pipeline(5))) for _ in range(3)}
    assert len(texts) == 1


TWO = """
func.func @main(%q: tensor<4x16xf32>, %k: tensor<9x16xf32>, %v: tensor<9x16xf32>) -> tensor<4x16xf32> {
  %x = attention.sdpa q(%q[m, k] : tensor<4x16xf32>) k(%k[n, k] : tensor<9x16xf32>)
    v(%v[n, d] : tensor<9x16xf32>) scale(1.0) -> out[m, d] : tensor<4x16xf32>
  %y = math.exp %x : tensor<4x16xf32>
  %z = attention.sdpa q(%y[m, k] : tensor<4x16xf32>) k(%k[n, k] : tensor<9x16xf32>)
    v(%v[n, d] : tensor<9x16xf32>) scale(1.0) -> out[m, d] : tensor<4x16xf32>
  func.return %z : tensor<4x16xf32>
}
func.func @main_kernel_0() {
  func.return
}
"""


def test_other_operations_stay_and_kernels_get_free_names():
    module = transform(TWO, CONVERT)
    kernels = [op.sym_name.data for op in module.body.ops if isinstance(op, tl.JitOp)]
    assert kernels == ["main_kernel_1", "main_kernel_2"]
    assert op_names(module).count("math.exp") == 1
    assert not any(name.startswith("attention.") for name in op_names(module))
    # What was converted is valid IR that other passes can take.
    assert transform(str(module), "cse,canonicalize")


CLASHES = """
func.func @main(%queries: tensor<2x3x16xf32>, %k: tensor<2x9x16xf32>, %v: tensor<2x9x16xf32>, %out: tensor<9xf32>,
    %ob: tensor<9xf32>, %q: tensor<9x?xf32>, %N: index) -> tensor<2x3x16xf32> {
  %r = attention.sdpa q(%queries[b, m, k] : tensor<2x3x16xf32>) k(%k[b, n, k] : tensor<2x9x16xf32>)
    v(%v[b, n, d] : tensor<2x9x16xf32>) scale(1.0) score {
    ^bb0(%s: f32, %b: index, %hq: index, %m: index, %n: index):
      %x = tensor.extract %out[%n] : tensor<9xf32>
      %y = tensor.extract %ob[%n] : tensor<9xf32>
      %z = tensor.extract %q[%n, %N] : tensor<9x?xf32>
      %s1 = arith.addf %s, %x : f32
      %s2 = arith.addf %s1, %y : f32
      %s3 = arith.addf %s2, %z : f32
      attention.yield %s3 : f32
    } -> out[b, m, d] : tensor<2x3x16xf32>
  func.return %r : tensor<2x3x16xf32>
}
"""


def test_captures_may_have_any_name():
    """Captured values named as parameters of the kernel are, and one that is a number."""
    rng = np.random.default_rng(0)
    shapes = ((2, 3, 16), (2, 9, 16), (2, 9, 16), (9,), (9,), (9, 4))
    q, k, v, x, y, z = inputs = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    out = call(print_module(transform(CLASHES, CONVERT)), "main", [*inputs, 2])
    bias = x + y + z[:, 2]
    expected, _ = reference_attention(
        q[:, None, None], k[:, None], v[:, None], scale=1.0, scores=[lambda s, b, hq, m, n: s + bias[n]]
    )
    np.testing.assert_allclose(out, expected[:, 0, 0], atol=2e-5)

"""The interpreter's attention against a row-by-row float64 formulation, and the rules at the edges.

Everything else is held to this interpreter (passes are right when it computes the same before and after), so this
file is what ties the project to the meaning of attention.
"""

import ml_dtypes
import numpy as np
import pytest
from attention_cases import CASES, AttentionCase, random_case
from pipelines import transform
from xdsl.utils.exceptions import InterpretationError

from flashlower.interpreters import run_module


def run(text: str, *args: np.ndarray) -> tuple[np.ndarray, ...]:
    return run_module(transform(text), args)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_sdpa_is_attention(case: AttentionCase):
    case.check(run(case.module_text(), *case.inputs()))


@pytest.mark.parametrize("seed", range(40))
def test_sdpa_is_attention_in_random_cases(seed: int):
    case = random_case(np.random.default_rng(seed))
    case.check(run(case.module_text(), *case.inputs()))


@pytest.mark.parametrize(
    "case",
    [
        AttentionCase(keys=0),
        AttentionCase(keys=0, sinks=True, kv_lens=True),
        AttentionCase(batch=(0,), steps=("causal", "bias")),
        AttentionCase(queries=0),
    ],
    ids=str,
)
def test_empty_dimensions(case: AttentionCase):
    case.check(run(case.module_text(), *case.inputs()))


PARTIAL = """
func.func @main(%q: tensor<2x3x4xf32>, %k: tensor<2x20x4xf32>, %v: tensor<2x20x5xf32>, %lens: tensor<2xi32>)
    -> (tensor<2x1x1x3x3x5xf32>, tensor<2x1x1x3x3xf32>) {
  %out, %lse = attention.partial q(%q[b, m, k] : tensor<2x3x4xf32>) k(%k[b, n, k] : tensor<2x20x4xf32>)
      v(%v[b, n, d] : tensor<2x20x5xf32>) kv_lens(%lens[b] : tensor<2xi32>) splits(3) tile(4) scale(0.5)
      score(bias(%k[b, n, 0] : tensor<2x20x4xf32>)) -> out : tensor<2x1x1x3x3x5xf32>, lse : tensor<2x1x1x3x3xf32>
  func.return %out, %lse : tensor<2x1x1x3x3x5xf32>, tensor<2x1x1x3x3xf32>
}
"""


def test_partial_shares_tiles_out_by_the_length_of_each_sequence():
    # 18 keys are 5 tiles of 4: splits have tiles 0, 1 to 2, 3 to 4. 3 keys are 1 tile: it goes to the last split.
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 4), (2, 20, 4), (2, 20, 5)))
    lens = np.array([18, 3], np.int32)
    v[0, 18:] = v[1, 3:] = k[0, 18:] = k[1, 3:] = np.nan
    out, lse = run(PARTIAL, q, k, v, lens)
    runs = [[(0, 4), (4, 12), (12, 18)], [(0, 0), (0, 0), (0, 3)]]
    for b in range(2):
        for i, (first, last) in enumerate(runs[b]):
            s = 0.5 * q[b].astype(np.float64) @ k[b, first:last].T + k[b, first:last, 0]
            total = np.exp(s).sum(axis=-1)
            want = np.exp(s) @ v[b, first:last] / np.maximum(total, 1e-300)[:, None]
            np.testing.assert_allclose(out[b, 0, 0, i], want, rtol=1e-5, atol=1e-6)
            with np.errstate(divide="ignore"):
                np.testing.assert_allclose(lse[b, 0, 0, i], np.log(total), rtol=1e-5, atol=1e-6)


def test_the_sum_of_a_partial_is_relative_to_its_maximum():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 4), (2, 20, 4), (2, 20, 5)))
    rows = "tensor<2x1x1x3x3xf32>"
    text = PARTIAL.replace("%out, %lse", "%out, %lse, %sum").replace(rows, f"{rows}, {rows}")
    text = text.replace(f"lse : {rows}, {rows}", f"lse : {rows}, sum : {rows}")
    _, lse, sums = run(text, q, k, v, np.array([18, 3], np.int32))
    for split, (first, last) in enumerate([(0, 4), (4, 12), (12, 18)]):
        s = 0.5 * q[0].astype(np.float64) @ k[0, first:last].T + k[0, first:last, 0]
        top = s.max(axis=-1)
        np.testing.assert_allclose(sums[0, 0, 0, split], np.exp(s - top[:, None]).sum(axis=-1), rtol=1e-5)
        np.testing.assert_allclose(lse[0, 0, 0, split] - np.log(sums[0, 0, 0, split]), top, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(sums[1, 0, 0, :2], 0)


def test_partial_does_not_see_values_of_other_splits():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(shape).astype(np.float32) for shape in ((2, 3, 4), (2, 20, 4), (2, 20, 5)))
    v[0, 6] = np.inf
    out, _ = run(PARTIAL, q, k, v, np.array([18, 3], np.int32))
    assert np.isfinite(out[:, :, :, [0, 2]]).all()
    assert np.isinf(out[0, :, :, 1]).all()


COMBINE = """
func.func @main(%p: tensor<1x2x3x1x4xf32>, %l: tensor<1x2x3x1xf32>, %sinks: tensor<2xf32>)
    -> (tensor<1x2x4xbf16>, tensor<2xf32>) {
  %out, %lse = attention.combine partial(%p : tensor<1x2x3x1x4xf32>) lse(%l : tensor<1x2x3x1xf32>) SINKS
      -> out[m, h * 2 + g, d] : tensor<1x2x4xbf16>, lse[h * 2 + g] : tensor<2xf32>
  func.return %out, %lse : tensor<1x2x4xbf16>, tensor<2xf32>
}
"""


def test_combine_weighs_splits_by_their_sums_and_rounds_once():
    p = np.random.default_rng(0).standard_normal((1, 2, 3, 1, 4)).astype(np.float32)
    sums = np.array([[1.0, 3.0, 4.0], [0.5, 0.0, 1.5]])
    p[0, 1, 1] = np.nan  # the output of an empty split is not read
    with np.errstate(divide="ignore"):
        lse = np.log(sums).astype(np.float32)
    out, total = run(COMBINE.replace("SINKS", ""), p, lse.reshape(1, 2, 3, 1), np.zeros(2, np.float32))
    want = np.einsum("gs,gsd->gd", sums, np.nan_to_num(p[0, :, :, 0])) / sums.sum(axis=1, keepdims=True)
    np.testing.assert_array_equal(out[0], want.astype(np.float32).astype(ml_dtypes.bfloat16))
    np.testing.assert_allclose(total, np.log(sums.sum(axis=1)), rtol=1e-6)


def test_combine_weighs_by_sums_that_the_lse_lost():
    # Splits of 4 keys, of one and of none, all with the same logit; the output of the last is not read.
    text = COMBINE.replace("%l: tensor<1x2x3x1xf32>", "%l: tensor<1x2x3x1xf32>, %n: tensor<1x2x3x1xf32>")
    text = text.replace("SINKS", "sum(%n : tensor<1x2x3x1xf32>)")
    p = np.random.default_rng(0).standard_normal((1, 2, 3, 1, 4)).astype(np.float32)
    p[:, :, 2] = np.nan
    sums = np.broadcast_to(np.array([4, 1, 0], np.float32)[:, None], (1, 2, 3, 1))
    with np.errstate(divide="ignore"):
        lse = np.array([-3e38, -1e4], np.float32)[:, None, None] + np.log(sums)
    assert lse[0, 0, 0, 0] == lse[0, 0, 1, 0]
    out, total = run(text, p, lse, sums, np.zeros(2, np.float32))
    want = (4 * p[0, :, 0, 0] + p[0, :, 1, 0]) / 5
    np.testing.assert_allclose(out[0].astype(np.float32), want, rtol=1e-2)
    np.testing.assert_allclose(total, [-3e38, -1e4 + np.log(5)], rtol=1e-6)


@pytest.mark.parametrize("sinks", [None, (0.25, -np.inf)])
def test_combine_of_nothing(sinks: tuple[float, float] | None):
    text = COMBINE.replace("SINKS", "" if sinks is None else "sinks(%sinks[h * 2 + g] : tensor<2xf32>)")
    p = np.full((1, 2, 3, 1, 4), np.nan, np.float32)
    lse = np.full((1, 2, 3, 1), -np.inf, np.float32)
    out, total = run(text, p, lse, np.array(sinks or (0, 0), np.float32))
    np.testing.assert_array_equal(out, 0)
    np.testing.assert_array_equal(total, (-np.inf, -np.inf) if sinks is None else sinks)


def test_nan_of_an_existing_key_propagates_to_its_rows_only():
    case = AttentionCase(batch=(2,), keys=31, queries=2, steps=("causal_top",))
    q, k, v = case.inputs()
    k[0, :, 1] = np.nan
    out, lse = run(case.module_text(), q, k, v)
    # Row 0 masks key 1, but a mask is a selection of logits: what it drops is gone.
    assert np.isnan(out[0, :, 1]).all() and np.isnan(lse[0, :, 1]).all()
    assert np.isfinite(out[0, :, 0]).all() and np.isfinite(out[1]).all() and np.isfinite(lse[1]).all()


def test_dimensions_that_operands_lack_are_broadcast():
    # Q has no batch and no k, V no n: out[b, m] is V[b] where a key exists at all.
    text = """
    func.func @main(%q: tensor<4xf32>, %k: tensor<2x6xf32>, %v: tensor<2x5xf32>, %lens: tensor<2xi64>)
        -> tensor<5x2x4xf32> {
      %o = attention.sdpa q(%q[m] : tensor<4xf32>) k(%k[b, n] : tensor<2x6xf32>) v(%v[b, d] : tensor<2x5xf32>)
          kv_lens(%lens[b] : tensor<2xi64>) scale(1.0) -> out[d, b, m] : tensor<5x2x4xf32>
      func.return %o : tensor<5x2x4xf32>
    }
    """
    rng = np.random.default_rng(0)
    v = rng.standard_normal((2, 5)).astype(np.float32)
    (out,) = run(text, np.ones(4, np.float32), np.ones((2, 6), np.float32), v, np.array([6, -1]))
    np.testing.assert_allclose(out[:, 0], np.broadcast_to(v[0][:, None], (5, 4)), rtol=1e-6)
    np.testing.assert_array_equal(out[:, 1], 0)


DYNAMIC = """
func.func @main(%q: tensor<?x4xf32>, %k: tensor<?x4xf32>, %v: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %o = attention.sdpa q(%q[m, k] : tensor<?x4xf32>) k(%k[n, k] : tensor<?x4xf32>) v(%v[n, d] : tensor<?x4xf32>)
      scale(1.0) -> out[m, d] : tensor<?x4xf32>
  func.return %o : tensor<?x4xf32>
}
"""


def test_dynamic_sizes_come_from_the_arrays():
    q, k = np.ones((3, 4), np.float32), np.ones((7, 4), np.float32)
    v = np.arange(28, dtype=np.float32).reshape(7, 4)
    (out,) = run(DYNAMIC, q, k, v)
    np.testing.assert_allclose(out, np.broadcast_to(v.mean(axis=0), (3, 4)), rtol=1e-6)


def test_contradicting_arrays_are_refused():
    q, k = np.ones((3, 4), np.float32), np.ones((7, 4), np.float32)
    with pytest.raises(InterpretationError, match="size of n is 7 by dimension 0 of k but 8 by dimension 0 of v"):
        run(DYNAMIC, q, k, np.ones((8, 4), np.float32))

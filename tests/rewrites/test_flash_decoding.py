"""`flash-decoding` changes nothing that is computed, whatever the shape, the mask and the number of splits.

Lengths that tiles do not divide, lengths per sequence, more splits than tiles and fully masked rows are where
others' split passes go wrong (padding that is never masked, NaN from empty splits, splits of unequal length that weigh
the same where a mask with a finite number has swallowed their sums).
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attention_cases import CASES, AttentionCase, random_case
from pipelines import op_names, transform
from xdsl.dialects.builtin import ModuleOp
from xdsl.utils.exceptions import DiagnosticException, PassFailedException

from flashlower.dialects.attention import PartialOp
from flashlower.interpreters import run_module

SPLITS = (1, 2, 3, 7, 16, 200)


def splits_of(module: ModuleOp) -> int:
    partials = [op for op in module.walk() if isinstance(op, PartialOp)]
    return partials[0].num_splits if partials else 1


@pytest.mark.parametrize("splits", SPLITS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_computes_the_same(case: AttentionCase, splits: int):
    module = transform(case.module_text(), f"flash-decoding{{splits={splits}}}")
    assert splits_of(module) == splits
    assert ("attention.sdpa" in op_names(module)) == (splits == 1)
    case.check(run_module(module, case.inputs()))


@pytest.mark.parametrize("seed", range(40))
def test_computes_the_same_in_random_cases(seed: int):
    rng = np.random.default_rng(seed)
    case = random_case(rng)
    tile = rng.choice([16, 64])
    text = case.module_text().replace(
        "-> out", f"schedule<block_m = 16, block_n = {tile}, warps = 4, stages = 2> -> out", 1
    )
    module = transform(text, f"flash-decoding{{splits={rng.choice(SPLITS[1:])}}},canonicalize")
    assert f"tile({tile})" in str(module)
    case.check(run_module(module, case.inputs()))


@pytest.mark.parametrize("keys", [31, 100, 241, 1000])
@pytest.mark.parametrize("flags", [{}, {"kv_lens": True}, {"sinks": True}, {"dtype": "f64"}], ids=str)
def test_rows_of_nothing_but_a_finite_mask_are_means(flags: dict[str, Any], keys: int):
    # Tiles of 16 keys, which divide none of the lengths.
    case = AttentionCase(steps=("finite_mask",), queries=2, keys=keys, **flags)
    text = case.module_text().replace("-> out", "schedule<block_m = 16, block_n = 16, warps = 1, stages = 1> -> out", 1)
    for splits in SPLITS:
        case.check(run_module(transform(text, f"flash-decoding{{splits={splits}}}"), case.inputs()))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_single_split_becomes_one_operation_again(case: AttentionCase):
    # 97 is the size of no other dimension.
    single = str(transform(case.module_text(), "flash-decoding{splits=97}"))
    single = single.replace("splits(97)", "splits(1)").replace("x97x", "x1x")
    module = transform(single, "canonicalize")
    assert "attention.sdpa" in op_names(module) and "attention.partial" not in op_names(module)
    case.check(run_module(module, case.inputs()))


def auto(case: AttentionCase, options: str = "") -> int:
    return splits_of(transform(case.module_text(), f"flash-decoding{{{options}}}"))


DECODE = AttentionCase(batch=(1,), kv_heads=2, group=1, keys=10000, head_size=1, value_size=1)


def test_auto_splits_by_the_cost_model():
    assert auto(DECODE, "splits=auto min-chunk=1 cores=8") == 4
    assert auto(DECODE, "min-chunk=1 cores=4") == 2
    assert auto(DECODE, "min-chunk=1 cores=2") == 1
    assert auto(DECODE, "max-splits=3") == 3
    assert auto(DECODE, "min-chunk=5001") == 1
    long = replace(DECODE, keys=30000)
    # 2 heads of 235 tiles of 128 on 108 cores: no core has less than 5. Of 469 tiles of 64, 304 cores have 4.
    assert auto(long, "min-chunk=1 max-splits=1000 target=a100") == 47
    assert auto(long, "min-chunk=1 max-splits=1000 target=mi300x") == 118


def test_auto_splits_long_sequences_where_lengths_differ():
    # 300 heads keep all cores busy, but a sequence of 10000 keys takes longer than the rest of its batch may.
    many = replace(DECODE, batch=(150,))
    assert auto(many) == 1
    assert auto(replace(many, kv_lens=True)) == 5


def test_auto_leaves_prefill_alone():
    assert auto(AttentionCase(queries=300, keys=300, kv_heads=1, group=1, batch=())) == 1


DYNAMIC = """
func.func @main(%q: tensor<BxHx?x4xf32>, %k: tensor<Bx?x4xf32>, %v: tensor<Bx?x4xf32>) -> tensor<BxHx?x4xf32> {
  %o = attention.sdpa q(%q[b, h, m, k] : tensor<BxHx?x4xf32>) k(%k[b, n, k] : tensor<Bx?x4xf32>)
      v(%v[b, n, d] : tensor<Bx?x4xf32>) scale(1.0) score(causal(n <= m)) -> out[b, h, m, d] : tensor<BxHx?x4xf32>
  func.return %o : tensor<BxHx?x4xf32>
}
"""


def test_dynamic_sizes_with_explicit_splits():
    text = DYNAMIC.replace("B", "?").replace("H", "2")
    arrays = [np.random.default_rng(0).standard_normal(s).astype(np.float32) for s in [(2, 2, 9, 4)] + 2 * [(2, 9, 4)]]
    before = run_module(transform(text), arrays)
    module = transform(text, "flash-decoding{splits=3}")
    assert splits_of(module) == 3
    np.testing.assert_allclose(run_module(module, arrays)[0], before[0], rtol=1e-5, atol=1e-6)


def test_auto_takes_a_dynamic_number_of_keys_for_large():
    text = DYNAMIC.replace("BxHx?", "3x2x1").replace("B", "3")
    # 5 splits of 6 heads keep 30 cores busy.
    assert splits_of(transform(text, "flash-decoding{cores=30 max-splits=64}")) == 5
    assert splits_of(transform(text, "flash-decoding{cores=30 max-splits=4}")) == 4


def test_auto_leaves_a_dynamic_batch_alone():
    text = DYNAMIC.replace("BxHx?", "?x2x1").replace("B", "?")
    assert splits_of(transform(text, "flash-decoding")) == 1


def test_a_dimension_that_only_the_result_has_is_left_alone():
    text = """
    func.func @main(%q: tensor<1x4xf32>, %k: tensor<900x4xf32>) -> tensor<2x1x4xf32> {
      %o = attention.sdpa q(%q[m, k] : tensor<1x4xf32>) k(%k[n, k] : tensor<900x4xf32>) v(%k[n, d] : tensor<900x4xf32>)
          scale(1.0) -> out[b, m, d] : tensor<2x1x4xf32>
      func.return %o : tensor<2x1x4xf32>
    }
    """
    assert splits_of(transform(text, "flash-decoding{splits=4}")) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("splits=0", "flash-decoding: splits is 0, expected at least 1"),
        ("splits=-2", "flash-decoding: splits is -2, expected at least 1"),
        ("splits=many", "flash-decoding: splits is 'many', expected a number or auto"),
        ("splits=true", "flash-decoding: splits is 'True', expected a number or auto"),
        ("min-chunk=0", "flash-decoding: min-chunk is 0, expected at least 1"),
        ("max-splits=0", "flash-decoding: max-splits is 0, expected at least 1"),
        ("cores=0", "flash-decoding: cores is 0, expected at least 1"),
        ("target=tpu", "unknown target 'tpu'"),
    ],
)
def test_bad_options_are_named(options: str, message: str):
    with pytest.raises((PassFailedException, DiagnosticException), match=message):
        transform(AttentionCase().module_text(), f"flash-decoding{{{options}}}")

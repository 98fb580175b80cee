"""Locks in what NKI kernels compute on keys in pages: whatever lies in slots and entries without a key is not seen."""

import nki_model
import numpy as np
import pytest
from attention_cases import AttentionCase
from attention_reference import reference_attention
from nki_kernels import BOUNDS, TARGETS, check, kernels, relative_error, run

from flashlower.lowering.nki.cost import account


@pytest.mark.parametrize("target", ["trn1", "trn2"])
@pytest.mark.parametrize(
    ("page_size", "keys", "splits", "queries"),
    [(1, 241, 0, 1), (16, 1024, 4, 1), (64, 192, 0, 3), (100, 300, 2, 1), (128, 384, 0, 1), (100, 300, 0, 140)],
)
def test_pages(page_size: int, keys: int, splits: int, queries: int, target: str):
    """In any order, shared, of any size; what is no page stands where no key is, and NaN in slots without keys."""
    case = AttentionCase(
        keys=keys, page_size=page_size, queries=queries, kv_lens=True, rows=page_size == 100, group=4, dtype="bf16"
    )
    assert (case.inputs()[-2 if case.rows else -1] == 0).any() or case.rows
    check(case, splits=splits, target=target)


SEQUENCES_IN_PAGES = [
    # Lengths and rows of the table of their own; the last tile is no whole one; five and four, on two cores.
    AttentionCase((9,), 1, 4, keys=240, page_size=48, kv_lens=True, rows=True, sinks=True),
    AttentionCase((3,), 2, 2, keys=300, page_size=20, rows=True, steps=("bias",), dtype="bf16"),
    AttentionCase((2, 3), 2, 2, keys=384, page_size=128, kv_lens=True, pool="head_major", steps=("alibi",)),
    AttentionCase((5,), 2, 2, keys=160, page_size=1, kv_lens=True, pool="token", dtype="bf16"),
]


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("case", SEQUENCES_IN_PAGES, ids=str)
def test_sequences_in_pages_share_a_tile(case: AttentionCase, target: str):
    turn = SEQUENCES_IN_PAGES.index(case) + TARGETS.index(target)
    cores = 1 if target == "trn1" else 1 + turn % 2
    (kernel,) = kernels(case.module_text(), f"{{target={target} cores={cores} arrangement=keys}}")
    assert kernel.attributes["nki.schedule"].option("sequences") > 1
    check(case, target=target, cores=cores, splits=2 if turn % 3 == 0 else 0, arrangement="keys")


TABLES_OF_EXISTING_PAGES = [
    # More pages of a sequence than are on chip at once, whole parts of the table and a rest; rows of their own.
    AttentionCase((2,), 1, 2, keys=1036, page_size=1, kv_lens=True, head_size=16, value_size=16),
    AttentionCase((2,), 1, 2, keys=522, page_size=1, kv_lens=True, rows=True, head_size=16, value_size=16),
    # More sequences than partitions, in two batch dimensions.
    AttentionCase((2, 131), 1, 1, keys=4, page_size=2, kv_lens=True, rows=True, head_size=4, value_size=4),
    # A window: the first pages are not read.
    AttentionCase((2,), 1, 2, keys=600, page_size=3, kv_lens=True, steps=("window",), head_size=16, value_size=16),
]


@pytest.mark.parametrize("case", TABLES_OF_EXISTING_PAGES, ids=str)
def test_tables_of_existing_pages(case: AttentionCase):
    """On trn1, which makes a table in HBM where there are lengths."""
    check(case, target="trn1", passes=BOUNDS, arrangement="keys")


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("page_size", [1, 64])
def test_long_tables_fit_on_chip(page_size: int, target: str):
    """131,072 keys, of which no table is on chip as a whole."""
    case = AttentionCase((8,), 1, 4, 1, 131072, 128, 128, page_size=page_size, dtype="bf16", lse=False, kv_lens=True)
    (kernel,) = kernels(case.module_text(), f"{{target={target} arrangement=keys}}")
    assert account(kernel).engines["DMA"].bytes <= 1.1 * account(kernel).least_bytes


def test_splits_of_two_sizes():
    """Of 256 and 144 keys: PSUM has no room for the tiles of both at once."""
    case = AttentionCase((1,), 1, 2, keys=400, page_size=200, kv_lens=True, dtype="bf16")
    check(case, target="trn1", splits=2, arrangement="keys")


@pytest.mark.parametrize("target", ["trn1", "trn2"])
def test_an_entry_that_is_needed_and_no_page_is_an_error(target: str):
    if not nki_model.is_model():
        pytest.skip("what the model raises is its own")
    case = AttentionCase(keys=192, page_size=64, kv_lens=True, dtype="bf16")
    inputs = case.inputs()
    (table,) = (array for array in inputs if array.dtype == np.int32 and array.ndim == 2)
    table[0, 0] = 7_777
    with pytest.raises(Exception, match="dma-bounds"):
        run(case.module_text(), inputs, target=target)


@pytest.mark.parametrize("target", ["trn1", "trn2"])
@pytest.mark.parametrize(("page_size", "pages"), [(1, 9), (16, 1), (16, 10), (64, 3), (100, 2)])
def test_what_lies_in_pages_without_a_key_is_not_seen(page_size: int, pages: int, target: str):
    """
    Page 0 is nobody's and NaN, entries without a key are no pages; lengths of 0, of one key of a page, odd and full.
    """
    rng = np.random.default_rng([page_size, pages])
    keys, ahead = page_size * pages, page_size * (pages - 1)
    lens = np.array([ahead + 1, 0, keys, max(keys - 3, 1)], np.int32)
    q = rng.standard_normal((4, 2, 1, 16)).astype(np.float32)
    pool = rng.standard_normal((4 * pages + 1, page_size, 16)).astype(np.float32)
    ids = 1 + rng.permutation(4 * pages).reshape(4, pages)
    exists = np.arange(keys) < lens[:, None]
    cache = pool[ids].reshape(4, 1, keys, 16)
    pool[0] = np.nan
    pool[ids] = np.where(exists.reshape(4, pages, page_size, 1), pool[ids], np.nan)
    garbage = rng.choice([-1, 2**31 - 1, -(2**31)], ids.shape)
    table = np.where(np.arange(pages) * page_size < lens[:, None], ids, garbage).astype(np.int32)
    types = [f"tensor<{'x'.join(map(str, each.shape))}xf32>" for each in (q, pool)]
    text = f"""
func.func @main(%q: {types[0]}, %k: {types[1]}, %v: {types[1]}, %table: tensor<4x{pages}xi32>,
                %lens: tensor<4xi32>) -> {types[0]} {{
  %0 = attention.sdpa
      q(%q[b, g, m, k] : {types[0]})
      k(%k[page, slot, k] : {types[1]})
      v(%v[page, slot, d] : {types[1]})
      block_table(%table[b, p] : tensor<4x{pages}xi32>)
      kv_lens(%lens[b] : tensor<4xi32>)
      scale(0.3)
      -> out[b, g, m, d] : {types[0]}
  func.return %0 : {types[0]}
}}"""
    scores = [lambda s, b, hq, m, n: np.where(n < lens[b[0]], s, -np.inf)]
    want, _ = reference_attention(q.reshape(4, 1, 2, 1, 16), cache, cache, scale=0.3, scores=scores)
    for arrangement in ("keys", "rows"):
        (got,) = run(text, [q, pool, pool, table, lens], target=target, arrangement=arrangement)
        assert relative_error(got, want.reshape(got.shape)) <= 1e-5


def test_pages_of_heads():
    """A block table for each KV head, and lengths for each: one KV head a block."""
    rng = np.random.default_rng(5)
    q, pool = rng.standard_normal((2, 4, 1, 16)), rng.standard_normal((13, 32, 16))
    table = rng.permutation(12).astype(np.int32).reshape(2, 2, 3)
    lens = np.array([[70, 0], [96, 33]], np.int32)
    text = """
func.func @main(%q: tensor<2x4x1x16xf32>, %pool: tensor<13x32x16xf32>, %table: tensor<2x2x3xi32>,
                %lens: tensor<2x2xi32>) -> tensor<2x4x1x16xf32> {
  %0 = attention.sdpa
      q(%q[b, h * 2 + g, m, k] : tensor<2x4x1x16xf32>)
      k(%pool[page, slot, k] : tensor<13x32x16xf32>)
      v(%pool[page, slot, d] : tensor<13x32x16xf32>)
      block_table(%table[b, h, p] : tensor<2x2x3xi32>)
      kv_lens(%lens[b, h] : tensor<2x2xi32>)
      scale(0.3)
      -> out[b, h * 2 + g, m, d] : tensor<2x4x1x16xf32>
  func.return %0 : tensor<2x4x1x16xf32>
}"""
    keys = pool[table].reshape(2, 2, 96, 16)
    scores = [lambda s, b, hq, m, n: np.where(n < lens[b[0], hq // 2], s, -np.inf)]
    want, _ = reference_attention(q.reshape(2, 2, 2, 1, 16), keys, keys, scale=0.3, scores=scores)
    for target in TARGETS:
        (got,) = run(text, [q.astype(np.float32), pool.astype(np.float32), table, lens], target=target)
        assert relative_error(got, want.reshape(got.shape)) <= 1e-5


@pytest.mark.parametrize(
    ("target", "page_size", "keys", "lengths"),
    [
        ("trn1", 1, 1000, True),
        ("trn1", 16, 1024, True),
        ("trn1", 16, 1024, False),
        ("trn1", 1, 16384, True),
        ("trn2", 1, 1, False),
        ("trn2", 16, 1024, True),
        ("trn3", 16, 16, True),
        ("trn3", 100, 300, True),
    ],
)
@pytest.mark.parametrize(("dtype", "size"), [("f32", 128), ("bf16", 64)])
def test_paged_traffic_is_what_the_pages_hold(
    target: str, page_size: int, keys: int, lengths: bool, dtype: str, size: int
):
    """At most 1.1 times the least, the table's entries for every sequence included; and a quarter of work."""
    case = AttentionCase((8,), 1, 4, 1, keys, size, size, page_size=page_size, dtype=dtype, lse=False, kv_lens=lengths)
    (kernel,) = kernels(case.module_text(), f"{{target={target} arrangement=keys}}")
    (other,) = kernels(case.module_text(), f"{{target={target} arrangement=rows}}")
    cost, by_rows = account(kernel), account(other)
    assert cost.engines["DMA"].bytes <= 1.1 * cost.least_bytes
    assert cost.vector_and_scalar <= by_rows.vector_and_scalar / 4


@pytest.mark.parametrize("target", ["trn1", "trn2"])
def test_the_last_key_that_is_reached_is_not_the_last_of_a_page(target: str):
    case = AttentionCase(keys=96, page_size=16, queries=2, steps=("causal_top",), kv_lens=True, sinks=True)
    check(case, passes=BOUNDS, target=target)

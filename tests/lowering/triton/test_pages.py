"""
Keys in pages, run: kernels of every combination of page size, tile and splits, in Triton's interpreter.

Other tests have pages among their cases (`attention_cases`). Locked in here: page sizes below, equal to and above a
tile, powers of two and not; that kernels read exactly the table entries and slots that keys are in, one iteration
ahead or not; V as columns of K's pool (MLA); tables per head; dynamic sizes; and that kernels compile for every GPU.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from attention_cases import AttentionCase
from attention_pages import make_pages
from attention_reference import reference_attention
from numpy.typing import NDArray
from pipelines import transform

from flashlower.dialects import tl
from flashlower.interpreters import run_module
from flashlower.lowering.triton.compile import TARGETS, compile_module_kernels
from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.runtime import call

pytest.importorskip("triton", reason="kernels run where Triton can be installed")
interpreter = pytest.importorskip("triton.runtime.interpreter")

CONVERT = "convert-attention-to-triton"


def source(text: str, block_n: int, splits: int) -> str:
    schedule = f"schedule<block_m = 16, block_n = {block_n}, warps = 4, stages = 2>\n      -> out"
    split = f"flash-decoding{{splits={splits}}}," if splits > 1 else ""
    return print_module(transform(text.replace("-> out", schedule, 1), split + CONVERT))


def run(case: AttentionCase, block_n: int = 64, splits: int = 1) -> None:
    results = call(source(case.module_text(), block_n, splits), "main", case.inputs())
    case.check(results if isinstance(results, tuple) else [results])


@pytest.mark.parametrize("block_n", [16, 64])
@pytest.mark.parametrize("page_size", [1, 8, 16, 48, 64, 128, 256])
def test_page_sizes(page_size: int, block_n: int):
    """Tiles inside of a page, of whole pages, and across the ends of pages; with splits in every second case."""
    max_pages = max(200 // page_size, 2)
    case = AttentionCase(
        batch=(3,),
        kv_heads=1,
        keys=max_pages * page_size,
        page_size=page_size,
        kv_lens=True,
        queries=2,
        steps=("causal",),
    )
    run(case, block_n, splits=1 if (page_size + block_n) % 32 == 0 else 3)


@pytest.mark.parametrize("pool", ["slot_major", "head_major", "flat", "keys_only"])
@pytest.mark.parametrize("rows", [False, True])
def test_pool_layouts(pool: str, rows: bool):
    run(AttentionCase(keys=96, page_size=32, pool=pool, rows=rows, kv_lens=True, sinks=True, value_size=24), 32)


def test_one_page_a_sequence():
    """The table has one entry for each sequence, and no stride."""
    run(AttentionCase(keys=48, page_size=48, kv_lens=True), 32)
    run(AttentionCase(batch=(), keys=64, page_size=64, kv_lens=True), 64)


@pytest.mark.parametrize(("page_size", "block_n", "splits"), [(16, 64, 1), (48, 32, 2), (64, 32, 1), (1, 16, 3)])
def test_nothing_is_read_that_does_not_exist(
    page_size: int, block_n: int, splits: int, monkeypatch: pytest.MonkeyPatch
):
    """Not even loaded and then masked: the addresses of all loads are compared with those of keys that exist."""
    case = AttentionCase(batch=(4,), kv_heads=1, keys=192, page_size=page_size, kv_lens=True, lse=False)
    _, k, v, table, lens = inputs = case.inputs()
    load = interpreter.InterpreterBuilder.create_masked_load
    loaded: list[NDArray[Any]] = []

    def create_masked_load(self: Any, ptrs: Any, mask: Any, *rest: Any) -> Any:
        loaded.append(np.broadcast_to(ptrs.data, mask.data.shape)[mask.data].astype(np.int64))
        return load(self, ptrs, mask, *rest)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_masked_load", create_masked_load)
    call(source(case.module_text(), block_n, splits), "main", inputs)
    addresses = np.unique(np.concatenate([np.atleast_1d(a).reshape(-1) for a in loaded]))

    def read(array: NDArray[Any]) -> NDArray[Any]:
        """The positions in an array that were loaded, in elements."""
        first = array.__array_interface__["data"][0]
        return (addresses[(addresses >= first) & (addresses < first + array.nbytes)] - first) // array.itemsize

    exists = np.arange(case.keys) < np.clip(lens, 0, case.keys)[:, None]
    entries = exists.reshape(*table.shape, page_size).any(axis=-1)
    np.testing.assert_array_equal(read(table), np.flatnonzero(entries))
    for pool in (k, v):
        # The poison of the case is NaN in every slot without a key.
        np.testing.assert_array_equal(read(pool), np.flatnonzero(~np.isnan(pool.reshape(-1))))


LATENT = """
func.func @main(%q: tensor<2x4x576xf16>, %k: tensor<9x16x576xf16>, %v: tensor<9x16x512xf16>, %t: tensor<2x3xi32>,
    %lens: tensor<2xi32>) -> tensor<2x4x512xf16> {
  %o = attention.sdpa q(%q[b, g, k] : tensor<2x4x576xf16>) k(%k[page, slot, k] : tensor<9x16x576xf16>)
      v(%v[page, slot, d] : tensor<9x16x512xf16>) block_table(%t[b, p] : tensor<2x3xi32>)
      kv_lens(%lens[b] : tensor<2xi32>) scale(0.05) -> out[b, g, d] : tensor<2x4x512xf16>
  func.return %o : tensor<2x4x512xf16>
}
"""


@pytest.mark.parametrize("splits", [1, 2])
def test_values_that_are_columns_of_the_keys(splits: int):
    """Multi-head latent attention: one pool, of which V is the first 512 columns of 576."""
    rng = np.random.default_rng(0)
    lens = np.array([40, 17], np.int32)
    pages = make_pages(rng, [2], lens, 3, 16, with_rows=False)
    pool = pages.poison(rng.standard_normal((9, 16, 1, 576)).astype(np.float16))
    q = rng.standard_normal((2, 4, 576)).astype(np.float16)
    k = pool[:, :, 0]
    out = call(source(LATENT, 32, splits), "main", [q, k, k[..., :512], pages.table, lens])
    keys = pages.gather(pool, [2])
    want, _ = reference_attention(q[:, None, :, None], keys, keys[..., :512], scale=0.05, kv_lens=lens)
    np.testing.assert_allclose(out.astype(np.float64), want[:, 0, :, 0], atol=3e-3, rtol=3e-3)


PER_HEAD = """
func.func @main(%q: tensor<2x2x3x16xf32>, %k: tensor<?x?x16xf32>, %t: tensor<2x2x3x?xi64>, %lens: tensor<2x2x3xi32>)
    -> tensor<2x2x3x16xf32> {
  %o = attention.sdpa q(%q[b, h, g, k] : tensor<2x2x3x16xf32>) k(%k[h, page * 8 + slot, k] : tensor<?x?x16xf32>)
      v(%k[h, page * 8 + slot, d] : tensor<?x?x16xf32>) block_table(%t[b, h, g, p] : tensor<2x2x3x?xi64>)
      kv_lens(%lens[b, h, g] : tensor<2x2x3xi32>) scale(1.0) -> out[b, h, g, d] : tensor<2x2x3x16xf32>
  func.return %o : tensor<2x2x3x16xf32>
}
"""


@pytest.mark.parametrize("splits", [1, 3])
def test_pages_per_query_head_and_dynamic_sizes(splits: int):
    """Every query head chooses its own pages (sparse attention): heads of a group then share no tile."""
    rng = np.random.default_rng(0)
    lens = rng.integers(0, 33, (2, 2, 3)).astype(np.int32)
    pages = make_pages(rng, lens.shape, lens, 4, 8, with_rows=False)
    k = rng.standard_normal((2, (lens.size * 4 + 3) * 8, 16)).astype(np.float32)
    q = rng.standard_normal((2, 2, 3, 16)).astype(np.float32)
    inputs = [q, k, pages.table.astype(np.int64), lens]
    out = call(source(PER_HEAD, 16, splits), "main", inputs)
    flat = pages.ids.reshape(*lens.shape, 4)
    want = np.zeros(q.shape)
    for index in np.ndindex(*lens.shape):
        slots = (flat[index][:, None] * 8 + np.arange(8)).reshape(-1)[: lens[index]]
        keys = k[index[1], slots].astype(np.float64)
        if len(keys):
            weights = np.exp(keys @ q[index])
            want[index] = weights @ keys / weights.sum()
    np.testing.assert_allclose(out, want, atol=2e-5)
    np.testing.assert_allclose(run_module(transform(PER_HEAD), inputs)[0], want, atol=2e-5)


def test_contiguous_and_paged_keys_must_be_as_many():
    """V has no pages and a dynamic length, which the launch compares with that of the table."""
    text = """
    func.func @main(%q: tensor<16xf32>, %k: tensor<9x8x16xf32>, %v: tensor<?x16xf32>, %t: tensor<?xi32>)
        -> tensor<16xf32> {
      %o = attention.sdpa q(%q[k] : tensor<16xf32>) k(%k[page, slot, k] : tensor<9x8x16xf32>)
          v(%v[n, d] : tensor<?x16xf32>) block_table(%t[p] : tensor<?xi32>) scale(1.0) -> out[d] : tensor<16xf32>
      func.return %o : tensor<16xf32>
    }
    """
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(shape).astype(np.float32) for shape in ((16,), (9, 8, 16), (24, 16)))
    table = np.array([5, 0, 8], np.int32)
    weights = np.exp(k[table].reshape(24, 16).astype(np.float64) @ q)
    out = call(source(text, 16, 1), "main", [q, k, v, table])
    np.testing.assert_allclose(out, weights @ v / weights.sum(), atol=2e-5)
    with pytest.raises(ValueError, match="pages of block_table times their size must be the size of n: 16 and 24"):
        call(source(text, 16, 1), "main", [q, k, v, table[:2]])


COMPILED = AttentionCase(
    batch=(2,), queries=2, group=4, head_size=64, value_size=64, keys=768, dtype="bf16", kv_lens=True,
    steps=("causal", "soft_cap"), page_size=64, rows=True,
)  # fmt: skip


@pytest.mark.parametrize(("page_size", "pool"), [(64, "slot_major"), (48, "head_major")])
def test_kernels_compile_for_every_gpu(page_size: int, pool: str):
    """With one page number a tile, and with one a key."""
    module = transform(dataclasses.replace(COMPILED, page_size=page_size, pool=pool).module_text(), CONVERT)
    kernels = [op.sym_name.data for op in module.body.ops if isinstance(op, tl.JitOp)]
    compiled = compile_module_kernels(module)
    assert set(compiled) == {(kernel, target) for kernel in kernels for target in TARGETS}

"""Locks in `flashlower.attention` on paged caches, and calls that write to given memory and allocate nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from attention_pages import make_pages
from paged_cache import PagedCache

import flashlower as fl


@dataclass
class Cache:
    """Three sequences, one of them empty: paged, and the same keys contiguous."""

    q: Any
    k: Any
    v: Any
    table: Any
    lens: Any
    dense: tuple[Any, Any]


def make_cache(page_size: int = 4, layout: str = "bhsd") -> Cache:
    rng = np.random.default_rng(page_size)
    max_pages = 24 // page_size
    lens = np.array([24, 0, 13], np.int32)
    pages = make_pages(rng, [3], lens, max_pages, page_size, with_rows=False)
    q = rng.standard_normal((3, 4, 2, 16)).astype(np.float32)
    pools = [
        pages.poison(rng.standard_normal((3 * max_pages + 3, page_size, 2, size)).astype(np.float32))
        for size in (16, 8)
    ]
    dense = tuple(pages.gather(pool, [3]) for pool in pools)
    if layout == "bshd":
        q, dense = q.swapaxes(1, 2), tuple(x.swapaxes(1, 2) for x in dense)
    return Cache(q, *pools, pages.table, lens, (dense[0], dense[1]))


@pytest.mark.parametrize(
    ("page_size", "layout", "splits"), [(1, "bshd", 2), (3, "bhsd", 2), (8, "bhsd", 1), (8, "bshd", 1)]
)
def test_pages_are_the_same_keys(page_size: int, layout: Any, splits: int) -> None:
    cache = make_cache(page_size, layout)
    options: dict[str, Any] = {
        "kv_lens": cache.lens,
        "layout": layout,
        "score": fl.chain(fl.soft_cap(5.0), fl.causal()),
        "sinks": np.ones(4, np.float32),
        "return_lse": True,
    }
    want = fl.attention(cache.q, *cache.dense, **options, splits=1)
    got = fl.attention(cache.q, cache.k, cache.v, block_table=cache.table, **options, splits=splits)
    for a, b in zip(got, want):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_head_major_pages_are_a_view() -> None:
    cache = make_cache(8)
    k, v = (np.ascontiguousarray(pool.swapaxes(1, 2)).swapaxes(1, 2) for pool in (cache.k, cache.v))
    tables = {"block_table": cache.table.astype(np.int64), "kv_lens": cache.lens.astype(np.int64)}
    got = fl.attention(cache.q, k, v, **tables)
    np.testing.assert_allclose(got, fl.attention(cache.q, *cache.dense, kv_lens=cache.lens), atol=1e-5)


@pytest.mark.parametrize(("page_size", "splits"), [(1, 3), (16, 1), (48, 3)])
def test_one_set_of_buffers_serves_a_changing_cache(page_size: int, splits: int) -> None:
    """What a captured graph does on a GPU (`test_gpu.py`)."""
    cache = PagedCache("cpu", page_size=page_size, max_pages=96 // page_size, head_size=16, splits=splits)
    assert cache.workspace.numel() == 0 if splits == 1 else cache.workspace.numel() % 256 == 0
    for seed in range(2):
        cache.refill(seed)
        assert cache.attend() is cache.out
        cache.check()


@pytest.mark.parametrize("kind", ["numpy", "torch"])
@pytest.mark.parametrize("splits", [1, 2])
def test_results_and_partial_results_go_where_they_are_told(
    splits: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = make_cache()
    options: dict[str, Any] = {"splits": splits, "return_lse": True}
    tensors = [cache.q, cache.k, cache.v, cache.table, cache.lens]
    out, lse = np.zeros((3, 4, 2, 8, 2), np.float32), np.zeros((3, 4, 2), np.float32)
    workspace = np.full(20000, 255, np.uint8)
    if kind == "torch":
        *tensors, out, lse, workspace = (torch.from_numpy(x) for x in (*tensors, out, lse, workspace))
    q, k, v, options["block_table"], options["kv_lens"] = tensors
    want = fl.attention(q, k, v, **options)
    size = fl.workspace_size(q, k, v, **options)
    assert (size == 0) == (splits == 1)
    strided = out[..., 0]

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("something is allocated")

    if kind == "torch":
        monkeypatch.setattr(torch, "empty", refuse)
    else:
        monkeypatch.setattr("flashlower.lowering.triton.runtime.numpy_empty", refuse)
    got = fl.attention(q, k, v, **options, out=(strided, lse), workspace=workspace[:size])
    assert got[0] is strided and got[1] is lse
    for a, b in zip(got, want):
        np.testing.assert_array_equal(a, b)
    assert not np.asarray(out)[..., 1].any()


def test_out_may_be_a_part_of_the_results() -> None:
    cache = make_cache()
    out = np.empty((3, 4, 2, 8), np.float32)
    got, lse = fl.attention(
        cache.q, cache.k, cache.v, block_table=cache.table, kv_lens=cache.lens, out=out, return_lse=True
    )
    assert got is out and lse.shape == (3, 4, 2)


def test_compiled_modules_take_buffers_too() -> None:
    text = """
    func.func @main(%q: tensor<2x16xf32>, %k: tensor<9x4x16xf32>, %t: tensor<2x3xi32>) -> tensor<2x16xf32> {
      %o = attention.sdpa q(%q[b, k] : tensor<2x16xf32>) k(%k[page, slot, k] : tensor<9x4x16xf32>)
          v(%k[page, slot, d] : tensor<9x4x16xf32>) block_table(%t[b, p] : tensor<2x3xi32>) scale(1.0)
          -> out[b, d] : tensor<2x16xf32>
      func.return %o : tensor<2x16xf32>
    }
    """
    kernel = fl.compile(text, splits=2)
    # [b, h, g, split, m, d] and [b, h, g, split, m] in f32, each rounded up to 256 bytes.
    assert kernel.workspace_size() == 2 * 2 * 16 * 4 + 256
    rng = np.random.default_rng(0)
    q, k = rng.standard_normal((2, 16)).astype(np.float32), rng.standard_normal((9, 4, 16)).astype(np.float32)
    table = np.array([[3, 1, 8], [0, 3, 5]], np.int32)
    out = np.empty_like(q)
    assert kernel(q, k, table, out=out, workspace=np.empty(kernel.workspace_size(), np.uint8)) is out
    np.testing.assert_allclose(out, fl.interpret(text, q, k, table), atol=1e-5)
    dynamic = fl.compile(text.replace("tensor<2x3xi32>", "tensor<?x3xi32>").replace("2x16", "?x16"), splits=2)
    np.testing.assert_allclose(dynamic(q, k, table), out, atol=1e-6)
    with pytest.raises(ValueError, match="@main has dynamic sizes or calls other functions: it takes no workspace"):
        dynamic.workspace_size()


CACHE = make_cache()
OUT = np.zeros((3, 4, 2, 8), np.float32)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"block_table": CACHE.table.astype(np.float32)},
            TypeError,
            "block_table has elements of type f32, expected i",
        ),
        ({"block_table": CACHE.table[0]}, ValueError, r"block_table has shape \[6\], expected 2 dimensions"),
        ({"block_table": CACHE.table[:2]}, ValueError, "batch of q and block_table differ: 3 and 2"),
        ({"block_table": [[0]]}, TypeError, "block_table is a list, expected a NumPy array or a torch tensor"),
        ({"block_table": torch.from_numpy(CACHE.table)}, TypeError, "these are mixed"),
        # Pages that are needed: the first sequence has a length of more than one.
        ({"block_table": CACHE.table + 21}, ValueError, r"block_table\[0, 0\] is .*, expected .* one of 21 pages"),
        ({"block_table": CACHE.table * 0 - 1, "kv_lens": None}, ValueError, r"block_table\[0, 0\] is -1, expected"),
        ({"kv_lens": CACHE.lens[:2]}, ValueError, r"kv_lens has shape \[2\], expected \[3\]"),
        ({"k": CACHE.k[:, :2]}, ValueError, "page size of k and v differ: 2 and 4"),
        ({"k": CACHE.k[:, :0], "v": CACHE.v[:, :0]}, ValueError, "k and v have pages of size 0, expected at least 1"),
        ({"v": CACHE.v[:5]}, ValueError, "pages of k and v differ: 21 and 5"),
        ({"v": CACHE.v[:, :, :1]}, ValueError, "heads of k and v differ: 2 and 1"),
        ({"k": CACHE.k[..., :8]}, ValueError, "head size of q and k differ: 16 and 8"),
        ({"k": CACHE.k[0]}, ValueError, r"k has shape .*, expected 4 dimensions .pages, page_size, heads, head"),
        ({"q": CACHE.q[:, :3]}, ValueError, "q has 3 heads, which is no multiple of the 2 heads"),
        ({"k": CACHE.k.astype(np.float16)}, TypeError, "q has elements of type f32, but k of type f16"),
        ({"out": OUT.astype(np.float16)}, TypeError, "out has dtype float16, but float32 is expected"),
        ({"out": OUT[:, :, :1]}, ValueError, r"out has shape \(3, 4, 1, 8\), but \(3, 4, 2, 8\) is expected"),
        ({"out": np.broadcast_to(OUT[:1], OUT.shape)}, ValueError, "out cannot be written: the array is read-only"),
        ({"out": torch.from_numpy(OUT)}, TypeError, "these are mixed"),
        ({"out": (OUT, OUT)}, ValueError, "out has 2 tensors, but the results .* that can be given are: out"),
        ({"out": "there"}, TypeError, "out is a str, expected a NumPy array or a torch tensor"),
        ({"workspace": np.empty(9000)}, ValueError, "a workspace needs out for every result"),
        ({"workspace": np.empty(9), "out": OUT}, ValueError, "workspace has 72 bytes, but 1792 are needed"),
        ({"workspace": np.empty((9000, 2))[:, 0], "out": OUT}, ValueError, "workspace must be contiguous"),
        ({"workspace": np.empty(9000, np.uint8)[1:], "out": OUT}, ValueError, "workspace must be aligned to 16 bytes"),
        ({"workspace": 9000, "out": OUT}, TypeError, "workspace is a int, expected a NumPy array or a torch tensor"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_what_does_not_fit_is_named(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"q": CACHE.q, "k": CACHE.k, "v": CACHE.v, "block_table": CACHE.table, "kv_lens": CACHE.lens}
    with pytest.raises(error, match=message):
        fl.attention(**{**arguments, "splits": 2, **changes})


def test_torch_results_that_share_memory_are_refused() -> None:
    tensors = [torch.from_numpy(x) for x in (CACHE.q, CACHE.k, CACHE.v, CACHE.table, CACHE.lens)]
    q, k, v, table, lens = tensors
    with pytest.raises(ValueError, match="out cannot be written: several of its elements are one in memory"):
        fl.attention(q, k, v, block_table=table, kv_lens=lens, out=torch.zeros(8).expand(3, 4, 2, 8))

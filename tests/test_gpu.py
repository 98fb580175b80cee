"""Locks in that emitted kernels compute on a GPU what they compute in Triton's interpreter.

The interpreter knows no tensor cores, pipelines, warps or 32-bit overflow; a GPU does. Without one, these tests do
not run.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from attention_calls import random_call
from attention_cases import CASES, DTYPES, AttentionCase, random_case
from paged_cache import PagedCache

import flashlower as fl

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

RANDOM_CASES = 150
RANDOM_CALLS = 300


def to_gpu(array: Any) -> torch.Tensor:
    if array.dtype.name == "bfloat16":
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16).cuda()
    return torch.from_numpy(array.copy()).cuda()


def to_numpy(tensor: torch.Tensor) -> Any:
    if tensor.dtype == torch.bfloat16:
        return tensor.cpu().view(torch.int16).numpy().view(DTYPES["bf16"])
    return tensor.cpu().numpy()


def run(case: AttentionCase, splits: int) -> None:
    kernel = fl.compile(case.module_text(), splits=splits)
    results = kernel(*(to_gpu(array) for array in case.inputs()))
    case.check([to_numpy(r) for r in (results if isinstance(results, tuple) else (results,))])


@pytest.mark.parametrize("splits", [1, 3])
@pytest.mark.parametrize("case", [c for c in CASES if c.dtype != "f64"], ids=str)
def test_cases(case: AttentionCase, splits: int) -> None:
    run(case, splits)


@pytest.mark.parametrize("seed", range(RANDOM_CASES))
def test_random_cases(seed: int) -> None:
    rng = np.random.default_rng([seed, 20])
    case = random_case(rng)
    while case.dtype == "f64":
        case = random_case(rng)
    run(case, int(rng.integers(1, 6)))


@pytest.mark.parametrize("seed", range(RANDOM_CALLS))
def test_random_calls(seed: int) -> None:
    """The second time from what was remembered, with new queries in the same memory, and in other memory."""
    call = random_call(seed, "cuda")
    call.run()
    call.check()
    for tensor in call.given():
        tensor.fill_(float("nan"))
    call.q.normal_()
    call.run()
    call.check()
    # Elsewhere, with another alignment: Triton's kernels for aligned addresses are wrong there.
    memory = torch.empty(call.q.numel() + 1, dtype=call.q.dtype, device="cuda")
    call.q = memory[1:].view(call.q.shape).copy_(call.q)
    call.run()
    call.check()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("batch", "heads", "kv_heads", "queries", "keys", "head_size"),
    [(2, 32, 8, 1, 4096, 128), (1, 8, 1, 4, 33000, 64), (2, 16, 4, 1000, 1000, 128), (1, 4, 4, 300, 700, 96)],
)
def test_against_pytorch(
    batch: int, heads: int, kv_heads: int, queries: int, keys: int, head_size: int, dtype: torch.dtype
) -> None:
    q = torch.randn(batch, heads, queries, head_size, device="cuda", dtype=dtype)
    k, v = (torch.randn(batch, kv_heads, keys, head_size, device="cuda", dtype=dtype) for _ in range(2))
    for causal in (False, True):
        out = fl.attention(q, k, v, score=fl.causal() if causal else None)
        position = torch.arange(queries, device="cuda")[:, None] + keys - queries
        mask = torch.arange(keys, device="cuda") <= position if causal else None
        group = heads // kv_heads
        want = torch.nn.functional.scaled_dot_product_attention(
            *(x.double() for x in (q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1))), attn_mask=mask
        )
        error = torch.linalg.norm(out.double() - want) / torch.linalg.norm(want)
        assert error < (1e-3 if dtype == torch.float16 else 5e-3)


def test_offsets_beyond_32_bits() -> None:
    """K and V of more than 2^31 elements: the last sequence lies beyond what 32 bits can address."""
    batch, heads, keys, head_size = 1100, 8, 2048, 128
    k = torch.empty(batch, heads, keys, head_size, device="cuda", dtype=torch.bfloat16)
    assert k.numel() > 2**31
    k[-1].normal_()
    q = torch.randn(batch, heads, 1, head_size, device="cuda", dtype=torch.bfloat16)
    lens = torch.zeros(batch, dtype=torch.int32, device="cuda")
    lens[-1] = keys
    out = fl.attention(q, k, k, kv_lens=lens)
    want = torch.nn.functional.scaled_dot_product_attention(q[-1].float(), k[-1].float(), k[-1].float())
    assert torch.linalg.norm(out[-1].float() - want) < 5e-3 * torch.linalg.norm(want)
    assert not out[:-1].any()


def test_a_captured_graph_replays_with_new_lengths() -> None:
    q = torch.randn(4, 8, 1, 64, device="cuda", dtype=torch.float16)
    k, v = (torch.randn(4, 2, 1000, 64, device="cuda", dtype=torch.float16) for _ in range(2))
    lens = torch.tensor([1000, 3, 500, 0], dtype=torch.int32, device="cuda")
    fl.attention(q, k, v, kv_lens=lens, splits=4)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = fl.attention(q, k, v, kv_lens=lens, splits=4)
    for new in ([1000, 3, 500, 0], [0, 1000, 1, 999], [17, 33, 64, 128]):
        lens.copy_(torch.tensor(new))
        graph.replay()
        assert torch.equal(out, fl.attention(q, k, v, kv_lens=lens, splits=4))


def test_warm_calls_of_kernels_that_are_compiled_for_strides() -> None:
    """Calls with new contents and with other strides, in turn: the schedule of long queries has `constant_strides`."""
    q = torch.randn(1, 4, 300, 128, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        for size in (128, 160, 256):
            k, v = (torch.randn(1, 2, 500, size, device="cuda", dtype=torch.bfloat16)[..., :128] for _ in range(2))
            want = torch.nn.functional.scaled_dot_product_attention(
                q.float(), k.float(), v.float(), is_causal=False, enable_gqa=True
            )
            got = fl.attention(q, k, v)
            assert torch.linalg.norm(got.float() - want) < 5e-3 * torch.linalg.norm(want)


def allocations() -> int:
    """How often PyTorch has allocated memory of the GPU so far."""
    return torch.cuda.memory_stats()["allocation.all.allocated"]


@pytest.mark.parametrize("splits", [1, 4])
def test_calls_with_out_and_workspace_allocate_nothing(splits: int) -> None:
    """The first call neither, and calls of `kernel` neither; without them a call allocates results and one block."""
    cache = PagedCache("cuda", page_size=16, max_pages=40, splits=splits)
    before = allocations()
    for _ in range(3):
        cache.attend()
    assert allocations() == before
    cache.check()
    kept = [fl.attention(cache.q, cache.k, cache.v, **cache.options) for _ in range(2)]
    before = allocations()
    kept.append(fl.attention(cache.q, cache.k, cache.v, **cache.options))
    assert allocations() == before + (1 if splits == 1 else 2)
    assert all(torch.equal(out, cache.out) for out in kept)


def test_streams_with_workspaces_of_their_own() -> None:
    """Calls on several streams at once, each with its own workspace, do not disturb each other."""
    caches = [PagedCache("cuda", page_size=16, max_pages=600, batch=1, splits=16) for _ in range(4)]
    streams = [torch.cuda.Stream() for _ in caches]
    torch.cuda.synchronize()
    for _ in range(20):
        for cache, stream in zip(caches, streams):
            with torch.cuda.stream(stream):
                cache.attend()
    torch.cuda.synchronize()
    for cache in caches:
        cache.check()


def test_graphs_of_several_calls_share_a_workspace() -> None:
    """Calls that follow each other on one stream may share a workspace, in a graph too; replays see new contents."""
    caches = [PagedCache("cuda", page_size=page_size, max_pages=20, splits=3) for page_size in (16, 16, 48)]
    for cache in caches:
        cache.attend()
        cache.workspace = max((c.workspace for c in caches), key=len)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        before = allocations()
        for cache in caches:
            cache.attend()
        assert allocations() == before
    for seed in range(3):
        for shift, cache in enumerate(caches):
            cache.refill(seed + shift)
        graph.replay()
        for cache in caches:
            cache.check()


def test_threads_share_what_is_remembered() -> None:
    """Eight threads make the same new calls at once, each on a stream of its own."""
    calls = [random_call(seed, "cuda", small=True) for seed in range(1000, 1012)]
    for call in calls:
        # Memory of a call's own is for one thread.
        call.options = {name: x for name, x in call.options.items() if name not in ("out", "workspace")}
    want = [call.reference()[0] for call in calls]
    torch.cuda.synchronize()

    def work(thread: int) -> None:
        with torch.cuda.stream(torch.cuda.Stream()):
            for i in range(3 * len(calls)):
                index = (i + thread) % len(calls)
                call = calls[index]
                result = fl.attention(call.q, call.k, call.v, **call.options)
                out = result[0] if call.options["return_lse"] else result
                out = out if call.layout == "bhsd" else out.transpose(1, 2)
                assert torch.linalg.norm(out - want[index]) <= 6e-3 * torch.linalg.norm(want[index])

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, thread) for thread in range(8)]:
            future.result()


def test_calls_that_a_gpu_refuses() -> None:
    q, k, v = (torch.randn(2, 4, n, 64, device="cuda", dtype=torch.float16) for n in (1, 50, 50))
    lens = torch.tensor([50, 3], dtype=torch.int32)
    with pytest.raises(TypeError, match="all tensors are on one device; q is on cuda:0 and kv_lens on cpu"):
        fl.attention(q, k, v, kv_lens=lens)
    for _ in range(2):
        # In full, and as remembered.
        with pytest.raises(ValueError, match="share"):
            fl.attention(q, k, v, out=k[:, :, :1])
        with pytest.raises(ValueError, match="q requires a gradient"):
            fl.attention(q.clone().requires_grad_(), k, v)
        out = torch.empty_like(q)
        fl.attention(q, k, v, out=out)
    rows = torch.randn(2, 4, 52, 64, device="cuda", dtype=torch.float16)
    # Between each other, but not in each other's memory.
    got = fl.attention(rows[:, :, 51:], rows[:, :, 1:51], v, out=rows[:, :, :1])
    torch.testing.assert_close(got, fl.attention(rows[:, :, 51:], rows[:, :, 1:51], v))


@pytest.mark.parametrize("splits", [1, 4, None])
@pytest.mark.parametrize(
    ("page_size", "max_pages"), [(1, 700), (8, 60), (16, 50), (48, 9), (64, 12), (128, 5), (256, 3)]
)
def test_a_captured_graph_replays_with_a_new_cache(page_size: int, max_pages: int, splits: int | None) -> None:
    """Lengths (0 included), tables and contents change in place; nothing is allocated, so the graph stays valid."""
    cache = PagedCache(
        "cuda", page_size=page_size, max_pages=max_pages, batch=4, heads=(2, 4), head_size=128, splits=splits
    )
    cache.attend()
    cache.check()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        before = torch.cuda.memory_allocated()
        cache.attend()
        assert torch.cuda.memory_allocated() == before
    for seed in range(6):
        cache.refill(seed)
        graph.replay()
        cache.check()


def test_pages_beyond_32_bits() -> None:
    """A pool of more than 2^31 elements, whose last pages are those of the sequence."""
    pages, page_size, heads, head_size = 20000, 128, 8, 128
    pool = torch.empty(pages, page_size, heads, head_size, device="cuda", dtype=torch.bfloat16)
    assert pool.numel() > 2**31
    pool[-4:].normal_()
    q = torch.randn(1, heads, 1, head_size, device="cuda", dtype=torch.bfloat16)
    for size in (page_size, 16):
        # The same memory in larger or smaller pages; the last is the first of the sequence.
        cut = pool.view(-1, size, heads, head_size)
        count = 4 * page_size // size
        table = torch.arange(len(cut) - 1, len(cut) - 1 - count, -1, device="cuda", dtype=torch.int32)
        out = fl.attention(q, cut, cut, block_table=table[None])
        keys = cut[table.long()].reshape(1, -1, heads, head_size).transpose(1, 2).float()
        want = torch.nn.functional.scaled_dot_product_attention(q.float(), keys, keys)
        assert torch.linalg.norm(out.float() - want) < 5e-3 * torch.linalg.norm(want)

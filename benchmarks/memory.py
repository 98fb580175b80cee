"""
The bound that a machine's memory gives: a kernel that only reads the pages of K and V which a case must read.

Every program reads up to `CHUNK` words of one page, all of them asked for at once, and sums them, so that the reads
cannot be left out. Contiguous K and V are the same pages in the order in which they lie.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import triton
import triton.language as tl

from benchmarks.cases import PAGE_SIZE, Case, Inputs

CHUNK = 16384
"""Words of 32 bits that a program reads, 64 in the registers of each of its threads."""

BLOCK = 4096
"""Words that its threads read by one instruction each."""

MAX_QUERIES = 16
"""More queries do not wait for memory."""


@triton.jit
def _read_kernel(k_ptr, v_ptr, pages_ptr, sums_ptr, PAGE: tl.constexpr, CHUNK: tl.constexpr, BLOCK: tl.constexpr):
    page = tl.load(pages_ptr + tl.program_id(0)).to(tl.int64)
    words = (v_ptr if tl.program_id(2) else k_ptr) + page * PAGE + tl.program_id(1) * CHUNK
    total = tl.zeros((BLOCK,), tl.int32)
    for start in tl.static_range(0, CHUNK, BLOCK):
        total += tl.load(words + start + tl.arange(0, BLOCK))
    program = (tl.program_id(0) * tl.num_programs(1) + tl.program_id(1)) * 2 + tl.program_id(2)
    tl.store(sums_ptr + program, tl.sum(total, 0))


def is_bound(case: Case) -> bool:
    """Whether the case must read all of K and V, and waits for that."""
    return case.window is None and case.queries <= MAX_QUERIES


def pages_of(inputs: Inputs, *, paged: bool) -> torch.Tensor:
    """The pages [n] that a call reads, i32, in the order of its sequences; the last of a sequence is read in full."""
    table = inputs.block_table
    if not paged:
        table = torch.arange(table.numel(), dtype=table.dtype, device=table.device).view_as(table)
    counts = [-(-length // PAGE_SIZE) for length in inputs.case.lengths()]
    return torch.cat([row[:count] for row, count in zip(table, counts)])


def prepare(inputs: Inputs, *, paged: bool) -> Callable[[], torch.Tensor]:
    """A call that reads K and V, and returns sums of their words (int32, modulo 2**32)."""
    k, v = (cache.view(torch.int32) for cache in (inputs.k, inputs.v))
    pages, words = pages_of(inputs, paged=paged), k[0].numel()
    chunk = min(words & -words, CHUNK)
    grid = (pages.numel(), words // chunk, 2)
    sums = torch.empty(grid, dtype=torch.int32, device=k.device)

    def call() -> torch.Tensor:
        _read_kernel[grid](k, v, pages, sums, words, chunk, min(chunk, BLOCK), num_warps=8)
        return sums

    return call

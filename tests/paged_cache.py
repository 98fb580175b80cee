"""A paged cache that changes under a kernel, as a server's does: the same tensors with other lengths, tables, contents.

    cache = PagedCache("cpu", page_size=16)
    out = cache.attend()                     # flashlower.attention into the cache's own buffers
    for seed in range(3):
        cache.refill(seed)                   # everything anew, in place; the first sequence of seed 0 has no keys
        cache.attend()                       # or the replay of a captured graph
        cache.check()                        # against a float64 formulation

On a GPU a graph is captured once and replayed; on a CPU the calls go to the interpreter.
"""

from __future__ import annotations

import numpy as np
import torch
from attention_pages import make_pages
from attention_reference import reference_attention

import flashlower as fl


class PagedCache:
    """Queries, pools, a table, lengths, and buffers for the result and all that a call needs."""

    def __init__(
        self,
        device: str,
        *,
        page_size: int,
        max_pages: int = 4,
        batch: int = 3,
        heads: tuple[int, int] = (2, 2),
        queries: int = 2,
        head_size: int = 32,
        dtype: torch.dtype = torch.float16,
        splits: int | None = None,
    ):
        self.sizes = batch, *heads, queries, head_size
        self.max_pages, self.page_size, self.splits = max_pages, page_size, splits
        pages = batch * max_pages + 3
        kv_heads, group = heads
        tensors = {"device": device, "dtype": dtype}
        self.q = torch.zeros(batch, kv_heads * group, queries, head_size, **tensors)
        self.k, self.v = (torch.zeros(pages, page_size, kv_heads, head_size, **tensors) for _ in range(2))
        self.table = torch.zeros(batch, max_pages, dtype=torch.int32, device=device)
        self.lens = torch.zeros(batch, dtype=torch.int32, device=device)
        self.out = torch.zeros_like(self.q)
        self.options = {
            "score": fl.causal(),
            "kv_lens": self.lens,
            "block_table": self.table,
            "splits": splits,
        }
        size = fl.workspace_size(self.q, self.k, self.v, **self.options)
        self.workspace = torch.empty(size, dtype=torch.uint8, device=device)
        self.refill(0)

    def refill(self, seed: int) -> None:
        """New queries, lengths, tables and contents in the same memory; NaN in all slots without a key."""
        rng = np.random.default_rng(seed)
        batch = len(self.lens)
        lens = rng.integers(1, self.max_pages * self.page_size + 1, batch)
        lens[seed % batch] = (0, self.max_pages * self.page_size, 1)[seed % 3]
        pages = make_pages(rng, [batch], lens, self.max_pages, self.page_size, with_rows=False)
        self._pages = pages
        pools = [pages.poison(rng.standard_normal(tuple(pool.shape)).astype(np.float16)) for pool in (self.k, self.v)]
        queries = rng.standard_normal(tuple(self.q.shape)).astype(np.float16)
        contents = (queries, *pools, pages.table, lens)
        for tensor, array in zip((self.q, self.k, self.v, self.table, self.lens), contents):
            tensor.copy_(torch.from_numpy(array))
        self.out.fill_(float("nan"))

    def attend(self) -> torch.Tensor:
        """One call that allocates nothing."""
        return fl.attention(self.q, self.k, self.v, **self.options, out=self.out, workspace=self.workspace)

    def check(self) -> None:
        """Compares `out` with attention over the keys that the tables list, in float64."""
        batch, kv_heads, group, queries, head_size = self.sizes
        q = self.q.double().cpu().numpy().reshape(batch, kv_heads, group, queries, head_size)
        k, v = (self._pages.gather(pool.double().cpu().numpy(), [batch]) for pool in (self.k, self.v))
        lens = self.lens.cpu().numpy()
        scores = [lambda s, b, hq, m, n: np.where(n <= m + lens[b[0]] - queries, s, -np.inf)]
        want, _ = reference_attention(q, k, v, scale=head_size**-0.5, scores=scores, kv_lens=lens)
        got = self.out.double().cpu().numpy().reshape(want.shape)
        np.testing.assert_allclose(got, want, atol=5e-3, rtol=5e-3)

"""Pools of pages and block tables for `attention_cases`: the same keys as a contiguous case, in pages.

Pages lie in any order, some belong to several sequences, and the pool has pages of nobody. Whatever must not be read
is poison: slots that no sequence has a key in are NaN, entries of the table beyond a length are no pages, and a
sequence without keys may have a row that the table does not have.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SPARE_PAGES = 3
"""Pages of a pool that no sequence has."""

SPARE_ROWS = 2
"""Rows of a table that no sequence has."""

POOL_LAYOUTS: dict[str, dict[str, list[tuple[str, ...]]]] = {
    "slot_major": {"k": [("page",), ("slot",), ("h",), ("k",)], "v": [("page",), ("slot",), ("h",), ("d",)]},
    "head_major": {"k": [("page",), ("h",), ("slot",), ("k",)], "v": [("h",), ("page",), ("d",), ("slot",)]},
    "flat": {"k": [("page", "slot"), ("h", "k")], "v": [("page",), ("slot", "h"), ("d",)]},
    "keys_only": {"k": [("page",), ("slot",), ("h",), ("k",)]},
    "token": {"k": [("page",), ("h",), ("k",)], "v": [("page",), ("h",), ("d",)]},
}
"""How pools are laid out; V of `keys_only` is contiguous, and `token` is for pages of one slot."""


@dataclass(frozen=True)
class Pages:
    """Where the keys of some sequences are: a block table, as the operation gets it and as it is meant."""

    table: np.ndarray
    """`block_table`, [b..., p], or [row, p] where there are rows."""
    rows: np.ndarray | None
    """`rows`, [b...]."""
    ids: np.ndarray
    """The page of every sequence and p, [sequences, p]; any page where no key is."""
    lengths: np.ndarray
    """The number of keys of every sequence, [sequences]."""
    page_size: int

    def poison(self, pool: np.ndarray) -> np.ndarray:
        """A pool [page, slot, ...] with NaN in all slots that no sequence reads."""
        read = np.zeros(pool.shape[:2], bool)
        for ids, length in zip(self.ids, self.lengths):
            n = np.arange(length)
            read[ids[n // self.page_size], n % self.page_size] = True
        return np.where(read[..., None, None], pool, pool.dtype.type(np.nan))

    def gather(self, pool: np.ndarray, batch: Sequence[int]) -> np.ndarray:
        """The keys [b..., h, n, .] of a pool [page, slot, h, .]."""
        keys = pool[self.ids].reshape(len(self.ids), -1, *pool.shape[2:])
        return np.swapaxes(keys, 1, 2).reshape(*batch, pool.shape[2], keys.shape[1], pool.shape[3])


def make_pages(
    rng: np.random.Generator,
    batch: Sequence[int],
    lens: np.ndarray | None,
    max_pages: int,
    page_size: int,
    *,
    with_rows: bool,
) -> Pages:
    """A block table for sequences of these lengths (None: all of the longest)."""
    sequences = int(np.prod(batch, dtype=np.int64))
    most = max_pages * page_size
    lengths = np.full(sequences, most) if lens is None else np.clip(lens.reshape(-1), 0, most)
    ids = rng.permutation(sequences * max_pages + SPARE_PAGES)[: sequences * max_pages]
    ids = ids.reshape(sequences, max_pages)
    if sequences:
        ids = np.where(rng.random(ids.shape) < 0.3, ids[:1], ids)
    garbage = rng.choice([-1, 2**31 - 1, -(2**31), 7_777_777], ids.shape)
    entries = np.where(np.arange(max_pages) * page_size < lengths[:, None], ids, garbage).astype(np.int32)
    if not with_rows:
        return Pages(entries.reshape(*batch, max_pages), None, ids, lengths, page_size)
    table = rng.choice([-1, 2**31 - 1], (sequences + SPARE_ROWS, max_pages)).astype(np.int32)
    rows = rng.permutation(sequences + SPARE_ROWS)[:sequences]
    table[rows] = entries
    rows = np.where(lengths > 0, rows, np.where(np.arange(sequences) % 2, 7_777_777, -9))
    return Pages(table, rows.reshape(batch).astype(np.int64), ids, lengths, page_size)

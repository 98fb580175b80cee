"""Attention in float64, written row by row from the definition, as the yardstick of numeric tests.

It shares no code with flashlower on purpose: loops over rows instead of broadcasting, and only the keys that exist.
"""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

Score = Callable[[np.ndarray, tuple[int, ...], int, int, np.ndarray], np.ndarray]
"""`score(s, batch, hq, m, n)`: new logits [len] of one row from its scaled logits [len] and key positions [len]."""


def reference_attention(
    q: np.ndarray,
    k: np.ndarray,
    v: np.ndarray,
    *,
    scale: float,
    scores: Sequence[Score] = (),
    kv_lens: np.ndarray | None = None,
    sinks: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """
    `out` [b..., h, g, m, d] and `lse` [b..., h, g, m] of q [b..., h, g, m, k], k [b..., h, n, k], v [b..., h, n, d].

    `kv_lens` is [b...], `sinks` [h * g]. Rows without a key to attend to give 0 and -inf (the sink, if there is one).
    """
    *batch, heads, group, queries, _ = q.shape
    keys = k.shape[-2]
    out = np.zeros((*batch, heads, group, queries, v.shape[-1]))
    lse = np.full((*batch, heads, group, queries), -np.inf)
    for b in product(*map(range, batch)):
        length = keys if kv_lens is None else min(max(int(kv_lens[b]), 0), keys)
        n = np.arange(length)
        for h, g, m in product(range(heads), range(group), range(queries)):
            hq = h * group + g
            key_rows, value_rows = k[(*b, h)][:length].astype(np.float64), v[(*b, h)][:length].astype(np.float64)
            s = scale * (key_rows @ q[(*b, h, g, m)].astype(np.float64))
            for score in scores:
                s = score(s, b, hq, m, n)
            terms = s if sinks is None else np.append(s, np.float64(sinks[hq]))
            finite = terms[terms > -np.inf]
            if finite.size == 0:
                continue
            top = finite.max()
            total = np.exp(terms - top).sum()
            lse[(*b, h, g, m)] = top + np.log(total)
            attended = s > -np.inf
            out[(*b, h, g, m)] = (np.exp(s[attended] - top) / total) @ value_rows[attended]
    return out, lse

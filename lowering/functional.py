"""`flashlower.attention`: one call that builds the operation, compiles it, and runs it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from flashlower.frontends.score import ScoreFunction
from flashlower.frontends.sdpa import Layout, build_attention
from flashlower.frontends.tensors import Tensor
from flashlower.lowering.kernel import Kernel, compile


@lru_cache(maxsize=256)
def _compiled(text: str, splits: int | Literal["auto"]) -> Kernel:
    return compile(text, splits=splits)


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    layout: Layout = "bhsd",
    scale: float | None = None,
    score: ScoreFunction | None = None,
    kv_lens: Tensor | None = None,
    sinks: Tensor | None = None,
    splits: int | None = None,
    return_lse: bool = False,
) -> Any:
    """
    Scaled dot-product attention with a score function, compiled for these shapes and run.

    - `layout="bhsd"`: q [B, Hq, M, K], k [B, Hkv, N, K], v [B, Hkv, N, D], result [B, Hq, M, D]; `"bshd"`: heads after
      the sequence. Any strides. Hq must be a multiple of Hkv. Tensors are all NumPy arrays or all torch tensors; the
      result is of the same kind, in q's dtype (float16, bfloat16 or float32).
    - `scale`: factor of the dot products, 1 / sqrt(K) by default.
    - `score(s, b, h, m, n)`: the new logit from the scaled one and its indices; see `flashlower.frontends.score` and
      `causal`, `window`, `soft_cap`, `alibi`, `bias`, `mask`, `chain`.
    - `kv_lens` int32 or int64 [B]: keys beyond a sequence's length do not exist. Length 0 gives 0 and LSE -inf.
    - `sinks` [Hq]: a logit per head that takes part in the sum and has no value.
    - `splits`: the number of splits of flash decoding; None leaves it to the cost model.
    - `return_lse`: also return LSE [B, Hq, M] in float32, natural logarithm.

    What it computes is that of `attention.sdpa` (`flashlower.dialects.attention.SdpaOp`). Raises `ValueError` for
    shapes and `TypeError` for dtypes and score functions that do not fit.
    """
    built = build_attention(
        q, k, v, layout=layout, scale=scale, score=score, kv_lens=kv_lens, sinks=sinks, return_lse=return_lse
    )
    if splits is not None and splits < 1:
        raise ValueError(f"splits is {splits}, expected at least 1, or None for the cost model's choice")
    return _compiled(str(built.module), "auto" if splits is None else splits)(*built.arguments)

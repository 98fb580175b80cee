"""`flashlower.attention`: one call that builds the operation, compiles it, and runs it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from flashlower.frontends.quantized import Quantized
from flashlower.frontends.score import ScoreFunction
from flashlower.frontends.sdpa import Layout, build_attention
from flashlower.frontends.tensors import Tensor
from flashlower.lowering.kernel import Kernel, compile


@lru_cache(maxsize=256)
def _compiled(text: str, splits: int | Literal["auto"]) -> Kernel:
    return compile(text, splits=splits)


def attention(
    q: Tensor,
    k: Tensor | Quantized,
    v: Tensor | Quantized,
    *,
    layout: Layout = "bhsd",
    scale: float | None = None,
    score: ScoreFunction | None = None,
    kv_lens: Tensor | None = None,
    block_table: Tensor | None = None,
    sinks: Tensor | None = None,
    splits: int | None = None,
    return_lse: bool = False,
    out: Tensor | tuple[Tensor | None, ...] | None = None,
    workspace: Tensor | None = None,
) -> Any:
    """
    Scaled dot-product attention with a score function, compiled for these shapes and run.

    - `layout="bhsd"`: q [B, Hq, M, K], k [B, Hkv, N, K], v [B, Hkv, N, D], result [B, Hq, M, D]; `"bshd"`: heads after
      the sequence. Any strides. Hq must be a multiple of Hkv. Tensors are all NumPy arrays or all torch tensors; the
      result is of the same kind, in q's dtype (float16, bfloat16 or float32).
    - k and v may be quantised: `flashlower.quantized(data, scale, ...)`.
    - `scale`: factor of the dot products, 1 / sqrt(K) by default.
    - `score(s, b, h, m, n)`: the new logit from the scaled one and its indices; see `flashlower.frontends.score` and
      `causal`, `window`, `soft_cap`, `alibi`, `bias`, `mask`, `chain`.
    - `kv_lens` int32 or int64 [B]: keys beyond a sequence's length do not exist. Length 0 gives 0 and LSE -inf.
    - `block_table` int32 or int64 [B, max_pages]: k and v are pools [pages, page_size, Hkv, K or D], whatever the
      layout of q, and key n of a sequence is slot n % page_size of page `block_table[b, n // page_size]`. With pages
      of one slot it is a token table. Entries for pages beyond a sequence's length are not read; all others must be
      numbers of pages. N is max_pages * page_size.
    - `sinks` [Hq]: a logit per head that takes part in the sum and has no value.
    - `splits`: the number of splits of flash decoding; None leaves it to the cost model.
    - `return_lse`: also return LSE [B, Hq, M] in float32, natural logarithm.
    - `out`: what the result is written to, a tensor of its shape and dtype with any strides; with `return_lse` a tuple
      (out, lse), or out alone.
    - `workspace`: a contiguous tensor of any dtype with at least `flashlower.workspace_size(q, k, v, ...)` bytes for
      partial results. With it, and `out` for every result, a call allocates nothing.

    What it computes is that of `attention.sdpa` (`flashlower.dialects.attention.SdpaOp`). Raises `ValueError` for
    shapes and `TypeError` for dtypes, devices and score functions that do not fit.
    """
    kernel, arguments = _prepare(
        q,
        k,
        v,
        splits=splits,
        layout=layout,
        scale=scale,
        score=score,
        kv_lens=kv_lens,
        block_table=block_table,
        sinks=sinks,
        return_lse=return_lse,
    )
    return kernel(*arguments, out=out, workspace=workspace)


def workspace_size(q: Tensor, k: Tensor | Quantized, v: Tensor | Quantized, **options: Any) -> int:
    """
    The bytes of `workspace` that `attention(q, k, v, **options)` needs; it depends on shapes and options alone.

    Compiles the kernel, so the call itself is fast. Takes the options of `attention`, and raises what it raises.
    """
    for name in ("out", "workspace"):
        options.pop(name, None)
    return _prepare(q, k, v, **options)[0].workspace_size()


def _prepare(
    q: Tensor, k: Tensor | Quantized, v: Tensor | Quantized, *, splits: int | None = None, **options: Any
) -> tuple[Kernel, list[Tensor]]:
    """The kernel of a call and its arguments."""
    built = build_attention(q, k, v, **options)
    if splits is not None and splits < 1:
        raise ValueError(f"splits is {splits}, expected at least 1, or None for the cost model's choice")
    return _compiled(str(built.module), "auto" if splits is None else splits), built.arguments

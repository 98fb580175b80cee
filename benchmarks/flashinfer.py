"""
FlashInfer's decode kernels for paged caches: those of FlashAttention-2's templates on tensor cores, and XQA.

Pages, tables and lengths are read where they lie. What depends on lengths alone is planned before the call, for
exactly these lengths, so that a call can be captured in a CUDA graph.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks.cases import PAGE_SIZE, Case, Inputs
from benchmarks.quantized import QuantizedInputs

WORKSPACE_BYTES = 128 << 20
"""What FlashInfer's documentation recommends; both kernels begin with zeros."""

TOLERANCE = 5e-3
"""What splits add up is bf16, and in XQA what warps add up too."""

XQA_FP8_TOLERANCE = 5e-2
"""On Hopper, XQA multiplies 8-bit caches by queries and probabilities that it rounds to fp8."""


def is_here() -> bool:
    """Whether FlashInfer is installed."""
    return find_spec("flashinfer") is not None


def reads(case: Case) -> bool:
    """Whether the case is one of decoding: new tokens at the end of a cache, one of them, or several and causal."""
    return case.queries == 1 or (case.causal and case.queries < case.keys)


def prepare(inputs: Inputs) -> Callable[[], torch.Tensor]:
    """A call of the kernels on tensor cores."""
    run = _planned(inputs.case, inputs.block_table, inputs.q.dtype, inputs.k.dtype)
    return _call(inputs.q, lambda q, out: run(q, (inputs.k, inputs.v), out=out))


def prepare_xqa(inputs: Inputs) -> Callable[[], torch.Tensor]:
    """A call of XQA, which has one query a sequence."""
    run = _xqa(inputs.case, inputs.block_table, inputs.kv_lens)
    return _call(inputs.q, lambda q, out: run(q, (inputs.k, inputs.v), out=out))


def prepare_quantized(inputs: QuantizedInputs) -> Callable[[], torch.Tensor]:
    """A call of the kernels on tensor cores, for a cache of fp8 with a scale for K and one for V."""
    caches = _caches(inputs)
    run = _planned(inputs.case, inputs.block_table, inputs.q.dtype, caches[0].dtype)
    k_scale, v_scale = (float(scale) for scale in inputs.scales)
    return _call(inputs.q, lambda q, out: run(q, caches, k_scale=k_scale, v_scale=v_scale, out=out))


def prepare_quantized_xqa(inputs: QuantizedInputs) -> Callable[[], torch.Tensor]:
    """A call of XQA, for a cache of fp8 with a scale for K and one for V."""
    caches = _caches(inputs)
    k_scale, v_scale = (float(scale) for scale in inputs.scales)
    run = _xqa(inputs.case, inputs.block_table, inputs.kv_lens, k_scale, v_scale)
    return _call(inputs.q, lambda q, out: run(q, caches, out=out))


def _call(q: torch.Tensor, run: Callable[..., Any]) -> Callable[[], torch.Tensor]:
    """A call that returns [B, M, Hq, D], of a function of tokens [B * M, Hq, D]."""
    out = torch.empty_like(q)
    tokens, results = q.flatten(0, 1), out.flatten(0, 1)

    def call() -> torch.Tensor:
        run(tokens, results)
        return out

    return call


def _caches(inputs: QuantizedInputs) -> tuple[torch.Tensor, ...]:
    """K and V [pages, PAGE_SIZE, Hkv, D] of fp8, in the pool that both lie in."""
    return tuple(words.view(torch.float8_e4m3fn) for words in inputs.words)


def _planned(case: Case, block_table: torch.Tensor, q_type: torch.dtype, kv_type: torch.dtype) -> Callable[..., Any]:
    flashinfer: Any = import_module("flashinfer")
    workspace = torch.zeros(WORKSPACE_BYTES, dtype=torch.uint8, device=block_table.device)
    wrapper = flashinfer.BatchDecodeWithPagedKVCacheWrapper(workspace, "NHD", use_tensor_cores=True, backend="fa2")
    pages = [-(-length // PAGE_SIZE) for length in case.lengths()]
    starts = torch.tensor([0, *pages]).cumsum(0).to(torch.int32)
    table = torch.cat([row[:count] for row, count in zip(block_table, pages)])
    last = torch.tensor([(length - 1) % PAGE_SIZE + 1 for length in case.lengths()], dtype=torch.int32)
    wrapper.plan(
        starts,
        table,
        last,
        case.q_heads,
        case.kv_heads,
        case.head_size,
        PAGE_SIZE,
        window_left=-1 if case.window is None else case.window - 1,
        q_data_type=q_type,
        kv_data_type=kv_type,
        q_len_per_req=case.queries,
    )
    return wrapper.run


def _xqa(
    case: Case, block_table: torch.Tensor, kv_lens: torch.Tensor, k_scale: float = 1.0, v_scale: float = 1.0
) -> Callable[..., Any]:
    decode: Any = import_module("flashinfer.decode")
    workspace = torch.zeros(WORKSPACE_BYTES, dtype=torch.uint8, device=block_table.device)
    lengths = kv_lens.view(torch.uint32)

    def run(q: torch.Tensor, caches: tuple[torch.Tensor, ...], *, out: torch.Tensor) -> None:
        decode.xqa_batch_decode_with_kv_cache(
            q,
            caches,
            workspace,
            block_table,
            lengths,
            case.keys,
            bmm1_scale=k_scale / math.sqrt(case.head_size),
            bmm2_scale=v_scale,
            window_left=-1 if case.window is None else case.window - 1,
            out=out,
        )

    return run

"""
What is measured: flashlower, and whatever else of the known implementations is installed.

A peer is a function from a case's inputs to a call that returns [B, M, Hq, D], and says which cases it can compute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F

import flashlower as fl
from benchmarks import flashinfer, lightllm
from benchmarks.cases import Case, Inputs
from benchmarks.quantized import LIGHTLLM_INT4, Format, QuantizedInputs
from flashlower.frontends.sdpa import build_attention

Call = Callable[[], torch.Tensor]

TOLERANCE = 3e-3
"""||a - b|| / ||b|| against float32 of the same bfloat16 inputs; the result itself is rounded to bfloat16."""


@dataclass(frozen=True)
class Peer:
    """One implementation."""

    name: str
    prepare: Callable[[Inputs], Call]
    paged: bool = False
    supports: Callable[[Case], bool] = lambda case: True
    tolerance: float = TOLERANCE


def _score(case: Case) -> Any:
    if case.window is not None:
        return fl.window(case.window - 1, 0)
    return fl.causal() if case.causal else None


def _flashlower(inputs: Inputs) -> Call:
    case = inputs.case
    k, v = inputs.contiguous(inputs.k), inputs.contiguous(inputs.v)
    kv_lens = inputs.kv_lens if case.ragged else None
    out = torch.empty_like(inputs.q)
    score = _score(case)
    return lambda: fl.attention(inputs.q, k, v, layout="bshd", score=score, kv_lens=kv_lens, out=out)


def _flashlower_paged(inputs: Inputs) -> Call:
    score = _score(inputs.case)
    out = torch.empty_like(inputs.q)
    return lambda: fl.attention(
        inputs.q,
        inputs.k,
        inputs.v,
        layout="bshd",
        score=score,
        kv_lens=inputs.kv_lens,
        block_table=inputs.block_table,
        out=out,
    )


def module_of(inputs: Inputs) -> tuple[str, list[torch.Tensor]]:
    """The paged call as a module, and the tensors to call its kernel with."""
    built = build_attention(
        inputs.q,
        inputs.k,
        inputs.v,
        layout="bshd",
        score=_score(inputs.case),
        kv_lens=inputs.kv_lens,
        block_table=inputs.block_table,
    )
    return str(built.module), built.arguments


def _sdpa(backend: str) -> Callable[[Inputs], Call]:
    def prepare(inputs: Inputs) -> Call:
        attention: Any = import_module("torch.nn.attention")
        q, k, v = (t.transpose(1, 2) for t in (inputs.q, inputs.contiguous(inputs.k), inputs.contiguous(inputs.v)))

        def call() -> torch.Tensor:
            with attention.sdpa_kernel(getattr(attention.SDPBackend, backend)):
                out = F.scaled_dot_product_attention(q, k, v, is_causal=inputs.case.causal, enable_gqa=True)
            return out.transpose(1, 2)

        return call

    return prepare


def _is_square(case: Case) -> bool:
    # torch's causal mask begins at the first key, whatever the lengths.
    return not case.ragged and case.window is None and (not case.causal or case.queries == case.keys)


def _flex(inputs: Inputs) -> Call:
    flex: Any = import_module("torch.nn.attention.flex_attention")
    case = inputs.case
    offset, window = case.keys - case.queries, case.window or case.keys
    q, k, v = (t.transpose(1, 2) for t in (inputs.q, inputs.contiguous(inputs.k), inputs.contiguous(inputs.v)))
    mask = None
    if case.is_masked:

        def keep(b: Any, h: Any, m: Any, n: Any) -> Any:
            return (n <= m + offset) & (n > m + offset - window)

        mask = flex.create_block_mask(keep, None, None, case.queries, case.keys, device=q.device)
    compiled = _compiled_flex(flex.flex_attention)
    return lambda: compiled(q, k, v, block_mask=mask, enable_gqa=True).transpose(1, 2)


_flex_cache: dict[Any, Any] = {}


def _compiled_flex(function: Any) -> Any:
    if function not in _flex_cache:
        _flex_cache[function] = torch.compile(function, dynamic=False)
    return _flex_cache[function]


def _flash_attention_3(module: str, *, paged: bool) -> Callable[[Inputs], Call]:
    def prepare(inputs: Inputs) -> Call:
        interface: Any = import_module(module)
        case = inputs.case
        k, v = (cache if paged else inputs.contiguous(cache) for cache in (inputs.k, inputs.v))
        table = inputs.block_table if paged else None
        window = (-1, -1) if case.window is None else (case.window - 1, 0)
        return lambda: interface.flash_attn_with_kvcache(
            inputs.q, k, v, cache_seqlens=inputs.kv_lens, page_table=table, causal=case.is_masked, window_size=window
        )

    return prepare


def _quantized_operands(inputs: QuantizedInputs) -> tuple[fl.Quantized, ...]:
    form = inputs.format
    return tuple(
        fl.quantized(
            words,
            scale,
            codes=form.codes,
            zero=7 if form.codes == "u4" else 0,
            round="bf16" if form.rounded else None,
            pack="planar" if form.planar else "interleaved",
        )
        for words, scale in zip(inputs.words, inputs.scales)
    )


def quantized_module_of(inputs: QuantizedInputs) -> tuple[str, list[torch.Tensor]]:
    """The call as a module, and the tensors to call its kernel with."""
    k, v = _quantized_operands(inputs)
    built = build_attention(inputs.q, k, v, layout="bshd", kv_lens=inputs.kv_lens, block_table=inputs.block_table)
    return str(built.module), built.arguments


def _flashlower_quantized(inputs: QuantizedInputs) -> Call:
    k, v = _quantized_operands(inputs)
    out = torch.empty_like(inputs.q)
    return lambda: fl.attention(
        inputs.q, k, v, layout="bshd", kv_lens=inputs.kv_lens, block_table=inputs.block_table, out=out
    )


@dataclass(frozen=True)
class QuantizedPeer:
    """One implementation on quantised caches."""

    name: str
    prepare: Callable[[QuantizedInputs], Call]
    supports: Callable[[Format], bool] = lambda form: True
    tolerance: float = TOLERANCE


def installed_quantized_peers(device: str) -> list[QuantizedPeer]:
    """flashlower, and what there is to compare it with on this machine."""
    peers = [QuantizedPeer("flashlower", _flashlower_quantized)]
    if lightllm.is_here():
        peers += [
            QuantizedPeer(name, prepare, supports=lambda form: form is LIGHTLLM_INT4, tolerance=lightllm.TOLERANCE)
            for name, prepare in (("LightLLM", lightllm.prepare), ("LightLLM tuned", lightllm.prepare_tuned))
            if device == "cuda" or prepare is lightllm.prepare
        ]
    if device == "cuda" and flashinfer.is_here():
        peers += [
            QuantizedPeer(name, prepare, supports=lambda form: form.codes == "f8E4M3FN", tolerance=tolerance)
            for name, prepare, tolerance in (
                ("FlashInfer FA2", flashinfer.prepare_quantized, flashinfer.TOLERANCE),
                ("FlashInfer XQA", flashinfer.prepare_quantized_xqa, flashinfer.XQA_FP8_TOLERANCE),
            )
        ]
    return peers


def installed_peers(device: str) -> list[Peer]:
    """flashlower, and what there is to compare it with on this machine."""
    peers = [Peer("flashlower paged", _flashlower_paged, paged=True), Peer("flashlower", _flashlower)]
    if device == "cpu":
        return peers
    peers += [
        Peer("SDPA cuDNN", _sdpa("CUDNN_ATTENTION"), supports=_is_square),
        Peer("SDPA flash", _sdpa("FLASH_ATTENTION"), supports=_is_square),
        Peer("FlexAttention", _flex, supports=lambda case: not case.ragged),
    ]
    # Its own package, and one on PyPI with the forward kernels alone.
    for module in ("flash_attn_interface", "fa3_fwd_interface"):
        if find_spec(module):
            peers += [
                Peer("FA3 paged" if paged else "FA3", _flash_attention_3(module, paged=paged), paged=paged)
                for paged in (True, False)
            ]
            break
    if flashinfer.is_here():
        peers += [
            Peer(name, prepare, paged=True, supports=supports, tolerance=flashinfer.TOLERANCE)
            for name, prepare, supports in (
                ("FlashInfer FA2", flashinfer.prepare, flashinfer.reads),
                ("FlashInfer XQA", flashinfer.prepare_xqa, lambda case: case.queries == 1),
            )
        ]
    return peers

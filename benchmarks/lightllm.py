"""
LightLLM's decode kernel for int4 caches, from a checkout that the environment variable LIGHTLLM names.

Three files of it are imported, unchanged: the call, its kernel, and the kernel that puts splits together. Their
packages are replaced by empty ones, as what they import is a whole server; and so is the tuner, which writes files.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import torch

from benchmarks.cases import PAGE_SIZE
from benchmarks.quantized import QuantizedInputs
from benchmarks.timing import graph_time

CHECKOUT = "LIGHTLLM"
KERNELS = "lightllm.common.basemodel.triton_kernel.att.decode_att"
TUNER = "lightllm.common.triton_utils.autotuner"

TOLERANCE = 2e-2
"""Its splits' results and LSE are bf16."""


class Tuned:
    """In place of LightLLM's tuner: calls a function with one of `configs`, or (None) with what it chooses itself."""

    def __init__(self, function: Callable[..., None], configs: list[dict[str, int]]):
        self.function = function
        self.configs = configs
        self.config: dict[str, int] | None = None

    def __call__(self, **arguments: Any) -> None:
        self.function(**arguments, run_config=self.config)


def is_here() -> bool:
    """Whether there is a checkout with the kernel."""
    return bool(os.environ.get(CHECKOUT)) and (Path(os.environ[CHECKOUT]) / (KERNELS.replace(".", "/"))).is_dir()


def prepare(inputs: QuantizedInputs) -> Callable[[], torch.Tensor]:
    """A call with the configuration that LightLLM has where nothing was tuned."""
    call, kernel = _call(inputs)

    def untuned() -> torch.Tensor:
        kernel.config = None
        return call()

    return untuned


def prepare_tuned(inputs: QuantizedInputs) -> Callable[[], torch.Tensor]:
    """A call with the fastest of the configurations that LightLLM's tuner tries."""
    call, kernel = _call(inputs)
    key = str(inputs.case)
    if key not in _best:
        _best[key] = _fastest(call, kernel)

    def tuned() -> torch.Tensor:
        kernel.config = _best[key]
        return call()

    return tuned


_best: dict[str, dict[str, int]] = {}


def _fastest(call: Callable[[], torch.Tensor], kernel: Tuned) -> dict[str, int]:
    times: list[float] = []
    # It has no asynchronous copies, so stages make no difference.
    configs = [config for config in kernel.configs if config["num_stages"] == 2]
    for config in configs:
        kernel.config = config
        times.append(graph_time([call], least_calls=1, milliseconds=1))
    return configs[times.index(min(times))]


def _call(inputs: QuantizedInputs) -> tuple[Callable[[], torch.Tensor], Tuned]:
    decode = _module("int4kv.ppl_int4kv_flash_decoding")
    kernel = _module("int4kv.int4kv_flash_decoding_stage1").int4kv_flash_decode_stage1
    q = inputs.q.squeeze(1)
    # Pools of single slots; bytes have no other order than words.
    k, v = (words.flatten(0, 1).view(torch.int8) for words in inputs.words)
    k_scale, v_scale = (_of_type(scales.flatten(0, 1), q.dtype) for scales in inputs.scales)
    slots = inputs.block_table[:, :, None] * PAGE_SIZE + torch.arange(PAGE_SIZE, device=q.device, dtype=torch.int32)
    state = SimpleNamespace(
        batch_size=q.shape[0],
        max_kv_seq_len=inputs.case.keys,
        b_req_idx=torch.arange(q.shape[0], device=q.device, dtype=torch.int32),
        b_seq_len=inputs.kv_lens,
        req_manager=SimpleNamespace(req_to_token_indexs=slots.flatten(1)),
    )
    out = torch.empty_like(q)

    def empty(shape: Any, dtype: torch.dtype, device: Any) -> torch.Tensor:
        return torch.empty(shape, dtype=dtype, device=q.device)

    def call() -> torch.Tensor:
        decode.token_decode_attention_flash_decoding(q, state, k, k_scale, v, v_scale, out=out, alloc_tensor_func=empty)
        return out.unsqueeze(1)

    return call, kernel


def _of_type(scales: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """
    The same tensor where queries are bfloat16, as they are on a GPU; Triton's interpreter has no such products.

    A copy has the same strides, as the kernel computes them from those of the bytes.
    """
    if scales.dtype == dtype:
        return scales
    return torch.empty_strided(scales.shape, scales.stride(), dtype=dtype, device=scales.device).copy_(scales)


def _module(name: str) -> Any:
    """A module of the kernels, imported without what its packages import."""
    if TUNER not in sys.modules:
        tuner: Any = ModuleType(TUNER)
        tuner.Autotuner = None
        tuner.autotune = lambda configs_gen_func, **keys: lambda function: Tuned(function, configs_gen_func())
        sys.modules[TUNER] = tuner
    folder = f"{KERNELS}.{name}".split(".")[:-1]
    # The call imports from int8kv/normal as well.
    for parts in (folder, [*KERNELS.split("."), "int8kv", "normal"], TUNER.split(".")[:-1]):
        for end in range(1, len(parts) + 1):
            package = ".".join(parts[:end])
            if package not in sys.modules:
                sys.modules[package] = ModuleType(package)
                sys.modules[package].__path__ = [str(Path(os.environ[CHECKOUT], *parts[:end]))]
    return import_module(f"{KERNELS}.{name}")

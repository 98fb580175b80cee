"""One call for every feature of the kernels, by construction: what `sanitize.py` runs, and a test on a CPU.

A feature is a name and a function of a device that runs a call and checks its result. On a CPU shapes are small.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from attention_calls import Call, alibi, bias, causal, documents, mask, soft_cap, window
from attention_cases import DTYPES
from quantized_cases import Format, QuantizedCase
from update_cases import UpdateCase

import flashlower as fl
from flashlower.dialects.parsing import parse_module
from flashlower.interpreters import run_module

PLAIN: dict[str, Any] = {
    **{"dtype": torch.bfloat16, "sizes": (64, 64), "batch": 2, "kv_heads": 2, "group": 4, "queries": 1, "keys": 700},
    **{"page_size": None, "lengths": False, "layout": "bhsd", "steps": (), "sinks": False, "splits": 1},
    **{"return_lse": False, "out": False, "workspace": False},
}
"""Contiguous decoding steps without masks; a feature changes what it is about."""

SMALL: dict[str, Any] = {"sizes": (32, 32), "keys": 90}

PAGED: dict[str, Any] = {"page_size": 16, "lengths": True, "splits": None}
TO_GIVEN_MEMORY: dict[str, Any] = {"out": True, "workspace": True, "return_lse": True}

CALLS: dict[str, dict[str, Any]] = {
    "contiguous": {},
    "heads after the sequence": {"layout": "bshd"},
    "f16": {"dtype": torch.float16},
    "f32": {"dtype": torch.float32},
    "lengths": {"lengths": True},
    "pages of 1": {**PAGED, "page_size": 1},
    "pages of 16": PAGED,
    "pages of 64": {**PAGED, "page_size": 64},
    "pages of 100": {**PAGED, "page_size": 100},
    "pages, heads first": {**PAGED, "heads_first": True},
    "pages, tokens first": {**PAGED, "heads_first": False},
    "one head a group": {"group": 1},
    "one KV head": {"kv_heads": 1, "group": 8},
    "5 heads a group": {"group": 5},
    "4 queries": {**PAGED, "queries": 4, "steps": (causal,)},
    "16 queries": {**PAGED, "queries": 16, "steps": (causal,)},
    "prefill": {"queries": 300, "keys": 300, "steps": (causal,)},
    "prefill in pages": {**PAGED, "queries": 300, "keys": 600, "steps": (causal,)},
    "prefill of a window": {"queries": 300, "keys": 900, "steps": (window,)},
    "splits": {"splits": 5},
    "splits of pages": {**PAGED, "splits": 3},
    "given memory": {"splits": 3, **TO_GIVEN_MEMORY},
    "LSE": {"return_lse": True},
    "sinks": {"sinks": True},
    "sinks and splits": {"sinks": True, "splits": 3, "return_lse": True},
    "causal": {"steps": (causal,), "queries": 7},
    "window": {"steps": (window,), "splits": None},
    "soft cap": {"steps": (soft_cap,)},
    "ALiBi": {"steps": (alibi,), **PAGED},
    "bias": {"steps": (bias,), "splits": 3},
    "mask": {"steps": (mask,)},
    "captured tensors": {"steps": (documents,), **PAGED},
    "several steps": {"steps": (soft_cap, bias, window), "sinks": True, **PAGED},
    **{f"head size {k}": {"sizes": (k, k), **PAGED} for k in (80, 96, 128, 192, 256)},
    "head sizes 192 and 128": {"sizes": (192, 128), **PAGED},
    "MLA": {"sizes": (576, 512), "kv_heads": 1, "group": 16, **PAGED},
}
"""Of `flashlower.attention`."""

SCHEDULES: dict[str, dict[str, Any]] = {
    "one kernel": {"splits": 3, "schedule": {"kernels": 1}, **TO_GIVEN_MEMORY},
    "one kernel for pages": {**PAGED, "splits": 3, "schedule": {"kernels": 1}},
    "overlapping launches": {**PAGED, "splits": 3, "schedule": {"pdl": 1}, **TO_GIVEN_MEMORY},
    "one overlapping kernel": {"splits": 3, "schedule": {"kernels": 1, "pdl": 1}},
    "runs": {**PAGED, "batch": 3, "schedule": {"runs": 7}, **TO_GIVEN_MEMORY},
    "runs of lengths, overlapping": {"lengths": True, "batch": 3, "schedule": {"runs": 4, "pdl": 1}, "splits": None},
    "a program for each head": {"schedule": {"pack": 0}},
    "tiles of 128 keys": {**PAGED, "schedule": {"block_n": 128, "warps": 8, "stages": 2}},
    "tiles that lie transposed": {**PAGED, "schedule": {"transposed": 1, "block_m": 8, "block_n": 16}},
    "five stages": {**PAGED, "schedule": {"block_n": 32, "stages": 5, "warps": 2}},
}
"""Through kernels that are compiled for a schedule."""

LIGHTLLM = Format("u4", 32, zero=7, channels=8, part_type="bf16", round="bf16")

QUANTIZED: dict[str, tuple[Format, dict[str, int]]] = {
    "int4 in groups of 8": (LIGHTLLM, {}),
    "int4 in groups of 8, a head a tile": (LIGHTLLM, {"heads": 1}),
    "int4 without assembly": (LIGHTLLM, {"transposed": 0, "assembly": 0, "block_m": 16, "heads": 1}),
    "int4 in planes": (Format("u4", 32, planar=True, channels=64, zero=7), {}),
    "int8": (Format("i8", 32), {}),
    "int8 in bytes": (Format("i8", 8), {}),
    "8-bit floats": (Format("f8E4M3FN", 32, tokens=None, heads=False), {}),
}
"""Formats of K and V, and parts of a schedule."""

UPDATES: dict[str, dict[str, Any]] = {
    "int4": {"cache": "token_table", "codes": "u4", "zero": 7, "group": 8, "rounding": "toward_zero"},
    "int8": {"cache": "token_table", "codes": "i8", "zero": 0, "group": 8, "rounding": "toward_zero"},
}


def to_device(array: Any, device: str) -> Any:
    """An array as a tensor on a GPU; Triton's interpreter takes NumPy's."""
    if device == "cpu":
        return array
    bits = torch.from_numpy(array.copy().view(np.dtype(f"i{array.dtype.itemsize}")))
    return bits.view(getattr(torch, array.dtype.name)).cuda()


def to_numpy(tensor: Any, dtype: Any) -> Any:
    """A result as an array of a NumPy dtype."""
    if not isinstance(tensor, torch.Tensor):
        return tensor
    return tensor.cpu().contiguous().view(torch.uint8).numpy().view(dtype).reshape(tensor.shape)


def run_call(device: str, fixed: dict[str, Any]) -> None:
    small = device == "cpu"
    changed = {**PLAIN, **(SMALL if small else {}), **fixed}
    if small:
        changed["sizes"] = tuple(min(size, 32) for size in changed["sizes"])
        changed |= {"queries": min(changed["queries"], 70), "keys": min(changed["keys"], 90)}
        # The interpreter has no dot products of 16 bits that are exact enough for the reference's tolerance.
        changed["dtype"] = torch.float32
    call = Call(1, device, small=small, **changed)
    call.run()
    call.check()


def run_quantized(device: str, form: Format, schedule: dict[str, int]) -> None:
    case = QuantizedCase(
        **{"head_size": 128, "value_size": 128, "batch": (2,), "kv_heads": 2, "group": 4, "queries": 1},
        **{"keys": 192, "page_size": 16, "kv_lens": True, "k_format": form, "v_format": form},
        **{"steps": (), "dtype": "f32" if device == "cpu" else "bf16"},
    )
    for splits in (1, 3):
        found = fl.compile(case.module_text(), splits=splits, schedule=schedule)(
            *(to_device(array, device) for array in case.inputs())
        )
        for got, want in zip(found if isinstance(found, tuple) else (found,), case.expected(), strict=True):
            dtype = np.float32 if got.dtype in (torch.float32, np.float32) else DTYPES[case.dtype]
            finite, array = np.isfinite(want), to_numpy(got, dtype).astype(np.float64)
            np.testing.assert_array_equal(array[~finite], want[~finite])
            error = np.linalg.norm(array[finite] - want[finite])
            assert error <= 8e-3 * np.linalg.norm(want[finite]), error


def run_update(device: str, options: dict[str, Any]) -> None:
    case = UpdateCase(
        **{"batch": 2, "heads": 2, "tokens": 5, "channels": 64, "dtype": "bf16", "kind": "normal"},
        **{"places": "slots", "page_size": 16, "scale": "bf16", **options},
    )
    text, inputs = case.module_text(), case.inputs()
    results = fl.compile(text)(*(to_device(array, device) for array in inputs))
    for got, want in zip(results if isinstance(results, tuple) else (results,), run_module(parse_module(text), inputs)):
        np.testing.assert_array_equal(to_numpy(got, want.dtype), want)


FEATURES: dict[str, Callable[[str], None]] = {
    **{name: partial(run_call, fixed=fixed) for name, fixed in {**CALLS, **SCHEDULES}.items()},
    **{
        f"quantised, {name}": partial(run_quantized, form=form, schedule=given)
        for name, (form, given) in QUANTIZED.items()
    },
    **{f"update, {name}": partial(run_update, options=options) for name, options in UPDATES.items()},
}
"""What to run for each feature, on the device "cuda" or "cpu"."""

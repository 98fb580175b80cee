"""
Quantised K and V under schedules for speed: what they change is never the result.

Kernels run in Triton's interpreter, where assembly means what `ptx.py` says it does. Locked in: tiles that lie
transposed, eight rows of them, and assembly, for every type of codes with and without scales in it; scales of whole
lanes, which are applied to logits and weights; any format, layout and mask under any of these schedules; values of f32
queries too, which assembly unpacks to bf16 first; dots in f16 for queries of bf16, of any size, and for small weights.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from pipelines import transform
from quantized_cases import Format, QuantizedCase, random_quantized_case
from xdsl.utils.exceptions import DiagnosticException

import flashlower as fl
from flashlower.frontends.sdpa import build_attention
from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.runtime import call

pytest.importorskip("triton", reason="kernels run where Triton can be installed")

LIGHTLLM = Format("u4", storage=32, zero=7, channels=8, part_type="bf16", round="bf16")
FORMATS = {
    "int4 in groups": LIGHTLLM,
    "int4 in wide groups": dataclasses.replace(LIGHTLLM, channels=32),
    "int4 in small groups": dataclasses.replace(LIGHTLLM, channels=4),
    "int4 in groups, scales f32": Format("i4", 32, channels=8),
    "int4 in lanes": Format("u4", 32, planar=True, channels=32, zero=7),
    "int4": Format("i4", 32),
    "int8": Format("i8", 32),
    "int8 in groups": Format("i8", 32, channels=16, part_type="bf16", round="bf16"),
    "e4m3": Format("f8E4M3FN", 32, tokens=None),
    "e5m2": Format("f8E5M2", 32),
    "zero points": Format("u8", 32, channels=8, parts=("scale", "zero")),
    "offsets": Format("u4", 32, channels=1, tokens=32, parts=("scale", "offset")),
}


def check(case: QuantizedCase, splits: int, **fields: int) -> str:
    schedule = " ".join(f"{name}={value}" for name, value in fields.items())
    passes = f"schedule-attention{{{schedule}}},flash-decoding{{splits={splits}}},convert-attention-to-triton"
    source = print_module(transform(case.module_text(), passes))
    results = call(source, "main", case.inputs())
    case.check_kernel(results if isinstance(results, tuple) else [results])
    return source


def case(form: Format, **fields: Any) -> QuantizedCase:
    """A decode step of two sequences over heads of 64 channels in pages."""
    small: dict[str, Any] = {"head_size": 64, "value_size": 64, "keys": 96, "page_size": 32, "kv_lens": True}
    return QuantizedCase(**small | {"dtype": "bf16"} | fields, k_format=form, v_format=form)


@pytest.mark.parametrize("form", FORMATS.values(), ids=list(FORMATS))
def test_formats(form: Format):
    source = check(case(form), 2, transposed=1, assembly=1, block_m=8, block_n=16, warps=1)
    assert "inline_asm_elementwise" in source and "Tiles lie transposed" in source


@pytest.mark.parametrize("dtype", ["f16", "f32"])
@pytest.mark.parametrize("name", ["int4 in groups", "int4 in lanes", "int8", "e4m3"])
def test_types_of_queries(name: str, dtype: str):
    check(case(FORMATS[name], dtype=dtype), 1, assembly=1, block_n=16)


def test_scales_of_whole_lanes_stay_out_of_the_codes():
    source = check(case(FORMATS["int4 in lanes"], keys=64), 1, transposed=0, assembly=1, block_n=16)
    assert "unpack_u4_minus_7_to_bf16(" in source and source.count("The scale of each key") == 3


@pytest.mark.parametrize(
    ("form", "of_k", "of_v"),
    [
        ("e4m3", True, True),
        ("int4 in lanes", True, False),
        ("int8", True, False),
        ("int8 in groups", False, False),
        ("zero points", False, False),
    ],
)
def test_dots_in_f16(form: str, of_k: bool, of_v: bool):
    """Of codes alone: not of values that were rounded to bf16, nor of weights times the scale of a key."""
    source = check(case(FORMATS[form], sinks=True), 2, transposed=1, assembly=1, half=1, block_m=8, block_n=16)
    assert ("q_unit =" in source) == of_k and ("Half of the range of f16" in source) == of_v


@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_dots_in_f16_have_the_range_of_bf16(scale: float):
    """
    Queries that f16 does not hold, one row of them zero, and 255 keys whose weights of 2^-26 are a third of the result.

    The codes of the one key with weight 1 are 0.
    """
    keys, channels = 256, 64
    q = np.zeros((1, 2, 1, channels), np.float32)
    q[:, 0, :, 0] = 4.0 * scale
    k = np.zeros((1, 1, keys, channels), np.float32)
    k[:, :, 0, 0] = 26 * math.log(2) / 4
    v = np.full((1, 1, keys, channels), 3.0, np.float32)
    v[:, :, 0] = 0
    types = ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn
    # The logits are exact in the codes as they are rounded.
    codes = [array.astype(types[1]) for array in (k, v)]
    scales = [np.array(1 / scale, np.float32), np.array(1.0, np.float32)]
    words = [array.view(np.int32) for array in codes]
    quantized = [fl.quantized(x, s, codes="f8E4M3FN") for x, s in zip(words, scales)]
    built = build_attention(q.astype(types[0]), *quantized, layout="bhsd", scale=1.0)
    schedule = {"transposed": 1, "assembly": 1, "half": 1, "block_m": 8, "block_n": 16, "stages": 1}
    kernel = fl.compile(str(built.module), schedule=schedule, splits=1)
    assert "q_unit =" in kernel.source
    found = np.asarray(kernel(*built.arguments)).astype(np.float64)
    first = np.float64(q[0, 0, 0, 0].astype(types[0])) / scale * np.float64(codes[0][0, 0, 0, 0])
    weights = np.array([math.exp(first), *np.ones(keys - 1)])
    values = codes[1][0, 0].astype(np.float64)
    for row, weight in enumerate((weights, np.ones(keys))):
        expected = weight @ values / weight.sum()
        assert np.linalg.norm(found[0, row, 0] - expected) <= 4e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("seed", range(5))
def test_any_format_under_any_schedule(seed: int):
    rng = np.random.default_rng([seed, 5])
    drawn = random_quantized_case(rng)
    if drawn.dtype == "f64":
        drawn = dataclasses.replace(drawn, dtype="f32")
    transposed = seed % 2
    check(
        drawn,
        int(rng.choice([1, 3])),
        transposed=transposed,
        assembly=1,
        half=int(rng.integers(2)),
        block_m=8 if transposed else 16,
        block_n=16,
    )


@pytest.mark.parametrize(("heads", "splits"), [(2, 3), (4, 1)])
@pytest.mark.parametrize(
    ("form", "fields"),
    [
        (LIGHTLLM, {"sinks": True, "steps": ("alibi",)}),
        (Format("i8", 32, channels=32, part_type="bf16", round="bf16"), {"steps": ("window",), "rows": True}),
        (Format("f8E5M2", 32, tokens=None, heads=False), {"page_size": 0, "keys": 90, "steps": ("bias",)}),
        (Format("u4", 32, channels=1, tokens=None, heads=False, zero=5), {"dtype": "f32", "pool": "head_major"}),
    ],
    ids=["int4", "int8", "e5m2", "channels"],
)
def test_heads_share_a_tile(form: Format, fields: dict[str, Any], heads: int, splits: int):
    size = 128 if form.bits == 4 else 64
    shared = {"head_size": size, "value_size": size, "kv_heads": 4, "group": 2, **fields}
    source = check(case(form, **shared), splits, transposed=1, assembly=1, block_m=8, block_n=16, heads=heads)
    assert f"{heads} heads share a tile" in source


@pytest.mark.parametrize(
    ("form", "fields", "message"),
    [
        (Format("i8", 32), {}, "k_scale is one for many channels, but not for all heads"),
        (LIGHTLLM, {"queries": 2}, "a tile of 8 rows is for one query of each of their query heads"),
        (LIGHTLLM, {"kv_heads": 3}, "their number must be a multiple of 2"),
        (LIGHTLLM, {"head_size": 64}, "k has 8 elements, expected a power of two of at least 16"),
    ],
)
def test_heads_that_cannot_share_a_tile(form: Format, fields: dict[str, Any], message: str):
    shared = {"head_size": 128, "value_size": 128, "kv_heads": 4, **fields}
    with pytest.raises(DiagnosticException, match=f"2 heads of attention.partial cannot share a tile: {message}"):
        check(case(form, **shared), 2, transposed=1, block_m=8, heads=2)

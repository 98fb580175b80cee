"""
Quantised K and V in Triton kernels: what a kernel computes is attention on the dequantised values.

Kernels run in Triton's interpreter and are compared with float64 NumPy on values that `quantized_cases` dequantises by
itself. Locked in: every type of codes in every storage and order, every group of channels and tokens, zero points and
offsets, rounding; wherever the scale is applied (to the logits, the weights, Q, the output or the codes); with pages,
token tables, lengths, masks, sinks, splits, and head sizes that are no powers of two. Scales behind a sequence's
length are NaN and reach no result; small scales lose nothing in f16; kernels compile for every GPU that we name.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from attention_reference import reference_attention
from pipelines import transform
from quantized_cases import KERNEL_TOLERANCE, Format, QuantizedCase, random_quantized_case

import flashlower as fl
from flashlower.lowering.triton.compile import TARGETS, compile_module_kernels
from flashlower.lowering.triton.printer import print_module
from flashlower.lowering.triton.runtime import call

pytest.importorskip("triton", reason="kernels run where Triton can be installed")

PORTABLE = "mi300x"
"""A GPU with no assembly of its own, so that codes are unpacked by what all have."""

GPUS = {"cuda:80": "a100", "cuda:90": "h100", "cuda:100": "h100", "hip:gfx942": "mi300x"}
"""The GPU of each target that schedules are chosen for."""


def pipeline(splits: int, gpu: str) -> str:
    convert = f"convert-attention-to-triton{{target={gpu}}}"
    return f"flash-decoding{{splits={splits} target={gpu}}},{convert}" if splits else convert


def run(text: str, inputs: list[np.ndarray], splits: int = 0, gpu: str = PORTABLE) -> list[np.ndarray]:
    results = call(print_module(transform(text, pipeline(splits, gpu))), "main", inputs)
    return list(results) if isinstance(results, tuple) else [results]


def check(case: QuantizedCase, splits: int = 0, gpu: str = PORTABLE) -> None:
    case.check_kernel(run(case.module_text(), case.inputs(), splits, gpu))


INT8 = Format("i8", storage=8)
LIGHTLLM = Format("u4", storage=8, zero=7, channels=8, part_type="bf16", round="bf16")
WORDS = dataclasses.replace(LIGHTLLM, storage=32)
KIVI_K = Format("u4", storage=32, channels=1, tokens=32, parts=("scale", "offset"))
KIVI_V = Format("u4", storage=32, channels=32, parts=("scale", "zero"), zero_type="f32")


def case(k: Format | None, v: Format | None = None, **fields: Any) -> QuantizedCase:
    """A decode step of two sequences over a head of 32 channels, K and V of one format where V has none."""
    small: dict[str, Any] = {"head_size": 32, "value_size": 32, "keys": 64, "dtype": "f32"}
    return QuantizedCase(**small | fields, k_format=k, v_format=v or k)


@pytest.mark.parametrize(
    ("cache", "splits"),
    [
        ({"keys": 70, "kv_lens": True}, 2),
        ({"keys": 96, "page_size": 16, "kv_lens": True, "pool": "head_major", "steps": ("causal",), "queries": 3}, 0),
        ({"keys": 64, "page_size": 32, "kv_lens": True, "rows": True, "sinks": True, "steps": ("soft_cap",)}, 3),
        ({"keys": 50, "page_size": 1, "pool": "token", "rows": True, "kv_lens": True, "steps": ("window", "alibi")}, 2),
    ],
    ids=["contiguous", "pages", "table", "tokens"],
)
@pytest.mark.parametrize(
    "form", [INT8, LIGHTLLM, WORDS, Format("f8E4M3FN", storage=32)], ids=["int8", "bytes", "words", "fp8"]
)
def test_caches(form: Format, cache: dict[str, Any], splits: int):
    """The formats in use, in every kind of cache, with masks and lengths."""
    check(case(form, dtype="bf16", **cache), splits, "h100")


@pytest.mark.parametrize(
    ("codes", "storages"),
    [
        ("u4", (8, 32)),
        ("i4", (16, 32, 64)),
        ("u8", (8, 32)),
        ("i8", (8, 64)),
        ("f8E4M3FN", (0, 32)),
        ("f8E5M2", (8, 32)),
    ],
)
def test_storage(codes: str, storages: tuple[int, ...]):
    """Codes in the elements that can hold them, K planar and V in neighbours: signs, and lanes from the lowest."""
    for storage in storages:
        planar = Format(codes, storage).lanes > 1
        check(case(Format(codes, storage, planar), Format(codes, storage), keys=20, lse=False, batch=(), kv_heads=1))


@pytest.mark.parametrize(
    ("channels", "tokens"), [(None, 1), (1, None), (1, 1), (1, 8), (2, 1), (4, 8), (8, 1), (8, None), (16, 1), (16, 8)]
)
def test_groups(channels: int | None, tokens: int | None):
    """Groups within an element, of whole elements, of all channels; K planar, V in neighbours; in two splits."""
    k, v = (Format("u4", 32, planar, channels, tokens, zero=8, part_type="f16") for planar in (True, False))
    check(case(k, v, keys=48, kv_lens=True, batch=(1,), kv_heads=1), 2)


@pytest.mark.parametrize("group", [8, 16, 32, 64, 128])
def test_groups_of_a_whole_head(group: int):
    """The groups that caches have, on the head size that they have: K in four bits, V in eight."""
    k = Format("u4", 32, channels=group, zero=7, part_type="bf16", round="bf16")
    v = Format("i8", 32, channels=group)
    check(case(k, v, head_size=128, value_size=128, keys=40, dtype="bf16", kv_heads=1, group=4, batch=(1,)), 0, "h100")


@pytest.mark.parametrize(("zero_type", "round"), [("i8", None), ("i32", "bf16"), ("f32", "f16"), ("f32", None)])
def test_zero_points(zero_type: str, round: str | None):
    """Zero points of groups and of all keys; a rounded value has its scale before it is rounded."""
    k = Format("u8", 32, channels=8, parts=("scale", "zero"), zero_type=zero_type, round=round)
    v = Format("i4", 16, tokens=None, channels=1, parts=("scale", "zero"), zero_type=zero_type)
    check(case(k, v, keys=40, batch=()))


@pytest.mark.parametrize(("dtype", "page_size"), [("f32", 0), ("f16", 16), ("bf16", 64)])
def test_asymmetric_caches(dtype: str, page_size: int):
    """KIVI: scales of K for each channel and 32 keys (16 in pages of that size), of V for each key."""
    k = dataclasses.replace(KIVI_K, tokens=16) if page_size == 16 else KIVI_K
    check(case(k, KIVI_V, keys=192, page_size=page_size, kv_lens=True, dtype=dtype, kv_heads=1), 2)


@pytest.mark.parametrize(
    ("dtype", "heads", "channels"),
    [("f32", False, None), ("f16", True, None), ("bf16", True, 1), ("f16", True, 1), ("f32", False, 8)],
)
def test_scales_of_all_keys(dtype: str, heads: bool, channels: int | None):
    """One scale a tensor or a head, or for channels of all keys: outside of the dots, whatever the score region is."""
    k, v = (Format("i4", 32, planar, channels, None, heads) for planar in (True, False))
    steps = ("soft_cap",) if channels else ()
    check(case(k, v, keys=40, batch=(), dtype=dtype, steps=steps))


@pytest.mark.parametrize("shape", [(), (1, 2, 1, 1), (3, 2, 1, 32)], ids=["tensor", "head", "channel"])
@pytest.mark.parametrize(("splits", "sinks"), [(1, False), (1, True), (2, False)])
def test_scales_of_empty_sequences(shape: tuple[int, ...], splits: int, sinks: bool):
    """A row without keys is 0, whatever the scale is that its output would be multiplied with; others keep a NaN."""
    rng = np.random.default_rng(0)
    codes = rng.integers(-128, 128, (3, 2, 48, 32)).astype(np.int8)
    k = fl.quantized(codes, np.full(shape, 0.01, np.float32), codes="i8")
    v = fl.quantized(codes, np.full(shape, np.nan, np.float32), codes="i8")
    q = rng.standard_normal((3, 2, 1, 32)).astype(np.float32)
    lens = np.array([5, 0, 48], np.int32)
    out = fl.attention(q, k, v, kv_lens=lens, splits=splits, sinks=np.zeros(2, np.float32) if sinks else None)
    assert (out[1] == 0).all() and np.isnan(out[[0, 2]]).all()


@pytest.mark.parametrize(
    ("head_size", "value_size"), [(8, 8), (24, 40), (80, 96), (288, 256)], ids=lambda size: str(size)
)
def test_head_sizes(head_size: int, value_size: int):
    """Elements are padded to a power of two, or cut into two blocks; every lane has its own channels."""
    k, v = (Format("u4", 32, planar, 8, zero=7) for planar in (True, False))
    check(case(k, v, head_size=head_size, value_size=value_size, keys=20, kv_heads=1, batch=(1,)))


@pytest.mark.parametrize("pool", ["slot_major", "keys_only"])
def test_one_of_them_quantized(pool: str):
    """K in codes and V in floats, and the other way round."""
    for form in ({"k_format": WORDS}, {"v_format": INT8}):
        fields: dict[str, Any] = {"head_size": 32, "value_size": 32, "keys": 64, "page_size": 16, "pool": pool}
        check(QuantizedCase(**fields, **form, dtype="bf16", kv_lens=True))


@pytest.mark.parametrize("seed", range(4))
def test_random_mixtures(seed: int):
    rng = np.random.default_rng([seed, 5])
    drawn = random_quantized_case(rng)
    keys = drawn.keys if drawn.page_size else min(drawn.keys, 96)
    dtype = "f32" if drawn.dtype == "f64" else drawn.dtype
    check(dataclasses.replace(drawn, keys=keys, dtype=dtype), int(rng.choice([0, 2, 7])), ("h100", PORTABLE)[seed % 2])


POOL = "tensor<3x16x2x4xi32>"


def paged_text(scale_layout: str, scale_type: str, dtype: str) -> str:
    q = f"tensor<1x4x1x32x{dtype}>"
    scales = f"tensor<{scale_type}>"
    return f"""
func.func @main(%q: {q}, %k: {POOL}, %ks: {scales}, %v: {POOL}, %vs: {scales}, %t: tensor<1x2xi32>) -> {q} {{
  %out = attention.sdpa
      q(%q[b, h * 2 + g, m, k] : {q})
      k(%k[page, slot, h, k floordiv 8] : {POOL}) quantized(u4, zero = 7) k_scale(%ks{scale_layout} : {scales})
      v(%v[page, slot, h, d floordiv 8] : {POOL}) quantized(u4, zero = 7) v_scale(%vs{scale_layout} : {scales})
      block_table(%t[b, p] : tensor<1x2xi32>)
      scale(0.25)
      -> out[b, h * 2 + g, m, d] : {q}
  func.return %out : {q}
}}
"""


@pytest.mark.parametrize(
    ("layout", "shape", "spread", "unit"),
    [
        ("[]", (), lambda s: s[None, None, None], 1e-4),
        ("[h]", (2,), lambda s: s[None, None, :], 1e-4),
        ("[page]", (3,), lambda s: s[:, None, None], 1.0),
        ("[h * 2 + g]", (4,), lambda s: s[None, None, :], 1.0),
        ("[slot, page]", (16, 3), lambda s: s.T[:, :, None], 1.0),
        ("[slot, page]", (16, 3), lambda s: s.T[:, :, None], 1e-4),
    ],
    ids=lambda value: str(value) if isinstance(value, str | float) else "",
)
def test_scales_of_pools(layout: str, shape: tuple[int, ...], spread: Any, unit: float):
    """A scale for the pool, a head, a query head, a page or a token; small ones keep their digits in f16."""
    rng = np.random.default_rng(3)
    codes = [rng.integers(0, 16, (3, 16, 2, 32)) for _ in "kv"]
    scales = [np.asarray(rng.uniform(0.1, 0.3, shape) * factor, np.float32) for factor in (1.0, unit)]
    table = np.array([[2, 0]], np.int32)
    q = rng.standard_normal((1, 4, 1, 32)).astype(np.float16)
    form = Format("u4", 32)
    text = paged_text(layout, "x".join([*map(str, shape), "f32"]), "f16")
    inputs = [q, form.pack(codes[0]), scales[0], form.pack(codes[1]), scales[1], table]
    (out,) = run(text, inputs)
    group = 2
    values = [np.repeat(c - 7.0, group, axis=2) for c in codes]
    heads = [spread(s.astype(np.float64)) for s in scales]
    heads = [np.repeat(s, group, axis=2) if s.shape[2] == 2 else s for s in heads]
    k, v = ((c * s[..., None])[table[0]].reshape(32, 4, 32) for c, s in zip(values, heads))
    want, _ = reference_attention(
        q.reshape(1, 4, 1, 1, 32).astype(np.float64),
        k.transpose(1, 0, 2)[None],
        v.transpose(1, 0, 2)[None],
        scale=0.25,
        scores=[],
    )
    want = want.reshape(out.shape)
    assert np.linalg.norm(out.astype(np.float64) - want) <= KERNEL_TOLERANCE["f16"] * np.linalg.norm(want)


@pytest.mark.parametrize("target", TARGETS)
def test_kernels_compile(target: str):
    """Nibbles with scales and offsets of groups; 8-bit floats, which not all of these GPUs have, as bits."""
    v = Format("f8E4M3FN", 32)
    drawn = case(KIVI_K, v, head_size=128, value_size=64, keys=256, page_size=64, kv_lens=True, dtype="bf16")
    compile_module_kernels(transform(drawn.module_text(), pipeline(2, GPUS[target])), [target])


def test_words_compile():
    """LightLLM's values, with the schedule of the cost model."""
    drawn = case(WORDS, head_size=128, value_size=128, keys=256, page_size=64, kv_lens=True, dtype="bf16")
    compile_module_kernels(transform(drawn.module_text(), pipeline(2, "h100")), ["cuda:90"])

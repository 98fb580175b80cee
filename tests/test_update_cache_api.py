"""
Locks in `flashlower.update_cache`: caches that `flashlower.attention` then reads, and one error for what does not fit.

There and back: tokens are stored in several calls, and attention over the cache is attention over what the codes are
worth, which is near to that over the tokens themselves.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

import flashlower as fl
from flashlower.frontends.update_cache import build_update
from flashlower.interpreters import run_module

BATCH, HEADS, SIZE, PAGE, PAGES = 2, 2, 32, 8, 3
KEYS = PAGE * PAGES


def random(*shape: int, dtype: Any = ml_dtypes.bfloat16) -> Any:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def pool(elements: int, dtype: Any = np.int8) -> Any:
    return np.zeros((BATCH * PAGES + 1, PAGE, HEADS, elements), dtype)


def scales(groups: int, dtype: Any = ml_dtypes.bfloat16) -> Any:
    return pool(groups, dtype)


FORMATS: dict[str, tuple[Any, dict[str, Any], float]] = {
    "lightllm int4": (
        lambda: fl.quantized(pool(SIZE // 2, np.uint8), scales(SIZE // 8), codes="u4", zero=7, round="bf16"),
        {"rounding": "toward_zero"},
        0.2,
    ),
    "planar int4": (
        lambda: fl.quantized(pool(SIZE // 8, np.int32), scales(1), codes="i4", pack="planar"),
        {},
        0.2,
    ),
    "asymmetric int4": (
        lambda: fl.quantized(pool(SIZE // 8, np.int32), scales(2), codes="u4", offset=scales(2)),
        {},
        0.15,
    ),
    "zero points": (
        lambda: fl.quantized(pool(SIZE, np.uint8), scales(1), codes="u8", zero=pool(1, np.uint8)),
        {},
        0.02,
    ),
    "int8": (lambda: fl.quantized(pool(SIZE), scales(1, np.float32), codes="i8"), {}, 0.02),
    "e4m3": (lambda: fl.quantized(pool(SIZE, ml_dtypes.float8_e4m3fn), scales(1, np.float32)), {}, 0.06),
    "e5m2, given": (
        lambda: fl.quantized(pool(SIZE, ml_dtypes.float8_e5m2), np.full((1, 1, HEADS, 1), 0.01, np.float32)),
        {"scaling": "given"},
        0.12,
    ),
    "bf16": (lambda: pool(SIZE, ml_dtypes.bfloat16), {}, 0.01),
}


def worth(cache: Any) -> Any:
    """The values of a cache [pages, slots, heads, channels] in float64, by the description of its codes alone."""
    if isinstance(cache, np.ndarray):
        return cache.astype(np.float64)
    data, attr = cache.storage, cache.attr
    if attr.is_float:
        codes = cache.data.astype(np.float64)
    else:
        bits = data.view(f"u{data.itemsize}").astype(np.uint64)
        lanes = [bits >> np.uint64(attr.bits * lane) & np.uint64(2**attr.bits - 1) for lane in range(cache.lanes)]
        codes = np.concatenate(lanes, -1) if cache.planar else np.stack(lanes, -1).reshape(*bits.shape[:-1], -1)
        codes = codes.astype(np.float64)
        if attr.is_signed:
            codes -= np.where(codes >= 2 ** (attr.bits - 1), 2**attr.bits, 0)
    parts = {name: part.astype(np.float64) for name, part in cache.parts.items()}
    parts = {name: part.repeat(codes.shape[-1] // part.shape[-1], -1) for name, part in parts.items()}
    return (codes - parts.get("zero", attr.zero.data)) * parts["scale"] + parts.get("offset", 0.0)


def attend(q: Any, keys: Any, values: Any) -> Any:
    """Attention of one query of each head, in float64."""
    s = q.astype(np.float64) @ keys.swapaxes(-1, -2) / np.sqrt(SIZE)
    p = np.exp(s - s.max(-1, keepdims=True))
    return p / p.sum(-1, keepdims=True) @ values


def error_of(found: Any, want: Any) -> float:
    return float(np.linalg.norm(found.astype(np.float64) - want) / np.linalg.norm(want))


@pytest.mark.parametrize("name", FORMATS)
def test_store_then_attention(name: str) -> None:
    """A prompt, then a token: attention over the pool is that over the values of its codes, and near to the tokens'."""
    make, options, tolerance = FORMATS[name]
    k_cache, v_cache = make(), make()
    k, v, q = random(BATCH, HEADS, 12, SIZE), random(BATCH, HEADS, 13, SIZE)[:, :, 1:], random(BATCH, HEADS, 1, SIZE)
    table = np.array([[3, 1, 6], [0, 5, -1]], np.int32)
    first = np.zeros(BATCH, np.int32)
    fl.update_cache(k[:, :, :11], v[:, :, :11], k_cache, v_cache, positions=first, block_table=table, **options)
    fl.update_cache(k[:, :, 11:], v[:, :, 11:], k_cache, v_cache, positions=first + 11, block_table=table, **options)
    out = fl.attention(q, k_cache, v_cache, block_table=table, kv_lens=first + 12, splits=1)
    for b in range(BATCH):
        keys, values = (np.concatenate(worth(cache)[table[b, :2]])[:12].swapaxes(0, 1) for cache in (k_cache, v_cache))
        assert error_of(out[b], attend(q[b], keys, values)) < 5e-3
        assert error_of(keys, k[b].astype(np.float64)) < tolerance
        assert error_of(values, v[b].astype(np.float64)) < tolerance


def test_contiguous_caches_of_pytorch() -> None:
    """Heads after tokens, caches that are views of a larger tensor, one cache alone, a token at a time."""
    torch = pytest.importorskip("torch")
    both = torch.zeros(BATCH, KEYS, 2 * HEADS, SIZE, dtype=torch.float16)
    k_cache, v_cache = both[:, :, :HEADS], both[:, :, HEADS:]
    k = torch.randn(BATCH, 4, HEADS, SIZE)
    at = torch.tensor([[0, 9, 3, -1], [23, 24, 5, 6]])
    fl.update_cache(k, -k, k_cache, v_cache, layout="bshd", positions=at)
    want = torch.zeros_like(both)
    for b, m in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 2), (1, 3)):
        want[b, at[b, m], :HEADS], want[b, at[b, m], HEADS:] = k[b, m].half(), -k[b, m].half()
    assert torch.equal(both, want)
    latent = torch.zeros(BATCH, 1, KEYS, SIZE)
    fl.update_cache(k[:, :, :1].transpose(1, 2), None, latent, None, positions=torch.tensor([2, 20]))
    assert torch.equal(latent[1, 0, 20:24], k[1, :, 0]) and not latent[0, 0, :2].any()


def test_slots() -> None:
    """vLLM's slot mapping: tokens of all sequences in a row, -1 for padding."""
    k_cache = pool(SIZE, np.float32)
    k = random(1, HEADS, 5, SIZE, dtype=np.float32)
    slots = np.array([[0, -1, 9, 3 * PAGE + 1, 2]])
    fl.update_cache(k, None, k_cache, None, slots=slots)
    want = pool(SIZE, np.float32)
    for m, slot in enumerate(slots[0]):
        if slot >= 0:
            want[slot // PAGE, slot % PAGE] = k[0, :, m]
    assert np.array_equal(k_cache, want)


def test_groups_of_tokens() -> None:
    """KIVI: keys in groups of tokens for each channel, values in groups of channels for each token."""
    k, v = random(BATCH, HEADS, 16, SIZE), random(BATCH, HEADS, 16, SIZE)

    def keys(groups: int, channels: int) -> Any:
        return np.zeros((BATCH, HEADS, groups, channels), np.float32)

    k_cache = fl.quantized(
        np.zeros((BATCH, HEADS, KEYS, SIZE // 2), np.uint8), keys(KEYS // 8, SIZE), offset=keys(KEYS // 8, SIZE)
    )
    v_cache = fl.quantized(np.zeros((BATCH, HEADS, KEYS, SIZE // 2), np.uint8), keys(KEYS, 2), offset=keys(KEYS, 2))
    fl.update_cache(k, v, k_cache, v_cache, positions=np.array([8, 0], np.int32))
    scale, offset = k_cache.parts["scale"], k_cache.parts["offset"]
    group = k[0, 1, :8].astype(np.float32)
    assert np.array_equal(offset[0, 1, 1], group.min(0))
    np.testing.assert_allclose(scale[0, 1, 1], (group.max(0) - group.min(0)) / 15, rtol=1e-6)
    with pytest.raises(ValueError, match="positions has 4, but scales are made for groups of 8 tokens"):
        fl.update_cache(k, v, k_cache, v_cache, positions=np.array([8, 4], np.int32))
    with pytest.raises(ValueError, match=r"k_cache: cache_scale is made for groups of 8 tokens, but there are 5 new"):
        fl.update_cache(k[:, :, :5], v[:, :, :5], k_cache, v_cache, positions=np.array([8, 0], np.int32))


def test_the_module_is_what_the_interpreter_runs() -> None:
    k_cache = fl.quantized(pool(SIZE), scales(4), codes="i8")
    k, table, first = random(BATCH, HEADS, 3, SIZE), np.arange(6, dtype=np.int32).reshape(2, 3), np.array([6, 0])
    built = build_update(k, None, k_cache, None, positions=first, block_table=table)
    want = run_module(built.module, built.arguments)
    fl.update_cache(k, None, k_cache, None, positions=first, block_table=table)
    assert np.array_equal(k_cache.storage, want[0])
    assert np.array_equal(k_cache.parts["scale"], want[1])


K = random(BATCH, HEADS, 3, SIZE)
FIRST = np.array([0, 0], np.int32)
CACHE = np.zeros((BATCH, HEADS, KEYS, SIZE), np.float32)


def frozen() -> Any:
    cache = CACHE.copy()
    cache.flags.writeable = False
    return cache


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((K, K, CACHE, None), {}, ValueError, "v and v_cache must be given together"),
        ((K, None, CACHE, None), {}, ValueError, "expected positions or slots, but neither is given"),
        ((K, None, CACHE, None), {"positions": FIRST, "slots": FIRST}, ValueError, "but both are given"),
        (
            (K, None, CACHE, None),
            {"positions": FIRST[:1]},
            ValueError,
            r"positions has shape \[1\], expected \[2\] or \[2, 3\]",
        ),
        ((K, None, CACHE, None), {"positions": FIRST.astype(float)}, TypeError, "positions has elements of type f64"),
        (
            (K[0], None, CACHE, None),
            {"positions": FIRST},
            ValueError,
            r"k has shape \[2, 3, 32\], expected 4 dimensions",
        ),
        (
            (K, None, CACHE[..., :16], None),
            {"positions": FIRST},
            ValueError,
            "head size of k_cache and k differ: 16 and 32",
        ),
        ((K, None, CACHE[:, :1], None), {"positions": FIRST}, ValueError, "heads of k_cache and k differ: 1 and 2"),
        ((K, None, CACHE[:1], None), {"positions": FIRST}, ValueError, "batch of k_cache and k differ: 1 and 2"),
        (
            (K, K[:, :, :2], CACHE, CACHE.copy()),
            {"positions": FIRST},
            ValueError,
            r"k and v have shapes",
        ),
        ((K, None, CACHE.astype(np.int8), None), {"positions": FIRST}, TypeError, "expected floats or quantized"),
        (
            (K, None, frozen(), None),
            {"positions": FIRST},
            ValueError,
            "k_cache cannot be written: the array is read-only",
        ),
        ((K, None, [0], None), {"positions": FIRST}, TypeError, "k_cache is a list, expected a NumPy array, a torch"),
        ((K, None, CACHE, None), {"positions": FIRST, "layout": "sbhd"}, ValueError, "layout is 'sbhd'"),
        (
            (K, None, CACHE, None),
            {"positions": FIRST, "rounding": "up"},
            ValueError,
            "rounding is 'up', expected one of",
        ),
        (
            (K, None, CACHE, None),
            {"positions": FIRST, "scaling": "max"},
            ValueError,
            "scaling is 'max', expected one of",
        ),
        (
            (K, None, fl.quantized(CACHE.astype(np.int8), np.ones((1, HEADS, 1, 1), np.float32), codes="i8"), None),
            {"positions": FIRST},
            ValueError,
            "k_cache: cache_scale is shared by tokens that are stored already, so it cannot be made for new ones",
        ),
    ],
)
def test_errors(arguments: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        fl.update_cache(*arguments, **options)

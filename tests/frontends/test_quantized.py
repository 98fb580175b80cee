"""`flashlower.quantized`: the operation that a call builds means what its documentation says, and errors are clear.

The modules run in the interpreter, on the arguments that the call would launch a kernel with, against float64 on
values that are dequantised here; kernels have tests of their own.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch
from attention_reference import reference_attention

import flashlower as fl
from flashlower.frontends.sdpa import build_attention
from flashlower.interpreters import run_module

RNG = np.random.default_rng(0)
Q = RNG.standard_normal((2, 4, 3, 16)).astype(np.float32)
LENS = np.array([20, 32], np.int32)


def result(*args: Any, **options: Any) -> np.ndarray:
    built = build_attention(*args, **options)
    arrays = [a.numpy() if isinstance(a, torch.Tensor) else a for a in built.arguments]
    return run_module(built.module, arrays)[0]


def expected(k: np.ndarray, v: np.ndarray) -> np.ndarray:
    q = Q.reshape(2, 2, 2, 3, 16)
    return reference_attention(q, k, v, scale=0.25, kv_lens=LENS)[0].reshape(2, 4, 3, -1)


def drawn(shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    return RNG.integers(low, high + 1, shape)


def scales(*shape: int) -> np.ndarray:
    return RNG.uniform(0.1, 0.4, shape).astype(np.float32)


def test_lightllm_nibbles_in_bytes():
    codes = drawn((2, 2, 32, 16), 0, 15)
    data = (codes[..., ::2] | codes[..., 1::2] << 4).astype(np.uint8)
    scale = scales(2, 2, 32, 2).astype(ml_dtypes.bfloat16)
    values = ((codes - 7).astype(np.float32) * scale.astype(np.float32).repeat(8, -1)).astype(ml_dtypes.bfloat16)
    packed = fl.quantized(data, scale, codes="u4", zero=7, round="bf16")
    got = result(Q, packed, packed, kv_lens=LENS)
    np.testing.assert_allclose(got, expected(values, values), rtol=1e-4, atol=1e-5)


def test_a_scale_that_is_a_number_of_numpy():
    """What a maximum gives is no array, and was a traceback of Triton's."""
    codes = drawn((2, 2, 32, 16), -128, 127).astype(np.int8)
    scale = np.max(np.array([0.01, 0.02], np.float32))
    values = codes * scale
    packed = fl.quantized(codes, scale, codes="i8")
    np.testing.assert_allclose(result(Q, packed, packed, kv_lens=LENS), expected(values, values), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layout", ["bhsd", "bshd"])
@pytest.mark.parametrize("of_torch", [False, True])
def test_kivi_offsets_for_each_channel_and_planar_words(layout: str, of_torch: bool):
    codes = drawn((2, 2, 32, 16), 0, 15)
    words = np.zeros((2, 2, 32, 2), np.uint32)
    for channel in range(16):
        words[..., channel % 2] |= codes[..., channel].astype(np.uint32) << np.uint32(4 * (channel // 2))
    k_scale, k_min = scales(2, 2, 4, 16), scales(2, 2, 4, 16)
    v_scale, v_min = scales(2, 2, 32, 4), scales(2, 2, 32, 4)
    k = codes * k_scale.repeat(8, 2) + k_min.repeat(8, 2)
    v = codes * v_scale.repeat(4, 3) + v_min.repeat(4, 3)
    tensors = [words.view(np.int32), k_scale, k_min, v_scale, v_min]
    q = Q
    if layout == "bshd":
        q, *tensors = (np.ascontiguousarray(x.swapaxes(1, 2)) for x in (Q, *tensors))
    if of_torch:
        q, *tensors = (torch.from_numpy(x) for x in (q, *tensors))
    data, k_scale, k_min, v_scale, v_min = tensors
    key = fl.quantized(data, k_scale, offset=k_min, pack="planar")
    value = fl.quantized(data, v_scale, offset=v_min, pack="planar")
    got = result(q, key, value, kv_lens=torch.from_numpy(LENS) if of_torch else LENS, layout=layout)
    got = got.swapaxes(1, 2) if layout == "bshd" else got
    np.testing.assert_allclose(got, expected(k, v), rtol=1e-4, atol=1e-5)


def test_pages_with_a_scale_for_each_page_and_zero_points():
    pool = drawn((9, 8, 2, 16), 0, 255)
    scale, zero = scales(9, 1, 2, 16) / 16, drawn((9, 4, 1, 1), 0, 255).astype(np.uint8)
    table = RNG.permutation(9)[:8].reshape(2, 4).astype(np.int32)
    values = (pool - zero.astype(int).repeat(2, 1)) * scale
    dense = values[table].reshape(2, 32, 2, 16).swapaxes(1, 2)
    key = fl.quantized(pool.astype(np.uint8), scale, codes="u8", zero=zero)
    got = result(Q, key, values.astype(np.float32), block_table=table, kv_lens=LENS)
    np.testing.assert_allclose(got, expected(dense, dense), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_torch_float8_with_scales_for_heads_and_for_the_tensor(dtype: torch.dtype):
    k, v = (torch.from_numpy(RNG.standard_normal((2, 2, 32, 16)).astype(np.float32)).to(dtype) for _ in range(2))
    per_head, whole = torch.from_numpy(scales(1, 2, 1, 1)), torch.tensor(0.5)
    got = result(torch.from_numpy(Q), fl.quantized(k, per_head), fl.quantized(v, whole), kv_lens=torch.from_numpy(LENS))
    want = expected((k.float() * per_head).numpy(), v.float().numpy() * 0.5)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_numpy_float8():
    k = RNG.standard_normal((2, 2, 32, 16)).astype(ml_dtypes.float8_e4m3fn)
    got = result(Q, fl.quantized(k), fl.quantized(k, codes="f8E4M3FN"), kv_lens=LENS)
    np.testing.assert_allclose(got, expected(k, k), rtol=1e-4, atol=1e-5)


DATA = np.zeros((2, 2, 32, 8), np.int8)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ([[1, 2]], {}, TypeError, "data is a list, expected a NumPy array or a torch tensor"),
        ([DATA.astype(np.float32)], {}, TypeError, "data has dtype float32; expected one of int8, uint8"),
        ([fl.quantized(DATA)], {}, TypeError, "data is a Quantized, expected a NumPy array or a torch tensor"),
        ([DATA], {"codes": "u5"}, ValueError, "codes is 'u5', expected one of u4, i4, u8, i8, f8E4M3FN, f8E5M2"),
        ([DATA], {"zero": 16}, ValueError, "zero is 16, but codes of type u4 are from 0 to 15"),
        ([DATA], {"round": "f32"}, ValueError, "round is 'f32', expected one of bf16, f16, or None"),
        ([DATA], {"pack": "rows"}, ValueError, "pack is 'rows', expected 'interleaved' or 'planar'"),
        ([DATA, np.zeros(1, np.int8)], {}, TypeError, "scale has elements of type i8, expected floats"),
        ([DATA, 0.5], {}, TypeError, "scale is a float, expected a NumPy array or a torch tensor"),
        ([DATA], {"zero": scales(1), "offset": scales(1)}, ValueError, "zero and offset are given"),
        (
            [DATA.astype(ml_dtypes.float8_e5m2)],
            {"codes": "f8E4M3FN"},
            TypeError,
            "data has dtype float8_e5m2, but codes is 'f8E4M3FN'",
        ),
        ([DATA], {"codes": "f8E5M2", "zero": scales(1)}, ValueError, "codes of type f8E5M2 have no zero point"),
    ],
)
def test_what_does_not_fit_together(arguments: list[Any], options: dict[str, Any], error: type, message: str):
    with pytest.raises(error, match=message):
        fl.quantized(*arguments, **options)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 2, 32), r"scale of k has shape \[2, 2, 32\], expected 4 dimensions or none"),
        ((2, 4, 32, 1), r"dimension 1 \(heads\) is 4, expected 1, 2"),
        ((2, 2, 5, 1), r"dimension 2 \(length\) is 5, expected 1, 32 or a divisor of 32"),
        ((2, 2, 32, 32), r"dimension 3 \(channels\) is 32, expected 1, 16 or a divisor of 16"),
    ],
)
def test_scales_that_do_not_fit_the_data(shape: tuple[int, ...], message: str):
    packed = fl.quantized(DATA, scales(*shape))
    with pytest.raises(ValueError, match=message):
        build_attention(Q, packed, packed)


def test_codes_that_do_not_fit_the_query():
    with pytest.raises(ValueError, match="head size of q and k differ: 16 and 8"):
        build_attention(Q, fl.quantized(DATA, codes="i8"), fl.quantized(DATA))


def gap(data: np.ndarray) -> np.ndarray:
    """The same bytes with others between them: neighbours are next to each other, rows no whole words apart."""
    wide = np.zeros((*data.shape[:-1], data.shape[-1] + 1), data.dtype)
    wide[..., 1:] = data
    return wide[..., 1:]


@pytest.mark.parametrize("of_torch", [False, True])
@pytest.mark.parametrize(
    ("codes", "channels", "place", "expected_type", "digit"),
    [
        ("u4", 128, np.ascontiguousarray, "2x2x5x16xi32", "d floordiv 8"),
        ("u4", 64, np.ascontiguousarray, "2x2x5x16xi16", "d floordiv 4"),
        ("u4", 32, np.ascontiguousarray, "2x2x5x16xi8", "d floordiv 2"),
        ("i8", 64, np.ascontiguousarray, "2x2x5x16xi32", "d floordiv 4"),
        ("i8", 72, np.ascontiguousarray, "2x2x5x18xi32", "d floordiv 4"),
        ("u4", 128, gap, "2x2x5x64xi8", "d floordiv 2"),
        ("i8", 64, lambda x: np.ascontiguousarray(x.T).T, "2x2x5x64xi8", "d]"),
    ],
)
def test_bytes_are_read_as_words_where_they_can_be(
    codes: str, channels: int, place: Any, expected_type: str, digit: str, of_torch: bool
):
    """A view of at least 16 words, for kernels; the values are the same whatever the strides."""
    lanes = 2 if codes == "u4" else 1
    data = drawn((2, 2, 5, channels // lanes), -128, 127).astype(np.int8)
    query = np.zeros((2, 2, 1, channels), np.float32)
    placed, q = place(data), query
    if of_torch:
        placed, q = torch.from_numpy(placed), torch.from_numpy(query)
    packed = fl.quantized(placed, codes=codes)
    text = str(build_attention(q, packed, packed).module)
    assert f"tensor<{expected_type}>" in text
    assert digit in text
    pairs = np.stack([data & 15, data >> 4 & 15], -1).reshape(2, 2, 5, -1) if lanes == 2 else data
    np.testing.assert_allclose(result(q, packed, packed)[:, :, 0], pairs.mean(axis=2), rtol=1e-5)


@pytest.mark.parametrize("of_torch", [False, True])
def test_words_are_a_view_of_the_cache(of_torch: bool):
    """What is written to the cache later is what the next call reads."""
    pytest.importorskip("triton", reason="kernels run where Triton can be installed")
    data = np.zeros((1, 1, 16, 64), np.int8)
    packed = fl.quantized(torch.from_numpy(data) if of_torch else data, codes="i8")
    q = np.zeros((1, 1, 1, 64), np.float32)
    data[:] = 3
    got = fl.attention(torch.from_numpy(q) if of_torch else q, packed, packed)
    np.testing.assert_array_equal(np.asarray(got), np.full_like(q, 3))

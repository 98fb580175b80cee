"""Dequantisation as JAX writes it: `fuse-attention` finds the codes, and the module computes the same as before.

Every way to take codes out of wider integers, groups and zero points of every kind, and what must stay floats. Inputs
are real quantised caches of odd contents; results are compared before and after the pass, on NumPy, and for some also
with those of a kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="the extra jax is not installed")

import flashlower as fl  # noqa: E402
from flashlower.dialects.attention import SdpaOp  # noqa: E402
from flashlower.dialects.attention.layout import layout_to_str  # noqa: E402
from flashlower.dialects.parsing import make_context, parse_module  # noqa: E402
from flashlower.interpreters import run_module  # noqa: E402
from flashlower.rewrites.fuse_attention import FuseAttentionPass  # noqa: E402

jnp = jax.numpy
B, H, G, M, N, D = 2, 2, 2, 3, 24, 16
RNG = np.random.default_rng(0)
BF16 = ml_dtypes.bfloat16
Q = RNG.standard_normal((B, H, G, M, D)).astype(np.float32)
QB = Q.astype(BF16)
NIBBLES = RNG.integers(0, 16, (B, H, N, D))
BYTES = (NIBBLES[..., ::2] | NIBBLES[..., 1::2] << 4).astype(np.uint8)
PLANAR = (NIBBLES[..., : D // 2] | NIBBLES[..., D // 2 :] << 4).astype(np.uint8)
WORDS = BYTES.view(np.int32)


def codes(dtype: Any, low: int, high: int) -> np.ndarray:
    return RNG.integers(low, high + 1, (B, H, N, D)).astype(dtype)


def scales(*shape: int, dtype: Any = np.float32) -> np.ndarray:
    return RNG.uniform(0.05, 0.2, shape).astype(dtype)


INT8, UINT8 = codes(np.int8, -128, 127), codes(np.uint8, 0, 255)
FP8 = RNG.standard_normal((B, H, N, D)).astype(ml_dtypes.float8_e4m3fn)
PER_TOKEN, PER_TOKEN_BF16 = scales(B, H, N), scales(B, H, N, dtype=BF16)
TABLE = RNG.permutation(9)[: B * N // 8].reshape(B, N // 8).astype(np.int32)
GROUPS, GROUPS_BF16 = scales(B, H, N, 2), scales(B, H, N, 2, dtype=BF16)


def attend(q: Any, k: Any, v: Any) -> Any:
    s = jnp.einsum("bhgmk,bhnk->bhgmn", q, k, preferred_element_type=jnp.float32) * 0.25
    p = jax.nn.softmax(s, axis=-1)
    return jnp.einsum("bhgmn,bhnd->bhgmd", p.astype(v.dtype), v)


def grouped(x: Any, scale: Any, offset: Any = 0) -> Any:
    groups = x.reshape(*x.shape[:-1], scale.shape[-1], -1) * scale[..., None]
    if not isinstance(offset, int):
        groups = groups + offset[..., None]
    return groups.reshape(x.shape)


def stacked(x: Any) -> Any:
    return jnp.stack([x & 15, x >> 4], -1).reshape(*x.shape[:-1], -1)


def shifted(x: Any, lanes: int = 8) -> Any:
    return ((x[..., None] >> jnp.arange(lanes, dtype=x.dtype) * 4) & 15).reshape(*x.shape[:-1], -1)


def kivi(x: Any, scale: Any, offset: Any) -> Any:
    floats = shifted(x).astype(jnp.float32).reshape(B, H, N // 8, 8, D)
    return (floats * scale[:, :, :, None] + offset[:, :, :, None]).reshape(B, H, N, D)


@dataclass
class Graph:
    """A dequantisation of one tensor that is K and V, and what K must be."""

    name: str
    make: Callable[..., Any]
    arguments: tuple[np.ndarray, ...]
    expected: str
    """The attribute, and layouts of codes and parts."""
    narrow: bool = False
    """Whether Q is of bf16."""


BF = jnp.bfloat16
F32 = jnp.float32
GRAPHS = [
    Graph("tensor", lambda x, s: x.astype(F32) * s, (INT8, np.float32(0.01)), "i8 [b, h, n, k] scale[]"),
    Graph(
        "token",
        lambda x, s: x.astype(BF) * s[..., None],
        (INT8, PER_TOKEN_BF16),
        "i8, round = bf16 [b, h, n, k] scale[b, h, n]",
        narrow=True,
    ),
    Graph(
        "repeated",
        lambda x, s: x.astype(F32) * jnp.repeat(s, 8, -1),
        (INT8, GROUPS),
        "i8 [b, h, n, k] scale[b, h, n, k floordiv 8]",
    ),
    Graph(
        "scale_first", lambda x, s: s[..., None] * x.astype(F32), (UINT8, PER_TOKEN), "u8 [b, h, n, k] scale[b, h, n]"
    ),
    Graph("constant", lambda x: (x.astype(F32) - 128.0) * 0.01, (UINT8,), "u8, zero = 128 [b, h, n, k] scale[]"),
    Graph("fraction", lambda x: x.astype(F32) - 0.5, (INT8,), "i8 [b, h, n, k] zero[]"),
    Graph(
        "zeros",
        lambda x, s, z: (x.astype(F32) - z.astype(F32)[..., None]) * s[..., None],
        (UINT8, PER_TOKEN, UINT8[..., 0]),
        "u8 [b, h, n, k] scale[b, h, n] zero[b, h, n]",
    ),
    Graph(
        "float_zeros",
        lambda x, s, z: (x.astype(F32) - z[..., None]) * s[..., None],
        (UINT8, PER_TOKEN, PER_TOKEN * 100),
        "u8 [b, h, n, k] scale[b, h, n] zero[b, h, n]",
    ),
    Graph(
        "rounded",
        lambda x, s: (x.astype(F32) * s[..., None]).astype(BF),
        (INT8, PER_TOKEN),
        "i8, round = bf16 [b, h, n, k] scale[b, h, n]",
        narrow=True,
    ),
    Graph("codes_alone", lambda x: x.astype(BF), (INT8,), "i8 [b, h, n, k]", narrow=True),
    Graph(
        "lightllm",
        lambda x, s: grouped((stacked(x.view(jnp.uint8)).astype(jnp.int16) - 7).astype(BF), s),
        (BYTES.view(np.int8), GROUPS_BF16),
        "u4, zero = 7, round = bf16 [b, h, n, k floordiv 2] scale[b, h, n, k floordiv 8]",
        narrow=True,
    ),
    Graph(
        "words",
        lambda x, s: shifted(x).astype(F32) * s[..., None],
        (WORDS, PER_TOKEN),
        "u4 [b, h, n, k floordiv 8] scale[b, h, n]",
    ),
    Graph(
        "kivi",
        kivi,
        (WORDS, scales(B, H, N // 8, D), scales(B, H, N // 8, D)),
        "u4 [b, h, n, k floordiv 8] scale[b, h, n floordiv 8, k] offset[b, h, n floordiv 8, k]",
    ),
    Graph(
        "planar",
        lambda x, s: (jnp.concatenate([x & 15, x >> 4], -1).astype(F32) - 8) * s[..., None],
        (PLANAR, PER_TOKEN),
        "u4, zero = 8 [b, h, n, k mod 8] scale[b, h, n]",
    ),
    Graph(
        "signed",
        lambda x: jnp.stack([(x << 4) >> 4, x >> 4], -1).reshape(B, H, N, D).astype(F32),
        (BYTES.view(np.int8),),
        "i4 [b, h, n, k floordiv 2]",
    ),
    Graph("int4", lambda x: x.astype(F32), (codes(ml_dtypes.int4, -8, 7),), "i4 [b, h, n, k]"),
    Graph(
        "cast_to_int4",
        lambda x: jax.lax.bitcast_convert_type(x, jnp.int4).reshape(B, H, N, D).astype(F32),
        (BYTES,),
        "i4 [b, h, n, k floordiv 2]",
    ),
    Graph(
        "fp8",
        lambda x, s: x.astype(BF) * s[:, None, None],
        (FP8, scales(H, dtype=BF16)),
        "f8E4M3FN, round = bf16 [b, h, n, k] scale[h]",
        narrow=True,
    ),
    Graph(
        "fp8_of_bytes",
        lambda x: jax.lax.bitcast_convert_type(x, jnp.float8_e4m3fn).astype(F32),
        (FP8.view(np.uint8),),
        "f8E4M3FN [b, h, n, k]",
    ),
    Graph(
        "tokens_of_a_table",
        lambda x, s, t: grouped((stacked(x[t]).astype(jnp.int16) - 7).astype(BF), s[t]).transpose(0, 2, 1, 3),
        (
            RNG.integers(0, 256, (60, H, D // 2)).astype(np.uint8),
            scales(60, H, 2, dtype=BF16),
            RNG.permutation(60)[: B * N].reshape(B, N).astype(np.int32),
        ),
        "u4, zero = 7, round = bf16 [b, n, h, k floordiv 2] scale[b, n, h, k floordiv 8]",
        narrow=True,
    ),
    Graph(
        "pages",
        lambda x, s, t: (x[t].astype(F32) * s[t][..., None]).reshape(B, N, H, D).transpose(0, 2, 1, 3),
        (RNG.integers(-128, 128, (9, 8, H, D)).astype(np.int8), scales(9, 8, H), TABLE),
        "i8 [b, n, h, k] scale[b, n, h]",
    ),
    Graph(
        "head_major_pages",
        lambda x, s, t: grouped(stacked(x[t]).astype(F32) - 7, s[t]).transpose(0, 2, 1, 3, 4).reshape(B, H, N, D),
        (RNG.integers(0, 256, (9, H, 8, D // 2)).astype(np.uint8), scales(9, H, 8, 2), TABLE),
        "u4, zero = 7 [b, n, h, k floordiv 2] scale[b, n, h, k floordiv 8]",
    ),
    Graph(
        "scales_of_pages",
        lambda x, s, t: (x[t].astype(F32) * s[t][:, :, None]).reshape(B, N, H, D).transpose(0, 2, 1, 3),
        (RNG.integers(-128, 128, (9, 8, H, D)).astype(np.int8), scales(9, H, D), TABLE),
        "i8 [b, n, h, k] scale[b, n floordiv 8, h, k]",
    ),
    # What no description says stays as it is, or as far as it must.
    Graph(
        "two_roundings",
        lambda x, s: x.astype(BF) * s[..., None] + s[..., None],
        (INT8, PER_TOKEN_BF16),
        "",
        narrow=True,
    ),
    Graph("scaled_twice", lambda x, s: x.astype(F32) * s[..., None] * s[:, :, :1, None], (INT8, PER_TOKEN), ""),
    Graph(
        "inexact_difference",
        lambda x, z: x.astype(BF) - z.astype(BF)[..., None],
        (UINT8, INT8[..., 0]),
        "",
        narrow=True,
    ),
    Graph(
        "high_nibble_first",
        lambda x: jnp.stack([x >> 4, x & 15], -1).reshape(B, H, N, D).astype(F32),
        (BYTES,),
        "u8 [b, h, n, k]",
    ),
    Graph("wrapping", lambda x, z: (x - z[..., None]).astype(F32), (INT8, INT8[..., 0]), "i8 [b, h, n, k]"),
    Graph("one_nibble", lambda x: jnp.concatenate([x & 15, x & 15], -1).astype(F32), (BYTES,), "u8 [b, h, n, k]"),
    Graph("sixteen_bits", lambda x: x.astype(F32), (INT8.astype(np.int16),), ""),
]


def described(op: SdpaOp) -> str:
    quantization = op.quantization("k")
    if quantization is None:
        return ""
    attr = str(quantization.attr).removeprefix("#attention.quantization<").removesuffix(">")
    layouts = [layout_to_str(op.key_layout.data)]
    layouts += [part + layout_to_str(shared.layout.data) for part, shared in quantization.shared()]
    return " ".join([attr, *layouts])


def exported(graph: Graph) -> tuple[str, tuple[np.ndarray, ...]]:
    def model(q: Any, *arguments: Any) -> Any:
        x = graph.make(*arguments)
        return attend(q, x, x)

    arguments = (QB if graph.narrow else Q, *graph.arguments)
    return str(fl.from_jax(model, *arguments)), arguments


def check(graph: Graph, after: np.ndarray, before: np.ndarray) -> None:
    before, after = before.astype(np.float64), after.astype(np.float64)
    # The graph rounds weights to bf16 where it is in bf16.
    tolerance = 6e-3 if graph.narrow else 2e-6
    assert np.linalg.norm(after - before) <= tolerance * np.linalg.norm(before)


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)
def test_codes_are_found_and_mean_the_same(graph: Graph):
    text, arguments = exported(graph)
    module = parse_module(text, make_context())
    (before,) = run_module(module.clone(), arguments)
    FuseAttentionPass().apply(make_context(), module)
    module.verify()
    (op,) = (op for op in module.walk() if isinstance(op, SdpaOp))
    assert described(op) == graph.expected
    check(graph, run_module(module, arguments)[0], before)


def test_kernels_take_bytes_for_tensors_of_four_bits():
    """No pointer goes to 4 bits; an array of `jnp.int4` has a byte an element anyway."""
    (graph,) = (graph for graph in GRAPHS if graph.name == "int4")
    text, arguments = exported(graph)
    (before,) = run_module(parse_module(text, make_context()), arguments)
    q, k = arguments
    check(graph, np.asarray(fl.compile(text)(q, k.astype(np.int8))), before)


@pytest.mark.parametrize("name", ["lightllm", "kivi", "planar"])
def test_kernels_read_the_codes(name: str):
    (graph,) = (graph for graph in GRAPHS if graph.name == name)
    text, arguments = exported(graph)
    (before,) = run_module(parse_module(text, make_context()), arguments)
    check(graph, np.asarray(fl.compile(text, target="triton")(*arguments)), before)

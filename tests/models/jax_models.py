"""
GPT-2, Llama, Gemma-2, Qwen2, Qwen3 and T5 in plain JAX, two layers each, as a person would write them by hand.

Every model writes attention in another way: what fuse-attention meets differs more between authors than between models.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

B, T, E, H, KV, D, F, VOCAB = 2, 5, 32, 4, 2, 8, 48, 64
"""Batch, tokens, embedding, query heads, key-value heads, head size, hidden size of the MLP, vocabulary."""
PAD = np.array([[1] * T, [0] * 2 + [1] * (T - 2)], bool)
"""The second sequence is padded on the left, so that its first rows see nothing at all."""


@dataclass
class Weights:
    """Makes random arrays; two layers' worth of each where `stack` is 2."""

    dtype: Any = np.float32
    stack: tuple[int, ...] = ()
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def __call__(self, *shape: int, scale: float = 0.15) -> Any:
        return jnp.asarray(scale * self.rng.standard_normal((*self.stack, *shape)), self.dtype)

    def layer(self, kv: int = KV, **more: tuple[int, ...]) -> dict[str, Any]:
        shapes = {
            **{"q": (E, H, D), "k": (E, kv, D), "v": (E, kv, D), "o": (H, D, E)},
            **{"n1": (E,), "n2": (E,), "gate": (E, F), "up": (E, F), "down": (F, E)},
            **more,
        }
        return {name: self(*shape) for name, shape in shapes.items()}


def layer_norm(x: Any, w: Any, b: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5) * w + b


def rms_norm(x: Any, w: Any) -> Any:
    y = x.astype(jnp.float32)
    return (y * jax.lax.rsqrt(jnp.mean(y * y, -1, keepdims=True) + 1e-6)).astype(x.dtype) * (1 + w)


def rope(x: Any, positions: Any) -> Any:
    """Rotary embedding of [..., tokens, heads, D]."""
    angles = positions[:, None, None] * 100.0 ** (-jnp.arange(D // 2) / (D // 2))
    sin, cos = jnp.sin(angles).astype(x.dtype), jnp.cos(angles).astype(x.dtype)
    a, b = jnp.split(x, 2, -1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


def swiglu(x: Any, w: Any) -> Any:
    return (jax.nn.silu(x @ w["gate"]) * (x @ w["up"])) @ w["down"]


def heads(x: Any, w: Any) -> Any:
    return jnp.einsum("...te,ehd->...thd", x, w)


def merged(x: Any, w: Any) -> Any:
    return jnp.einsum("...thd,hde->...te", x, w)


def gpt2(w: Any, tokens: Any, pad: Any) -> Any:
    """Softmax by hand over -1e4 and -inf masks; heads before tokens."""
    x = w["wte"][tokens] + w["wpe"][None, :T]
    causal = jnp.tril(jnp.ones((T, T), bool))
    for p in w["layers"]:
        y = layer_norm(x, p["n1"], p["n2"])
        q, k, v = (z.reshape(B, T, H, D).transpose(0, 2, 1, 3) for z in jnp.split(y @ p["qkv"], 3, -1))
        s = q @ k.transpose(0, 1, 3, 2) / math.sqrt(D)
        s = jnp.where(causal, s, -jnp.inf) + jnp.where(pad, 0.0, -1e4).astype(s.dtype)[:, None, None, :]
        e = jnp.exp(s - s.max(-1, keepdims=True))
        o = (e / e.sum(-1, keepdims=True)) @ v
        x = x + o.transpose(0, 2, 1, 3).reshape(B, T, E) @ p["out"]
        x = x + jax.nn.gelu(layer_norm(x, p["n2"], p["n1"]) @ p["up"]) @ p["down"]
    return x @ w["wte"].T


def llama_layer(x: Any, p: Any, keep: Any) -> Any:
    """Heads repeated, fp32 softmax with jax.nn."""
    y, positions = rms_norm(x, p["n1"]), jnp.arange(x.shape[-2])
    q, k, v = rope(heads(y, p["q"]), positions), rope(heads(y, p["k"]), positions), heads(y, p["v"])
    k, v = (jnp.repeat(z, H // KV, axis=-2) for z in (k, v))
    s = jnp.einsum("...qhd,...khd->...hqk", q * D**-0.5, k)
    s = jnp.where(keep, s, jnp.finfo(s.dtype).min)
    probabilities = jax.nn.softmax(s.astype(jnp.float32), -1).astype(x.dtype)
    x = x + merged(jnp.einsum("...hqk,...khd->...qhd", probabilities, v), p["o"])
    return x + swiglu(rms_norm(x, p["n2"]), p)


def llama(w: Any, tokens: Any, pad: Any) -> Any:
    keep = jnp.tril(jnp.ones((T, T), bool)) & pad[:, None, None, :]
    x = w["wte"][tokens]
    for p in w["layers"]:
        x = llama_layer(x, p, keep)
    return x @ w["wte"].T


def llama_scan(w: Any, tokens: Any, pad: Any) -> Any:
    """The layers in a loop: one attention in its body."""
    keep = jnp.tril(jnp.ones((T, T), bool)) & pad[:, None, None, :]
    x, _ = jax.lax.scan(lambda x, p: (llama_layer(x, p, keep), None), w["wte"][tokens], w["layers"])
    return x @ w["wte"].T


def llama_vmap(w: Any, tokens: Any, pad: Any) -> Any:
    """Written for one sequence."""

    def one(tokens: Any, pad: Any) -> Any:
        x, keep = w["wte"][tokens], jnp.tril(jnp.ones((T, T), bool)) & pad[None, :]
        for p in w["layers"]:
            x = llama_layer(x, p, keep)
        return x @ w["wte"].T

    return jax.vmap(one)(tokens, pad)


def llama_decode(w: Any, token: Any, position: Any, caches: Any) -> Any:
    """One token of each sequence; the caches are written at its position, and are as long as they can get."""
    x, written = w["wte"][token][:, None], []
    for p, (keys, values) in zip(w["layers"], caches, strict=True):
        y, here = rms_norm(x, p["n1"]), position[None]
        q, k, v = rope(heads(y, p["q"]), here), rope(heads(y, p["k"]), here), heads(y, p["v"])
        keys = jax.lax.dynamic_update_slice(keys, k, (0, position, 0, 0))
        values = jax.lax.dynamic_update_slice(values, v, (0, position, 0, 0))
        lengths = jnp.broadcast_to(position + 1, (B,))
        o = jax.nn.dot_product_attention(q, keys, values, key_value_seq_lengths=lengths)
        x = x + merged(o, p["o"])
        x = x + swiglu(rms_norm(x, p["n2"]), p)
        written.append((keys, values))
    return x @ w["wte"].T, written


def gemma2(w: Any, tokens: Any, pad: Any) -> Any:
    """A soft cap, a window in every other layer, heads grouped in the einsum."""
    x = w["wte"][tokens] * jnp.asarray(math.sqrt(E), w["wte"].dtype)
    m, n = jnp.arange(T)[:, None], jnp.arange(T)[None, :]
    for i, p in enumerate(w["layers"]):
        keep = (n <= m) & pad[:, None, :]
        if i % 2 == 0:
            keep &= n > m - 3
        y, positions = rms_norm(x, p["n1"]), jnp.arange(T)
        q, k, v = rope(heads(y, p["q"]), positions), rope(heads(y, p["k"]), positions), heads(y, p["v"])
        q = (q * D**-0.5).reshape(B, T, KV, H // KV, D)
        s = jnp.einsum("bmhgd,bnhd->bhgmn", q, k, preferred_element_type=jnp.float32)
        s = jnp.where(keep[:, None, None], 2.0 * jnp.tanh(s / 2.0), -2.3819763e38)
        o = jnp.einsum("bhgmn,bnhd->bmhgd", jax.nn.softmax(s, -1).astype(x.dtype), v).reshape(B, T, H, D)
        x = x + rms_norm(merged(o, p["o"]), p["n3"])
        x = x + (jax.nn.gelu(rms_norm(x, p["n2"]) @ p["gate"]) * (x @ p["up"])) @ p["down"]
    return x @ w["wte"].T


def qwen2(w: Any, tokens: Any, pad: Any) -> Any:
    """Biases on queries, keys and values, heads repeated by a broadcast, masks added; the second layer has a window."""
    x = w["wte"][tokens]
    m, n = jnp.arange(T)[:, None], jnp.arange(T)[None, :]
    for i, p in enumerate(w["layers"]):
        keep = (n <= m) & pad[:, None, None, :]
        if i:
            keep &= m - n < 3
        y, positions = rms_norm(x, p["n1"]), jnp.arange(T)
        q = rope(heads(y, p["q"]) + p["bq"], positions)
        k, v = rope(heads(y, p["k"]) + p["bk"], positions), heads(y, p["v"]) + p["bv"]
        q, k, v = (z.swapaxes(1, 2) for z in (q, k, v))
        k, v = (jnp.broadcast_to(z[:, :, None], (B, KV, H // KV, T, D)).reshape(B, H, T, D) for z in (k, v))
        s = q @ k.swapaxes(2, 3) * D**-0.5 + jnp.where(keep, 0, jnp.finfo(x.dtype).min).astype(x.dtype)
        o = jax.nn.softmax(s.astype(jnp.float32), -1).astype(x.dtype) @ v
        x = x + merged(o.swapaxes(1, 2), p["o"])
        x = x + swiglu(rms_norm(x, p["n2"]), p)
    return x @ w["wte"].T


def qwen3(w: Any, tokens: Any, pad: Any) -> Any:
    """Normalised queries and keys, jax.nn.dot_product_attention; the second layer has a window."""
    x = w["wte"][tokens]
    for i, p in enumerate(w["layers"]):
        y, positions = rms_norm(x, p["n1"]), jnp.arange(T)
        q = rope(rms_norm(heads(y, p["q"]), p["qn"]), positions)
        k = rope(rms_norm(heads(y, p["k"]), p["kn"]), positions)
        window = {"local_window_size": (2, 0)} if i else {}
        o = jax.nn.dot_product_attention(
            q, k, heads(y, p["v"]) + p["bv"], mask=pad[:, None, None, :], is_causal=True, **window
        )
        x = x + merged(o, p["o"])
        x = x + swiglu(rms_norm(x, p["n2"]), p)
    return x @ w["wte"].T


def t5_bias(table: Any, rows: int, columns: int) -> Any:
    """[1, heads, rows, columns] of a table by bucketed distance; causal decoders see no distance above 0."""
    distance = jnp.arange(columns)[None, :] - jnp.arange(rows)[:, None]
    near = jnp.abs(distance)
    far = 4 + (jnp.log(jnp.maximum(near, 1) / 4) / math.log(32 / 4) * 4).astype(jnp.int32)
    bucket = jnp.where(near < 4, near, jnp.minimum(far, 7)) + jnp.where(distance > 0, 8, 0)
    return table[bucket].transpose(2, 0, 1)[None]


def t5(w: Any, tokens: Any, pad: Any, target: Any) -> Any:
    """Encoder and decoder, no scale, relative bias and masks in one tensor, attention across."""

    def attend(p: Any, x: Any, y: Any, bias: Any) -> Any:
        q, k, v = heads(x, p["q"]), heads(y, p["k"]), heads(y, p["v"])
        s = jnp.einsum("bmhd,bnhd->bhmn", q, k) + bias
        return merged(jnp.einsum("bhmn,bnhd->bmhd", jax.nn.softmax(s, axis=-1), v), p["o"])

    lowest = jnp.finfo(w["wte"].dtype).min
    padding = jnp.where(pad[:, None, None, :], 0, lowest).astype(w["wte"].dtype)
    x, z = w["wte"][tokens], w["wte"][target]
    bias = t5_bias(w["table"], T, T) + padding
    for p in w["encoder"]:
        y = rms_norm(x, p["n1"])
        x = x + attend(p, y, y, bias)
        x = x + jax.nn.relu(rms_norm(x, p["n2"]) @ p["up"]) @ p["down"]
    rows = target.shape[1]
    causal = jnp.where(jnp.tril(jnp.ones((rows, rows), bool)), 0, lowest).astype(w["wte"].dtype)
    bias = t5_bias(w["table"], rows, rows) + causal
    for p, cross in zip(w["decoder"], w["cross"], strict=True):
        y = rms_norm(z, p["n1"])
        z = z + attend(p, y, y, bias)
        z = z + attend(cross, rms_norm(z, cross["n1"]), x, padding)
        z = z + jax.nn.relu(rms_norm(z, p["n2"]) @ p["up"]) @ p["down"]
    return z @ w["wte"].T


@dataclass
class Model:
    """A function, its arguments, and how many attentions its module has."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    groups: int


def models(dtype: Any) -> dict[str, Callable[[], Model]]:
    """Every model in a floating-point type."""
    make = Weights(dtype)
    tokens = np.random.default_rng(1).integers(0, VOCAB, (B, T), np.int32)

    def of(function: Callable[..., Any], groups: int, *more: Any, layers: Any, **tables: Any) -> Model:
        w = {"wte": make(VOCAB, E), "layers": layers, **tables}
        return Model(function, (w, tokens, PAD, *more), groups)

    def plain(function: Callable[..., Any], **more: tuple[int, ...]) -> Model:
        return of(function, 2, layers=[make.layer(**more) for _ in range(2)])

    def learned_positions() -> Model:
        layers = [make.layer(qkv=(E, 3 * E), out=(E, E)) for _ in range(2)]
        return of(gpt2, 2, layers=layers, wpe=make(T, E))

    def encoder_decoder() -> Model:
        stacks = {name: [make.layer(H) for _ in range(2)] for name in ("encoder", "decoder", "cross")}
        return of(t5, 6, tokens[:, :3], layers=[], table=make(16, H), **stacks)

    def one_token() -> Model:
        caches = [(make(B, 9, KV, D), make(B, 9, KV, D)) for _ in range(2)]
        w = {"wte": make(VOCAB, E), "layers": [make.layer() for _ in range(2)]}
        return Model(llama_decode, (w, tokens[:, 0], np.int32(4), caches), 2)

    return {
        "GPT-2": learned_positions,
        "Llama": partial(plain, llama),
        "Llama, lax.scan": lambda: of(llama_scan, 1, layers=Weights(dtype, (2,)).layer()),
        "Llama, vmap": partial(plain, llama_vmap),
        "Llama, decode": one_token,
        "Gemma-2": partial(plain, gemma2, n3=(E,)),
        "Qwen2": partial(plain, qwen2, bq=(H, D), bk=(KV, D), bv=(KV, D)),
        "Qwen3": partial(plain, qwen3, qn=(D,), kn=(D,), bv=(KV, D)),
        "T5": encoder_decoder,
    }


def attention(*names: str, **options: Any) -> Callable[..., Any]:
    """`jax.nn.dot_product_attention` of q, k, v with options, and with further arguments by their names."""

    def function(q: Any, k: Any, v: Any, *more: Any) -> Any:
        return jax.nn.dot_product_attention(q, k, v, **options, **dict(zip(names, more, strict=True)))

    return function


def variants(dtype: Any) -> dict[str, Model]:
    """`jax.nn.dot_product_attention` with each of its options, over grouped heads and 5 queries of 11 keys."""
    make, rng = Weights(dtype), np.random.default_rng(2)
    q, k, v = make(B, 5, H, D, scale=1), make(B, 11, KV, D, scale=1), make(B, 11, KV, D, scale=1)
    mask = rng.random((B, 1, 5, 11)) < 0.6
    mask[0, :, 2] = False
    bias, lengths = make(1, H, 5, 11, scale=1), np.array([11, 3], np.int32)
    rows = np.array([2, 5], np.int32)
    options: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
        "plain": ({}, {}),
        "scale": ({"scale": 0.2}, {}),
        "causal": ({"is_causal": True}, {}),
        "mask": ({}, {"mask": mask}),
        "bias": ({}, {"bias": bias}),
        "bias and mask": ({}, {"bias": bias, "mask": mask}),
        "lengths": ({}, {"key_value_seq_lengths": lengths}),
        "query lengths": ({}, {"query_seq_lengths": rows, "key_value_seq_lengths": lengths}),
        "window": ({"local_window_size": (2, 1)}, {}),
        "causal window": ({"local_window_size": (3, 0), "is_causal": True}, {}),
    }
    return {
        name: Model(attention(*more, **fixed), (q, k, v, *more.values()), 1) for name, (fixed, more) in options.items()
    }

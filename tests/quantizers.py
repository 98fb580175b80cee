"""Quantised layouts as others describe them, written from those descriptions; no code of the project is used.

`lightllm_int4`: one byte holds elements 2i (low nibble) and 2i + 1; nibble = q + 7 with q in -7..7; groups of 8 along
the channels; scale = amax / 7 in the scale's type, q = x / scale towards zero. `lightllm_int8`: the same with a byte an
element, scale = amax / 127, and no offset. `adversarial` draws inputs that such code gets wrong.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

Array = np.ndarray[Any, Any]

DTYPES: dict[str, Any] = {"bf16": ml_dtypes.bfloat16, "f16": np.float16, "f32": np.float32}


def _quotients(x: Array, group: int, limit: int, scale_type: str) -> tuple[Array, Array]:
    """Whole quotients [.., groups, group] and scales [.., groups]."""
    grouped = x.astype(np.float32).reshape(*x.shape[:-1], x.shape[-1] // group, group)
    scale = (abs(grouped).max(-1) / np.float32(limit)).astype(DTYPES[scale_type])
    whole = np.zeros(grouped.shape, np.int64)
    for place in np.ndindex(*scale.shape):
        s = np.float32(scale[place])
        if s > 0:
            # Python's floats are wide enough to see on which side of an integer a float32 quotient lies.
            whole[place] = [int(np.float32(float(v) / float(s))) for v in grouped[place]]
    return np.clip(whole, -limit, limit), scale


def lightllm_int4(x: Array, scale_type: str, group: int = 8) -> tuple[Array, Array]:
    """Bytes [.., D / 2] as int8, and scales [.., D / group]."""
    whole, scale = _quotients(x, group, 7, scale_type)
    nibbles = (whole + 7).reshape(x.shape)
    packed = nibbles[..., 0::2] + 16 * nibbles[..., 1::2]
    return np.where(packed > 127, packed - 256, packed).astype(np.int8), scale


def lightllm_int8(x: Array, scale_type: str, group: int = 8) -> tuple[Array, Array]:
    """Bytes [.., D] as int8, and scales [.., D / group]."""
    whole, scale = _quotients(x, group, 127, scale_type)
    return whole.reshape(x.shape).astype(np.int8), scale


def adversarial(rng: np.random.Generator, shape: tuple[int, ...], dtype: str, kind: str) -> Array:
    """Finite values: normal ones, and kinds that break quantisers."""
    x = rng.standard_normal(shape)
    tiny = float(ml_dtypes.finfo(DTYPES[dtype]).smallest_subnormal)
    huge = float(ml_dtypes.finfo(DTYPES[dtype]).max)
    if kind == "zeros":
        x[..., : shape[-1] // 2] = 0
        x[..., 0] = -0.0
    elif kind == "outlier":
        x[..., 3] = 1e4
    elif kind == "denormals":
        x = rng.integers(-40, 41, shape) * tiny
    elif kind == "huge":
        x = x / abs(x).max() * huge
    elif kind == "ties":
        # Multiples of a seventh and their halves lie on and next to the borders of codes.
        x = rng.integers(-14, 15, shape) / 2 * rng.choice([1.0, 1 / 7, 3e-3, 1 / 127], shape[:-1])[..., None]
    return x.astype(DTYPES[dtype])


KINDS = ("normal", "zeros", "outlier", "denormals", "huge", "ties")

"""`flashlower.quantized`: a tensor of codes, and what makes numbers of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from xdsl.dialects.builtin import (
    AffineMapAttr,
    AnyFloat,
    IntegerType,
    Signedness,
    TensorType,
    i8,
    i16,
    i32,
    i64,
)
from xdsl.ir import Attribute
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.attention.layout import Term, layout_terms, make_layout
from flashlower.dialects.attention.quantization import CODES, ROUNDINGS, Part, QuantizationAttr, lanes_of
from flashlower.frontends.tensors import Tensor, dtype_name, is_tensor, tensor_type
from flashlower.frontends.words import as_words

Packing = Literal["interleaved", "planar"]

STORAGE: Mapping[str, Attribute] = {
    **{f"{sign}int8": i8 for sign in ("", "u")},
    **{f"{sign}int16": i16 for sign in ("", "u")},
    **{f"{sign}int32": i32 for sign in ("", "u")},
    **{f"{sign}int64": i64 for sign in ("", "u")},
    # The bits of 8-bit floats are codes like others.
    "float8_e4m3fn": i8,
    "float8_e5m2": i8,
}
FLOAT_CODES = {"float8_e4m3fn": "f8E4M3FN", "float8_e5m2": "f8E5M2"}


@dataclass(frozen=True, eq=False)
class Quantized:
    """A quantised K or V for `flashlower.attention`; see `quantized`."""

    data: Tensor
    storage: Tensor
    """The data as signed integers, a view of it: words where they can be read so."""
    attr: QuantizationAttr
    lanes: int
    """The codes in an element of the storage."""
    planar: bool
    parts: Mapping[Part, Tensor]
    pool: Tensor
    """The storage as a pool of pages: [pages, heads, page size, elements] if that is the order in memory."""

    @property
    def heads_first(self) -> bool:
        """Whether a page has the tokens of a head together: `pool` is the storage with two dimensions swapped."""
        return self.pool is not self.storage

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what it stands for: that of the data, with all channels."""
        *outer, elements = (int(size) for size in self.storage.shape)
        return (*outer, elements * self.lanes)

    @property
    def dtype(self) -> Any:
        """The dtype of the data."""
        return self.data.dtype

    def storage_type(self, *, paged: bool = False) -> TensorType[Attribute]:
        """The MLIR type of `storage`, or of `pool`."""
        storage = self.pool if paged else self.storage
        return TensorType(STORAGE[dtype_name(storage)], [int(size) for size in storage.shape])

    def storage_layout(self, layout: AffineMapAttr, *, paged: bool = False) -> AffineMapAttr:
        """
        The layout of the codes in `storage`, or in `pool`, for that of a tensor of floats in their place.

        The last index is the channel.
        """
        num_dims = layout.data.num_dims
        indices = [list(terms) for terms in layout_terms(layout.data)]
        if paged and self.heads_first:
            indices[1], indices[2] = indices[2], indices[1]
        if self.lanes == 1:
            return make_layout(num_dims, indices)
        (channel,) = indices[-1]
        width = int(self.storage.shape[-1])
        digit = Term(channel.dim, 1, modulus=width) if self.planar else Term(channel.dim, 1, self.lanes)
        return make_layout(num_dims, [*indices[:-1], [digit]])

    def part_layout(self, part: Part, name: str, layout: AffineMapAttr, dims: Sequence[str]) -> AffineMapAttr:
        """
        The layout of a scale, zero point or offset, for that of a tensor of floats in the place of the codes.

        Raises `ValueError` for a shape that does not fit; `dims` name the dimensions of the data.
        """
        tensor = self.parts[part]
        found = [int(size) for size in tensor.shape]
        indices: list[list[Term]] = []
        if found and len(found) != len(self.shape):
            raise ValueError(f"{part} of {name} has shape {found}, expected {len(self.shape)} dimensions or none")
        for position, (size, whole, (term,)) in enumerate(zip(found, self.shape, layout_terms(layout.data))):
            groups = position == len(found) - 1 or dims[position] in ("length", "page size")
            if size == 1:
                indices.append([])
            elif size == whole:
                indices.append([term])
            elif groups and size and whole % size == 0:
                indices.append([Term(term.dim, 1, whole // size)])
            else:
                expected = f"1, {whole}" + (f" or a divisor of {whole}" if groups else "")
                raise ValueError(
                    f"{part} of {name} has shape {found}: dimension {position} ({dims[position]}) is {size}, "
                    f"expected {expected}"
                )
        return make_layout(layout.data.num_dims, indices)


def quantized(
    data: Tensor,
    scale: Tensor | None = None,
    *,
    codes: str | None = None,
    zero: int | Tensor = 0,
    offset: Tensor | None = None,
    round: str | None = None,
    pack: Packing = "interleaved",
) -> Quantized:
    """
    A tensor of codes as the K or V of `flashlower.attention`; the value of a code is

        round((code - zero) * scale + offset)

    - `data`: K or V in the layout of the call (contiguous, or pools with a block table), its last dimension the
      channels, of which each element holds as many as it has bits for: two 4-bit codes in an int8 or uint8, eight in
      an int32. Integers of 8 to 64 bits, signed or not, or 8-bit floats.
    - `codes`: "u4", "i4", "u8", "i8", "f8E4M3FN" or "f8E5M2"; without it the type of 8-bit floats, and "u4" of
      integers.
    - `pack`: "interleaved": element i holds the channels i * P to i * P + P - 1 of P, the first in the lowest bits;
      "planar": the channels i, i + W, i + 2 W, ... for W elements.
    - `scale`, `offset`: floats, with the dimensions of the data; each size is that of the data (channels, not
      elements, in the last dimension), or 1 where all share one, or divides the number of keys (or keys of a page)
      or of channels, of which then so many neighbours share one. Without dimensions: one for the tensor.
    - `zero`: a number, or a tensor of integers or floats as `scale` is; not with `offset`.
    - `round`: "bf16" or "f16": values are rounded to it once, as a cache that is dequantised before attention has
      them. Without it they are not rounded.

    LightLLM's int4: `quantized(k, k_scale, codes="u4", zero=7, round="bf16")`. KIVI: `offset` in place of `zero`, for
    K `k_scale` [B, Hkv, N / 32, K]. fp8 with a scale for each head: `quantized(k, k_scale)` with [1, Hkv, 1, 1].

    Raises `ValueError` and `TypeError` for what does not fit together.
    """
    codes = _codes_of(data, codes)
    if round is not None and round not in ROUNDINGS:
        raise ValueError(f"round is {round!r}, expected one of {', '.join(ROUNDINGS)}, or None")
    if pack not in ("interleaved", "planar"):
        raise ValueError(f"pack is {pack!r}, expected 'interleaved' or 'planar'")
    if not data.shape:
        raise ValueError("data has no dimensions, expected the channels in the last one")
    try:
        attr = QuantizationAttr(
            codes, int(zero) if isinstance(zero, int) else 0, None if round is None else ROUNDINGS[round]
        )
        lanes = lanes_of(attr, STORAGE[dtype_name(data)])
    except VerifyException as e:
        raise ValueError(f"data {e}" if str(e).startswith("has") else str(e)) from e
    parts = _parts_of(attr, scale, zero, offset)
    planar = lanes > 1 and pack == "planar"
    # Planar codes of two neighbouring elements are no neighbours, as those of one word are.
    storage = as_words(data, widen=not planar)
    lanes *= storage.dtype.itemsize // data.dtype.itemsize
    return Quantized(data, storage, attr, lanes, planar, parts, _in_memory_order(storage))


def _codes_of(data: Tensor, codes: str | None) -> str:
    """The type of the codes in `data`, which must be of a dtype that can hold them."""
    if not is_tensor(data) or isinstance(data, Quantized):
        raise TypeError(f"data is a {type(data).__name__}, expected a NumPy array or a torch tensor")
    name = dtype_name(data)
    if name not in STORAGE:
        raise TypeError(f"data has dtype {name}; expected one of {', '.join(STORAGE)}")
    codes = codes or FLOAT_CODES.get(name, "u4")
    if codes not in CODES:
        raise ValueError(f"codes is {codes!r}, expected one of {', '.join(CODES)}")
    if FLOAT_CODES.get(name, codes) != codes:
        raise TypeError(f"data has dtype {name}, but codes is {codes!r}")
    return codes


def _parts_of(
    attr: QuantizationAttr, scale: Tensor | None, zero: int | Tensor, offset: Tensor | None
) -> dict[Part, Tensor]:
    """The tensors beside the codes, in the order of operands; a `zero` that is a number is none of them."""
    parts: dict[Part, Tensor] = {}
    if scale is not None:
        # A maximum of an array is a number of NumPy's.
        parts["scale"] = np.asarray(cast(Any, scale)) if isinstance(scale, np.generic) else scale
    if not isinstance(zero, int):
        if attr.is_float:
            raise ValueError(f"zero is given, but codes of type {attr.code_name} have no zero point")
        if offset is not None:
            raise ValueError("zero and offset are given, expected one of them at most")
        parts["zero"] = zero
    if offset is not None:
        parts["offset"] = offset
    for part, tensor in parts.items():
        element_type = part_type(tensor, part).element_type
        if not isinstance(element_type, AnyFloat) and (part != "zero" or not isinstance(element_type, IntegerType)):
            raise TypeError(f"{part} has elements of type {element_type}, expected floats")
    return parts


def _in_memory_order(storage: Any) -> Tensor:
    """Four dimensions with the second and third swapped, where these do not lie in memory as they are counted."""
    if len(storage.shape) != 4 or 1 in storage.shape[1:3]:
        return storage
    strides = storage.stride() if hasattr(storage, "stride") else storage.strides
    return storage if strides[1] >= strides[2] else storage.swapaxes(1, 2)


def part_type(tensor: Tensor, what: str) -> TensorType[Attribute]:
    """The MLIR type of a scale, zero point or offset; uint8 is a type of zero points."""
    if is_tensor(tensor) and dtype_name(tensor) == "uint8":
        return TensorType(IntegerType(8, Signedness.UNSIGNED), [int(size) for size in tensor.shape])
    return tensor_type(tensor, what)

"""Wide views of packed codes: what kernels read word by word need not be stored in words."""

from __future__ import annotations

from importlib import import_module
from typing import Any, cast

from flashlower.frontends.tensors import Tensor, dtype_name

MIN_WORDS = 16
"""The least number of words along the channels: a dot takes no fewer."""


def as_words(tensor: Tensor, *, widen: bool) -> Tensor:
    """
    A view of a tensor as signed integers; with `widen` as the widest of up to 32 bits that leave `MIN_WORDS`.

    Neighbours in the last dimension share a word then, the first in its lowest bits. That needs a last dimension
    without gaps, and an address and other strides that are multiples of the word; else integers stay as wide as they
    are.
    """
    itemsize = int(tensor.dtype.itemsize)
    for bytes in (4, 2):
        if widen and bytes > itemsize and _fits(tensor, bytes // itemsize, bytes):
            return _view(tensor, bytes)
    return tensor if dtype_name(tensor).startswith("int") else _view(tensor, itemsize)


def _fits(tensor: Tensor, ratio: int, bytes: int) -> bool:
    """Whether `ratio` neighbours can be one word of so many bytes."""
    *_, elements = tensor.shape
    if 0 in tensor.shape or elements % ratio or elements // ratio < MIN_WORDS:
        return False
    address, *strides = _address_and_strides(tensor)
    return address % bytes == 0 and strides[-1] * ratio == bytes and all(s % bytes == 0 for s in strides[:-1])


def _address_and_strides(tensor: Any) -> list[int]:
    """The address of the first element and the strides, all in bytes."""
    if str(tensor.dtype).startswith("torch."):
        return [tensor.data_ptr(), *(stride * tensor.dtype.itemsize for stride in tensor.stride())]
    return [tensor.__array_interface__["data"][0], *tensor.strides]


def _view(tensor: Tensor, bytes: int) -> Tensor:
    """The bytes of a tensor as signed integers, NumPy's or torch's as the tensor is."""
    name = f"int{8 * bytes}"
    dtype = getattr(import_module("torch"), name) if str(tensor.dtype).startswith("torch.") else name
    return cast(Any, tensor).view(dtype)

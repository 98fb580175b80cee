"""The memory that a launch function needs besides its results: its size before a call, and buffers cut from it."""

# torch is optional and is reached through the tensors at hand.
from __future__ import annotations

import sys
from collections.abc import Callable
from math import prod
from typing import Any, cast

import numpy as np
from xdsl.dialects.builtin import DYNAMIC_INDEX, FixedBitwidthType
from xdsl.dialects.func import CallOp, FuncOp, ReturnOp

from flashlower.dialects import launch
from flashlower.lowering.triton.numpy_tensor import NumpyTensor, numpy_dtype

ALIGNMENT = 256
"""Bytes: buffers start where an allocator would let them start, so that kernels are compiled once for both."""


def result_buffers(function: FuncOp) -> list[launch.EmptyOp]:
    """The buffers of a function's results, in order, where it makes all of them itself; else none."""
    last = function.body.block.last_op
    values = last.arguments if isinstance(last, ReturnOp) else ()
    buffers = [value.owner for value in values if isinstance(value.owner, launch.EmptyOp)]
    return buffers if len(buffers) == len(set(values)) == len(values) else []


def workspace_size(function: FuncOp) -> int | None:
    """
    Bytes of the buffers that a function makes and does not return; None where sizes are dynamic, or where it calls
    other functions, which make buffers of their own.
    """
    results = result_buffers(function)
    if not results or any(isinstance(op, CallOp) for op in function.body.block.ops):
        return None
    total = 0
    for op in function.body.block.ops:
        if not isinstance(op, launch.EmptyOp) or op in results:
            continue
        tensor_type = op.result.type
        if DYNAMIC_INDEX in tensor_type.get_shape():
            return None
        # Booleans take a byte.
        bits = max(cast(FixedBitwidthType, tensor_type.element_type).bitwidth, 8)
        total += aligned(prod(tensor_type.get_shape()) * bits // 8)
    return total


def aligned(size: int) -> int:
    """A size in bytes, rounded up to `ALIGNMENT`."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def buffers_of(workspace: Any, size: int) -> Callable[[tuple[int, ...], str], Any]:
    """
    An allocator for a launch function, `empty(shape, dtype)`, that cuts buffers from a workspace of at least `size`
    bytes: a contiguous NumPy array or torch tensor of any dtype. It is for one call.

    Raises `ValueError` for a workspace that is too small, not contiguous, or not aligned to 16 bytes.
    """
    numpy = isinstance(workspace, np.ndarray)
    found = workspace.nbytes
    if found < size:
        raise ValueError(f"workspace has {found} bytes, but {size} are needed")
    contiguous = workspace.flags.c_contiguous if numpy else workspace.is_contiguous()
    if not contiguous:
        raise ValueError("workspace must be contiguous")
    address = workspace.ctypes.data if numpy else workspace.data_ptr()
    if size and address % 16:
        raise ValueError(f"workspace must be aligned to 16 bytes, but its address is {address:#x}")
    data = workspace.reshape(-1).view(np.uint8 if numpy else sys.modules["torch"].uint8)
    start = 0

    def empty(shape: tuple[int, ...], dtype: str) -> Any:
        nonlocal start
        element = numpy_dtype(dtype) if numpy else getattr(sys.modules["torch"], dtype)
        length = prod(shape) * element.itemsize
        part = data[start : start + length].view(element).reshape(shape)
        start += aligned(length)
        return NumpyTensor(part) if numpy else part

    return empty

"""What a launch function may be called with: kinds of tensors, devices, and memory that results may be written to."""

# torch is optional and is reached through the tensors at hand.
# pyright: reportUnknownArgumentType=false, reportUnknownMemberType=false, reportUnknownVariableType=false
from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, cast

import numpy as np

OVERLAP_WORK = 10_000
"""Steps of NumPy's exact test for shared memory; what takes longer is taken to be disjoint."""


def is_torch(value: object) -> bool:
    """Whether a value is a torch tensor; torch is not imported for that."""
    # While another thread imports torch, it is there without its classes; nothing can be a tensor yet.
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
    return tensor is not None and isinstance(value, tensor)


def check_kinds(arguments: Mapping[str, Any], written: Mapping[str, Any]) -> Any:
    """
    The device of torch tensors, None for NumPy arrays; `arguments` may be numbers, what is `written` may not.

    Raises TypeError for what is neither, for a mixture of both or of devices, and for tensors that are not plain
    memory; ValueError for tensors that record gradients.
    """
    named = {**arguments, **written}
    arrays = [name for name, value in named.items() if isinstance(value, np.ndarray)]
    tensors = [name for name, value in named.items() if is_torch(value)]
    for name, value in named.items():
        is_number = isinstance(value, np.generic | int | float) and name not in written
        if not (isinstance(value, np.ndarray) or is_torch(value) or is_number):
            raise TypeError(f"{name} is a {type(value).__name__}, expected a NumPy array or a torch tensor")
    if arrays and tensors:
        raise TypeError(
            "all tensors are NumPy arrays, or all are torch tensors; these are mixed: "
            f"{arrays[0]} is an array, {tensors[0]} a tensor"
        )
    if not tensors:
        return None
    torch = sys.modules["torch"]
    first = tensors[0]
    for name in tensors:
        tensor = named[name]
        if tensor.layout != torch.strided:
            raise TypeError(f"{name} has layout {tensor.layout}, expected a dense tensor (torch.strided)")
        if tensor.device != named[first].device:
            raise TypeError(
                f"all tensors are on one device; {first} is on {named[first].device} and {name} on {tensor.device}"
            )
        if tensor.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                f"{name} requires a gradient, and kernels compute none: call under torch.no_grad(), or detach it"
            )
    device = named[first].device
    if device.type not in ("cpu", "cuda"):
        raise TypeError(f"kernels run on CUDA and ROCm GPUs, and on the CPU; {first} is on {device}")
    return device


def check_writable(named: Mapping[str, Any]) -> None:
    """Raises ValueError for results that are read-only, or of which several elements are one in memory."""
    for name, tensor in named.items():
        sizes: Sequence[int] = tensor.shape
        strides: Sequence[int] = tensor.strides if isinstance(tensor, np.ndarray) else tensor.stride()
        if isinstance(tensor, np.ndarray) and not tensor.flags.writeable:
            raise ValueError(f"{name} cannot be written: the array is read-only")
        if any(stride == 0 and size > 1 for stride, size in zip(strides, sizes)):
            raise ValueError(f"{name} cannot be written: several of its elements are one in memory (stride 0)")


def check_disjoint(written: Mapping[str, Any], read: Mapping[str, Any]) -> None:
    """Raises ValueError where a tensor that is written shares memory with another one."""
    pairs = [*combinations(written, 2), *((a, b) for a in written for b in read)]
    for a, b in pairs:
        x, y = written[a], written[b] if b in written else read[b]
        if not isinstance(y, np.ndarray) and not is_torch(y):
            continue
        if overlap(x, y):
            raise ValueError(f"{a} and {b} share memory: give {a} memory of its own")


def overlap(x: Any, y: Any) -> bool:
    """Whether two tensors of one kind share an element, as far as that is found out quickly."""
    a, b = (_addressed(t) for t in (x, y))
    if not np.may_share_memory(a, b):
        return False
    try:
        # Any number of steps will do, which NumPy's type hints do not know.
        return np.shares_memory(a, b, max_work=cast(Any, OVERLAP_WORK))
    except np.exceptions.TooHardError:
        return False


class _Addresses:
    """The memory of a torch tensor, on any device, for arithmetic on addresses; nothing is read."""

    def __init__(self, tensor: Any):
        size = tensor.element_size()
        self.__array_interface__ = {
            "version": 3,
            "typestr": f"|V{size}",
            "shape": tuple(tensor.shape),
            "strides": tuple(stride * size for stride in tensor.stride()),
            "data": (tensor.data_ptr(), False),
        }


def _addressed(tensor: Any) -> Any:
    return tensor if isinstance(tensor, np.ndarray) else np.asarray(_Addresses(tensor))


def extent(tensor: Any) -> int:
    """The bytes from the first to the last element of a torch tensor, both included; strides are not negative."""
    if not tensor.numel():
        return 0
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride()))
    return (last + 1) * tensor.element_size()

"""NumPy arrays as the tensors that emitted files and Triton's interpreter expect; no torch needed."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray


def numpy_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a name such as "float32" or "bfloat16"; raises TypeError for an unknown one."""
    try:
        return np.dtype(getattr(ml_dtypes, name, name))
    except TypeError as error:
        raise TypeError(f"NumPy has no dtype {name}") from error


class NumpyTensor:
    """
    An array with the methods of a torch tensor that a launch uses. Nothing is copied.

    Any strides, negative and zero ones too, and read-only arrays are fine; kernels write to the memory that
    they are given. `array` is the array itself. Raises TypeError for a foreign byte order, and ValueError
    for strides that are no multiple of the element size.
    """

    def __init__(self, array: NDArray[Any]):
        if not array.dtype.isnative:
            raise TypeError(f"an array in native byte order is needed, got {array.dtype.str}")
        if any(stride % array.itemsize for stride in array.strides):
            raise ValueError(f"strides {array.strides} are no multiples of {array.itemsize} bytes")
        self.array = array
        self.shape = array.shape
        # Triton keeps what it knows of a dtype by object, so this is the plain name.
        self.dtype = array.dtype.name
        self.device = "cpu"

    def stride(self, dim: int | None = None) -> int | tuple[int, ...]:
        """The distance between neighbours in elements, of one dimension or all."""
        strides = tuple(stride // self.array.itemsize for stride in self.array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self) -> bool:
        """Whether elements lie in row-major order without gaps."""
        return self.array.flags.c_contiguous

    def data_ptr(self) -> int:
        """The address of the first element."""
        return self.array.__array_interface__["data"][0]

    # Triton's interpreter moves tensors to the CPU and back by their storage. This one is there already: it
    # is its own storage and its own copy.

    def untyped_storage(self) -> NumpyTensor:
        return self

    def new_empty(self, size: int, device: str) -> NumpyTensor:
        return self

    def set_(self, storage: NumpyTensor, offset: int, size: object, stride: object) -> None:
        pass

    def storage_offset(self) -> int:
        return 0

    def size(self) -> tuple[int, ...]:
        return self.shape

    def cpu(self) -> NumpyTensor:
        return self

    def copy_(self, source: NumpyTensor) -> None:
        pass


def numpy_empty(shape: tuple[int, ...], dtype: str) -> NumpyTensor:
    """The allocator that launch functions take as `empty`."""
    return NumpyTensor(np.empty(shape, numpy_dtype(dtype)))

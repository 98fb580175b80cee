"""What flashlower needs of a tensor, be it NumPy's or PyTorch's: shape, dtype, and the MLIR type for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any, Protocol, TypeGuard

from xdsl.dialects.builtin import TensorType, bf16, f16, f32, f64, i1, i8, i16, i32, i64
from xdsl.ir import Attribute

ELEMENT_TYPES: Mapping[str, Attribute] = {
    "bool": i1,
    "int8": i8,
    "int16": i16,
    "int32": i32,
    "int64": i64,
    "float16": f16,
    "bfloat16": bf16,
    "float32": f32,
    "float64": f64,
}


class Tensor(Protocol):
    """A NumPy array or a PyTorch tensor."""

    @property
    def shape(self) -> Sequence[int]: ...

    @property
    def dtype(self) -> Any: ...


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Whether a value has a shape and a dtype."""
    # NumPy has functions `shape` and `dtype`, and its classes have the properties of their objects.
    return hasattr(value, "shape") and hasattr(value, "dtype") and not isinstance(value, type | ModuleType)


def dtype_name(tensor: Tensor) -> str:
    """NumPy's name of a tensor's dtype."""
    return str(tensor.dtype).removeprefix("torch.")


def tensor_type(tensor: Tensor, what: str) -> TensorType[Attribute]:
    """The MLIR type of a tensor. Raises `TypeError` for what is none, or has a dtype that attention has no use for."""
    if not is_tensor(tensor):
        raise TypeError(f"{what} is a {type(tensor).__name__}, expected a NumPy array or a torch tensor")
    name = dtype_name(tensor)
    if name not in ELEMENT_TYPES:
        raise TypeError(f"{what} has dtype {name}; expected one of {', '.join(ELEMENT_TYPES)}")
    return TensorType(ELEMENT_TYPES[name], [int(size) for size in tensor.shape])

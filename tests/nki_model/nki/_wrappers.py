"""The experimental compute functions of nki.language that published kernels use, as the instructions they stand for."""

from typing import Any

from nki._activation import activation
from nki._dma import dma_copy
from nki._elementwise import memset, tensor_copy, tensor_tensor
from nki._elementwise import reciprocal as _reciprocal
from nki._matmul import nc_matmul, nc_transpose
from nki._ops import OPS, Op
from nki._reduce import tensor_reduce
from nki._rules import fail
from nki._storage import MemoryRegion
from nki._tensor import NkiTensor

_SBUF, _PSUM = MemoryRegion.sbuf, MemoryRegion.psum


def _new(shape: Any, dtype: str, buffer: MemoryRegion = _SBUF) -> NkiTensor:
    from nki.language import ndarray

    return ndarray(tuple(shape), dtype, buffer)


def load(src: NkiTensor, dtype: str | None = None) -> NkiTensor:
    """A new SBUF tile with the elements of an HBM tensor."""
    tile = _new(src.shape, dtype or src.dtype)
    dma_copy(tile, src)
    return tile


def store(dst: NkiTensor, value: NkiTensor) -> None:
    """Copy a tile to HBM."""
    dma_copy(dst, value)


def matmul(x: NkiTensor, y: NkiTensor, transpose_x: bool = False) -> NkiTensor:
    """x @ y, or x.T @ y, as a PSUM tile of the operands' dtype (so the published kernels say)."""
    if not transpose_x:
        fail("not-modelled", "nl.matmul that transposes x itself")
    result = _new((x.shape[1], y.shape[1]), x.dtype, _PSUM)
    nc_matmul(result, x, y, accumulate=False)
    return result


def transpose(x: NkiTensor, dtype: str | None = None) -> NkiTensor:
    """x.T in PSUM."""
    result = _new((x.free_size, x.shape[0]), dtype or x.dtype, _PSUM)
    nc_transpose(result, x)
    return result


def full(shape: Any, fill_value: Any, dtype: str, buffer: MemoryRegion = _SBUF, name: str = "") -> NkiTensor:
    """A tile filled with a value."""
    tile = _new(shape, dtype, buffer)
    memset(tile, fill_value)
    return tile


def zeros(shape: Any, dtype: str, buffer: MemoryRegion = _SBUF, name: str = "") -> NkiTensor:
    return full(shape, 0.0 if "float" in dtype else 0, dtype, buffer)


def ones(shape: Any, dtype: str, buffer: MemoryRegion = _SBUF, name: str = "") -> NkiTensor:
    return full(shape, 1.0 if "float" in dtype else 1, dtype, buffer)


def _reduce(op: Op) -> Any:
    def run(x: NkiTensor, axis: Any, dtype: str | None = None, keepdims: bool = False) -> NkiTensor:
        axes = [axis] if isinstance(axis, int) else list(axis)
        kept = [1 if dim in axes else size for dim, size in enumerate(x.shape)]
        shape = kept if keepdims else [size for dim, size in enumerate(x.shape) if dim not in axes]
        result = _new(shape if len(shape) > 1 else (*shape, 1), dtype or x.dtype)
        tensor_reduce(result, op, x, axis, keepdims=keepdims)
        return result

    return run


max, min, sum = (_reduce(OPS[name]) for name in ("maximum", "minimum", "add"))


def _binary(op: Op) -> Any:
    def run(x: NkiTensor, y: NkiTensor, dtype: str | None = None) -> NkiTensor:
        result = _new(x.shape, dtype or x.dtype)
        tensor_tensor(result, x, y, op)
        return result

    return run


def _unary(op: Op) -> Any:
    def run(x: NkiTensor, dtype: str | None = None) -> NkiTensor:
        result = _new(x.shape, dtype or x.dtype)
        if op.__name__ == "reciprocal":
            _reciprocal(result, x)
        elif op.__name__ == "copy":
            tensor_copy(result, x)
        else:
            activation(result, op, x)
        return result

    return run


for _name in ("add", "subtract", "multiply", "maximum", "minimum"):
    OPS[_name].compute = _binary(OPS[_name])
for _name in ("exp", "reciprocal", "copy", "square", "tanh", "sigmoid", "relu", "sqrt", "log"):
    OPS[_name].compute = _unary(OPS[_name])

__all__ = ["full", "load", "matmul", "max", "min", "ones", "store", "sum", "transpose", "zeros"]

"""
Running emitted NKI files: through `nki.simulate`, where Amazon's Neuron package is installed.

Nothing here knows a device: on a Trainium, the file is called from PyTorch or JAX as Neuron's documentation says.
"""

from __future__ import annotations

import functools
import importlib
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, cast

import numpy as np
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute
from xdsl.utils.hints import isa

from flashlower.dialects.numpy_values import numpy_dtype
from flashlower.lowering.source_cache import execute_source
from flashlower.rewrites.outline_attention import attention_groups

TARGET_VARIABLE = "NEURON_PLATFORM_TARGET_OVERRIDE"
"""Which hardware Neuron's package compiles for and simulates."""


class NkiNotFoundError(ImportError):
    """Neuron's package is needed to run a kernel, and is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "running an NKI kernel needs Amazon's Neuron package, NKI 0.6.0 or later, with nki.simulate: "
            "https://awsdocs-neuron.readthedocs-hosted.com (the package nki on PyPI is a placeholder). "
            "Printing kernels works without it."
        )


@dataclass(frozen=True)
class Signature:
    """The dtypes and shapes of a function's arguments, as its own type has them."""

    dtypes: tuple[np.dtype[Any], ...]
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Launch:
    """How the kernels of a file are launched."""

    signatures: dict[str, Signature]
    target: str
    cores: int

    def __call__(self, source: str, function: str, args: Sequence[Any]) -> Any:
        """Runs a kernel on NumPy arrays or torch tensors on the CPU; the result is NumPy arrays or tensors as well."""
        return call(source, function, args, self.signatures[function], self.target, self.cores)


def signatures(module: ModuleOp) -> dict[str, Signature]:
    """The signatures of the functions that are attention."""
    found: dict[str, Signature] = {}
    for function in (op for op in module.walk() if isinstance(op, FuncOp)):
        if not attention_groups(function):
            continue
        types = [type for type in function.function_type.inputs if isa(type, TensorType[Attribute])]
        found[function.sym_name.data] = Signature(
            tuple(numpy_dtype(type.element_type) for type in types), tuple(type.get_shape() for type in types)
        )
    return found


def simulator() -> ModuleType:
    """The module `nki`; raises NkiNotFoundError without one that simulates."""
    try:
        module = importlib.import_module("nki")
    except ImportError as error:
        raise NkiNotFoundError from error
    if not hasattr(module, "simulate"):
        raise NkiNotFoundError
    return module


@functools.cache
def load_source(source: str) -> ModuleType:
    """The module of an emitted file. Neuron's compiler reads kernels from the file."""
    return execute_source(source)


@contextmanager
def _on_target(name: str) -> Generator[None]:
    before = os.environ.get(TARGET_VARIABLE)
    os.environ[TARGET_VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[TARGET_VARIABLE]
        else:
            os.environ[TARGET_VARIABLE] = before


def call(source: str, function: str, args: Sequence[Any], signature: Signature, target: str, cores: int) -> Any:
    """
    Calls a kernel on NumPy arrays.

    Raises NkiNotFoundError, and TypeError or ValueError for arguments that do not fit the function's type.
    """
    nki = simulator()
    if len(args) != len(signature.dtypes):
        raise TypeError(f"{function} takes {len(signature.dtypes)} tensors, got {len(args)}")
    arrays = [
        _argument(i, arg, dtype, shape)
        for i, (arg, dtype, shape) in enumerate(zip(args, signature.dtypes, signature.shapes))
    ]
    with _on_target(target):
        kernel = getattr(load_source(source), function)
        result = nki.simulate(kernel[cores] if cores > 1 else kernel)(*arrays)
    if isinstance(result, tuple | list):
        return tuple(np.asarray(value) for value in cast(Sequence[Any], result))
    return np.asarray(result)


def _argument(position: int, value: Any, dtype: np.dtype[Any], shape: tuple[int, ...]) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"argument {position} is a {type(value).__name__}, but nki.simulate takes NumPy arrays")
    array = cast(np.ndarray, value)
    if array.dtype != dtype:
        raise TypeError(f"argument {position} has dtype {array.dtype}, but {dtype} is expected")
    if array.shape != shape:
        raise ValueError(f"argument {position} has shape {array.shape}, but {shape} is expected")
    if dtype == np.int64:
        if array.size and (array.max() >= 2**31 or array.min() < -(2**31)):
            raise ValueError(f"argument {position} has values that the kernel's int32 does not hold")
        array = array.astype(np.int32)
    elif dtype == np.bool_:
        array = array.astype(np.uint8)
    return np.ascontiguousarray(array.reshape(shape or (1,)))

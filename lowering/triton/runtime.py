"""
Loading and running emitted files: on a GPU with torch, or in Triton's interpreter on the CPU.

Triton reads kernels from files, so a source is written to a cache first: `$FLASHLOWER_CACHE_DIR`, or
`~/.cache/flashlower`, or a temporary directory where neither can be written.
"""

# Triton has no type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import functools
import hashlib
import importlib
import linecache
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from flashlower.lowering.triton.numpy_tensor import NumpyTensor, numpy_empty


class TritonNotFoundError(ImportError):
    """Triton is needed to run a kernel, and is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "running a kernel needs Triton: `pip install triton` (Linux). Printing kernels works without it."
        )


def require_triton() -> None:
    """Raise TritonNotFoundError when Triton cannot be imported."""
    try:
        importlib.import_module("triton")
    except ImportError as error:
        raise TritonNotFoundError from error


@functools.cache
def _fallback_directory() -> Path:
    return Path(tempfile.mkdtemp(prefix="flashlower-"))


def cache_directory() -> Path:
    """Where sources are written; created if need be."""
    chosen = os.environ.get("FLASHLOWER_CACHE_DIR")
    directory = Path(chosen) if chosen else Path.home() / ".cache" / "flashlower"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        writable = os.access(directory, os.W_OK)
    except OSError:
        writable = False
    return directory if writable else _fallback_directory()


def write_source(source: str) -> Path:
    """The file `<sha256>.py` in the cache with this source, written in one step if it is not there."""
    data = source.encode()
    path = cache_directory() / f"{hashlib.sha256(data).hexdigest()}.py"
    if not path.is_file() or path.read_bytes() != data:
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            file.write(data)
        os.replace(file.name, path)
    return path


@functools.cache
def load_source(source: str, *, interpret: bool) -> ModuleType:
    """
    The module of an emitted file, with its kernels and launch functions.

    With `interpret` the kernels run in Triton's interpreter; without, on a GPU. Both may be loaded in one
    process. Raises TritonNotFoundError without Triton, and RuntimeError when `TRITON_INTERPRET` is set and
    kernels for a GPU are asked for.
    """
    require_triton()
    from triton.runtime.jit import JITFunction  # noqa: PLC0415 (optional, checked above)

    from flashlower.lowering.triton.interpreter import interpret_kernels  # noqa: PLC0415 (imports triton)

    path = write_source(source)
    module = ModuleType(f"flashlower_{path.stem[:16]}{'_interpreted' if interpret else ''}")
    module.__file__ = str(path)
    # `inspect` finds the lines here, whatever happens to the file.
    linecache.cache[str(path)] = (len(source), None, source.splitlines(keepends=True), str(path))
    exec(compile(source, path, "exec"), vars(module))
    if interpret:
        interpret_kernels(module)
    elif not isinstance(_any_kernel(module), JITFunction | None):
        raise RuntimeError("TRITON_INTERPRET is set: unset it before Triton is imported to compile for a GPU")
    return module


def _any_kernel(module: ModuleType) -> object | None:
    from triton.runtime.jit import KernelInterface  # noqa: PLC0415 (optional, checked by the caller)

    return next((value for value in vars(module).values() if isinstance(value, KernelInterface)), None)


def call(source: str, function: str, args: Sequence[Any]) -> Any:
    """
    Call a launch function of an emitted file.

    NumPy arrays give NumPy arrays, through Triton's interpreter; torch tensors give torch tensors, on their
    GPU, or through the interpreter when they are on the CPU. Other arguments, such as ints, are passed on.
    Raises TypeError when arrays and tensors, or devices, are mixed.
    """
    arrays = [arg for arg in args if isinstance(arg, np.ndarray)]
    tensors = [arg for arg in args if _is_torch(arg)]
    if arrays and tensors:
        raise TypeError("all tensors are NumPy arrays, or all are torch tensors; these are mixed")
    if not tensors:
        return _call_numpy(source, function, args)
    devices = sorted({str(tensor.device) for tensor in tensors})
    if len(devices) > 1:
        raise TypeError(f"all tensors are on one device; these are on {', '.join(devices)}")
    kind = tensors[0].device.type
    if kind == "cpu":
        return _function(source, function, interpret=True)(*args)
    if kind != "cuda":
        raise TypeError(f"kernels run on CUDA and ROCm GPUs, and on the CPU; these tensors are on {devices[0]}")
    launcher = _function(source, function, interpret=False)
    # Triton launches on the current device.
    with sys.modules["torch"].cuda.device(tensors[0].device):
        return launcher(*args)


def _is_torch(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _function(source: str, name: str, *, interpret: bool) -> Any:
    function = getattr(load_source(source, interpret=interpret), name, None)
    if function is None:
        raise TypeError(f"the source has no function {name}")
    return function


def _call_numpy(source: str, function: str, args: Sequence[Any]) -> Any:
    wrapped = [NumpyTensor(arg) if isinstance(arg, np.ndarray) else arg for arg in args]
    result = _function(source, function, interpret=True)(*wrapped, empty=numpy_empty)
    if isinstance(result, tuple):
        return tuple(_unwrap(value) for value in result)
    return _unwrap(result)


def _unwrap(value: Any) -> Any:
    return value.array if isinstance(value, NumpyTensor) else value

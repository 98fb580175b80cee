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
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from flashlower.lowering.triton.numpy_tensor import NumpyTensor, numpy_empty
from flashlower.lowering.triton.workspace import buffers_of


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


def call(
    source: str,
    function: str,
    args: Sequence[Any],
    *,
    out: Any = None,
    workspace: Any = None,
    workspace_size: int = 0,
) -> Any:
    """
    Call a launch function of an emitted file.

    NumPy arrays give NumPy arrays, through Triton's interpreter; torch tensors give torch tensors, on their
    GPU, or through the interpreter when they are on the CPU. Other arguments, such as ints, are passed on.

    Results are written to `out`: a tensor, or a tuple where there are several, with None for what is to be
    allocated. With a `workspace` of at least `workspace_size` bytes nothing else is allocated either; it needs `out`
    for every result.

    Raises TypeError when arrays and tensors, or devices, are mixed, and ValueError for results that the function
    does not have.
    """
    given: tuple[Any, ...] = tuple(out) if isinstance(out, tuple | list) else () if out is None else (out,)
    device = _device((*args, *given, workspace))
    kind = "cpu" if device is None else device.type
    if kind not in ("cpu", "cuda"):
        raise TypeError(f"kernels run on CUDA and ROCm GPUs, and on the CPU; these tensors are on {device}")
    launcher = _function(source, function, interpret=kind == "cpu")
    options = _results(launcher, function, given)
    if workspace is not None:
        if not (isinstance(workspace, np.ndarray) or _is_torch(workspace)):
            raise TypeError(f"workspace is a {type(workspace).__name__}, expected a NumPy array or a torch tensor")
        if len(options) < len(_result_names(launcher)):
            raise ValueError("a workspace needs out for every result, else those would be allocated")
        options["empty"] = buffers_of(workspace, workspace_size)
    if device is None:
        return _call_numpy(launcher, args, options)
    cuda = sys.modules["torch"].cuda
    if kind == "cpu" or device.index == cuda.current_device():
        return launcher(*args, **options)
    # Triton launches on the current device.
    with cuda.device(device):
        return launcher(*args, **options)


def _device(values: Sequence[Any]) -> Any:
    """The device of the torch tensors among values, None where there are none. Raises TypeError for a mixture."""
    torch = sys.modules.get("torch")
    device: Any = None
    has_arrays = False
    for value in values:
        if torch is not None and isinstance(value, torch.Tensor):
            if device is None:
                device = value.device
            elif value.device != device:
                raise TypeError(f"all tensors are on one device; these are on {device} and {value.device}")
        elif isinstance(value, np.ndarray):
            has_arrays = True
    if has_arrays and device is not None:
        raise TypeError("all tensors are NumPy arrays, or all are torch tensors; these are mixed")
    return device


def _result_names(launcher: Any) -> list[str]:
    """The keywords of results that a caller may give, in order."""
    return [name for name in launcher.__kwdefaults__ if name != "empty"]


def _results(launcher: Any, function: str, given: Sequence[Any]) -> dict[str, Any]:
    """The tensors that results are written to, by their keywords."""
    names = _result_names(launcher)
    if len(given) > len(names):
        found = ", ".join(names) or "none"
        raise ValueError(f"out has {len(given)} tensors, but the results of {function} that can be given are: {found}")
    results = {name: tensor for name, tensor in zip(names, given) if tensor is not None}
    for name, tensor in results.items():
        _check_writable(name, tensor)
    return results


def _check_writable(name: str, tensor: Any) -> None:
    strides: Sequence[int]
    sizes: Sequence[int] = getattr(tensor, "shape", ())
    if isinstance(tensor, np.ndarray):
        strides = tensor.strides
        if not tensor.flags.writeable:
            raise ValueError(f"{name} cannot be written: the array is read-only")
    elif _is_torch(tensor):
        strides = tensor.stride()
    else:
        raise TypeError(f"{name} is a {type(tensor).__name__}, expected a NumPy array or a torch tensor")
    if any(stride == 0 and size > 1 for stride, size in zip(strides, sizes)):
        raise ValueError(f"{name} cannot be written: several of its elements are one in memory (stride 0)")


def _is_torch(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _function(source: str, name: str, *, interpret: bool) -> Any:
    function = getattr(load_source(source, interpret=interpret), name, None)
    if function is None:
        raise TypeError(f"the source has no function {name}")
    return function


def _call_numpy(launcher: Any, args: Sequence[Any], options: Mapping[str, Any]) -> Any:
    wrapped = [_wrap(arg) for arg in args]
    given = {name: _wrap(option) for name, option in options.items()}
    result = launcher(*wrapped, **{"empty": numpy_empty, **given})
    if isinstance(result, tuple):
        return tuple(_unwrap(value) for value in result)
    return _unwrap(result)


def _wrap(value: Any) -> Any:
    return NumpyTensor(value) if isinstance(value, np.ndarray) else value


def _unwrap(value: Any) -> Any:
    return value.array if isinstance(value, NumpyTensor) else value

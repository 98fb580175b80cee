"""Loading emitted files: their kernels for a GPU, or for Triton's interpreter."""

# Triton has no type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
from __future__ import annotations

import functools
import importlib
from types import ModuleType

from flashlower.lowering.source_cache import execute_source


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


@functools.lru_cache(maxsize=1024)
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

    module = execute_source(source, "_interpreted" if interpret else "")
    if interpret:
        interpret_kernels(module)
    elif not isinstance(_any_kernel(module), JITFunction | None):
        raise RuntimeError("TRITON_INTERPRET is set: unset it before Triton is imported to compile for a GPU")
    return module


def _any_kernel(module: ModuleType) -> object | None:
    from triton.runtime.jit import KernelInterface  # noqa: PLC0415 (optional, checked by the caller)

    return next((value for value in vars(module).values() if isinstance(value, KernelInterface)), None)

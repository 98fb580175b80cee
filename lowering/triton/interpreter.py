"""
Triton's interpreter beside its compiler, in one process.

`TRITON_INTERPRET=1` turns the interpreter on for all of Triton, and must be set before Triton is imported.
Here one emitted file runs interpreted and another compiled: while an interpreted kernel runs, the functions of
`triton.language` that are kernels themselves (`tl.max`, `tl.cdiv`, ...) are interpreted ones, and everything
that the interpreter patches is put back afterwards.

The interpreter holds bfloat16 and 8-bit floats as their bits, computes on those as if they were integers, and
cuts where the hardware rounds (Triton's documentation names bfloat16 as a limitation). The arithmetic and
the casts on these types are replaced by ml_dtypes', which rounds to nearest even; casts to 8-bit floats
saturate, as on NVIDIA's and AMD's GPUs. It knows no assembly; that of emitted files (`ptx.py`) is computed with NumPy.
"""

# Triton has no type stubs.
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportMissingTypeArgument=false
from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import ml_dtypes
import numpy as np
import triton
import triton.language as tl
from numpy.typing import NDArray
from triton.runtime import interpreter as triton_interpreter
from triton.runtime.interpreter import InterpretedFunction, TensorHandle, interpreter_builder
from triton.runtime.jit import JITFunction

from flashlower.lowering.triton.ptx import Unpacking

_NARROW: dict[Any, Any] = {
    tl.bfloat16: ml_dtypes.bfloat16,
    tl.float8e4nv: ml_dtypes.float8_e4m3fn,
    tl.float8e5: ml_dtypes.float8_e5m2,
    tl.float8e4b8: ml_dtypes.float8_e4m3fnuz,
    tl.float8e5b16: ml_dtypes.float8_e5m2fnuz,
}
"""The float types that the interpreter holds as bits."""

# The patches are global to Triton, so one interpreted launch runs at a time. Launches nest when a kernel is
# called from a hook of another.
_LOCK = threading.RLock()
_depth = 0


def _values(handle: Any) -> NDArray[Any]:
    """The numbers of a handle, as f32 when it holds bits."""
    narrow = _NARROW.get(handle.dtype.scalar)
    return handle.data if narrow is None else handle.data.view(narrow).astype(np.float32)


def _handle(values: NDArray[Any], dtype: Any) -> Any:
    """A handle of these numbers in a narrow type, rounded to nearest even."""
    narrow = _NARROW[dtype]
    if ml_dtypes.finfo(narrow).bits == 8:
        limit = float(ml_dtypes.finfo(narrow).max)
        values = np.clip(values, -limit, limit)
    bits = np.uint8 if ml_dtypes.finfo(narrow).bits == 8 else np.uint16
    return TensorHandle(np.asarray(values).astype(narrow).view(bits), dtype)


def _builder_patches() -> dict[str, Callable[..., Any]]:
    """Replacements for methods of the interpreter's builder, by name."""
    builder: Any = interpreter_builder
    cast, binary, unary = builder.cast_impl, builder.binary_op, builder.unary_op
    to_float, dot = builder.create_fp_to_fp, builder.create_dot

    def cast_impl(source: Any, target: Any) -> Any:
        if target.scalar in _NARROW:
            return _handle(_values(source), target.scalar)
        if source.dtype.scalar in _NARROW:
            return cast(TensorHandle(_values(source), tl.float32), target)
        return cast(source, target)

    def create_fp_to_fp(source: Any, target: Any, rounding_mode: Any) -> Any:
        if target.scalar in _NARROW or source.dtype.scalar in _NARROW:
            return cast_impl(source, target)
        return to_float(source, target, rounding_mode)

    def binary_op(lhs: Any, rhs: Any, op: Callable[..., NDArray[Any]]) -> Any:
        dtype = lhs.dtype.scalar
        if dtype not in _NARROW:
            return binary(lhs, rhs, op)
        result = op(_values(lhs), _values(rhs))
        return TensorHandle(result, dtype) if result.dtype == np.bool_ else _handle(result, dtype)

    def unary_op(operand: Any, op: Callable[..., NDArray[Any]]) -> Any:
        dtype = operand.dtype.scalar
        return unary(operand, op) if dtype not in _NARROW else _handle(op(_values(operand)), dtype)

    def create_dot(a: Any, b: Any, acc: Any, *rest: Any) -> Any:
        # Operands in the accumulator's type: exact, and BLAS multiplies these.
        dtype = acc.dtype.scalar
        wide = (TensorHandle(_values(x).astype(acc.data.dtype), dtype) for x in (a, b))
        return dot(*wide, acc, *rest)

    def create_inline_asm(text: str, _: str, operands: Any, types: Any, *options: Any) -> Any:
        """The assembly of emitted files, computed with NumPy."""
        unpacking = Unpacking.parse(text)
        if unpacking is None:
            raise NotImplementedError("Triton's interpreter runs no assembly but that of flashlower")
        words, *scale = operands
        results: list[Any] = []
        for lane, type in zip(unpacking.values(words.data), types):
            value = cast_impl(TensorHandle(lane, tl.float32), type)
            results.append(binary_op(value, scale[0], np.multiply) if scale else value)
        return SimpleNamespace(get_result=results.__getitem__)

    return {
        "create_inline_asm": create_inline_asm,
        "cast_impl": cast_impl,
        "create_fp_to_fp": create_fp_to_fp,
        "binary_op": binary_op,
        "unary_op": unary_op,
        "create_dot": create_dot,
    }


def _namespaces() -> list[ModuleType | type]:
    """What the interpreter patches: the modules of triton.language, and the classes of its core."""
    modules = [tl, tl.core, tl.standard, tl.math, tl.random, tl.target_info]
    classes = [
        value for value in vars(tl.core).values() if isinstance(value, type) and value.__module__ == tl.core.__name__
    ]
    return [*modules, *classes]


def _patch_lang_tensor(tensor: Any, scope: Any) -> None:
    """Triton 3.6 turns arrays of one element into a loop bound with `int`, which NumPy 2.4 refuses."""
    _ORIGINAL_PATCH(tensor, scope)
    scope.set_attr(tensor, "__index__", _index)


def _index(self: Any) -> int:
    return int(self.handle.data.item())


_MODULE: Any = triton_interpreter
_ORIGINAL_PATCH = _MODULE._patch_lang_tensor
_ORIGINAL_PATCH_LANG = _MODULE._patch_lang


def _patch_lang_once() -> Callable[[Any], Any]:
    """Triton patches its language anew in every call of `tl.sum` and the like: a third of a launch's time."""
    patched: set[int] = set()

    def patch_lang(function: Any) -> Any:
        names = function.__globals__
        if id(names) not in patched:
            patched.add(id(names))
            _ORIGINAL_PATCH_LANG(function)
        # Nothing to restore at the end of a kernel: `interpreting` puts everything back.
        return _MODULE._LangPatchScope()

    return patch_lang


_interpreted: dict[Any, Any] = {}


def _interpreted_function(function: Any) -> Any:
    if function not in _interpreted:
        _interpreted[function] = InterpretedFunction(function.fn)
    return _interpreted[function]


@contextmanager
def interpreting() -> Generator[None]:
    """Triton's language as the interpreter needs it; put back at the end."""
    global _depth
    with _LOCK, triton.knobs.runtime.scope(), np.errstate(all="ignore"):
        _depth += 1
        try:
            if _depth > 1:
                yield
                return
            triton.knobs.runtime.interpret = True
            saved = [(namespace, dict(vars(namespace))) for namespace in _namespaces()]
            patches = _builder_patches()
            try:
                for namespace, members in saved:
                    for name, value in members.items():
                        if isinstance(namespace, ModuleType) and isinstance(value, JITFunction):
                            setattr(namespace, name, _interpreted_function(value))
                vars(interpreter_builder).update(patches)
                # Kernels ask what GPU they are for: for none, whatever is here.
                tl.target_info.current_target = lambda: None
                _MODULE._patch_lang_tensor = _patch_lang_tensor
                _MODULE._patch_lang = _patch_lang_once()
                yield
            finally:
                _MODULE._patch_lang = _ORIGINAL_PATCH_LANG
                _MODULE._patch_lang_tensor = _ORIGINAL_PATCH
                for name in patches:
                    del vars(interpreter_builder)[name]
                for namespace, members in saved:
                    _put_back(namespace, members)
        finally:
            _depth -= 1


def _put_back(namespace: ModuleType | type, members: dict[str, Any]) -> None:
    for name, value in tuple(vars(namespace).items()):
        if name in members:
            if members[name] is not value:
                setattr(namespace, name, members[name])
        elif isinstance(namespace, type):
            delattr(namespace, name)
        # What was added to a module stays: rewritten functions look their helpers up there.


class ScopedKernel(InterpretedFunction):
    """A kernel that is interpreted, and leaves the compiler as it was."""

    def run(self, *args: Any, **kwargs: Any) -> Any:
        with interpreting():
            return super().run(*args, **kwargs)


def interpret_kernels(module: ModuleType) -> None:
    """Make all kernels of a loaded file interpreted ones."""
    for name, value in tuple(vars(module).items()):
        if isinstance(value, JITFunction | InterpretedFunction):
            setattr(module, name, ScopedKernel(value.fn))

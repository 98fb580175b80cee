"""`flashlower.interpret`: runs a whole module on NumPy arrays, its attention by NumPy or by the emitted kernels."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, cast

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import CallOp, FuncOp
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls

from flashlower.dialects.building import building
from flashlower.dialects.parsing import as_module, make_context
from flashlower.interpreters import find_function, run_module
from flashlower.lowering.kernel import Kernel, compile
from flashlower.lowering.triton.in_place import written_arguments
from flashlower.rewrites.fuse_attention import FuseAttentionPass
from flashlower.rewrites.outline_attention import OutlineAttentionPass


def as_tuple(results: Any) -> tuple[Any, ...]:
    """What a kernel or `interpret` returned, as a tuple also where it is one array."""
    return cast(tuple[Any, ...], results) if isinstance(results, tuple) else (results,)


def own_copies(args: Sequence[Any], written: Collection[int]) -> list[Any]:
    """Arguments, with copies of those that a kernel writes to: values of the IR stay what they are."""
    return [np.array(arg) if position in written else arg for position, arg in enumerate(args)]


@register_impls
class _KernelCalls(InterpreterFunctions):
    """Calls of outlined attention functions run the emitted kernels."""

    def __init__(self, kernel: Kernel, written: Mapping[str, Collection[int]]):
        self.kernel = kernel
        self.written = written

    @impl(CallOp)
    def call(self, interpreter: Interpreter, op: CallOp, args: PythonValues) -> PythonValues:
        name = op.callee.string_value()
        if name in self.kernel.functions:
            return as_tuple(self.kernel(*own_copies(args, self.written[name]), function=name))
        return interpreter.call_op(name, args)


def interpret(
    module: ModuleOp | str,
    *args: Any,
    kernels: Literal["numpy", "triton", "nki"] = "numpy",
    splits: int | Literal["auto"] = "auto",
    function: str | None = None,
) -> Any:
    """
    Runs a function of a module (`main`, or else the only public one) on NumPy arrays, after `fuse-attention`.

    Arguments are arrays of the function's shapes and dtypes (ml_dtypes' for bf16). `kernels` says what computes every
    attention: NumPy, the emitted Triton kernels in Triton's interpreter, or the emitted NKI kernels in `nki.simulate`
    of Amazon's Neuron package (both split by `splits`). Returns an array, or a tuple of arrays where the function has
    several results.

    Raises xDSL's `DiagnosticException` (an `InterpretationError` for arguments that do not fit) with what is wrong and
    where, and `ValueError` for other `kernels`.
    """
    if kernels not in ("numpy", "triton", "nki"):
        raise ValueError(f"kernels is {kernels!r}, expected 'numpy', 'triton' or 'nki'")
    fused = as_module(module)
    context = make_context()
    with building:
        FuseAttentionPass().apply(context, fused)
    if kernels == "numpy":
        results: tuple[Any, ...] = run_module(fused, args, function=function)
    else:
        OutlineAttentionPass().apply(context, fused)
        kernel = compile(fused, target=kernels, splits=splits)
        written = written_arguments(fused)
        entry: FuncOp = find_function(fused, function)
        name = entry.sym_name.data
        if name in kernel.functions:
            results = as_tuple(kernel(*own_copies(args, written[name]), function=name))
        else:
            results = run_module(fused, args, function=name, overrides=(_KernelCalls(kernel, written),))
    return results[0] if len(results) == 1 else results

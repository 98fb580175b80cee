"""Running modules on NumPy arrays, through xDSL's interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects.builtin import DYNAMIC_INDEX, ModuleOp, StringAttr, TensorType, UnregisteredOp
from xdsl.dialects.func import FuncOp
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues
from xdsl.interpreters.func import FuncFunctions
from xdsl.ir import Attribute, Operation
from xdsl.utils.exceptions import DiagnosticException, InterpretationError

from flashlower.dialects.stablehlo.base import show
from flashlower.interpreters.arith import ArithConversionFunctions, ArithFunctions, MathFunctions
from flashlower.interpreters.attention import AttentionFunctions
from flashlower.interpreters.chlo import CHLOFunctions
from flashlower.interpreters.numerics import Array
from flashlower.interpreters.stablehlo import StableHLOElementwiseFunctions, StableHLOShapeFunctions
from flashlower.interpreters.stablehlo_indexing import StableHLOIndexingFunctions
from flashlower.interpreters.stablehlo_regions import StableHLORegionFunctions
from flashlower.interpreters.stablehlo_windows import StableHLOWindowFunctions
from flashlower.interpreters.tensor import TensorFunctions
from flashlower.interpreters.update_cache import UpdateCacheFunctions
from flashlower.interpreters.values import dtype_of, set_context

FUNCTIONS: tuple[type[InterpreterFunctions], ...] = (
    ArithConversionFunctions,
    ArithFunctions,
    AttentionFunctions,
    CHLOFunctions,
    FuncFunctions,
    MathFunctions,
    StableHLOElementwiseFunctions,
    StableHLOIndexingFunctions,
    StableHLORegionFunctions,
    StableHLOShapeFunctions,
    StableHLOWindowFunctions,
    TensorFunctions,
    UpdateCacheFunctions,
)
"""What an interpreter knows to run."""


class _RefuseUnregistered(Interpreter.Listener):
    """Names an op that no dialect knows; xDSL's own error only says that it is unregistered."""

    def will_interpret_op(self, op: Operation, args: PythonValues) -> None:
        if isinstance(op, UnregisteredOp):
            raise InterpretationError(f"op {op.op_name.data} cannot be run: no dialect defines it")


def make_interpreter(module: ModuleOp, ctx: Context | None = None) -> Interpreter:
    """An interpreter of a module whose values are NumPy arrays.

    `ctx` is the context that the module was parsed with; it is needed only for `dense_resource` constants, which
    `flashlower.dialects.parsing.parse_module` has made dense literals already.
    """
    interpreter = Interpreter(module, listeners=(_RefuseUnregistered(),))
    set_context(interpreter, ctx)
    for functions in FUNCTIONS:
        interpreter.register_implementations(functions())
    return interpreter


def run_module(
    module: ModuleOp,
    args: Sequence[npt.ArrayLike],
    *,
    function: str | None = None,
    ctx: Context | None = None,
    overrides: Sequence[InterpreterFunctions] = (),
) -> tuple[Array, ...]:
    """Run a function of a module: by default `main`, or else the only public one.

    Arguments are arrays of the dtypes (ml_dtypes' for bf16) and shapes of the function's type; a dynamic dimension
    takes any size. `overrides` run ops in place of the implementations here. Raises `InterpretationError` where
    arguments differ from the type, and for what cannot be run.
    """
    entry = find_function(module, function)
    arrays = tuple(np.asarray(arg) for arg in args)
    _check_arguments(entry, arrays)
    try:
        interpreter = make_interpreter(module, ctx)
        for functions in overrides:
            interpreter.register_implementations(functions, override=True)
        results = interpreter.call_op(entry, arrays)
    except DiagnosticException:
        raise
    except (ValueError, TypeError, IndexError, KeyError, NotImplementedError) as error:
        raise InterpretationError(f"@{entry.sym_name.data} cannot be run: {error}") from error
    # Copies: results may be views of arguments or of constants.
    return tuple(np.array(result) for result in results)


def find_function(module: ModuleOp, function: str | None = None) -> FuncOp:
    """A function by its name; without one `main`, or else the only public function.

    Raises `InterpretationError` where there is none.
    """
    functions = [op for op in module.ops if isinstance(op, FuncOp)]
    named = [op for op in functions if op.sym_name.data == ("main" if function is None else function)]
    if not named and function is None:
        named = [op for op in functions if op.sym_visibility != StringAttr("private")]
    if len(named) != 1:
        names = ", ".join(f"@{op.sym_name.data}" for op in functions) or "none"
        wanted = "`main` or a single public function" if function is None else f"@{function}"
        raise InterpretationError(f"module has no {wanted} to run; its functions are: {names}")
    if named[0].is_declaration:
        raise InterpretationError(f"@{named[0].sym_name.data} is a declaration, which cannot be run")
    return named[0]


def argument_types(module: ModuleOp, function: str | None = None) -> list[tuple[tuple[int, ...], np.dtype[Any]]]:
    """Shape (`DYNAMIC_INDEX` where a size is dynamic) and dtype of each argument of a function."""
    inputs = find_function(module, function).function_type.inputs.data
    return [(_shape_of(type), dtype_of(type)) for type in inputs]


def _check_arguments(entry: FuncOp, arrays: Sequence[Array]) -> None:
    name, types = entry.sym_name.data, entry.function_type.inputs.data
    if len(arrays) != len(types):
        raise InterpretationError(f"@{name} takes {len(types)} arguments, but got {len(arrays)}")
    for i, (array, type) in enumerate(zip(arrays, types, strict=True)):
        expected = dtype_of(type)
        if array.dtype != expected:
            raise InterpretationError(
                f"argument {i} of @{name} has dtype {array.dtype}, but expected {expected} ({type})"
            )
        shape = _shape_of(type)
        if len(shape) != array.ndim or any(
            size not in (DYNAMIC_INDEX, got) for size, got in zip(shape, array.shape, strict=True)
        ):
            raise InterpretationError(
                f"argument {i} of @{name} has shape {list(array.shape)}, but expected {show(shape)} ({type})"
            )


def _shape_of(type: Attribute) -> tuple[int, ...]:
    return type.get_shape() if isinstance(type, TensorType) else ()

"""Between attributes and types of IR and the NumPy arrays that interpreters run on.

Every value is an array: a tensor has its own shape, a scalar of arith has none, or the shape of the positions
where a region is run on all of them at once.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    DenseResourceAttr,
    FloatAttr,
    IntegerAttr,
    TensorType,
)
from xdsl.interpreter import Interpreter, InterpreterFunctions
from xdsl.ir import Attribute
from xdsl.utils.exceptions import InterpretationError

from flashlower.dialects.numpy_values import dense_to_numpy, numpy_dtype
from flashlower.dialects.parsing import resource_literal
from flashlower.dialects.stablehlo.base import AnyTensor
from flashlower.interpreters.numerics import Array

_CONTEXT = "context"


def set_context(interpreter: Interpreter, ctx: Context | None) -> None:
    """Tell an interpreter which context holds the data of the module's `dense_resource` constants."""
    interpreter.set_data(InterpreterFunctions, _CONTEXT, ctx)


def get_context(interpreter: Interpreter) -> Context | None:
    """The context that was set, if any."""
    return interpreter.get_data(InterpreterFunctions, _CONTEXT, lambda: None)


def dtype_of(type: Attribute) -> np.dtype:
    """The dtype of a tensor type's elements, or of a scalar type."""
    return numpy_dtype(cast(AnyTensor, type).element_type if isinstance(type, TensorType) else type)


def static_shape(type: Attribute) -> tuple[int, ...]:
    """The shape of a tensor type. Raises `InterpretationError` where a dimension is dynamic."""
    if not isinstance(type, TensorType):
        raise InterpretationError(f"expected a tensor type, but got {type}")
    shape = cast(AnyTensor, type).get_shape()
    if DYNAMIC_INDEX in shape:
        raise InterpretationError(f"cannot run an op whose result shape {type} is not static")
    return shape


def attr_to_numpy(attr: Attribute, ctx: Context | None = None) -> Array:
    """The value of a constant: a dense literal, a number, `array<...>`, or a resource whose data `ctx` holds.

    Raises `InterpretationError` for other attributes, and for resources without data.
    """
    match attr:
        case DenseIntOrFPElementsAttr():
            return dense_to_numpy(attr)
        case DenseResourceAttr():
            literal = None if ctx is None else resource_literal(attr, ctx)
            if literal is None:
                raise InterpretationError(
                    f"dense_resource<{attr.resource_handle.data}> has no data: parse the module with "
                    "flashlower.dialects.parsing.parse_module, or pass the context that it was parsed with"
                )
            return dense_to_numpy(literal)
        case IntegerAttr() | FloatAttr():
            return np.asarray(attr.value.data).astype(numpy_dtype(attr.type))
        case DenseArrayBase():
            values = cast(DenseArrayBase[Any], attr).iter_values()
            return np.array(list(values), numpy_dtype(attr.elt_type))
        case _:
            raise InterpretationError(f"attribute {attr} has no NumPy value")

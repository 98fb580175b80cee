"""The tensor dialect on NumPy arrays."""

from __future__ import annotations

import numpy as np
from xdsl.dialects import tensor
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls

from flashlower.interpreters.values import static_shape


@register_impls
class TensorFunctions(InterpreterFunctions):
    """Reads of elements and sizes, and what builds a tensor from scalars."""

    @impl(tensor.ExtractOp)
    def run_extract(self, interpreter: Interpreter, op: tensor.ExtractOp, args: PythonValues) -> PythonValues:
        """Element at given indices; where these are arrays, the elements at all of their (broadcast) places.

        Indices are clamped into the tensor: a region that runs on all positions at once also reads where a
        selection then discards what was read.
        """
        source, *indices = args
        inside = tuple(np.clip(index, 0, size - 1) for index, size in zip(indices, source.shape, strict=True))
        return (np.asarray(source[inside]),)

    @impl(tensor.DimOp)
    def run_dim(self, interpreter: Interpreter, op: tensor.DimOp, args: PythonValues) -> PythonValues:
        source, index = args
        return (np.asarray(np.asarray(source.shape, np.int64)[index]),)

    @impl(tensor.CastOp)
    def run_cast(self, interpreter: Interpreter, op: tensor.CastOp, args: PythonValues) -> PythonValues:
        return args

    @impl(tensor.FromElementsOp)
    def run_from_elements(
        self, interpreter: Interpreter, op: tensor.FromElementsOp, args: PythonValues
    ) -> PythonValues:
        return (np.stack(args).reshape(static_shape(op.results[0].type)),)

    @impl(tensor.SplatOp)
    def run_splat(self, interpreter: Interpreter, op: tensor.SplatOp, args: PythonValues) -> PythonValues:
        value = np.asarray(args[0])
        return (np.full(static_shape(op.results[0].type), value, value.dtype),)

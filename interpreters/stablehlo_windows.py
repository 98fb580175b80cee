"""Windows that slide over NumPy arrays, and StableHLO's convolution.

Source: the StableHLO specification.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls

from flashlower.dialects import stablehlo
from flashlower.dialects.stablehlo.attributes import integers
from flashlower.interpreters import numerics
from flashlower.interpreters.numerics import Array
from flashlower.interpreters.stablehlo import pad
from flashlower.interpreters.values import dtype_of


def windows(value: Array, fill: Array, window: Sequence[stablehlo.Window]) -> Array:
    """Every window over a padded array: the places of the windows, then the places in them."""
    padded = pad(
        value,
        fill,
        [dim.low for dim in window],
        [dim.high for dim in window],
        [dim.base_dilation - 1 for dim in window],
    )
    reach = [(dim.size - 1) * dim.dilation + 1 for dim in window]
    # A dimension shorter than its window has no place for it.
    places = [max(0, size - length + 1) for size, length in zip(padded.shape, reach, strict=True)]
    view = (
        np.empty((*places, *reach), padded.dtype)
        if 0 in places
        else np.lib.stride_tricks.sliding_window_view(padded, reach)
    )
    strides = [slice(None, None, dim.stride) for dim in window]
    dilations = [slice(None, None, dim.dilation) for dim in window]
    return view[(*strides, *dilations)]


@register_impls
class StableHLOWindowFunctions(InterpreterFunctions):
    """The convolution."""

    @impl(stablehlo.ConvolutionOp)
    def run_convolution(
        self, interpreter: Interpreter, op: stablehlo.ConvolutionOp, args: PythonValues
    ) -> PythonValues:
        dtype = dtype_of(op.result.type)
        work, numbers = numerics.working_dtype(dtype), op.dimension_numbers
        # Batch or output feature first, then input feature, then spatial dimensions.
        kernel_in, kernel_out, *kernel_spatial = integers(numbers.kernel)
        x: Array = np.transpose(args[0].astype(work), integers(numbers.input))
        kernel: Array = np.transpose(args[1].astype(work), (kernel_out, kernel_in, *kernel_spatial))
        kernel = np.flip(kernel, tuple(2 + dim for dim in op.reversed_dimensions))
        whole = stablehlo.Window(1, 1, 1, 1, 0, 0)
        views = windows(x, np.zeros((), work), (whole, whole, *op.window))
        batch, features, *places = views.shape[: x.ndim]
        features_out, _, *elements = kernel.shape
        # One of the two numbers of groups is 1.
        g, f = op.batch_group_count.value.data, op.feature_group_count.value.data
        x = views.reshape(g, batch // g, f, features // f, math.prod(places), math.prod(elements))
        kernel = kernel.reshape(g, f, features_out // (g * f), features // f, math.prod(elements))
        with np.errstate(all="ignore"):
            product: Array = np.einsum("gbfipe,gfoie->bgfop", x, kernel)
        product = product.reshape(batch // g, features_out, *places)
        return (np.transpose(product, np.argsort(integers(numbers.output))).astype(dtype),)

"""CHLO on NumPy arrays."""

from __future__ import annotations

import math

import numpy as np
from xdsl.interpreter import Interpreter, InterpreterFunctions, PythonValues, impl, register_impls

from flashlower.dialects import chlo
from flashlower.interpreters.arith import elementwise
from flashlower.interpreters.numerics import Array

# NumPy has no error function; Python's is exact to a few units in the last place of a double.
_erf = np.vectorize(math.erf, otypes=[np.float64])
_erfc = np.vectorize(math.erfc, otypes=[np.float64])


def top_k(values: Array, k: int) -> tuple[Array, Array]:
    """
    The k largest elements along the last dimension, in descending order, and their indices (int32).

    Of equal elements the one with the lower index is first; NaN is larger than any number.
    """
    # A stable ascending sort of the reversed elements, read backwards, keeps equal elements in their order.
    size = values.shape[-1]
    order = size - 1 - np.argsort(values[..., ::-1], axis=-1, kind="stable")[..., ::-1][..., :k]
    return np.take_along_axis(values, order, axis=-1), order.astype(np.int32)


@register_impls
class CHLOFunctions(InterpreterFunctions):
    """The ops of CHLO that exported models use."""

    run_acos = elementwise(chlo.AcosOp, np.arccos)
    run_acosh = elementwise(chlo.AcoshOp, np.arccosh)
    run_asin = elementwise(chlo.AsinOp, np.arcsin)
    run_asinh = elementwise(chlo.AsinhOp, np.arcsinh)
    run_atanh = elementwise(chlo.AtanhOp, np.arctanh)
    run_cosh = elementwise(chlo.CoshOp, np.cosh)
    run_erf = elementwise(chlo.ErfOp, _erf)
    run_erfc = elementwise(chlo.ErfcOp, _erfc)
    run_sinh = elementwise(chlo.SinhOp, np.sinh)
    run_square = elementwise(chlo.SquareOp, np.square)

    @impl(chlo.TopKOp)
    def run_top_k(self, interpreter: Interpreter, op: chlo.TopKOp, args: PythonValues) -> PythonValues:
        return top_k(args[0], op.k.value.data)

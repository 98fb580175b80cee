"""Values of an ONNX graph while it is imported."""

from __future__ import annotations

import math
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import AnyFloat, TensorType, i1
from xdsl.ir import Attribute, SSAValue

from flashlower.dialects.numpy_values import element_type_of, numpy_dtype

Array: TypeAlias = npt.NDArray[Any]
TensorOf: TypeAlias = TensorType[Attribute]


class Value:
    """
    A tensor of static shape: a value of the IR, an array that is known while importing, or both.

    Shapes, axes and other arguments that StableHLO has as attributes are read from `array`. A value that has no
    operation yet gets a constant where it is used (`Builder.ssa`). A value with a `formula` is known, but computed by
    operations as well, from `Range` for example: a mask reads better as a formula of indices than as a literal.
    """

    def __init__(self, ssa: SSAValue | None = None, array: Array | None = None, *, formula: bool = False):
        assert ssa is not None or array is not None
        self.ssa = ssa
        self.array = array
        self.formula = formula
        if ssa is not None:
            self.type = cast(TensorOf, ssa.type)
        else:
            known = cast(Array, array)
            self.type = TensorType(element_type_of(known.dtype), known.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.type.get_shape()

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def element_type(self) -> Attribute:
        return self.type.element_type

    @property
    def is_float(self) -> bool:
        return isinstance(self.element_type, AnyFloat)

    @property
    def is_bool(self) -> bool:
        return self.element_type == i1

    @property
    def is_unsigned(self) -> bool:
        return np.issubdtype(numpy_dtype(self.element_type), np.unsignedinteger)

    @property
    def uniform(self) -> bool:
        """Whether all elements are known to be equal."""
        return self.array is not None and self.size > 0 and all_equal(self.array)


def all_equal(array: Array) -> bool:
    """Whether a non-empty array holds one value."""
    if all(stride == 0 or size == 1 for stride, size in zip(array.strides, array.shape)):
        return True
    first = array.flat[0]
    if not np.all(array == first):
        return False
    # 0.0 and -0.0 are equal, but not one value.
    return first != 0 or array.tobytes() == np.full_like(array, first).tobytes()

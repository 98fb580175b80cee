"""Arrays become dense literals and come back with the same values, for every element type that models use.

The literals must be those that the parser makes of the same text: passes compare constants as attributes.
"""

import ml_dtypes
import numpy as np
import pytest
from xdsl.context import Context
from xdsl.dialects.builtin import (
    Builtin,
    DenseIntOrFPElementsAttr,
    Float80Type,
    IntegerType,
    Signedness,
    TensorType,
    bf16,
    f32,
    i1,
    i32,
)
from xdsl.parser import Parser
from xdsl.utils.exceptions import DiagnosticException

from flashlower.dialects.numpy_values import (
    bytes_to_numpy,
    dense_to_numpy,
    element_type_of,
    numpy_dtype,
    numpy_to_dense,
)

DTYPES = [
    np.float64,
    np.float32,
    np.float16,
    ml_dtypes.bfloat16,
    ml_dtypes.float8_e4m3fn,
    ml_dtypes.float8_e5m2,
    np.int8,
    np.int16,
    np.int32,
    np.int64,
    ml_dtypes.int4,
    np.uint8,
    np.uint32,
    np.uint64,
    np.bool_,
    np.complex64,
    np.complex128,
]


@pytest.mark.parametrize("dtype", DTYPES)
def test_round_trip(dtype: type):
    array = np.array([[0, 1, 1], [3, 5, 0]]).astype(dtype)
    attr = numpy_to_dense(array)
    assert attr.get_type() == TensorType(element_type_of(np.dtype(dtype)), (2, 3))
    back = dense_to_numpy(attr)
    assert back.dtype == dtype
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    "array, type, text",
    [
        (True, TensorType(i1, ()), "dense<true> : tensor<i1>"),
        ([True, False], TensorType(i1, (2,)), "dense<[true, false]> : tensor<2xi1>"),
        (1.5, TensorType(bf16, (2, 2)), "dense<1.5> : tensor<2x2xbf16>"),
        ([1, -2], TensorType(i32, (2,)), "dense<[1, -2]> : tensor<2xi32>"),
        (
            [255],
            TensorType(IntegerType(8, Signedness.UNSIGNED), (1,)),
            "dense<255> : tensor<1xui8>",
        ),
    ],
)
def test_literals_are_those_of_the_parser(array: object, type: TensorType, text: str):
    context = Context()
    context.load_dialect(Builtin)
    assert numpy_to_dense(array, type) == Parser(context, text).parse_attribute()  # type: ignore[arg-type]


def test_hex_text_is_read():
    context = Context()
    context.load_dialect(Builtin)
    attr = Parser(context, 'dense<"0x0000803F00000040"> : tensor<2xf32>').parse_attribute()
    assert isinstance(attr, DenseIntOrFPElementsAttr)
    assert dense_to_numpy(attr).tolist() == [1.0, 2.0]


def test_errors_name_both_sides():
    with pytest.raises(DiagnosticException, match=r"shape \[3\] does not fit type tensor<2xf32> of shape \[2\]"):
        numpy_to_dense([1.0, 2.0, 3.0], TensorType(f32, (2,)))
    with pytest.raises(DiagnosticException, match="a dense literal needs a tensor type of numbers, but got f32"):
        numpy_to_dense(1.0, f32)
    with pytest.raises(DiagnosticException, match="element type f80 has no NumPy dtype"):
        numpy_dtype(Float80Type())
    with pytest.raises(DiagnosticException, match="dtype <U1 has no MLIR element type"):
        element_type_of(np.dtype("<U1"))
    with pytest.raises(DiagnosticException, match=r"literal has 4 bytes, but shape \[2\] of float32 needs 8"):
        bytes_to_numpy(b"0000", np.dtype(np.float32), (2,))

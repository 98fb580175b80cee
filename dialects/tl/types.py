"""
The types of the `tl` dialect, and Triton's rules for shapes and element types.

A scalar is a builtin integer or float, or a `!tl.ptr`; a block is a builtin `tensor` of scalars with a
static shape whose sizes are powers of two (https://triton-lang.org/main/python-api/triton.language.html).
"""

from collections.abc import Sequence
from typing import TypeAlias

from xdsl.dialects.builtin import (
    BFloat16Type,
    Float8E4M3FNType,
    Float8E4M3FNUZType,
    Float8E5M2FNUZType,
    Float8E5M2Type,
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
    TensorType,
    f32,
    i32,
)
from xdsl.ir import Attribute, ParametrizedAttribute, TypeAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

Float8: TypeAlias = Float8E4M3FNType | Float8E5M2Type | Float8E4M3FNUZType | Float8E5M2FNUZType
Float: TypeAlias = BFloat16Type | Float16Type | Float32Type | Float64Type | Float8

MAX_BLOCK_ELEMENTS = 1 << 20
"""Triton's own limit on the elements of a block (`TRITON_MAX_TENSOR_NUMEL`)."""

_FLOAT_BITS: dict[type[Attribute], int] = {
    Float8E4M3FNType: 8,
    Float8E5M2Type: 8,
    Float8E4M3FNUZType: 8,
    Float8E5M2FNUZType: 8,
    BFloat16Type: 16,
    Float16Type: 16,
    Float32Type: 32,
    Float64Type: 64,
}


@irdl_attr_definition
class PtrType(ParametrizedAttribute, TypeAttribute):
    """A pointer to elements of one scalar type in global memory; `tl.pointer_type` in Triton."""

    name = "tl.ptr"

    pointee: Attribute

    def verify(self) -> None:
        if not is_number(self.pointee):
            raise VerifyException(f"a pointer is to a Triton scalar, not to {self.pointee}")


def is_integer(element: Attribute) -> bool:
    """An integer of 8 to 64 bits; signless integers are signed in Triton. i1 is not one: see `is_bool`."""
    return isa(element, IntegerType) and element.width.data in (8, 16, 32, 64)


def is_bool(element: Attribute) -> bool:
    """i1, Triton's `tl.int1`."""
    return isa(element, IntegerType) and element.width.data == 1


def is_unsigned(element: Attribute) -> bool:
    """`ui8` to `ui64`, Triton's `tl.uint8` to `tl.uint64`."""
    return isa(element, IntegerType) and element.signedness.data == Signedness.UNSIGNED


def is_float(element: Attribute) -> bool:
    """Any float that Triton computes with, 8-bit floats excluded."""
    return isinstance(element, BFloat16Type | Float16Type | Float32Type | Float64Type)


def is_float8(element: Attribute) -> bool:
    """A float that Triton can only load, store, convert and multiply in `tl.dot`."""
    return isinstance(element, Float8)


def is_number(element: Attribute) -> bool:
    """A scalar that is not a pointer."""
    return is_integer(element) or is_bool(element) or is_float(element) or is_float8(element)


def bit_width(element: Attribute) -> int:
    """The bits of a number type."""
    if isa(element, IntegerType):
        return element.width.data
    if (bits := _FLOAT_BITS.get(type(element))) is None:
        raise VerifyException(f"{element} is not a Triton number")
    return bits


def element_type(type: Attribute) -> Attribute:
    """The scalar type of a block, or the type itself when it is a scalar."""
    return type.element_type if isa(type, TensorType) else type


def shape_of(type: Attribute) -> tuple[int, ...]:
    """The shape of a block; () for a scalar."""
    return type.get_shape() if isa(type, TensorType) else ()


def block_of(element: Attribute, shape: Sequence[int]) -> Attribute:
    """The block type of this shape, or `element` itself when the shape is ()."""
    return TensorType(element, shape) if shape else element


def verify_value_type(type: Attribute) -> None:
    """Check that a type is a Triton scalar or block; raises VerifyException."""
    element = element_type(type)
    if not (is_number(element) or isinstance(element, PtrType)):
        raise VerifyException(f"{type} is not a Triton scalar, pointer or block of these")
    if isa(type, TensorType):
        elements = 1
        for size in type.get_shape():
            if size < 1 or size & (size - 1):
                raise VerifyException(f"sizes of a block must be static powers of two, got {type}")
            elements *= size
        if not type.get_shape():
            raise VerifyException(f"a block has at least one dimension, got {type}: use the scalar type")
        if elements > MAX_BLOCK_ELEMENTS:
            raise VerifyException(f"a block has at most {MAX_BLOCK_ELEMENTS} elements, got {type}")


def broadcast_shapes(*shapes: tuple[int, ...]) -> tuple[int, ...]:
    """
    NumPy's broadcasting, which Triton's operators follow.

    (64,) and (16, 1) give (16, 64); raises VerifyException when two sizes differ and neither is 1.
    """
    rank = max(map(len, shapes), default=0)
    result: list[int] = []
    for axis in range(-rank, 0):
        sizes = {shape[axis] for shape in shapes if len(shape) >= -axis}
        wide = sizes - {1}
        if len(wide) > 1:
            raise VerifyException(f"shapes {' and '.join(map(str, shapes))} do not broadcast")
        result.append(wide.pop() if wide else 1)
    return tuple(result)


def verify_broadcasts_to(what: str, type: Attribute, target: Attribute) -> None:
    """Check that a value of `type` can be broadcast to the shape of `target`."""
    try:
        fits = broadcast_shapes(shape_of(type), shape_of(target)) == shape_of(target)
    except VerifyException:
        fits = False
    if not fits:
        raise VerifyException(f"{what} of type {type} does not broadcast to the shape of {target}")


def same_element(what: str, *types: Attribute) -> Attribute:
    """The one element type of all `types`; raises VerifyException when they differ."""
    first = element_type(types[0])
    for type in types[1:]:
        if element_type(type) != first:
            raise VerifyException(f"{what} needs operands of one element type, got {types[0]} and {type}: cast one")
    return first


def reduced_element(element: Attribute, *, widen_floats: bool) -> Attribute:
    """
    The element type of a reduction's result: Triton widens signed integers below 32 bits to i32, and in
    `tl.max` floats below 32 bits to f32 (triton.language.standard). `tl.sum` would add these in 16 bits.
    """
    small = (is_integer(element) or is_float(element)) and bit_width(element) < 32
    if small and is_integer(element) and not is_unsigned(element):
        return i32
    if small and is_float(element) and widen_floats:
        return f32
    if small or not (is_integer(element) or is_float(element)):
        raise VerifyException(f"this reduction does not take {element}: cast to i32 or f32 first")
    return element

"""
Reading StableHLO operations by name and property.

Detection must work on whichever `stablehlo` dialect is registered, ours or that of another package, so it never asks
for a class. What such an operation lacks is a reason not to fuse, never an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast, get_args

from xdsl.dialects.builtin import (
    AnyFloat,
    ArrayAttr,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    FixedBitwidthType,
    Float8E8M0FNUType,
    Float64Type,
    IntegerAttr,
    IntegerType,
    TensorType,
    i1,
)
from xdsl.ir import Attribute, Operation, OpResult, SSAValue

# `isinstance` of a union asks every member in turn, for every value that a pass looks at.
_FLOATS = frozenset(type for type in get_args(AnyFloat) if type().bitwidth in (8, 16, 32, 64))
_INTEGERS = frozenset(IntegerType(width) for width in (2, 4, 8, 16, 32, 64))


class NotAttention(Exception):
    """Why a candidate is not attention, in words for the user."""


def owner(value: SSAValue) -> Operation | None:
    """The operation that defines a value, or None for a block argument."""
    return value.op if isinstance(value, OpResult) else None


# An alias, as a subscript in a function is computed at every call.
_Tensor: TypeAlias = TensorType[Attribute]


def _type(value: SSAValue) -> _Tensor:
    type: Attribute = value.type
    if not isinstance(type, TensorType):
        raise NotAttention(f"{value.type} is no ranked tensor")
    return cast(_Tensor, type)


def shape(value: SSAValue) -> tuple[int, ...]:
    """The shape of a tensor value."""
    return _type(value).get_shape()


def element_type(value: SSAValue) -> Attribute:
    """The element type of a tensor value."""
    return _type(value).element_type


def bit_width(value: SSAValue) -> int:
    """The width of the elements of a tensor value of floats or integers."""
    type = element_type(value)
    if not isinstance(type, FixedBitwidthType):
        raise NotAttention(f"{type} has no known width")
    return type.bitwidth


def is_bool(value: SSAValue) -> bool:
    """Whether a tensor holds i1."""
    type = element_type(value)
    return isinstance(type, IntegerType) and type == i1


def is_float(value: SSAValue) -> bool:
    """Whether a tensor holds floats of a type that machines store."""
    return type(element_type(value)) in _FLOATS


def is_integer(value: SSAValue) -> bool:
    """Whether a tensor holds integers as StableHLO writes signed ones (`i32`), wider than one bit."""
    type = element_type(value)
    return isinstance(type, IntegerType) and type in _INTEGERS


def attribute(op: Operation, name: str) -> Attribute:
    """A property, or an attribute of that name where another dialect keeps it so."""
    attr = op.properties.get(name, op.attributes.get(name))
    if attr is None:
        raise NotAttention(f"{op.name} has no {name}")
    return attr


def integers(attr: Attribute) -> tuple[int, ...]:
    """The integers of a dense array, an array of integer attributes, or a dense tensor."""
    if isinstance(attr, DenseArrayBase):
        return tuple(cast(Sequence[int], attr.get_values()))
    if isinstance(attr, DenseIntOrFPElementsAttr):
        return tuple(int(v) for v in attr.get_values())
    if isinstance(attr, ArrayAttr):
        # `IntegerAttr` keeps its number one step deeper than `IntAttr`.
        numbers = cast(ArrayAttr[Any], attr)
        return tuple(a.value.data if isinstance(a, IntegerAttr) else a.data for a in numbers)
    raise NotAttention(f"{attr} holds no integers")


def permutation(op: Operation) -> tuple[int, ...]:
    """`permutation` of stablehlo.transpose."""
    return integers(attribute(op, "permutation"))


def broadcast_dimensions(op: Operation) -> tuple[int, ...]:
    """`broadcast_dimensions` of stablehlo.broadcast_in_dim."""
    return integers(attribute(op, "broadcast_dimensions"))


def slice_starts(op: Operation) -> list[tuple[int, int]]:
    """(start, stride) per dimension of stablehlo.slice."""
    return list(zip(integers(attribute(op, "start_indices")), integers(attribute(op, "strides"))))


def iota_dimension(op: Operation) -> int:
    """`iota_dimension` of stablehlo.iota and stablehlo.dynamic_iota."""
    return cast(IntegerAttr, attribute(op, "iota_dimension")).value.data


def concatenate_dimension(op: Operation) -> int:
    """`dimension` of stablehlo.concatenate."""
    return cast(IntegerAttr, attribute(op, "dimension")).value.data


def comparison_direction(op: Operation) -> str:
    """EQ, NE, GE, GT, LE or LT of stablehlo.compare."""
    return str(getattr(attribute(op, "comparison_direction"), "data", ""))


def is_total_order(op: Operation) -> bool:
    """Whether stablehlo.compare orders floats by IEEE 754's total order, in which NaN and -0 have places."""
    attr = op.properties.get("compare_type", op.attributes.get("compare_type"))
    return str(getattr(attr, "data", "")) == "TOTALORDER"


@dataclass(frozen=True)
class DotDimensions:
    """`dot_dimension_numbers` of stablehlo.dot_general."""

    batching: tuple[tuple[int, ...], tuple[int, ...]]
    contracting: tuple[tuple[int, ...], tuple[int, ...]]

    def free(self, side: int, rank: int) -> list[int]:
        """Dimensions of an operand of this rank that are neither batching nor contracting, in order."""
        taken = {*self.batching[side], *self.contracting[side]}
        return [i for i in range(rank) if i not in taken]


def dot_dimensions(op: Operation) -> DotDimensions:
    """The dimension numbers of stablehlo.dot_general."""
    numbers = attribute(op, "dot_dimension_numbers")

    def get(name: str) -> tuple[int, ...]:
        return integers(getattr(numbers, name, numbers))

    return DotDimensions(
        (get("lhs_batching_dimensions"), get("rhs_batching_dimensions")),
        (get("lhs_contracting_dimensions"), get("rhs_contracting_dimensions")),
    )


def accumulates_in_f64(op: Operation) -> bool:
    """Whether stablehlo.dot_general names an algorithm that sums in f64."""
    return isinstance(getattr(op.properties.get("algorithm"), "accumulation_type", None), Float64Type)


def reduce_kind(op: Operation) -> str | None:
    """`add`, `maximum`, ... where the body of a one-operand stablehlo.reduce is that one operation."""
    if op.name != "stablehlo.reduce" or len(op.operands) != 2 or len(op.regions) != 1:
        return None
    block = op.regions[0].first_block
    if block is None or len(block.args) != 2:
        return None
    inner, last = block.first_op, block.last_op
    if inner is None or last is None or inner.next_op is not last or last.name != "stablehlo.return":
        return None
    if list(last.operands) != list(inner.results) or set(inner.operands) != set(block.args):
        return None
    return inner.name.removeprefix("stablehlo.")


def is_float_convert(value: SSAValue) -> bool:
    """Whether a value is a conversion from float to float."""
    op = owner(value)
    return op is not None and op.name == "stablehlo.convert" and is_float(value) and is_float(op.operands[0])


def changes_type(op: Operation) -> bool:
    """Whether a conversion is to another element type."""
    return element_type(op.operands[0]) != element_type(op.results[0])


def is_lossless_convert(op: Operation) -> bool:
    """Whether a conversion from float to float keeps every value."""
    source, result = op.operands[0], op.results[0]
    if not changes_type(op):
        return True
    # All narrower types fit into a wider one, but for the one that is an exponent only.
    return bit_width(source) < bit_width(result) and not isinstance(element_type(source), Float8E8M0FNUType)


def is_rounding_convert(op: Operation) -> bool:
    """Whether a conversion from float to float rounds at most, so that it may as well happen on a store."""
    return not changes_type(op) or bit_width(op.operands[0]) > bit_width(op.results[0])


VIEWS = frozenset(
    f"stablehlo.{name}" for name in ("broadcast_in_dim", "reshape", "transpose", "dynamic_broadcast_in_dim")
)
"""Operations whose result repeats and rearranges the elements of their first operand, all of them."""

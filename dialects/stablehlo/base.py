"""What the ops of the stablehlo dialect share: the refusal of the pretty form, and checks of tensor types."""

from __future__ import annotations

import abc
import enum
from collections.abc import Sequence
from typing import Any, Self, TypeAlias, cast

from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AnyFloat,
    ComplexType,
    DenseArrayBase,
    IndexType,
    IntegerType,
    TensorType,
    i1,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import IRDLOperation
from xdsl.parser import Parser
from xdsl.utils.exceptions import VerifyException

AnyTensor: TypeAlias = TensorType[Attribute]
Operand: TypeAlias = SSAValue | Operation

GENERIC_FORM = (
    "StableHLO is read as text in MLIR's generic form: print the module with "
    "`get_asm(print_generic_op_form=True)` in Python, or with `--mlir-print-op-generic` on a command line"
)
"""What to do about any other form; ends an error message."""


class StableHLOOp(IRDLOperation, abc.ABC):
    """An op of StableHLO. It is read and printed in MLIR's generic form, which all MLIR tools share."""

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        parser.raise_error(f"{cls.name} is in pretty form, but {GENERIC_FORM}")


class Elements(enum.Flag):
    """Kinds of element types. `OTHER` (quantised, unregistered) is never refused."""

    BOOLEAN = enum.auto()
    INTEGER = enum.auto()
    FLOAT = enum.auto()
    COMPLEX = enum.auto()
    OTHER = enum.auto()

    ANY = BOOLEAN | INTEGER | FLOAT | COMPLEX
    LOGICAL = BOOLEAN | INTEGER
    NUMBER = INTEGER | FLOAT | COMPLEX
    INEXACT = FLOAT | COMPLEX


def elements_of(element_type: Attribute) -> Elements:
    """The kind of an element type."""
    if element_type == i1:
        return Elements.BOOLEAN
    if isinstance(element_type, IntegerType | IndexType):
        return Elements.INTEGER
    if isinstance(element_type, AnyFloat):
        return Elements.FLOAT
    if isinstance(element_type, ComplexType):
        return Elements.COMPLEX
    return Elements.OTHER


def type_of(value: Operand) -> AnyTensor:
    """The tensor type of an operand. Raises `VerifyException` where it is none."""
    found = SSAValue.get(value).type
    if not isinstance(found, TensorType):
        raise VerifyException(f"expected a tensor operand, but got {found}")
    return cast(AnyTensor, found)


def dense_i64(values: Sequence[int]) -> DenseArrayBase[Any]:
    """`array<i64: ...>`, the form of StableHLO's lists of dimensions."""
    return DenseArrayBase.from_list(i64, values)


def i64_values(attr: DenseArrayBase[Any]) -> tuple[int, ...]:
    """The integers of an `array<i64: ...>`."""
    return tuple(int(value) for value in attr.iter_values())


def show(shape: Sequence[int]) -> str:
    """A shape as error messages print it: `[2, ?, 4]`."""
    return "[" + ", ".join("?" if dim == DYNAMIC_INDEX else str(dim) for dim in shape) + "]"


def same_size(a: int, b: int) -> bool:
    """Whether two dimensions can be equal; a dynamic one equals any."""
    return a == b or DYNAMIC_INDEX in (a, b)


def same_shape(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether two shapes can be equal; a dynamic dimension equals any."""
    return len(a) == len(b) and all(map(same_size, a, b))


def check_shape(what: str, got: Sequence[int], expected: Sequence[int]) -> None:
    if not same_shape(got, expected):
        raise VerifyException(f"{what} has shape {show(got)}, but expected {show(expected)}")


def check_element_type(what: str, got: Attribute, expected: Attribute) -> None:
    if got != expected:
        raise VerifyException(f"{what} has element type {got}, but expected {expected}")


def check_type(what: str, got: Attribute, expected: Attribute) -> None:
    """Tensor types must agree in element type, and in every dimension that is static on both sides."""
    if got == expected:
        return
    if isinstance(got, TensorType) and isinstance(expected, TensorType):
        a, b = cast(AnyTensor, got), cast(AnyTensor, expected)
        if a.element_type == b.element_type and same_shape(a.get_shape(), b.get_shape()):
            return
    raise VerifyException(f"{what} has type {got}, but expected {expected}")


def check_elements(element_type: Attribute, allowed: Elements) -> None:
    if not elements_of(element_type) & (allowed | Elements.OTHER):
        names = ", ".join((kind.name or "").lower() for kind in allowed)
        raise VerifyException(f"element type {element_type} is not one of the supported kinds: {names}")


def check_count(what: str, got: int, expected: int) -> None:
    if got != expected:
        raise VerifyException(f"expected {expected} {what}, but got {got}")


def check_dimensions(what: str, dimensions: Sequence[int], rank: int) -> None:
    """Dimensions of a tensor must lie in its rank and be listed once."""
    for dim in dimensions:
        if not 0 <= dim < rank:
            raise VerifyException(f"{what} {dim} is out of range for rank {rank}")
    if len(set(dimensions)) != len(dimensions):
        raise VerifyException(f"{what} must be unique, but got {list(dimensions)}")


def bits_of(element_type: Attribute) -> int | None:
    """The width of an element type, where it is known."""
    match element_type:
        case IntegerType():
            return element_type.width.data
        case ComplexType():
            inner = bits_of(cast(Attribute, element_type.element_type))
            return None if inner is None else 2 * inner
        case _ if isinstance(element_type, AnyFloat):
            return element_type.bitwidth
        case _:
            return None

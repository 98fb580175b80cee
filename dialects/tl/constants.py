"""Constants of the `tl` dialect, literal and named, and the numbers that values are known to be."""

from __future__ import annotations

import math
from collections.abc import Sequence

from xdsl.dialects.builtin import (
    BFloat16Type,
    BoolAttr,
    Float16Type,
    Float32Type,
    Float64Type,
    FloatAttr,
    IntegerAttr,
    IntegerType,
)
from xdsl.interfaces import HasFolderInterface
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import ConstantLike, EffectInstance, MemoryEffect, MemoryEffectKind, Pure
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects.tl.types import (
    bit_width,
    is_bool,
    is_integer,
    is_unsigned,
)

ScalarAttr = IntegerAttr | FloatAttr


def scalar_attr(value: bool | int | float, element: Attribute) -> ScalarAttr:
    """A Python number as a constant of a Triton number type; raises VerifyException when it is none."""
    if isinstance(element, BFloat16Type | Float16Type | Float32Type | Float64Type):
        try:
            return FloatAttr(float(value), element)
        except OverflowError as error:
            raise VerifyException(f"{value} is not a value of type {element}") from error
    if not isa(element, IntegerType) or not (is_integer(element) or is_bool(element)):
        raise VerifyException(f"there are no constants of type {element}: cast one")
    if not math.isfinite(value) or int(value) != value:
        raise VerifyException(f"{value} is not a value of type {element}")
    if is_bool(element):
        if value not in (0, 1):
            raise VerifyException(f"{value} is not a value of type i1")
        return BoolAttr.from_bool(bool(value))
    bits = bit_width(element)
    low, high = (0, 1 << bits) if is_unsigned(element) else (-(1 << (bits - 1)), 1 << (bits - 1))
    if not low <= value < high:
        raise VerifyException(f"{value} is not a value of type {element}")
    return IntegerAttr(int(value), element)


class _ConstantOp(IRDLOperation):
    value = prop_def(ScalarAttr)
    result = result_def()

    def __init__(self, value: ScalarAttr):
        super().__init__(properties={"value": value}, result_types=[value.type])

    def verify_(self) -> None:
        if self.value.type != self.result.type:
            raise VerifyException(f"a value of type {self.value.type} does not make a {self.result.type}")
        scalar_attr(self.python_value, self.result.type)

    @property
    def python_value(self) -> bool | int | float:
        """The number as Python has it; i1 as a bool."""
        if isinstance(self.value, FloatAttr):
            return self.value.value.data
        value = self.value.value.data
        return bool(value) if is_bool(self.value.type) else value

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_attribute(self.value)
        printer.print_op_attributes(self.attributes)

    @classmethod
    def parse(cls, parser: Parser):
        value = parser.parse_attribute()
        if not isa(value, ScalarAttr):
            parser.raise_error(f"{cls.name} is a number such as `64 : i32` or `0.5 : f32`, got {value}")
        op = cls(value)
        op.attributes |= parser.parse_optional_attr_dict()
        return op


@irdl_op_definition
class ConstantOp(_ConstantOp, HasFolderInterface):
    """A literal, printed in place: `0`, `1.0`, `float("-inf")`, `True`."""

    name = "tl.constant"

    traits = traits_def(Pure(), ConstantLike())

    def fold(self) -> Sequence[SSAValue | Attribute]:
        return (self.value,)


class _MakesName(MemoryEffect):
    """An allocation of the op's own result."""

    @classmethod
    def get_effects(cls, op: Operation) -> set[EffectInstance]:
        return {EffectInstance(MemoryEffectKind.ALLOC, op.results[0])}


@irdl_op_definition
class ConstexprOp(_ConstantOp):
    """
    A named compile-time constant: `%BLOCK_N = tl.constexpr 64 : i32` prints `BLOCK_N: tl.constexpr = 64`.

    It stands directly in a `tl.jit`. It says that it allocates, so that common-subexpression elimination keeps
    two names for one number, while dead-code elimination still removes it.
    """

    name = "tl.constexpr"

    traits = traits_def(_MakesName())

    def verify_(self) -> None:
        super().verify_()
        parent = self.parent_op()
        if parent is not None and parent.name != "tl.jit":
            raise VerifyException(f"tl.constexpr stands directly in a tl.jit, not in a {parent.name}")


def constant_value(value: SSAValue) -> bool | int | float | None:
    """The number a value is known to be, or None."""
    return value.owner.python_value if isinstance(value.owner, ConstantOp | ConstexprOp) else None


def constant_size(value: SSAValue) -> int:
    """The size that a shape operand gives; raises VerifyException when it is no constant integer."""
    size = constant_value(value)
    if isinstance(size, bool) or not isinstance(size, int):
        raise VerifyException("a size is the result of a tl.constant or tl.constexpr of integer type")
    return size

"""Attributes of StableHLO, spelled as upstream prints them (`#stablehlo.dot<...>`, `#stablehlo<precision HIGH>`).

Source: the StableHLO specification and its dialect's printers.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeAlias

from xdsl.dialects.builtin import (
    I64,
    ArrayAttr,
    BoolAttr,
    FloatAttr,
    IntegerAttr,
    IntegerType,
    i64,
)
from xdsl.dialects.utils import EnumAttribute
from xdsl.ir import Attribute, ParametrizedAttribute, SpacedOpaqueSyntaxAttribute
from xdsl.irdl import irdl_attr_definition
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.utils.str_enum import StrEnum

IntegerList: TypeAlias = ArrayAttr[IntegerAttr[I64]]


def integer_list(values: Sequence[int]) -> IntegerList:
    """An array of 64-bit integer attributes, as dimension numbers hold them."""
    return ArrayAttr(IntegerAttr(value, i64) for value in values)


def integers(attr: IntegerList) -> tuple[int, ...]:
    """The plain integers of a list of dimension numbers."""
    return tuple(value.value.data for value in attr)


class ComparisonDirection(StrEnum):
    EQ = "EQ"
    NE = "NE"
    GE = "GE"
    GT = "GT"
    LE = "LE"
    LT = "LT"


class ComparisonType(StrEnum):
    NOTYPE = "NOTYPE"
    FLOAT = "FLOAT"
    TOTALORDER = "TOTALORDER"
    SIGNED = "SIGNED"
    UNSIGNED = "UNSIGNED"


class Precision(StrEnum):
    DEFAULT = "DEFAULT"
    HIGH = "HIGH"
    HIGHEST = "HIGHEST"


class ResultAccuracyMode(StrEnum):
    DEFAULT = "DEFAULT"
    HIGHEST = "HIGHEST"
    TOLERANCE = "TOLERANCE"


@irdl_attr_definition
class ComparisonDirectionAttr(EnumAttribute[ComparisonDirection], SpacedOpaqueSyntaxAttribute):
    """Which relation `stablehlo.compare` tests."""

    name = "stablehlo.comparison_direction"


@irdl_attr_definition
class ComparisonTypeAttr(EnumAttribute[ComparisonType], SpacedOpaqueSyntaxAttribute):
    """How `stablehlo.compare` reads the bits of its operands."""

    name = "stablehlo.comparison_type"


@irdl_attr_definition
class PrecisionAttr(EnumAttribute[Precision], SpacedOpaqueSyntaxAttribute):
    """The precision asked of one operand of `stablehlo.dot_general`."""

    name = "stablehlo.precision"


@irdl_attr_definition
class ResultAccuracyModeAttr(EnumAttribute[ResultAccuracyMode]):
    """How the accuracy of a transcendental function is stated."""

    name = "stablehlo.result_accuracy_mode"

    @classmethod
    def parse_parameter(cls, parser: AttrParser) -> ResultAccuracyMode:
        with parser.in_angle_brackets():
            return parser.parse_str_enum(ResultAccuracyMode)

    def print_parameter(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            printer.print_string(self.data.value)


class StructAttr(ParametrizedAttribute, abc.ABC):
    """An attribute printed as `<key = value, ...>`; keys that hold their default are left out."""

    DEFAULTS: ClassVar[Mapping[str, Attribute]] = {}
    """What a key means that was left out. A key that is not listed here must be given."""

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        def parse_entry() -> tuple[str, Attribute]:
            key = parser.parse_identifier(" for a field of " + cls.name)
            parser.parse_punctuation("=")
            return key, parser.parse_attribute()

        start = parser.pos
        entries = parser.parse_comma_separated_list(parser.Delimiter.ANGLE, parse_entry)
        given = dict(entries)
        names = [name for name, _ in cls.get_irdl_definition().parameters]
        if len(given) != len(entries) or not given.keys() <= set(names):
            parser.raise_error(
                f"{cls.name} takes each of the fields {', '.join(names)} at most once, "
                f"but got {', '.join(key for key, _ in entries)}",
                start,
                parser.pos,
            )
        values = {**cls.DEFAULTS, **given}
        if missing := [name for name in names if name not in values]:
            parser.raise_error(f"{cls.name} needs the fields {', '.join(missing)}", start, parser.pos)
        return [values[name] for name in names]

    def print_parameters(self, printer: Printer) -> None:
        names = [name for name, _ in self.get_irdl_definition().parameters]
        fields = [
            (name, value)
            for name, value in zip(names, self.parameters, strict=True)
            if self.DEFAULTS.get(name) != value
        ]
        with printer.in_angle_brackets():
            printer.print_list(fields, lambda field: _print_field(printer, *field))


def _print_field(printer: Printer, name: str, value: Attribute) -> None:
    printer.print_string(f"{name} = ")
    _print_untyped(printer, value)


def _print_untyped(printer: Printer, value: Attribute) -> None:
    """Upstream prints the numbers of such a field without their types."""
    match value:
        case ArrayAttr():
            with printer.in_square_brackets():
                printer.print_list(value, lambda element: _print_untyped(printer, element))
        case IntegerAttr(type=IntegerType()):
            printer.print_int(value.value.data, value.type)
        case FloatAttr():
            printer.print_float(value.value.data, value.type)
        case _:
            printer.print_attribute(value)


_NO_DIMENSIONS: IntegerList = integer_list(())


@irdl_attr_definition
class DotDimensionNumbersAttr(StructAttr):
    """Which dimensions of `stablehlo.dot_general`'s operands are batched, and which are summed over."""

    name = "stablehlo.dot"

    DEFAULTS: ClassVar[Mapping[str, Attribute]] = {
        "lhs_batching_dimensions": _NO_DIMENSIONS,
        "rhs_batching_dimensions": _NO_DIMENSIONS,
        "lhs_contracting_dimensions": _NO_DIMENSIONS,
        "rhs_contracting_dimensions": _NO_DIMENSIONS,
    }

    lhs_batching_dimensions: IntegerList
    rhs_batching_dimensions: IntegerList
    lhs_contracting_dimensions: IntegerList
    rhs_contracting_dimensions: IntegerList

    @staticmethod
    def get(
        lhs_batching: Sequence[int],
        rhs_batching: Sequence[int],
        lhs_contracting: Sequence[int],
        rhs_contracting: Sequence[int],
    ) -> DotDimensionNumbersAttr:
        """Dimension numbers from plain integers; the two batching (contracting) lists run in parallel."""
        return DotDimensionNumbersAttr(
            integer_list(lhs_batching),
            integer_list(rhs_batching),
            integer_list(lhs_contracting),
            integer_list(rhs_contracting),
        )


@irdl_attr_definition
class GatherDimensionNumbersAttr(StructAttr):
    """How `stablehlo.gather` maps its operand's and its indices' dimensions to its result's."""

    name = "stablehlo.gather"

    DEFAULTS: ClassVar[Mapping[str, Attribute]] = {
        "offset_dims": _NO_DIMENSIONS,
        "collapsed_slice_dims": _NO_DIMENSIONS,
        "operand_batching_dims": _NO_DIMENSIONS,
        "start_indices_batching_dims": _NO_DIMENSIONS,
        "start_index_map": _NO_DIMENSIONS,
        "index_vector_dim": IntegerAttr(0, i64),
    }

    offset_dims: IntegerList
    collapsed_slice_dims: IntegerList
    operand_batching_dims: IntegerList
    start_indices_batching_dims: IntegerList
    start_index_map: IntegerList
    index_vector_dim: IntegerAttr[I64]

    @staticmethod
    def get(
        *,
        offset_dims: Sequence[int] = (),
        collapsed_slice_dims: Sequence[int] = (),
        operand_batching_dims: Sequence[int] = (),
        start_indices_batching_dims: Sequence[int] = (),
        start_index_map: Sequence[int] = (),
        index_vector_dim: int = 0,
    ) -> GatherDimensionNumbersAttr:
        """Dimension numbers from plain integers."""
        return GatherDimensionNumbersAttr(
            integer_list(offset_dims),
            integer_list(collapsed_slice_dims),
            integer_list(operand_batching_dims),
            integer_list(start_indices_batching_dims),
            integer_list(start_index_map),
            IntegerAttr(index_vector_dim, i64),
        )


@irdl_attr_definition
class ScatterDimensionNumbersAttr(StructAttr):
    """How `stablehlo.scatter` maps its updates' and its indices' dimensions to its inputs'."""

    name = "stablehlo.scatter"

    DEFAULTS: ClassVar[Mapping[str, Attribute]] = {
        "update_window_dims": _NO_DIMENSIONS,
        "inserted_window_dims": _NO_DIMENSIONS,
        "input_batching_dims": _NO_DIMENSIONS,
        "scatter_indices_batching_dims": _NO_DIMENSIONS,
        "scatter_dims_to_operand_dims": _NO_DIMENSIONS,
        "index_vector_dim": IntegerAttr(0, i64),
    }

    update_window_dims: IntegerList
    inserted_window_dims: IntegerList
    input_batching_dims: IntegerList
    scatter_indices_batching_dims: IntegerList
    scatter_dims_to_operand_dims: IntegerList
    index_vector_dim: IntegerAttr[I64]


@irdl_attr_definition
class DotAlgorithmAttr(StructAttr):
    """The arithmetic that `stablehlo.dot_general` must use: operand and accumulation types."""

    name = "stablehlo.dot_algorithm"

    lhs_precision_type: Attribute
    rhs_precision_type: Attribute
    accumulation_type: Attribute
    lhs_component_count: IntegerAttr[I64]
    rhs_component_count: IntegerAttr[I64]
    num_primitive_operations: IntegerAttr[I64]
    allow_imprecise_accumulation: BoolAttr


@irdl_attr_definition
class ResultAccuracyAttr(StructAttr):
    """The error that a transcendental function may make: absolute, relative, and in units of the last place."""

    name = "stablehlo.result_accuracy"

    DEFAULTS: ClassVar[Mapping[str, Attribute]] = {
        "atol": FloatAttr(0.0, 64),
        "rtol": FloatAttr(0.0, 64),
        "ulps": IntegerAttr(0, i64),
    }

    atol: FloatAttr
    rtol: FloatAttr
    ulps: IntegerAttr[I64]
    mode: ResultAccuracyModeAttr

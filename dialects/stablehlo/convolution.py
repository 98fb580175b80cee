"""StableHLO's convolution.

Source: the StableHLO specification, whose sections have the ops' names.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import DYNAMIC_INDEX, ArrayAttr, DenseArrayBase, DenseIntOrFPElementsAttr, IntegerAttr
from xdsl.ir import Attribute, ParametrizedAttribute
from xdsl.irdl import (
    irdl_attr_definition,
    irdl_op_definition,
    operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import AttrParser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.stablehlo.attributes import IntegerList, PrecisionAttr, integer_list, integers
from flashlower.dialects.stablehlo.base import (
    AnyTensor,
    StableHLOOp,
    check_count,
    check_shape,
    i64_values,
    type_of,
)
from flashlower.dialects.stablehlo.reduction import Window

_ROLES = (("b", "f"), ("i", "o"), ("b", "f"))
"""The letters of the first two roles of input, kernel and output; the others are spatial dimensions, by number."""


@irdl_attr_definition
class ConvDimensionNumbersAttr(ParametrizedAttribute):
    """
    Which dimension has which role, printed as `<[b, f, 0, 1]x[o, i, 0, 1]->[b, f, 0, 1]>`.

    Each list holds dimensions by role: of the input and the output the batch (b), the feature (f) and the spatial
    dimensions in order; of the kernel the input feature (i), the output feature (o) and the spatial dimensions.
    """

    name = "stablehlo.conv"

    input: IntegerList
    kernel: IntegerList
    output: IntegerList

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        with parser.in_angle_brackets():
            lists = [_parse_roles(parser, *_ROLES[0])]
            parser.parse_keyword("x")
            lists.append(_parse_roles(parser, *_ROLES[1]))
            parser.parse_punctuation("->")
            lists.append(_parse_roles(parser, *_ROLES[2]))
        return lists

    def print_parameters(self, printer: Printer) -> None:
        with printer.in_angle_brackets():
            for separator, dimensions, letters in zip(
                ("", "x", "->"), (self.input, self.kernel, self.output), _ROLES, strict=True
            ):
                places = integers(dimensions)
                roles = [*letters, *map(str, range(len(places) - 2))]
                printer.print_string(separator)
                with printer.in_square_brackets():
                    printer.print_string(", ".join(roles[places.index(i)] for i in range(len(places))))


def _parse_roles(parser: AttrParser, *letters: str) -> IntegerList:
    """The dimension of each role, from the role of each dimension."""

    def parse_role() -> str:
        number = parser.parse_optional_integer(allow_boolean=False, allow_negative=False)
        return parser.parse_identifier() if number is None else str(number)

    start = parser.pos
    found = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parse_role)
    roles = [*letters, *map(str, range(len(found) - 2))]
    if sorted(found) != sorted(roles):
        parser.raise_error(f"expected the roles {', '.join(roles)} once each", start, parser.pos)
    return integer_list([found.index(role) for role in roles])


@irdl_op_definition
class ConvolutionOp(StableHLOOp):
    """
    Sums of products of the kernel and windows that slide over the padded input.

    `lhs_dilation` spreads the elements of the input, `rhs_dilation` those of the kernel, `window_reversal` turns the
    kernel around. Groups divide the features, or the batch, into parts that have a kernel each.
    """

    name = "stablehlo.convolution"

    lhs = operand_def(AnyTensor)
    rhs = operand_def(AnyTensor)
    window_strides = opt_prop_def(DenseArrayBase)
    padding = opt_prop_def(DenseIntOrFPElementsAttr)
    lhs_dilation = opt_prop_def(DenseArrayBase)
    rhs_dilation = opt_prop_def(DenseArrayBase)
    window_reversal = opt_prop_def(DenseArrayBase)
    dimension_numbers = prop_def(ConvDimensionNumbersAttr)
    feature_group_count = prop_def(IntegerAttr)
    batch_group_count = prop_def(IntegerAttr)
    precision_config = opt_prop_def(ArrayAttr[PrecisionAttr])
    result = result_def(AnyTensor)

    traits = traits_def(Pure())

    @property
    def window(self) -> tuple[Window, ...]:
        """The parameters of each spatial dimension, with their defaults filled in."""
        kernel = type_of(self.rhs).get_shape()
        sizes = [kernel[dim] for dim in integers(self.dimension_numbers.kernel)[2:]]

        def values(attr: DenseArrayBase | None) -> Sequence[int]:
            return (1,) * len(sizes) if attr is None else i64_values(attr)

        flat = (0,) * (2 * len(sizes)) if self.padding is None else self.padding.get_values()
        dilations = values(self.lhs_dilation), values(self.rhs_dilation)
        strides = values(self.window_strides)
        return tuple(
            Window(*parameters) for parameters in zip(sizes, strides, *dilations, flat[::2], flat[1::2], strict=True)
        )

    @property
    def reversed_dimensions(self) -> tuple[int, ...]:
        """The spatial dimensions, by number, in which the kernel is turned around."""
        flags = () if self.window_reversal is None else i64_values(self.window_reversal)
        return tuple(dim for dim, flag in enumerate(flags) if flag)

    def verify_(self) -> None:
        lhs, rhs, result = (type_of(value).get_shape() for value in (self.lhs, self.rhs, self.result))
        numbers = self.dimension_numbers
        for what, shape, dimensions in (
            ("lhs", lhs, numbers.input),
            ("rhs", rhs, numbers.kernel),
            ("result", result, numbers.output),
        ):
            check_count(f"dimensions of {what}", len(shape), len(dimensions))
            check_count(f"dimension numbers of {what}", len(dimensions), len(numbers.input))
        self._verify_window()
        groups = self._verify_groups(lhs, rhs)
        batch, _, *spatial = integers(numbers.input)
        _, kernel_out, *_ = integers(numbers.kernel)
        sizes = [
            lhs[batch] if lhs[batch] == DYNAMIC_INDEX else lhs[batch] // groups,
            rhs[kernel_out],
            *(window.count(lhs[dim]) for window, dim in zip(self.window, spatial, strict=True)),
        ]
        by_dimension = dict(zip(integers(numbers.output), sizes, strict=True))
        check_shape("result", result, [by_dimension[dim] for dim in range(len(sizes))])

    def _verify_window(self) -> None:
        spatial = len(self.dimension_numbers.input) - 2
        for what, attr, least in (
            ("window_strides", self.window_strides, 1),
            ("lhs_dilation", self.lhs_dilation, 1),
            ("rhs_dilation", self.rhs_dilation, 1),
            ("window_reversal", self.window_reversal, None),
        ):
            if attr is not None:
                check_count(f"values of {what}", len(attr), spatial)
                if least is not None and any(value < least for value in i64_values(attr)):
                    raise VerifyException(f"{what} must be at least {least}, but got {list(i64_values(attr))}")
        if self.padding is not None:
            check_shape("padding", self.padding.get_shape(), (spatial, 2))

    def _verify_groups(self, lhs: Sequence[int], rhs: Sequence[int]) -> int:
        """Groups must divide what they are groups of. Returns the number of groups of the batch."""
        batch, feature, *_ = integers(self.dimension_numbers.input)
        kernel_in, kernel_out, *_ = integers(self.dimension_numbers.kernel)
        features, batches = self.feature_group_count.value.data, self.batch_group_count.value.data
        if min(features, batches) != 1:
            raise VerifyException(
                f"one of feature_group_count and batch_group_count must be 1, and the other at least 1, but got "
                f"{features} and {batches}"
            )
        if DYNAMIC_INDEX not in (lhs[feature], rhs[kernel_in]) and lhs[feature] != rhs[kernel_in] * features:
            raise VerifyException(
                f"lhs has {lhs[feature]} features, but expected {features} groups of {rhs[kernel_in]}"
            )
        for what, size, groups in (
            ("output features of rhs", rhs[kernel_out], features * batches),
            ("batch of lhs", lhs[batch], batches),
        ):
            if size != DYNAMIC_INDEX and size % groups:
                raise VerifyException(f"{what} of size {size} cannot be divided into {groups} groups")
        return batches


CONVOLUTION_OPS = [ConvolutionOp]

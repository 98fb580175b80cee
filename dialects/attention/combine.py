"""`attention.combine`: puts the results of `attention.partial` together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self, cast

from xdsl.dialects.builtin import DYNAMIC_INDEX, AffineMapAttr, AnyFloat, TensorType, f32, f64
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    opt_result_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.attention.assembly import (
    new_line,
    parse_optional_clause,
    parse_result,
    print_clause,
    print_extra_attributes,
    print_results,
)
from flashlower.dialects.attention.attributes import ScheduleAttr
from flashlower.dialects.attention.base import AttentionCanonicalizationTrait
from flashlower.dialects.attention.layout import INNER_DIMS, DimSizes, batch_rank_of, index_names, resolve_layout
from flashlower.dialects.attention.types import TensorOf
from flashlower.dialects.attention.verification import verify_covered, verify_lse_type, verify_sinks


@irdl_op_definition
class CombineOp(IRDLOperation):
    """
    Puts splits together: flash decoding's second step.

    For inputs `partial` [b..., h, g, split, m, d] and `partial_lse` [b..., h, g, split, m]:

        lse    = log(sum_i exp(partial_lse[i]) + exp(sink))      (no sink: without that term)
        out[d] = sum_i exp(partial_lse[i] - lse) * partial[i, d]

    A split with lse = -inf has weight 0. Where every split has, out = 0 and lse = -inf (or the sink). The sums are
    in the type of the inputs, and `out` is rounded once to its type. (Dao et al., "Flash-Decoding for long-context
    inference", 2023.)

    With `partial_sum` [b..., h, g, split, m] the same is computed from what each split has as its maximum m[i] and
    the sum beside it, which keeps the sum where the LSE rounds its log away (see `attention.partial`):

        m[i]   = partial_lse[i] - log(partial_sum[i])            (-inf where partial_sum[i] = 0)
        M      = max_i m[i], or the sink if that is larger
        w[i]   = partial_sum[i] * exp(m[i] - M)
        total  = sum_i w[i] + exp(sink - M)
        lse    = M + log(total)
        out[d] = sum_i w[i] * partial[i, d] / total

    A split with partial_sum = 0 has weight 0.
    """

    name = "attention.combine"

    partial = operand_def(TensorType)
    partial_lse = operand_def(TensorType)
    partial_sum = opt_operand_def(TensorType)
    sinks = opt_operand_def(TensorType)
    sinks_layout = opt_prop_def(AffineMapAttr)

    output = result_def(TensorType)
    lse = opt_result_def(TensorType)
    output_layout = prop_def(AffineMapAttr)
    lse_layout = opt_prop_def(AffineMapAttr)
    schedule = opt_prop_def(ScheduleAttr)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure(), AttentionCanonicalizationTrait())

    def __init__(
        self,
        partial: SSAValue,
        partial_lse: SSAValue,
        layouts: Mapping[str, AffineMapAttr],
        output_type: Attribute,
        *,
        partial_sum: SSAValue | None = None,
        sinks: SSAValue | None = None,
        lse_type: Attribute | None = None,
        schedule: ScheduleAttr | None = None,
        attributes: Mapping[str, Attribute] | None = None,
    ):
        """`layouts` has the key out, and sinks and lse where those are given."""
        super().__init__(
            operands=[partial, partial_lse, partial_sum, sinks],
            result_types=[output_type, lse_type],
            properties={
                "sinks_layout": None if sinks is None else layouts["sinks"],
                "output_layout": layouts["out"],
                "lse_layout": None if lse_type is None else layouts["lse"],
                "schedule": schedule,
            },
            attributes=dict(attributes or {}),
        )

    @property
    def batch_rank(self) -> int:
        """The number of batch dimensions."""
        return self.output_layout.data.num_dims - len(INNER_DIMS)

    @property
    def num_splits(self) -> int:
        """The number of splits."""
        return cast(TensorOf, self.partial_lse.type).get_shape()[-2]

    def dim_sizes(self) -> dict[str, int]:
        """Sizes of the iteration dimensions; n and k, which a combine does not have, are 1."""
        shape = cast(TensorOf, self.partial.type).get_shape()
        *batch, heads, group, _, queries, head_size = shape
        sizes = DimSizes.of(self.batch_rank).by_name()
        for name, size in zip(sizes, batch):
            sizes[name] = size
        return {**sizes, "h": heads, "g": group, "m": queries, "d": head_size}

    def verify_(self) -> None:
        partial = cast(TensorOf, self.partial.type)
        rank = self.batch_rank + 5
        if partial.get_num_dims() != rank:
            raise VerifyException(f"partial has rank {partial.get_num_dims()}, expected {rank}")
        expected = TensorType(partial.element_type, partial.get_shape()[:-1])
        for name, value in (("lse", self.partial_lse), ("sum", self.partial_sum)):
            if value is not None and value.type != expected:
                raise VerifyException(
                    f"{name} has type {value.type}, expected {expected} for partial of type {partial}"
                )
        if partial.element_type not in (f32, f64):
            raise VerifyException(f"partial has element type {partial.element_type}, expected f32 or f64")
        if self.num_splits == DYNAMIC_INDEX:
            raise VerifyException("the number of splits must be static")
        for name, value, layout in (
            ("sinks", self.sinks, self.sinks_layout),
            ("lse", self.lse, self.lse_layout),
        ):
            if (value is None) != (layout is None):
                raise VerifyException(f"{name} and {name}_layout must be given together")
        sizes = self.dim_sizes()
        seen_at = dict.fromkeys(range(len(sizes)), "partial")
        given = DimSizes(index_names(self.batch_rank), dict(enumerate(sizes.values())), seen_at)
        given.add("out", self.output.type.get_shape(), self.output_layout.data)
        verify_covered(self.output_layout, sizes, "out", "hgmd", self.batch_rank)
        if self.sinks is not None and self.sinks_layout is not None:
            given.add("sinks", cast(TensorOf, self.sinks.type).get_shape(), self.sinks_layout.data)
        verify_sinks(self.sinks, self.sinks_layout)
        if self.lse is not None and self.lse_layout is not None:
            given.add("lse", self.lse.type.get_shape(), self.lse_layout.data)
            verify_covered(self.lse_layout, sizes, "lse", "hgm", self.batch_rank)
        verify_lse_type(self.lse, cast(AnyFloat, partial.element_type))

    def print(self, printer: Printer) -> None:
        for name, value in (("partial", self.partial), ("lse", self.partial_lse), ("sum", self.partial_sum)):
            if value is None:
                continue
            new_line(printer)
            printer.print_string(name)
            with printer.in_parens():
                printer.print_ssa_value(value)
                printer.print_string(" : ")
                printer.print_attribute(value.type)
        if self.sinks is not None and self.sinks_layout is not None:
            print_clause(printer, "sinks", self.sinks, self.sinks_layout)
        if self.schedule is not None:
            new_line(printer)
            printer.print_string("schedule")
            self.schedule.print_parameters(printer)
        print_extra_attributes(printer, self)
        results = [("out", self.output_layout, self.output.type)]
        if self.lse is not None and self.lse_layout is not None:
            results.append(("lse", self.lse_layout, self.lse.type))
        print_results(printer, results)

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        operands: list[SSAValue | None] = []
        for name in ("partial", "lse", "sum"):
            if name != "sum":
                parser.parse_keyword(name)
            elif parser.parse_optional_keyword(name) is None:
                operands.append(None)
                break
            with parser.in_parens():
                operand = parser.parse_unresolved_operand()
                parser.parse_punctuation(":")
                operands.append(parser.resolve_operand(operand, parser.parse_type()))
        sinks = parse_optional_clause(parser, "sinks")
        operands.append(sinks.value if sinks else None)
        schedule = None
        if parser.parse_optional_keyword("schedule") is not None:
            schedule = ScheduleAttr.parse(parser)
        attributes = parser.parse_optional_attr_dict_with_keyword()
        parser.parse_punctuation("->")
        out_layout, out_type = parse_result(parser, "out")
        lse_layout, lse_type = parse_result(parser, "lse") if parser.parse_optional_punctuation(",") else (None, None)
        layouts = [layout for layout in (out_layout, lse_layout, sinks.layout if sinks else None) if layout]
        partial_type = cast(SSAValue, operands[0]).type
        rank = len(cast(TensorOf, partial_type).get_shape()) - 5 if isinstance(partial_type, TensorType) else 0
        rank = max(rank, batch_rank_of(layouts))
        return cls.build(
            operands=operands,
            result_types=[out_type, lse_type],
            properties={
                "sinks_layout": resolve_layout(sinks.layout, rank) if sinks else None,
                "output_layout": resolve_layout(out_layout, rank),
                "lse_layout": None if lse_layout is None else resolve_layout(lse_layout, rank),
                "schedule": schedule,
            },
            attributes=dict(attributes.data) if attributes is not None else {},
        )

"""The assembly format that `attention.sdpa` and `attention.partial` share, printed and parsed."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import AffineMapAttr, FloatAttr, f64
from xdsl.ir import Attribute, Region, SSAValue
from xdsl.parser import Parser
from xdsl.printer import Printer

from flashlower.dialects.attention.assembly import (
    Clause,
    new_line,
    parse_clause,
    parse_optional_clause,
    parse_scalar,
    print_clause,
    print_extra_attributes,
    print_scalar,
)
from flashlower.dialects.attention.attributes import ScheduleAttr
from flashlower.dialects.attention.base import OPERANDS, AttentionOp, YieldOp
from flashlower.dialects.attention.bounds import Bounds, KeyIntervalAttr, parse_interval
from flashlower.dialects.attention.layout import NamedTerms, batch_rank_of, resolve_layout
from flashlower.dialects.attention.quantization import PARTS, QuantizationAttr
from flashlower.dialects.attention.score import build_score_region, indices_of, score_arg_names
from flashlower.dialects.attention.score_syntax import match_score_forms, parse_score_forms, print_score_forms
from flashlower.dialects.attention.types import accumulator_type


def print_operands(op: AttentionOp, printer: Printer) -> None:
    """Prints the clauses of the operands, each on a line of its own."""
    for name, value, layout in AttentionOp.layouts(op):
        print_clause(printer, name, value, layout)
        if (attr := {"k": op.key_quantization, "v": op.value_quantization}.get(name)) is not None:
            printer.print_string(" quantized(")
            attr.print_fields(printer)
            printer.print_string(")")


def print_score(op: AttentionOp, printer: Printer) -> None:
    """Prints the scale, the score region, bounds, the schedule and discardable attributes."""
    new_line(printer)
    printer.print_string("scale(")
    printer.print_float(op.scale.value.data, op.scale.type)
    printer.print_string(")")
    if op.score.blocks:
        new_line(printer)
        printer.print_string("score")
        if (forms := match_score_forms(op.score)) is not None:
            with printer.in_parens():
                print_score_forms(forms, printer)
        else:
            printer.print_string(" ")
            with printer.indented(2):
                printer.print_region(op.score)
    _print_bounds(op, printer)
    if op.schedule is not None:
        new_line(printer)
        printer.print_string("schedule")
        op.schedule.print_parameters(printer)
    print_extra_attributes(printer, op)


def _print_bounds(op: AttentionOp, printer: Printer) -> None:
    for name, interval in (("reach", op.reach), ("unmasked", op.unmasked)):
        if interval is not None:
            new_line(printer)
            printer.print_string(name)
            with printer.in_parens():
                interval.print_interval(printer)
    if op.bound_scalars:
        new_line(printer)
        printer.print_string("scalars")
        with printer.in_parens():
            printer.print_list(op.bounds.scalars, lambda scalar: print_scalar(printer, *scalar))


class Clauses:
    """The clauses that sdpa and partial share, as parsed; layouts wait for the batch rank."""

    def __init__(self, parser: Parser):
        self.parser = parser
        self.query = parse_clause(parser, "q")
        self.quantization: dict[str, QuantizationAttr | None] = {}
        self.key = self._parse_quantized("k")
        self.value = self._parse_quantized("v")
        self.block_table = parse_optional_clause(parser, "block_table")
        self.rows = parse_optional_clause(parser, "rows")
        self.kv_lens = parse_optional_clause(parser, "kv_lens")
        self.sinks = parse_optional_clause(parser, "sinks")

    def _parse_quantized(self, name: str) -> list[Clause | None]:
        """K or V, and what stands beside it."""
        parser = self.parser
        clauses: list[Clause | None] = [parse_clause(parser, name)]
        self.quantization[name] = None
        if parser.parse_optional_keyword("quantized") is not None:
            with parser.in_parens():
                self.quantization[name] = QuantizationAttr.new(QuantizationAttr.parse_fields(parser))
        return [*clauses, *(parse_optional_clause(parser, f"{name}_{part}") for part in PARTS)]

    def _clauses(self) -> tuple[Clause | None, ...]:
        return self.query, *self.key, *self.value, self.block_table, self.rows, self.kv_lens, self.sinks

    def parse_score(self) -> None:
        parser = self.parser
        parser.parse_keyword("scale")
        with parser.in_parens():
            self.scale = FloatAttr(float(parser.parse_number()), f64)
        self.score_region = Region()
        self.forms = None
        if parser.parse_optional_keyword("score") is not None:
            if parser.parse_optional_punctuation("(") is not None:
                self.forms = parse_score_forms(parser, accumulator_type(self.query.value.type))
                parser.parse_punctuation(")")
            else:
                self.score_region = parser.parse_region()
        self._parse_bounds()
        self.schedule = None
        if parser.parse_optional_keyword("schedule") is not None:
            self.schedule = ScheduleAttr.parse(parser)
        attributes = parser.parse_optional_attr_dict_with_keyword()
        self.attributes = dict(attributes.data) if attributes is not None else {}

    def _parse_bounds(self) -> None:
        parser = self.parser
        intervals: dict[str, KeyIntervalAttr | None] = {}
        for name in ("reach", "unmasked"):
            intervals[name] = None
            if parser.parse_optional_keyword(name) is not None:
                with parser.in_parens():
                    intervals[name] = parse_interval(parser)
        self.scalars: list[Clause] = []
        if parser.parse_optional_keyword("scalars") is not None:
            self.scalars = parser.parse_comma_separated_list(parser.Delimiter.PAREN, lambda: parse_scalar(parser))
        self.intervals = intervals

    def finish(self, result_layouts: Sequence[NamedTerms] = ()) -> None:
        """Resolves what depends on the batch rank, which results may be the only ones to name."""
        self.batch_rank = batch_rank_of([*(c.layout for c in (*self._clauses(), *self.scalars) if c), *result_layouts])
        if self.forms is not None:
            known = score_arg_names(self.batch_rank)[1:]
            for name in indices_of(self.forms):
                if name not in known:
                    self.parser.raise_error(f"'{name}' is no index of the score region: {', '.join(known)}")
            self.score_region = build_score_region(
                self.forms, self.batch_rank, accumulator_type(self.query.value.type), YieldOp
            )

    def layout(self, layout: NamedTerms) -> AffineMapAttr:
        return resolve_layout(layout, self.batch_rank)

    def operands(self) -> list[SSAValue | list[SSAValue] | None]:
        """The operands, in the order of their definition."""
        return [*(clause.value if clause else None for clause in self._clauses()), self.bounds().operands()]

    def properties(self) -> dict[str, Attribute | None]:
        return {
            **{
                f"{name}_layout": self.layout(clause.layout) if clause else None
                for name, clause in zip(OPERANDS, self._clauses())
            },
            "key_quantization": self.quantization["k"],
            "value_quantization": self.quantization["v"],
            "scale": self.scale,
            "schedule": self.schedule,
            **self.bounds().properties(),
        }

    def bounds(self) -> Bounds:
        scalars = [(scalar.value, self.layout(scalar.layout)) for scalar in self.scalars]
        return Bounds(self.intervals["reach"], self.intervals["unmasked"], scalars)

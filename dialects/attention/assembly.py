"""Shared pieces of the assembly format of attention operations: clauses such as `q(%q[b, h, m, k] : tensor<...>)`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import AffineMapAttr, TensorType
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.hints import isa

from flashlower.dialects.attention.layout import NamedTerms, layout_to_str, parse_named_layout


@dataclass
class Clause:
    """A parsed `keyword(%value[layout] : type)`."""

    value: SSAValue
    layout: NamedTerms


def parse_optional_clause(parser: Parser, keyword: str) -> Clause | None:
    """Parses `keyword(%value[layout] : type)` if the keyword comes next."""
    if parser.parse_optional_keyword(keyword) is None:
        return None
    with parser.in_parens():
        operand = parser.parse_unresolved_operand()
        layout = parse_named_layout(parser)
        parser.parse_punctuation(":")
        return Clause(parser.resolve_operand(operand, parser.parse_type()), layout)


def parse_clause(parser: Parser, keyword: str) -> Clause:
    """Parses `keyword(%value[layout] : type)`."""
    if (clause := parse_optional_clause(parser, keyword)) is None:
        parser.raise_error(f"expected {keyword}(%value[indices] : type)")
    return clause


def print_clause(printer: Printer, keyword: str, value: SSAValue, layout: AffineMapAttr) -> None:
    """Prints `keyword(%value[layout] : type)` on a line of its own."""
    new_line(printer)
    printer.print_string(keyword)
    with printer.in_parens():
        printer.print_ssa_value(value)
        printer.print_string(layout_to_str(layout.data) + " : ")
        printer.print_attribute(value.type)


def parse_scalar(parser: Parser) -> Clause:
    """Parses `%value[layout] : tensor<...>` or `%value : type`."""
    operand = parser.parse_unresolved_operand()
    layout: NamedTerms = []
    if parser.parse_optional_punctuation(":") is None:
        layout = parse_named_layout(parser)
        parser.parse_punctuation(":")
    return Clause(parser.resolve_operand(operand, parser.parse_type()), layout)


def print_scalar(printer: Printer, value: SSAValue, layout: AffineMapAttr) -> None:
    """Prints `%value[layout] : tensor<...>`, or `%value : type` for what is no tensor."""
    printer.print_ssa_value(value)
    type = value.type
    if isa(type, TensorType[Attribute]):
        printer.print_string(layout_to_str(layout.data))
    printer.print_string(" : ")
    printer.print_attribute(type)


def new_line(printer: Printer) -> None:
    """Starts a continuation line of the operation that is being printed."""
    with printer.indented(2):
        printer.print_string("\n")


def print_results(printer: Printer, results: Sequence[tuple[str, AffineMapAttr, Attribute]]) -> None:
    """Prints `-> out[b, h, m, d] : type, lse[b, h, m] : type` on a line of its own."""
    new_line(printer)
    printer.print_string("-> ")
    for i, (name, layout, type) in enumerate(results):
        printer.print_string((", " if i else "") + name + layout_to_str(layout.data) + " : ")
        printer.print_attribute(type)


def parse_result(parser: Parser, name: str) -> tuple[NamedTerms, Attribute]:
    """Parses `name[layout] : type`."""
    parser.parse_keyword(name)
    layout = parse_named_layout(parser)
    parser.parse_punctuation(":")
    return layout, parser.parse_type()


def print_extra_attributes(printer: Printer, op: Operation) -> None:
    """Prints the discardable attributes as `attributes {...}` on a line of their own, if there are any."""
    if op.attributes:
        new_line(printer)
        printer.print_op_attributes(op.attributes, print_keyword=True)

"""The short forms of score regions as text: found in a region, printed, and parsed. `score` says what they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from xdsl.dialects import arith, tensor
from xdsl.dialects import math as math_dialect
from xdsl.dialects.builtin import AnyFloat, FloatAttr, TensorType, i1
from xdsl.ir import Attribute, BlockArgument, Region, SSAValue
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.transforms.canonicalization_patterns.utils import const_evaluate_operand
from xdsl.utils.hints import isa

from flashlower.dialects.attention.masks import float_constant
from flashlower.dialects.attention.score import (
    Access,
    Alibi,
    Bias,
    Causal,
    Mask,
    ScoreForm,
    SoftCap,
    Window,
    build_score_region,
    score_arg_names,
)


def _offset_from(value: SSAValue, base: SSAValue) -> int | None:
    """c where value is `base + c`."""
    if value == base:
        return 0
    op = value.owner
    if isinstance(op, arith.AddiOp) and op.lhs == base:
        return const_evaluate_operand(op.rhs)
    return None


def _match_access(value: SSAValue, names: dict[SSAValue, str]) -> Access | None:
    """The read of a captured tensor that `value` is, if it is one by plain indices."""
    op = value.owner
    if isinstance(op, arith.ExtFOp | arith.TruncFOp):
        op = op.input.owner
    if not isinstance(op, tensor.ExtractOp):
        return None
    indices: list[str | None] = []
    for index in op.indices:
        if index not in names and const_evaluate_operand(index) != 0:
            return None
        indices.append(names.get(index))
    return Access(op.tensor, tuple(indices))


def _match_step(value: SSAValue, args: dict[str, SSAValue]) -> tuple[ScoreForm, SSAValue] | None:
    """The short form that may have made `value`, and the logit that it was made from."""
    names = {arg: name for name, arg in args.items()}
    n, m = args["n"], args["m"]
    match value.owner:
        case arith.SelectOp(cond=cond, lhs=s, rhs=otherwise):
            if float_constant(otherwise) != -math.inf:
                return None
            match cond.owner:
                case arith.CmpiOp(lhs=lhs, rhs=rhs) if lhs == n:
                    offset = _offset_from(rhs, m)
                    return None if offset is None else (Causal(offset), s)
                case arith.AndIOp(lhs=above, rhs=below):
                    if isinstance(above.owner, arith.CmpiOp) and isinstance(below.owner, arith.CmpiOp):
                        first = _offset_from(above.owner.rhs, m)
                        last = _offset_from(below.owner.rhs, m)
                        return None if first is None or last is None else (Window(first, last), s)
                case _:
                    access = _match_access(cond, names)
                    return None if access is None else (Mask(access), s)
        case arith.AddfOp(lhs=s, rhs=addend):
            if (access := _match_access(addend, names)) is not None:
                return Bias(access), s
            match addend.owner:
                case arith.MulfOp(lhs=slope, rhs=distance):
                    access = _match_access(slope, names)
                    cast_op = distance.owner
                    index = cast_op.input.owner if isinstance(cast_op, arith.SIToFPOp) else None
                    sub = index.input.owner if isinstance(index, arith.IndexCastOp) else None
                    if access is None or not isinstance(sub, arith.SubiOp):
                        return None
                    offset = _offset_from(sub.rhs, m)
                    return None if offset is None else (Alibi(access, offset), s)
                case _:
                    return None
        case arith.MulfOp(lhs=tanh, rhs=cap):
            tanh_op, number = tanh.owner, float_constant(cap)
            # Infinities and NaN are printed as bits, which the parser of the form would take for an integer.
            if isinstance(tanh_op, math_dialect.TanhOp) and number is not None and math.isfinite(number):
                div = tanh_op.operand.owner
                if isinstance(div, arith.DivfOp):
                    return SoftCap(FloatAttr(number, cast(AnyFloat, cap.type))), div.lhs
        case _:
            pass
    return None


def match_score_forms(region: Region) -> list[ScoreForm] | None:
    """The short forms that a score region is exactly made of, or None if it is not."""
    block = region.block
    args: dict[str, SSAValue] = dict(zip(score_arg_names(len(block.args) - 4), block.args))
    terminator = block.last_op
    if terminator is None or len(terminator.operands) != 1:
        return None
    forms: list[ScoreForm] = []
    value = terminator.operands[0]
    while value != args["s"]:
        if isinstance(value, BlockArgument) or (step := _match_step(value, args)) is None:
            return None
        forms.insert(0, step[0])
        value = step[1]
    if not forms:
        return None
    rebuilt = build_score_region(forms, len(block.args) - 4, args["s"].type, type(terminator))
    same = rebuilt.is_structurally_equivalent(region)
    rebuilt.drop_all_references()
    return forms if same else None


def print_score_forms(forms: Sequence[ScoreForm], printer: Printer) -> None:
    """Prints `causal(n <= m) bias(%bias[hq, n])`."""
    for i, form in enumerate(forms):
        printer.print_string((" " if i else "") + form.keyword)
        with printer.in_parens():
            form.print_arguments(printer)


def _parse_access(parser: Parser) -> Access:
    operand = parser.parse_unresolved_operand()

    def index() -> str | None:
        if (constant := parser.parse_optional_integer(allow_negative=False)) is not None:
            if constant:
                parser.raise_error(f"a constant index of a short form must be 0, got {constant}")
            return None
        return parser.parse_identifier(" (an index of the score region)")

    indices = tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, index))
    parser.parse_punctuation(":")
    pos = parser.pos
    type = parser.parse_type()
    if not isa(type, TensorType):
        parser.raise_error(f"expected a tensor, got {type}", pos, parser.pos)
    if len(indices) != type.get_num_dims():
        parser.raise_error(f"{type} is read at {len(indices)} indices, expected {type.get_num_dims()}", pos, parser.pos)
    return Access(parser.resolve_operand(operand, type), indices)


def _parse_float_access(parser: Parser) -> Access:
    pos = parser.pos
    access = _parse_access(parser)
    type = cast(TensorType[Attribute], access.source.type)
    if not isinstance(type.element_type, AnyFloat):
        parser.raise_error(f"expected a tensor of floats, got {type}", pos, parser.pos)
    return access


def _parse_offset(parser: Parser) -> int:
    if parser.parse_optional_punctuation("+") is not None:
        return parser.parse_integer(allow_negative=False)
    if parser.parse_optional_punctuation("-") is not None:
        return -parser.parse_integer(allow_negative=False)
    return 0


def _parse_causal(parser: Parser) -> ScoreForm:
    parser.parse_keyword("n")
    _parse_less_equal(parser)
    parser.parse_keyword("m")
    return Causal(_parse_offset(parser))


def _parse_less_equal(parser: Parser) -> None:
    parser.parse_punctuation("<")
    parser.parse_punctuation("=")


def _parse_window(parser: Parser) -> ScoreForm:
    parser.parse_keyword("m")
    first = _parse_offset(parser)
    _parse_less_equal(parser)
    parser.parse_keyword("n")
    _parse_less_equal(parser)
    parser.parse_keyword("m")
    return Window(first, _parse_offset(parser))


def _parse_alibi(parser: Parser) -> ScoreForm:
    access = _parse_float_access(parser)
    parser.parse_punctuation(",")
    parser.parse_keyword("n")
    parser.parse_punctuation("-")
    parser.parse_keyword("m")
    return Alibi(access, -_parse_offset(parser))


def parse_score_forms(parser: Parser, element_type: Attribute) -> list[ScoreForm]:
    """Parses any number of short forms; `element_type` is the type of the logit."""
    forms: list[ScoreForm] = []
    keywords = ("causal", "window", "mask", "bias", "alibi", "soft_cap")
    while (keyword := parser.parse_optional_keyword_in(keywords)) is not None:
        with parser.in_parens():
            match keyword:
                case "causal":
                    forms.append(_parse_causal(parser))
                case "window":
                    forms.append(_parse_window(parser))
                case "mask":
                    pos = parser.pos
                    access = _parse_access(parser)
                    if cast(TensorType[Attribute], access.source.type).element_type != i1:
                        parser.raise_error(f"mask must be a tensor of i1, got {access.source.type}", pos, parser.pos)
                    forms.append(Mask(access))
                case "bias":
                    forms.append(Bias(_parse_float_access(parser)))
                case "alibi":
                    forms.append(_parse_alibi(parser))
                case _:
                    forms.append(SoftCap(FloatAttr(float(parser.parse_number()), cast(AnyFloat, element_type))))
    return forms

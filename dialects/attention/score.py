"""
Score regions: what they may hold, and short forms for the common masks.

A score region is the truth. A short form is a way to write one: it parses to exactly the region that it stands
for, and a region is printed with short forms only if rebuilding it from them gives the same region. In a short form
`hq` is the query head, as in the region's arguments:

    causal(n <= m + 4)            keep keys up to the query's position m + 4, else -inf
    window(m - 3 <= n <= m + 1)   keep keys from m - 3 to m + 1, both included, else -inf
    mask(%t[b, m, n] : type)      keep keys where an i1 tensor is true, else -inf
    bias(%t[b, hq, 0, n] : type)  add a float tensor
    alibi(%t[hq] : type, n - m - 4)   add slope * (n - (m + 4))
    soft_cap(3.0e+01)             c * tanh(s / c)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

from xdsl.builder import ImplicitBuilder
from xdsl.dialects import arith, tensor
from xdsl.dialects import math as math_dialect
from xdsl.dialects.builtin import (
    AnyFloat,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    TensorType,
    i1,
    i64,
)
from xdsl.ir import Attribute, Block, BlockArgument, Operation, Region, SSAValue
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.utils.hints import isa

from flashlower.dialects.building import building


def score_arg_names(batch_rank: int) -> tuple[str, ...]:
    """Names of the arguments of a score region: the logit, then its indices."""
    batch = ("b",) if batch_rank == 1 else tuple(f"b{i}" for i in range(batch_rank))
    return ("s", *batch, "hq", "m", "n")


def score_block(batch_rank: int, element_type: Attribute) -> Block:
    """An empty block with the arguments of a score region, named."""
    names = score_arg_names(batch_rank)
    block = Block(arg_types=[element_type, *[IndexType()] * (len(names) - 1)])
    for arg, name in zip(block.args, names):
        arg.name_hint = name
    return block


def constant_index(value: int) -> SSAValue:
    """`value : index`, built at the implicit insertion point."""
    return arith.ConstantOp(IntegerAttr.from_index_int_value(value)).result


def _float_constant(value: float, type: Attribute) -> SSAValue:
    return arith.ConstantOp(FloatAttr(value, cast(AnyFloat, type))).result


def keep(condition: SSAValue, s: SSAValue) -> SSAValue:
    """`s` where the condition holds, else -inf; built at the implicit insertion point."""
    return arith.SelectOp(condition, s, _float_constant(-math.inf, s.type)).result


def extract(source: SSAValue, indices: Sequence[SSAValue], element_type: Attribute) -> SSAValue:
    """An element of a captured tensor, widened to the type of the logit if it is a narrower float."""
    value = tensor.ExtractOp(source, list(indices), cast(TensorType[Attribute], source.type).element_type).result
    if isinstance(value.type, IntegerType) or value.type == element_type:
        return value
    return arith.ExtFOp(value, cast(AnyFloat, element_type)).result


def _plus(value: SSAValue, constant: int) -> SSAValue:
    return arith.AddiOp(value, constant_index(constant)).result if constant else value


def _as_constant_int(value: SSAValue) -> int | None:
    op = value.owner
    if isinstance(op, arith.ConstantOp) and isinstance(op.value, IntegerAttr):
        return op.value.value.data
    return None


def _as_constant_float(value: SSAValue) -> float | None:
    op = value.owner
    if isinstance(op, arith.ConstantOp) and isinstance(op.value, FloatAttr):
        return op.value.value.data
    return None


def _offset_from(value: SSAValue, base: SSAValue) -> int | None:
    """c where value is `base + c`."""
    if value == base:
        return 0
    op = value.owner
    if isinstance(op, arith.AddiOp) and op.lhs == base:
        return _as_constant_int(op.rhs)
    return None


@dataclass(frozen=True)
class Access:
    """A captured tensor and, per dimension, the region argument that indexes it (None: the constant 0)."""

    source: SSAValue
    indices: tuple[str | None, ...]

    def read(self, args: dict[str, SSAValue], element_type: Attribute) -> SSAValue:
        indices = [constant_index(0) if name is None else args[name] for name in self.indices]
        return extract(self.source, indices, element_type)

    def print(self, printer: Printer) -> None:
        printer.print_ssa_value(self.source)
        printer.print_string("[" + ", ".join(name or "0" for name in self.indices) + "] : ")
        printer.print_attribute(self.source.type)

    @staticmethod
    def match(value: SSAValue, names: dict[SSAValue, str]) -> Access | None:
        op = value.owner
        if isinstance(op, arith.ExtFOp):
            op = op.input.owner
        if not isinstance(op, tensor.ExtractOp):
            return None
        indices: list[str | None] = []
        for index in op.indices:
            if index not in names and _as_constant_int(index) != 0:
                return None
            indices.append(names.get(index))
        return Access(op.tensor, tuple(indices))


class ScoreForm(ABC):
    """One short form: a step of a score region."""

    keyword: ClassVar[str]

    @abstractmethod
    def build(self, s: SSAValue, args: dict[str, SSAValue]) -> SSAValue:
        """Builds the new logit from `s` at the implicit insertion point."""

    @abstractmethod
    def print_arguments(self, printer: Printer) -> None:
        """Prints what stands between the parentheses."""


def _print_term(printer: Printer, name: str, offset: int) -> None:
    printer.print_string(name if offset == 0 else f"{name} {'+' if offset > 0 else '-'} {abs(offset)}")


@dataclass(frozen=True)
class Causal(ScoreForm):
    """Keeps keys n <= m + offset."""

    keyword = "causal"
    offset: int

    def build(self, s: SSAValue, args: dict[str, SSAValue]) -> SSAValue:
        return keep(arith.CmpiOp(args["n"], _plus(args["m"], self.offset), "sle").result, s)

    def print_arguments(self, printer: Printer) -> None:
        printer.print_string("n <= ")
        _print_term(printer, "m", self.offset)


@dataclass(frozen=True)
class Window(ScoreForm):
    """Keeps keys m + first <= n <= m + last."""

    keyword = "window"
    first: int
    last: int

    def build(self, s: SSAValue, args: dict[str, SSAValue]) -> SSAValue:
        above = arith.CmpiOp(args["n"], _plus(args["m"], self.first), "sge").result
        below = arith.CmpiOp(args["n"], _plus(args["m"], self.last), "sle").result
        return keep(arith.AndIOp(above, below).result, s)

    def print_arguments(self, printer: Printer) -> None:
        _print_term(printer, "m", self.first)
        printer.print_string(" <= n <= ")
        _print_term(printer, "m", self.last)


@dataclass(frozen=True)
class Mask(ScoreForm):
    """Keeps keys where an i1 tensor is true."""

    keyword = "mask"
    access: Access

    def build(self, s: SSAValue, args: dict[str, SSAValue]) -> SSAValue:
        return keep(self.access.read(args, s.type), s)

    def print_arguments(self, printer: Printer) -> None:
        self.access.print(printer)


@dataclass(frozen=True)
class Bias(ScoreForm):
    """Adds a float tensor."""

    keyword = "bias"
    access: Access

    def build(self, s: SSAValue, args: dict[str, SSAValue]) -> SSAValue:
        return arith.AddfOp(s, self.access.read(args, s.type)).result

    def print_arguments(self, printer: Printer) -> None:
        self.access.print(printer)


@dataclass(frozen=True)
class Alibi(ScoreForm):
    """Adds slope * (n - (m + offset)) (Press et al., "Train Short, Test Long", 2022)."""

    keyword = "alibi"
    access: Access
    offset: int

    def build(self, s: SSAValue, args: dict[str, SSAValue]) -> SSAValue:
        slope = self.access.read(args, s.type)
        distance = arith.SubiOp(args["n"], _plus(args["m"], self.offset)).result
        distance = arith.IndexCastOp(distance, i64).result
        distance = arith.SIToFPOp(distance, cast(AnyFloat, s.type)).result
        return arith.AddfOp(s, arith.MulfOp(slope, distance).result).result

    def print_arguments(self, printer: Printer) -> None:
        self.access.print(printer)
        printer.print_string(", ")
        _print_term(printer, "n - m", -self.offset)


@dataclass(frozen=True)
class SoftCap(ScoreForm):
    """cap * tanh(s / cap), as Gemma-2 bounds its logits."""

    keyword = "soft_cap"
    cap: FloatAttr

    def build(self, s: SSAValue, args: dict[str, SSAValue]) -> SSAValue:
        cap = arith.ConstantOp(self.cap).result
        return arith.MulfOp(math_dialect.TanhOp(arith.DivfOp(s, cap).result).result, cap).result

    def print_arguments(self, printer: Printer) -> None:
        printer.print_float(self.cap.value.data, self.cap.type)


def build_score_region(
    forms: Sequence[ScoreForm], batch_rank: int, element_type: Attribute, yield_op: type[Operation]
) -> Region:
    """The region that short forms, applied from left to right, stand for."""
    block = score_block(batch_rank, element_type)
    args: dict[str, SSAValue] = dict(zip(score_arg_names(batch_rank), block.args))
    with building, ImplicitBuilder(block):
        s = args["s"]
        for form in forms:
            s = form.build(s, args)
        yield_op.create(operands=[s])
    return Region(block)


def _match_step(value: SSAValue, args: dict[str, SSAValue]) -> tuple[ScoreForm, SSAValue] | None:
    """The short form that may have made `value`, and the logit that it was made from."""
    names = {arg: name for name, arg in args.items()}
    n, m = args["n"], args["m"]
    match value.owner:
        case arith.SelectOp(cond=cond, lhs=s, rhs=otherwise):
            if _as_constant_float(otherwise) != -math.inf:
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
                    access = Access.match(cond, names)
                    return None if access is None else (Mask(access), s)
        case arith.AddfOp(lhs=s, rhs=addend):
            if (access := Access.match(addend, names)) is not None:
                return Bias(access), s
            match addend.owner:
                case arith.MulfOp(lhs=slope, rhs=distance):
                    access = Access.match(slope, names)
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
            cap_op, tanh_op = cap.owner, tanh.owner
            if isinstance(tanh_op, math_dialect.TanhOp) and isinstance(cap_op, arith.ConstantOp):
                div = tanh_op.operand.owner
                if isinstance(div, arith.DivfOp) and isinstance(cap_op.value, FloatAttr):
                    return SoftCap(cap_op.value), div.lhs
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
        if parser.parse_optional_integer(allow_negative=False) is not None:
            return None
        return parser.parse_identifier(" (an index of the score region)")

    indices = tuple(parser.parse_comma_separated_list(parser.Delimiter.SQUARE, index))
    parser.parse_punctuation(":")
    pos = parser.pos
    type = parser.parse_type()
    if not isa(type, TensorType):
        parser.raise_error(f"expected a tensor, got {type}", pos, parser.pos)
    return Access(parser.resolve_operand(operand, type), indices)


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
    access = _parse_access(parser)
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
                    forms.append(Bias(_parse_access(parser)))
                case "alibi":
                    forms.append(_parse_alibi(parser))
                case _:
                    forms.append(SoftCap(FloatAttr(float(parser.parse_number()), cast(AnyFloat, element_type))))
    return forms

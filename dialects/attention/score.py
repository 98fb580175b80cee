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
from collections.abc import Iterator, Sequence
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
    i64,
)
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.printer import Printer

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
    """An element of a captured tensor; a float in the type of the logit."""
    value = tensor.ExtractOp(source, list(indices), cast(TensorType[Attribute], source.type).element_type).result
    if isinstance(value.type, IntegerType) or value.type == element_type:
        return value
    own, wanted = cast(AnyFloat, value.type), cast(AnyFloat, element_type)
    return (arith.ExtFOp if own.bitwidth < wanted.bitwidth else arith.TruncFOp)(value, wanted).result


def plus(value: SSAValue, constant: int) -> SSAValue:
    """The index `value + constant`, built at the implicit insertion point; a constant of 0 adds nothing."""
    return arith.AddiOp(value, constant_index(constant)).result if constant else value


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
        return keep(arith.CmpiOp(args["n"], plus(args["m"], self.offset), "sle").result, s)

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
        above = arith.CmpiOp(args["n"], plus(args["m"], self.first), "sge").result
        below = arith.CmpiOp(args["n"], plus(args["m"], self.last), "sle").result
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
        distance = arith.SubiOp(args["n"], plus(args["m"], self.offset)).result
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


def indices_of(forms: Sequence[ScoreForm]) -> Iterator[str]:
    """The names of the indices that short forms read captured tensors at."""
    for form in forms:
        if isinstance(form, Mask | Bias | Alibi):
            yield from (name for name in form.access.indices if name is not None)


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

"""Kernels, loops and branches of the `tl` dialect."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import I64, DenseArrayBase, IntegerAttr, StringAttr, i1, i64
from xdsl.dialects.utils import AbstractYieldOperation, parse_assignment, print_assignment
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    lazy_traits_def,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import Parser, UnresolvedOperand
from xdsl.printer import Printer
from xdsl.traits import (
    HasParent,
    IsolatedFromAbove,
    IsTerminator,
    Pure,
    RecursiveMemoryEffect,
    SingleBlockImplicitTerminator,
    SymbolOpInterface,
    ensure_terminator,
)
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.tl.constants import constant_value
from flashlower.dialects.tl.types import PtrType, is_bool, is_float, is_integer, verify_value_type


@irdl_op_definition
class ReturnOp(IRDLOperation):
    """The end of a kernel; kernels return nothing, they store."""

    name = "tl.return"

    traits = lazy_traits_def(lambda: (IsTerminator(), HasParent(JitOp)))

    assembly_format = "attr-dict"

    def __init__(self):
        super().__init__()


@irdl_op_definition
class JitOp(IRDLOperation):
    """
    A kernel: `@triton.jit` and a function whose parameters are the block's arguments.

    Arguments are pointers, integers and floats. Triton types an integer argument by its value at launch, so
    an i64 argument may arrive as 32 bits, or as the constant 1: the printed code casts where that matters.
    The integer arguments at the positions in `constexprs`, in ascending order, are annotated `tl.constexpr`: Triton
    compiles the kernel for their values. `doc` is printed as comment lines above the kernel.
    """

    name = "tl.jit"

    sym_name = prop_def(StringAttr)
    constexprs = opt_prop_def(DenseArrayBase.constr(i64))
    doc = opt_prop_def(StringAttr)
    body = region_def("single_block")

    traits = traits_def(IsolatedFromAbove(), SymbolOpInterface(), SingleBlockImplicitTerminator(ReturnOp))

    def __init__(
        self,
        name: str,
        body: Region | Sequence[Attribute],
        doc: str | None = None,
        constexprs: Sequence[int] | None = None,
    ):
        if not isinstance(body, Region):
            body = Region(Block(arg_types=body))
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "doc": None if doc is None else StringAttr(doc),
                "constexprs": None if constexprs is None else DenseArrayBase.from_list(i64, constexprs),
            },
            regions=[body],
        )

    def verify_(self) -> None:
        for arg in self.body.block.args:
            if not (
                isinstance(arg.type, PtrType) or is_integer(arg.type) or (is_float(arg.type) and not is_bool(arg.type))
            ):
                raise VerifyException(f"a kernel argument is a pointer, an integer or a float, got {arg.type}")
        positions = self.constexpr_positions()
        args = self.body.block.args
        if list(positions) != sorted({p for p in positions if 0 <= p < len(args) and is_integer(args[p].type)}):
            raise VerifyException(f"constexpr {list(positions)} are not positions of integer arguments in order")

    def constexpr_positions(self) -> tuple[int, ...]:
        """The positions of arguments that are constants of the compiled kernel."""
        return () if self.constexprs is None else self.constexprs.get_values()

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        with printer.in_parens():
            printer.print_list(self.body.block.args, printer.print_block_argument)
        if self.constexprs is not None:
            printer.print_string(" constexpr ")
            with printer.in_square_brackets():
                printer.print_list(self.constexpr_positions(), printer.print_int)
        if self.doc is not None:
            printer.print_string(" doc ")
            printer.print_attribute(self.doc)
        printer.print_op_attributes(self.attributes, print_keyword=True)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False, print_block_terminators=True)

    @classmethod
    def parse(cls, parser: Parser) -> JitOp:
        name = parser.parse_symbol_name()
        args = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_argument)
        constexprs: list[int] | None = None
        if parser.parse_optional_keyword("constexpr"):
            constexprs = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer)
        doc = parser.parse_str_literal() if parser.parse_optional_keyword("doc") else None
        attributes = parser.parse_optional_attr_dict_with_keyword()
        op = cls(name.data, parser.parse_region(args), doc, constexprs)
        for trait in op.get_traits_of_type(SingleBlockImplicitTerminator):
            ensure_terminator(op, trait)
        if attributes is not None:
            op.attributes |= attributes.data
        return op


@irdl_op_definition
class YieldOp(AbstractYieldOperation[Attribute]):
    """The values a loop carries on, or a branch gives."""

    name = "tl.yield"

    traits = lazy_traits_def(lambda: (IsTerminator(), HasParent(RangeOp, IfOp), Pure()))


def _verify_yield(op: Operation, region: Region, types: Sequence[Attribute]) -> None:
    last = region.block.last_op
    if not isinstance(last, YieldOp):
        raise VerifyException(f"a region of {op.name} ends with tl.yield")
    given = [value.type for value in last.arguments]
    if given != list(types):
        raise VerifyException(
            f"tl.yield in {op.name} gives ({', '.join(map(str, given))}), but ({', '.join(map(str, types))}) is carried"
        )


@irdl_op_definition
class RangeOp(IRDLOperation):
    """
    `for i in tl.range(start, end, step, num_stages=...)`: from start up to, not including, end.

    The loop carries values: the region gets the counter and one argument for each, and yields the next ones;
    the results are the last. `step` is positive. `num_stages` asks for software pipelining of this loop.
    """

    name = "tl.range"

    start = operand_def()
    end = operand_def()
    step = operand_def()
    inits = var_operand_def()
    num_stages = opt_prop_def(IntegerAttr[I64])
    outputs = var_result_def()
    body = region_def("single_block")

    traits = traits_def(SingleBlockImplicitTerminator(YieldOp), RecursiveMemoryEffect())

    def __init__(
        self,
        start: SSAValue | Operation,
        end: SSAValue | Operation,
        step: SSAValue | Operation,
        inits: Sequence[SSAValue],
        body: Region,
        *,
        num_stages: int | None = None,
    ):
        super().__init__(
            operands=[start, end, step, inits],
            properties={"num_stages": None if num_stages is None else IntegerAttr(num_stages, i64)},
            result_types=[[init.type for init in inits]],
            regions=[body],
        )

    def verify_(self) -> None:
        if not self.body.block.args:
            raise VerifyException("the region of tl.range has the counter as its first argument")
        counter, *carried = self.body.block.args
        if not is_integer(counter.type):
            raise VerifyException(f"tl.range counts with integers, got {counter.type}")
        for bound in (self.start, self.end, self.step):
            if bound.type != counter.type:
                raise VerifyException(f"tl.range counts with one type, got {counter.type} and {bound.type}")
        step = constant_value(self.step)
        if step is not None and step <= 0:
            raise VerifyException(f"the step of tl.range is positive, got {step}")
        if self.num_stages is not None and self.num_stages.value.data < 1:
            raise VerifyException(f"num_stages is at least 1, got {self.num_stages.value.data}")
        types = [init.type for init in self.inits]
        for type in types:
            verify_value_type(type)
        if [arg.type for arg in carried] != types or [output.type for output in self.outputs] != types:
            raise VerifyException("the arguments and results of tl.range have the types of its initial values")
        _verify_yield(self, self.body, types)

    def print(self, printer: Printer) -> None:
        counter, *carried = self.body.block.args
        printer.print_string(" ")
        printer.print_ssa_value(counter)
        printer.print_string(" = ")
        printer.print_ssa_value(self.start)
        printer.print_string(" to ")
        printer.print_ssa_value(self.end)
        printer.print_string(" step ")
        printer.print_ssa_value(self.step)
        if carried:
            printer.print_string(" iter_args(")
            printer.print_list(zip(carried, self.inits, strict=True), lambda pair: print_assignment(printer, *pair))
            printer.print_string(") -> (")
            printer.print_list((arg.type for arg in carried), printer.print_attribute)
            printer.print_string(")")
        printer.print_string(" : ")
        printer.print_attribute(counter.type)
        if self.num_stages is not None:
            printer.print_string(f" num_stages {self.num_stages.value.data}")
        printer.print_op_attributes(self.attributes, print_keyword=True)
        printer.print_string(" ")
        printer.print_region(
            self.body,
            print_entry_block_args=False,
            print_empty_block=False,
            print_block_terminators=bool(carried),
        )

    @classmethod
    def parse(cls, parser: Parser) -> RangeOp:
        counter = parser.parse_argument(expect_type=False)
        parser.parse_punctuation("=")
        start = parser.parse_unresolved_operand()
        parser.parse_keyword("to")
        end = parser.parse_unresolved_operand()
        parser.parse_keyword("step")
        step = parser.parse_unresolved_operand()
        position = parser.pos
        carried: list[Parser.UnresolvedArgument] = []
        inits: list[UnresolvedOperand] = []
        types: list[Attribute] = []
        if parser.parse_optional_keyword("iter_args"):
            for argument, init in parser.parse_comma_separated_list(
                Parser.Delimiter.PAREN, lambda: parse_assignment(parser)
            ):
                carried.append(argument)
                inits.append(init)
            parser.parse_punctuation("->")
            types = parser.parse_comma_separated_list(Parser.Delimiter.PAREN, parser.parse_type)
        values = parser.resolve_operands(inits, types, position)
        parser.parse_punctuation(":")
        type = parser.parse_type()
        num_stages = parser.parse_integer() if parser.parse_optional_keyword("num_stages") else None
        attributes = parser.parse_optional_attr_dict_with_keyword()
        arguments = [argument.resolve(t) for argument, t in zip(carried, types, strict=True)]
        bounds = [parser.resolve_operand(bound, type) for bound in (start, end, step)]
        body = parser.parse_region((counter.resolve(type), *arguments))
        op = cls(bounds[0], bounds[1], bounds[2], values, body, num_stages=num_stages)
        for trait in op.get_traits_of_type(SingleBlockImplicitTerminator):
            ensure_terminator(op, trait)
        if attributes is not None:
            op.attributes |= attributes.data
        return op


@irdl_op_definition
class IfOp(IRDLOperation):
    """
    Python's `if` on a scalar i1: one branch runs, and its yielded values are the results.

    The else region is empty when there is none; with results there must be one.
    """

    name = "tl.if"

    condition = operand_def(i1)
    outputs = var_result_def()
    then_region = region_def("single_block")
    else_region = region_def()

    traits = traits_def(RecursiveMemoryEffect(), SingleBlockImplicitTerminator(YieldOp))

    def __init__(
        self,
        condition: SSAValue | Operation,
        result_types: Sequence[Attribute],
        then_region: Region,
        else_region: Region | None = None,
    ):
        super().__init__(
            operands=[condition],
            result_types=[result_types],
            regions=[then_region, Region() if else_region is None else else_region],
        )

    def verify_(self) -> None:
        types = [output.type for output in self.outputs]
        for type in types:
            verify_value_type(type)
        if types and not self.else_region.blocks:
            raise VerifyException("tl.if with results has an else region")
        for region in self.regions:
            if len(region.blocks) > 1 or any(block.args for block in region.blocks):
                raise VerifyException("a region of tl.if is one block without arguments")
            if region.blocks:
                _verify_yield(self, region, types)

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.condition)
        if self.outputs:
            printer.print_string(" -> (")
            printer.print_list((output.type for output in self.outputs), printer.print_attribute)
            printer.print_string(")")
        printer.print_op_attributes(self.attributes, print_keyword=True)
        for keyword, region in zip((" ", " else "), self.regions, strict=True):
            # An else region that does nothing is as good as none.
            empty = not region.blocks or len(region.block.ops) == 1
            if region is self.then_region or self.outputs or not empty:
                printer.print_string(keyword)
                printer.print_region(region, print_empty_block=False, print_block_terminators=bool(self.outputs))

    @classmethod
    def parse(cls, parser: Parser) -> IfOp:
        condition = parser.resolve_operand(parser.parse_unresolved_operand(), i1)
        types: Sequence[Attribute] = ()
        if parser.parse_optional_punctuation("->"):
            types = parser.parse_comma_separated_list(Parser.Delimiter.PAREN, parser.parse_type)
        attributes = parser.parse_optional_attr_dict_with_keyword()
        then_region = parser.parse_region()
        else_region = parser.parse_region() if parser.parse_optional_keyword("else") else Region()
        if not then_region.blocks:
            then_region.add_block(Block())
        for region in (then_region, else_region):
            # An absent else region stays absent, which `ensure_terminator` would not allow.
            if region.blocks and not isinstance(region.block.last_op, YieldOp):
                region.block.add_op(YieldOp())
        op = cls(condition, types, then_region, else_region)
        if attributes is not None:
            op.attributes |= attributes.data
        return op

"""Kernels, loops and tiles of the `nki` dialect, and launches of kernels."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    I64,
    IndexType,
    IntegerAttr,
    StringAttr,
    SymbolRefAttr,
    TensorType,
    i64,
)
from xdsl.dialects.utils import AbstractYieldOperation
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    lazy_traits_def,
    operand_def,
    opt_prop_def,
    prop_def,
    region_def,
    result_def,
    traits_def,
    var_operand_def,
    var_result_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import (
    HasParent,
    IsolatedFromAbove,
    IsTerminator,
    NoTerminator,
    Pure,
    RecursiveMemoryEffect,
    SymbolOpInterface,
    SymbolTable,
    SymbolUserOpInterface,
)
from xdsl.utils.exceptions import VerifyException

from flashlower.dialects.nki.base import hardware_of
from flashlower.dialects.nki.types import HARDWARE, PSUM_BANK_BYTES, PSUM_BANKS, TileType, tile_of


@irdl_op_definition
class ReturnOp(AbstractYieldOperation[Attribute]):
    """The end of a kernel: the results, in shared HBM."""

    name = "nki.return"

    traits = lazy_traits_def(lambda: (IsTerminator(), HasParent(KernelOp)))


@irdl_op_definition
class KernelOp(IRDLOperation):
    """
    A kernel: `@nki.jit` and a function whose parameters are the block's arguments, tensors in HBM.

    `target` is trn1 (and inf2), trn2 or trn3, `cores` the logical cores that it is launched on, `kernel[cores](...)`.
    `doc` is printed as the docstring.
    """

    name = "nki.kernel"

    sym_name = prop_def(StringAttr)
    target = prop_def(StringAttr)
    cores = prop_def(IntegerAttr[I64])
    doc = opt_prop_def(StringAttr)
    body = region_def("single_block")

    traits = traits_def(IsolatedFromAbove(), SymbolOpInterface())

    def __init__(
        self, name: str, body: Region | Sequence[Attribute], target: str, cores: int = 1, doc: str | None = None
    ):
        if not isinstance(body, Region):
            body = Region(Block(arg_types=body))
        super().__init__(
            properties={
                "sym_name": StringAttr(name),
                "target": StringAttr(target),
                "cores": IntegerAttr(cores, i64),
                "doc": None if doc is None else StringAttr(doc),
            },
            regions=[body],
        )

    def verify_(self) -> None:
        if self.target.data not in HARDWARE:
            raise VerifyException(f"target is one of {', '.join(HARDWARE)}, got {self.target.data!r}")
        if self.cores.value.data not in (1, 2):
            raise VerifyException(f"a kernel runs on 1 or 2 logical cores, got {self.cores.value.data}")
        for arg in self.body.block.args:
            if not isinstance(arg.type, TileType) or arg.type.on_chip:
                raise VerifyException(f"an argument of a kernel is a tile in HBM, got {arg.type}")
        last = self.body.block.last_op
        if not isinstance(last, ReturnOp):
            raise VerifyException("a kernel ends with nki.return")
        for value in last.arguments:
            if tile_of(value).memory.data != "shared_hbm":
                raise VerifyException(
                    f"memory: a result of a kernel is in shared_hbm, got {tile_of(value).memory.data}"
                )
        self._verify_capacity("sbuf", HARDWARE[self.target.data].sbuf_bytes)
        self._verify_capacity("psum", PSUM_BANKS * PSUM_BANK_BYTES)

    def _verify_capacity(self, memory: str, capacity: int) -> None:
        """Tiles live from their declaration to the end of the block that they stand in."""
        if (used := used_bytes(self.body.block, memory)) > capacity:
            raise VerifyException(
                f"{memory.upper()} capacity: {self.target.data} has {capacity} bytes a partition, "
                f"the tiles that are alive together need {used}"
            )

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_symbol_name(self.sym_name.data)
        with printer.in_parens():
            printer.print_list(self.body.block.args, printer.print_block_argument)
        printer.print_string(f" target {self.target.data} cores {self.cores.value.data}")
        if self.doc is not None:
            printer.print_string(" doc ")
            printer.print_attribute(self.doc)
        printer.print_op_attributes(self.attributes, print_keyword=True)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False)

    @classmethod
    def parse(cls, parser: Parser) -> KernelOp:
        name = parser.parse_symbol_name()
        args = parser.parse_comma_separated_list(parser.Delimiter.PAREN, parser.parse_argument)
        parser.parse_keyword("target")
        target = parser.parse_identifier()
        parser.parse_keyword("cores")
        cores = parser.parse_integer()
        doc = parser.parse_str_literal() if parser.parse_optional_keyword("doc") else None
        attributes = parser.parse_optional_attr_dict_with_keyword()
        op = cls(name.data, parser.parse_region(args), target, cores, doc)
        if attributes is not None:
            op.attributes |= attributes.data
        return op


def used_bytes(block: Block, memory: str) -> int:
    """Bytes of a partition that the tiles of a block need at most at once; a tile in PSUM takes whole banks."""
    own = nested = 0
    for op in block.ops:
        if isinstance(op, NdarrayOp) and op.result.type.memory.data == memory:
            size = op.result.type.bytes_per_partition
            own += -(-size // PSUM_BANK_BYTES) * PSUM_BANK_BYTES if memory == "psum" else -(-size // 4) * 4
        for region in op.regions:
            for inner in region.blocks:
                nested = max(nested, used_bytes(inner, memory))
    return own + nested


@irdl_op_definition
class ForOp(IRDLOperation):
    """`for i in range(start, end, step)`: bounds are integers, or values that `range` gets."""

    name = "nki.for"

    start = operand_def(IndexType())
    end = operand_def(IndexType())
    step = prop_def(IntegerAttr[I64])
    body = region_def("single_block")

    traits = traits_def(NoTerminator(), RecursiveMemoryEffect())

    def __init__(self, start: SSAValue, end: SSAValue, step: int, body: Region):
        super().__init__(operands=[start, end], properties={"step": IntegerAttr(step, i64)}, regions=[body])

    @property
    def counter(self) -> SSAValue:
        return self.body.block.args[0]

    def verify_(self) -> None:
        if [arg.type for arg in self.body.block.args] != [IndexType()]:
            raise VerifyException("the region of nki.for has one argument, the counter, of type index")
        if self.step.value.data < 1:
            raise VerifyException(f"the step of nki.for is positive, got {self.step.value.data}")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.counter)
        printer.print_string(" = ")
        printer.print_ssa_value(self.start)
        printer.print_string(" to ")
        printer.print_ssa_value(self.end)
        printer.print_string(f" step {self.step.value.data}")
        printer.print_op_attributes(self.attributes, print_keyword=True)
        printer.print_string(" ")
        printer.print_region(self.body, print_entry_block_args=False)

    @classmethod
    def parse(cls, parser: Parser) -> ForOp:
        counter = parser.parse_argument(expect_type=False)
        parser.parse_punctuation("=")
        start = parser.parse_operand(IndexType())
        parser.parse_keyword("to")
        end = parser.parse_operand(IndexType())
        parser.parse_keyword("step")
        step = parser.parse_integer()
        attributes = parser.parse_optional_attr_dict_with_keyword()
        op = cls(start, end, step, parser.parse_region((counter.resolve(IndexType()),)))
        if attributes is not None:
            op.attributes |= attributes.data
        return op


@irdl_op_definition
class ProgramIdOp(IRDLOperation):
    """`nl.program_id(0)`: the number of this logical core, 0 or 1."""

    name = "nki.program_id"

    result = result_def(IndexType())

    traits = traits_def(Pure())

    assembly_format = "attr-dict"

    def __init__(self):
        super().__init__(result_types=[IndexType()])


@irdl_op_definition
class NdarrayOp(IRDLOperation):
    """`nl.ndarray(shape, dtype, buffer)`: a tile with unknown contents."""

    name = "nki.ndarray"

    result = result_def(TileType)

    assembly_format = "attr-dict `:` type($result)"

    def __init__(self, type: TileType):
        super().__init__(result_types=[type])

    def verify_(self) -> None:
        type = self.result.type
        if type.memory.data == "psum" and type.bytes_per_partition > PSUM_BANKS * PSUM_BANK_BYTES:
            raise VerifyException(
                f"PSUM size: a partition of PSUM has {PSUM_BANKS * PSUM_BANK_BYTES} bytes, "
                f"got a tile of {type.bytes_per_partition}"
            )
        hardware = hardware_of(self)
        if hardware is not None and type.memory.data == "sbuf" and type.bytes_per_partition > hardware.sbuf_bytes:
            raise VerifyException(
                f"SBUF size: a partition of {hardware.name} has {hardware.sbuf_bytes} bytes, "
                f"got a tile of {type.bytes_per_partition}"
            )


class _KernelSymbolUse(SymbolUserOpInterface):
    def verify(self, op: Operation) -> None:
        assert isinstance(op, CallOp)
        kernel = SymbolTable.lookup_symbol(op, op.kernel)
        if not isinstance(kernel, KernelOp):
            raise VerifyException(f"{op.kernel} is not an nki.kernel of this module")
        parameters = kernel.body.block.args
        if len(parameters) != len(op.arguments):
            raise VerifyException(f"{op.kernel} has {len(parameters)} parameters, got {len(op.arguments)} arguments")


@irdl_op_definition
class CallOp(IRDLOperation):
    """`kernel[cores](arguments)`: a launch, in a function on builtin tensors."""

    name = "nki.call"

    kernel = prop_def(SymbolRefAttr)
    arguments = var_operand_def(TensorType)
    outputs = var_result_def(TensorType)

    traits = traits_def(_KernelSymbolUse(), Pure())

    assembly_format = "$kernel `(` $arguments `)` attr-dict `:` functional-type($arguments, $outputs)"

    def __init__(self, kernel: str, arguments: Sequence[SSAValue], result_types: Sequence[Attribute]):
        super().__init__(
            operands=[arguments], properties={"kernel": SymbolRefAttr(kernel)}, result_types=[result_types]
        )

"""Views of tiles: slices, access patterns, other shapes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import ClassVar

from xdsl.dialects.builtin import (
    I64,
    DenseArrayBase,
    IndexType,
    IntegerAttr,
    IntegerType,
    i64,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.irdl import (
    AttrSizedOperandSegments,
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import (
    Pure,
)
from xdsl.utils.exceptions import VerifyException
from xdsl.utils.hints import isa

from flashlower.dialects.nki.base import require_generation
from flashlower.dialects.nki.types import HBM, TileType, element_bytes, tile_of


def verify_start_partition(start: int, partitions: int) -> None:
    """Where a run of partitions may begin: at 0, from 64 partitions down at 64 too, from 32 down at 32 and 96 too."""
    if start == 0:
        return
    allowed = (0,) if partitions > 64 else (0, 64) if partitions > 32 else (0, 32, 64, 96)
    if start not in allowed:
        raise VerifyException(
            f"start partition: {partitions} partitions start at {' or '.join(map(str, allowed))}, got {start}"
        )


def _allocated(value: SSAValue) -> bool:
    """Whether a value is a whole tensor: an allocation, an argument, or one of these in another shape."""
    return not isinstance(value.owner, SliceOp | ApOp)


@irdl_op_definition
class SliceOp(IRDLOperation):
    """
    `tile[a:a + n, i, ...]`: a view. Each dimension has a start, an integer or a value, and a size; one without a
    size is indexed, and gone from the view.
    """

    name = "nki.slice"

    tile = operand_def(TileType)
    offsets = var_operand_def(IndexType())
    static_offsets = prop_def(DenseArrayBase[I64])
    """The starts; `DYNAMIC` stands for the next operand."""
    sizes = prop_def(DenseArrayBase[I64])
    """The sizes; 0 is a dimension that is indexed."""
    result = result_def(TileType)

    traits = traits_def(Pure())

    DYNAMIC: ClassVar = -1

    def __init__(self, tile: SSAValue, starts: Sequence[int | SSAValue], sizes: Sequence[int]):
        type = tile_of(tile)
        super().__init__(
            operands=[tile, [start for start in starts if isinstance(start, SSAValue)]],
            properties={
                "static_offsets": DenseArrayBase.from_list(
                    i64, [self.DYNAMIC if isinstance(start, SSAValue) else start for start in starts]
                ),
                "sizes": DenseArrayBase.from_list(i64, sizes),
            },
            result_types=[TileType([size for size in sizes if size], type.element_type, type.memory.data)],
        )

    def starts(self) -> list[int | SSAValue]:
        """The start of every dimension."""
        dynamic = iter(self.offsets)
        return [next(dynamic) if start == self.DYNAMIC else start for start in self.static_offsets.get_values()]

    def verify_(self) -> None:
        type = tile_of(self.tile)
        sizes = self.sizes.get_values()
        if len(sizes) != len(type.shape) or len(self.static_offsets.get_values()) != len(type.shape):
            raise VerifyException(f"a view of {type} has {len(type.shape)} indices, got {len(sizes)}")
        shape = tuple(size for size in sizes if size)
        if self.result.type != TileType(shape, type.element_type, type.memory.data):
            raise VerifyException(f"the view has shape {shape}, got {self.result.type}")
        if type.on_chip and not sizes[0]:
            raise VerifyException("the partitions of a tile on chip are sliced, not indexed")
        for position, (start, size, whole) in enumerate(zip(self.starts(), sizes, type.shape, strict=True)):
            if isinstance(start, int) and not 0 <= start <= whole - max(size, 1):
                raise VerifyException(
                    f"bounds: {max(size, 1)} elements from {start} leave dimension {position} of {type}"
                )
        first = self.starts()[0]
        if type.on_chip and isinstance(first, int):
            verify_start_partition(first, sizes[0])

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.tile)
        with printer.in_square_brackets():
            printer.print_list(
                zip(self.starts(), self.sizes.get_values(), strict=True), lambda d: _print_dim(printer, *d)
            )
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.tile.type)

    @classmethod
    def parse(cls, parser: Parser) -> SliceOp:
        tile = parser.parse_unresolved_operand()
        dims = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, lambda: _parse_dim(parser))
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        op = cls(
            parser.resolve_operand(tile, parser.parse_type()), [start for start, _ in dims], [size for _, size in dims]
        )
        op.attributes |= attributes
        return op


def _print_dim(printer: Printer, start: int | SSAValue, size: int) -> None:
    _print_index(printer, start)
    if size:
        printer.print_string(f" for {size}")


def _print_index(printer: Printer, value: int | SSAValue) -> None:
    if isinstance(value, SSAValue):
        printer.print_ssa_value(value)
    else:
        printer.print_string(str(value))


def _parse_index(parser: Parser) -> int | SSAValue:
    value = parser.parse_optional_integer(allow_boolean=False)
    return parser.parse_operand(IndexType()) if value is None else value


def _parse_dim(parser: Parser) -> tuple[int | SSAValue, int]:
    start = _parse_index(parser)
    return start, parser.parse_integer() if parser.parse_optional_keyword("for") else 0


@irdl_op_definition
class ApOp(IRDLOperation):
    """
    `tensor.ap(pattern=[[step, num], ...], offset=..., vector_offset=rows, indirect_dim=0, dtype=...)`: an access
    pattern.

    Element [i, j, ...] of the view is the element offset + i * step0 + j * step1 + ... of the flat tensor. A tile on
    chip may be read as elements of another type, of which steps and offset are then. Two
    operands, tiles of 32-bit integers in SBUF, make the access indirect. A row is what one index of the tensor's first
    dimension selects.

    - `rows` (`vector_offset`): row rows[i] of the tensor in place of i * step0; step0 is the size of a row. The tile is
      [num0, 1]; for a DMA transpose it may have more columns, which are taken one after the other.
    - `row` (`scalar_offset`), [1, 1]: the pattern begins that many rows later.
    """

    name = "nki.ap"

    tile = operand_def(TileType)
    offset = opt_operand_def(IndexType())
    rows = opt_operand_def(TileType)
    row = opt_operand_def(TileType)
    static_offset = prop_def(IntegerAttr[I64])
    steps = prop_def(DenseArrayBase[I64])
    nums = prop_def(DenseArrayBase[I64])
    result = result_def(TileType)

    irdl_options = (AttrSizedOperandSegments(as_property=True),)
    traits = traits_def(Pure())

    def __init__(
        self,
        tile: SSAValue,
        pattern: Sequence[tuple[int, int]],
        offset: int | SSAValue = 0,
        rows: SSAValue | None = None,
        row: SSAValue | None = None,
        element: Attribute | None = None,
    ):
        """`element` is the element type of the view, that of the tile without."""
        type = tile_of(tile)
        dynamic = isinstance(offset, SSAValue)
        super().__init__(
            operands=[tile, offset if dynamic else None, rows, row],
            properties={
                "static_offset": IntegerAttr(0 if dynamic else offset, i64),
                "steps": DenseArrayBase.from_list(i64, [step for step, _ in pattern]),
                "nums": DenseArrayBase.from_list(i64, [num for _, num in pattern]),
            },
            result_types=[TileType([num for _, num in pattern], element or type.element_type, type.memory.data)],
        )

    def pattern(self) -> list[tuple[int, int]]:
        return list(zip(self.steps.get_values(), self.nums.get_values(), strict=True))

    def start(self) -> int | SSAValue:
        """The offset."""
        return self.static_offset.value.data if self.offset is None else self.offset

    @property
    def is_indirect(self) -> bool:
        """Whether a tile holds the place, so that only DMA can use the view."""
        return self.rows is not None or self.row is not None

    def verify_(self) -> None:
        type = tile_of(self.tile)
        if not _allocated(self.tile):
            raise VerifyException("access pattern: .ap stands on a whole tensor, not on a view of one")
        element = self.result.type.element_type
        if self.result.type != TileType(self.nums.get_values(), element, type.memory.data):
            raise VerifyException(f"the view has shape {self.nums.get_values()}, got {self.result.type}")
        if element != type.element_type:
            type = self._reinterpreted(type, element)
        if len(self.pattern()) > 5:
            raise VerifyException(f"access pattern: at most 5 dimensions, got {len(self.pattern())}")
        step, _ = self.pattern()[0]
        if type.on_chip and step != type.free_size:
            raise VerifyException(
                f"access pattern: the first step on chip is the free size {type.free_size}, got {step}"
            )
        self._verify_indirect(type)
        if self.offset is None:
            last = self.static_offset.value.data + sum(
                step * (num - 1) for position, (step, num) in enumerate(self.pattern()) if position or self.rows is None
            )
            if self.static_offset.value.data < 0 or last >= prod(type.shape):
                raise VerifyException(f"bounds: the last element is {last}, but {type} has {prod(type.shape)}")

    @staticmethod
    def _reinterpreted(type: TileType, element: Attribute) -> TileType:
        """A tile on chip as rows of elements of another type."""
        row, rest = divmod(type.free_size * element_bytes(type.element_type), element_bytes(element))
        if rest or not type.on_chip:
            raise VerifyException(f"access pattern: {type} is not whole elements of {element} on chip")
        return TileType((type.partitions, row), element, type.memory.data)

    def _verify_indirect(self, type: TileType) -> None:
        if self.rows is not None and self.row is not None:
            raise VerifyException("indirect access: rows and row exclude each other")
        for name, value in (("rows", self.rows), ("row", self.row)):
            if value is None:
                continue
            if type.on_chip or tile_of(value).memory.data != "sbuf":
                raise VerifyException(
                    f"indirect access: {name} is a tile in SBUF, and the tensor in HBM; got {tile_of(value)} and {type}"
                )
            element = tile_of(value).element_type
            if not isa(element, IntegerType) or element.width.data != 32:
                raise VerifyException(f"indirect access: {name} is of 32-bit integers, got {element}")
        step, num = self.pattern()[0]
        if self.row is not None and prod(tile_of(self.row).shape) != 1:
            raise VerifyException(f"indirect access: row is [1, 1], got {tile_of(self.row)}")
        if self.rows is not None:
            require_generation(self, "an access by rows", 3)
            rows = tile_of(self.rows)
            if prod(rows.shape) < num or (rows.free_size == 1 and rows.partitions != num):
                raise VerifyException(f"indirect access: rows is a tile of {num} indices, got {rows}")
            if step != (size := prod(type.shape[1:])):
                raise VerifyException(f"indirect access: the first step is the size of a row, {size}, got {step}")

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        printer.print_ssa_value(self.tile)
        printer.print_string(" at ")
        _print_index(printer, self.start())
        printer.print_string(" by ")
        with printer.in_square_brackets():
            printer.print_list(self.pattern(), lambda dim: printer.print_string(f"[{dim[0]}, {dim[1]}]"))
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.tile.type)
        if self.result.type.element_type != tile_of(self.tile).element_type:
            printer.print_string(" as ")
            printer.print_attribute(self.result.type.element_type)
        for name, value in (("rows", self.rows), ("row", self.row)):
            if value is not None:
                printer.print_string(f" {name} ")
                printer.print_ssa_value(value)
                printer.print_string(" : ")
                printer.print_attribute(value.type)

    @classmethod
    def parse(cls, parser: Parser) -> ApOp:
        tile = parser.parse_unresolved_operand()
        parser.parse_keyword("at")
        offset = _parse_index(parser)
        parser.parse_keyword("by")

        def dim() -> tuple[int, int]:
            step, num = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, parser.parse_integer)
            return step, num

        pattern = parser.parse_comma_separated_list(parser.Delimiter.SQUARE, dim)
        attributes = parser.parse_optional_attr_dict()
        parser.parse_punctuation(":")
        value = parser.resolve_operand(tile, parser.parse_type())
        element = parser.parse_type() if parser.parse_optional_keyword("as") else None
        indices: dict[str, SSAValue] = {}
        for name in ("rows", "row"):
            if parser.parse_optional_keyword(name):
                unresolved = parser.parse_unresolved_operand()
                parser.parse_punctuation(":")
                indices[name] = parser.resolve_operand(unresolved, parser.parse_type())
        op = cls(value, pattern, offset, indices.get("rows"), indices.get("row"), element)
        op.attributes |= attributes
        return op


@irdl_op_definition
class ReshapeOp(IRDLOperation):
    """`tensor.reshape(shape)`: a whole tensor in HBM in another shape of as many elements."""

    name = "nki.reshape"

    tile = operand_def(TileType)
    result = result_def(TileType)

    traits = traits_def(Pure())

    assembly_format = "$tile attr-dict `:` type($tile) `->` type($result)"

    def __init__(self, tile: SSAValue, shape: Sequence[int]):
        type = tile_of(tile)
        super().__init__(operands=[tile], result_types=[TileType(shape, type.element_type, type.memory.data)])

    def verify_(self) -> None:
        type, result = tile_of(self.tile), self.result.type
        if type.memory.data not in HBM or not _allocated(self.tile):
            raise VerifyException(f"memory: whole tensors in HBM are reshaped, got {type}")
        if prod(type.shape) != prod(result.shape) or (type.element_type, type.memory) != (
            result.element_type,
            result.memory,
        ):
            raise VerifyException(f"{type} does not reshape to {result}")

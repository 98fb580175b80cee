"""Builds kernels of the `nki` dialect: loops, views, tiles, and sums of loop counters for addresses."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import TypeVar

from xdsl.dialects import affine, arith
from xdsl.dialects.builtin import AffineMapAttr, BoolAttr, IndexType, IntegerAttr, StringAttr, f32
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr, AffineMap
from xdsl.ir.affine.affine_expr import AffineBinaryOpExpr, AffineBinaryOpKind

from flashlower.dialects import nki
from flashlower.dialects.nki.base import Instruction
from flashlower.dialects.nki.types import TileType, tile_of

COMMENT = "nki.comment"
"""The attribute with a comment for the source, on an operation that is a statement."""

OperationT = TypeVar("OperationT", bound=Operation)


@dataclass(frozen=True)
class Sum:
    """A constant plus loop counters times constants: an address or an index that is known when a kernel is traced."""

    constant: int = 0
    terms: Mapping[SSAValue, int] = field(default_factory=dict[SSAValue, int])

    @staticmethod
    def of(value: SSAValue) -> Sum:
        return Sum(0, {value: 1})

    def __add__(self, other: Sum | int) -> Sum:
        if isinstance(other, int):
            return Sum(self.constant + other, self.terms)
        terms = dict(self.terms)
        for value, factor in other.terms.items():
            terms[value] = terms.get(value, 0) + factor
        return Sum(self.constant + other.constant, {value: factor for value, factor in terms.items() if factor})

    def __mul__(self, factor: int) -> Sum:
        if not factor:
            return Sum()
        return Sum(self.constant * factor, {value: f * factor for value, f in self.terms.items()})

    def divisible_by(self, divisor: int) -> bool:
        """Whether it is a multiple of a number, whatever the counters are."""
        return all(factor % divisor == 0 for factor in (self.constant, *self.terms.values()))

    def map(self, divisor: int = 1) -> AffineMapAttr:
        """The map of the terms to this sum, over a divisor."""
        expr: AffineExpr | None = None
        for position, coefficient in enumerate(self.terms.values()):
            term: AffineExpr = AffineExpr.dimension(position)
            term = term if coefficient == 1 else term * coefficient
            expr = term if expr is None else expr + term
        assert expr is not None
        if self.constant:
            expr = expr + AffineConstantExpr(self.constant)
        return AffineMapAttr(AffineMap(len(self.terms), 0, (expr if divisor == 1 else expr // divisor,)))


Dim = None | int | Sum | tuple[int | Sum, int]
"""A dimension of a view: all of it, one index, or a start and a size."""


def as_sum(value: int | Sum) -> Sum:
    return Sum(value) if isinstance(value, int) else value


class KernelBuilder:
    """
    Builds one kernel. Instructions are inserted with `add`; tiles are `tile`, views `view` and `ap`.
    """

    def __init__(self, name: str, arguments: Mapping[str, TileType], target: str, cores: int, doc: str):
        self.kernel = nki.KernelOp(name, list(arguments.values()), target, cores, doc)
        self._block = self.kernel.body.block
        for hint, argument in zip(arguments, self._block.args, strict=True):
            argument.name_hint = hint
        self._program_id: SSAValue | None = None
        self._flattened: dict[tuple[SSAValue, int], SSAValue] = {}
        self._comment: str | None = None

    @property
    def arguments(self) -> tuple[SSAValue, ...]:
        return tuple(self.kernel.body.block.args)

    def add(self, op: OperationT) -> OperationT:
        """Inserts an operation; the next statement of the source gets a comment that waits."""
        if self._comment is not None and isinstance(op, nki.NdarrayOp | nki.ForOp | Instruction):
            op.attributes[COMMENT] = StringAttr(self._comment)
            self._comment = None
        self._block.add_op(op)
        return op

    def comment(self, text: str) -> None:
        """A comment in the source before the next statement."""
        self._comment = text

    def finish(self, results: Sequence[SSAValue]) -> nki.KernelOp:
        """Ends the kernel; its results are tensors in shared HBM."""
        self.add(nki.ReturnOp(*results))
        return self.kernel

    # Scalars.

    def value(self, index: Sum | int) -> SSAValue:
        """An index as a value."""
        total = as_sum(index)
        if not total.terms:
            return self.add(arith.ConstantOp(IntegerAttr(total.constant, IndexType()))).result
        ((first, factor), *more) = total.terms.items()
        if factor == 1 and not more and not total.constant:
            return first
        return self.add(affine.ApplyOp(list(total.terms), total.map())).result

    def offset(self, index: Sum | int) -> int | SSAValue:
        """An index as an integer where it is one, else as a value."""
        total = as_sum(index)
        return self.value(total) if total.terms else total.constant

    def minimum(self, lhs: Sum, rhs: Sum | int, name: str | None = None) -> Sum:
        """The smaller of two indices."""
        other = as_sum(rhs)
        if not lhs.terms and not other.terms:
            return Sum(min(lhs.constant, other.constant))
        result = self.add(arith.MinSIOp(self.value(lhs), self.value(other))).result
        result.name_hint = name
        return Sum.of(result)

    def maximum(self, lhs: Sum, rhs: Sum | int, name: str | None = None) -> Sum:
        """The larger of two indices."""
        other = as_sum(rhs)
        if not lhs.terms and not other.terms:
            return Sum(max(lhs.constant, other.constant))
        result = self.add(arith.MaxSIOp(self.value(lhs), self.value(other))).result
        result.name_hint = name
        return Sum.of(result)

    def floor_divide(self, index: Sum, divisor: int) -> Sum:
        """An index over a positive number, rounded down."""
        if index.divisible_by(divisor):
            return Sum(index.constant // divisor, {value: f // divisor for value, f in index.terms.items()})
        if not index.terms:
            return Sum(index.constant // divisor)
        return Sum.of(self.add(affine.ApplyOp(list(index.terms), index.map(divisor))).result)

    def affine(self, expr: AffineExpr, operands: Sequence[Sum]) -> Sum:
        """An affine expression of indices, of sums, products with constants and floor divisions."""
        match expr:
            case AffineDimExpr(position):
                return operands[position]
            case AffineConstantExpr(value):
                return Sum(value)
            case AffineBinaryOpExpr(AffineBinaryOpKind.Add, lhs, rhs):
                return self.affine(lhs, operands) + self.affine(rhs, operands)
            case AffineBinaryOpExpr(AffineBinaryOpKind.Mul, lhs, AffineConstantExpr(value)):
                return self.affine(lhs, operands) * value
            case AffineBinaryOpExpr(AffineBinaryOpKind.Mul, AffineConstantExpr(value), rhs):
                return self.affine(rhs, operands) * value
            case AffineBinaryOpExpr(AffineBinaryOpKind.FloorDiv, lhs, AffineConstantExpr(value)):
                return self.floor_divide(self.affine(lhs, operands), value)
            case _:
                raise ValueError(f"{expr} is no affine expression of indices")

    def flag(self, index: Sum | int | bool) -> SSAValue:
        """An i1: a constant, or whether an index is not 0."""
        if isinstance(index, int):
            return self.add(arith.ConstantOp(BoolAttr.from_bool(bool(index)))).result
        if not index.terms:
            return self.flag(bool(index.constant))
        return self.add(arith.CmpiOp(self.value(index), self.value(0), "sgt")).result

    def program_id(self) -> Sum:
        """The number of the core."""
        if self._program_id is None:
            op = nki.ProgramIdOp()
            op.result.name_hint = "core"
            self._insert_first(op)
            self._program_id = op.result
        return Sum.of(self._program_id)

    @contextmanager
    def loop(
        self, name: str, end: int | Sum, *, start: int | Sum = 0, step: int = 1, keep: bool = False
    ) -> Generator[Sum]:
        """A loop; where it runs once for certain there is none without `keep`, and the counter is its start."""
        first, last = as_sum(start), as_sum(end)
        if not keep and not first.terms and not last.terms and first.constant < last.constant <= first.constant + step:
            yield first
            return
        body = Block(arg_types=[IndexType()])
        body.args[0].name_hint = name
        bounds = (self.value(first), self.value(last))
        self.add(nki.ForOp(*bounds, step, Region(body)))
        outer, self._block = self._block, body
        yield Sum.of(body.args[0])
        self._block = outer

    # Tiles.

    def tile(
        self, name: str, shape: Sequence[int], element: Attribute = f32, memory: str = "sbuf", *, first: bool = False
    ) -> SSAValue:
        """A new tile; with `first`, one of the whole kernel, from wherever it is asked for."""
        op = nki.NdarrayOp(TileType(shape, element, memory))
        op.result.name_hint = name
        if first:
            self._insert_first(op)
        else:
            self.add(op)
        return op.result

    def view(self, tile: SSAValue, *dims: Dim) -> SSAValue:
        """A view by slices; the tile itself where it is all of it."""
        shape = tile_of(tile).shape
        starts: list[int | SSAValue] = []
        sizes: list[int] = []
        for whole, dim in zip(shape, (*dims, *[None] * (len(shape) - len(dims))), strict=True):
            match dim:
                case None:
                    starts.append(0)
                    sizes.append(whole)
                case (start, size):
                    starts.append(self.offset(start))
                    sizes.append(size)
                case _:
                    starts.append(self.offset(dim))
                    sizes.append(0)
        if all(start == 0 for start in starts if isinstance(start, int)) and sizes == list(shape):
            return tile
        return self.add(nki.SliceOp(tile, starts, sizes)).result

    def ap(
        self,
        tile: SSAValue,
        pattern: Sequence[tuple[int, int]],
        offset: Sum | int = 0,
        *,
        lead: int = 1,
        row: SSAValue | None = None,
    ) -> SSAValue:
        """
        A view by an access pattern, whose first `lead` dimensions are those of the partitions; with `row`, [1, 1], so
        many rows of the tensor further on.
        """
        first = pattern[:1] if tile_of(tile).on_chip else merged(pattern[:lead])
        pattern = [*first, *merged(pattern[lead:])]
        return self.add(nki.ApOp(tile, pattern, self.offset(offset), row=row)).result

    def gathered(
        self, tensor: SSAValue, rows: SSAValue, num: int, pattern: Sequence[tuple[int, int]], offset: Sum | int = 0
    ) -> SSAValue:
        """`num` rows of a tensor [rows, elements], by their numbers; of each the elements of a pattern."""
        size = tile_of(tensor).free_size
        return self.add(nki.ApOp(tensor, [(size, num), *pattern], self.offset(offset), rows)).result

    def flattened(self, tensor: SSAValue, row: int) -> SSAValue:
        """An argument as [elements // row, row]; reshaped once, at the beginning of the kernel."""
        if (found := self._flattened.get((tensor, row))) is not None:
            return found
        op = nki.ReshapeOp(tensor, [prod(tile_of(tensor).shape) // row, row])
        op.result.name_hint = f"{tensor.name_hint}_flat"
        self._insert_first(op)
        self._flattened[tensor, row] = op.result
        return op.result

    def _insert_first(self, op: Operation) -> None:
        """At the beginning of the kernel, behind what was put there before."""
        block = self.kernel.body.block
        first = next((other for other in block.ops if not isinstance(other, nki.ReshapeOp | nki.ProgramIdOp)), None)
        if first is None:
            block.add_op(op)
        else:
            block.insert_op_before(op, first)

    def filled(self, name: str, shape: Sequence[int], value: float, element: Attribute = f32) -> SSAValue:
        """A new tile of one number."""
        tile = self.tile(name, shape, element)
        self.add(nki.MemsetOp(tile, value))
        return tile


def merged(pattern: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """A pattern without dimensions of size 1, and with those joined that are one."""
    result: list[tuple[int, int]] = []
    for step, num in pattern:
        if num == 1:
            continue
        if result and result[-1][0] == step * num:
            result[-1] = (step, result[-1][1] * num)
        else:
            result.append((step, num))
    return result or [(1, 1)]


def groups(b: KernelBuilder, name: str, count: int, size: int, body: Callable[[Sum, int], None]) -> None:
    """`body` on runs of `size` of `count` items, in a loop, and on what is left."""
    if count >= size:
        with b.loop(name, count // size) as i:
            body(i * size, size)
    if count % size:
        body(Sum(count - count % size), count % size)

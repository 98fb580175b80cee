"""
Operands of a matched group: what can be read in place, and which dimension of attention every variable is.

Transposes, reshapes and broadcasts of Q, K and V become layouts, constant factors join the scale, and widening
conversions go, as the dot products accumulate in f32 anyway. Then the variables are cut into the finest digits that any
layout uses, and each of these becomes one of the dimensions b..., h, g, m, n, k, d.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from xdsl.dialects.builtin import DYNAMIC_INDEX, AffineMapAttr, AnyFloat, FixedBitwidthType
from xdsl.ir import Operation, SSAValue

from flashlower.dialects.attention.layout import INNER_DIMS, Term, make_layout
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Digit, Index, Indices, Read, Tracer, Var
from flashlower.rewrites.fuse_attention.constants import ConstantFolder
from flashlower.rewrites.fuse_attention.match import Group, forward_step, single_user
from flashlower.rewrites.fuse_attention.score import NotAttention


@dataclass(frozen=True)
class Operand:
    """A tensor to read, its indices, and the constant that its elements are multiplied with."""

    read: Read
    factor: float = 1.0


def _is_layout(indices: Indices, whole: Sequence[Var]) -> bool:
    """Whether indices can become a layout: no offsets, and the variables in `whole` in one piece."""
    return all(
        index.offset == 0 and all(d.is_whole or d.size == 1 for d, _ in index.terms if d.var in whole)
        for index in indices
    )


def absorb(
    read: Read,
    whole: Sequence[Var],
    tracer: Tracer,
    folder: ConstantFolder,
    *,
    scale: bool,
    converts: bool = True,
    limit: int = 1 << 30,
) -> Operand:
    """
    Follows an operand back to the tensor that can be read in its place.

    `scale`: constant factors may be taken out. `converts`: widening conversions may. `limit` bounds the steps.
    """
    best = Operand(read)
    factor = 1.0
    for _ in range(limit):
        op = hlo.owner(read.value)
        if op is None:
            break
        if op.name in ("stablehlo.transpose", "stablehlo.reshape", "stablehlo.broadcast_in_dim"):
            step = tracer.step(read)
            if step is None:
                break
            read = step
        elif converts and hlo.is_float_convert(read.value) and _widens(op):
            read = Read(op.operands[0], read.indices)
        elif scale and (scaled := _constant_factor(op, folder)) is not None:
            factor *= scaled[1]
            read = Read(scaled[0], read.indices)
        else:
            break
        if _is_layout(read.indices, whole):
            best = Operand(read, factor)
    return best


def _widens(op: Operation) -> bool:
    source, result = hlo.element_type(op.operands[0]), hlo.element_type(op.results[0])
    assert isinstance(source, FixedBitwidthType) and isinstance(result, FixedBitwidthType)
    return source.bitwidth <= result.bitwidth


def _constant_factor(op: Operation, folder: ConstantFolder) -> tuple[SSAValue, float] | None:
    """`(x, c)` where the operation computes `x * c` for a constant c."""
    if op.name == "stablehlo.multiply":
        for constant, other in ((1, 0), (0, 1)):
            if (c := folder.splat(op.operands[constant])) is not None:
                return op.operands[other], float(c)
    if op.name == "stablehlo.divide" and (c := folder.splat(op.operands[1])):
        return op.operands[0], 1.0 / float(c)
    return None


@dataclass
class Operands:
    """Q, K and V as they will be read, and the value that the group will define."""

    query: Operand
    key: Operand
    value: Operand
    result: SSAValue
    result_indices: Indices

    @staticmethod
    def of(group: Group) -> Operands:
        """The operands of a group, absorbed as far as layouts go."""
        tracer, folder = group.tracer, group.folder
        whole = (group.n, group.k, group.d)
        query = absorb(group.query, whole, tracer, folder, scale=True)
        key = absorb(group.key, whole, tracer, folder, scale=True)
        if hlo.element_type(query.read.value) != hlo.element_type(key.read.value):
            query = absorb(group.query, whole, tracer, folder, scale=True, converts=False)
            key = absorb(group.key, whole, tracer, folder, scale=True, converts=False)
        value = absorb(group.value, whole, tracer, folder, scale=False)
        for name, operand in (("query", query), ("key", key), ("value", value)):
            if not isinstance(hlo.element_type(operand.read.value), AnyFloat):
                raise NotAttention(f"the {name} has element type {hlo.element_type(operand.read.value)}")
        result, indices = group.root, group.root_indices
        while (user := single_user(result)) is not None:
            step = forward_step(user, indices)
            if step is None or not _is_layout(step, whole):
                break
            if user.name == "stablehlo.convert" and not _rounds(user):
                break
            result, indices = user.results[0], step
        return Operands(query, key, value, result, indices)


def _rounds(op: Operation) -> bool:
    """Whether a conversion rounds: what it rounds may as well be rounded when it is stored."""
    source, result = hlo.element_type(op.operands[0]), hlo.element_type(op.results[0])
    assert isinstance(source, FixedBitwidthType) and isinstance(result, FixedBitwidthType)
    return source.bitwidth >= result.bitwidth


class Dimensions:
    """Which dimension of attention every digit of every variable is."""

    def __init__(self, group: Group, operands: Operands):
        self.group = group
        self.reads: list[Indices] = [
            operands.query.read.indices,
            operands.key.read.indices,
            operands.value.read.indices,
            operands.result_indices,
        ]
        self.digits: dict[Var, list[Digit]] = {
            var: self._refine(var) for var in (*group.batch, *group.rows, group.n, group.k, group.d)
        }
        self._assign()

    def _refine(self, var: Var) -> list[Digit]:
        """The digits of a variable that the layouts tell apart, the most significant first."""
        if var.size == DYNAMIC_INDEX:
            return [Digit(var, 1, DYNAMIC_INDEX)]
        cuts = {1, var.size}
        for indices in self.reads:
            for index in indices:
                for digit, _ in index.terms:
                    if digit.var is var:
                        cuts |= {digit.div, digit.div * digit.size}
        ordered = sorted(cuts)
        if any(high % low for low, high in zip(ordered, ordered[1:])):
            raise NotAttention("query, key and value split one dimension in ways that do not fit together")
        digits = [Digit(var, low, high // low) for low, high in zip(ordered, ordered[1:])]
        return digits[::-1] or [Digit(var, 1, 1)]

    def pieces(self, digit: Digit) -> list[tuple[Digit, int]]:
        """A digit as a sum of refined digits times strides. Raises `NotAttention` where it is none."""
        if digit.size == 1:
            return []
        found: list[tuple[Digit, int]] = []
        if digit.is_whole:
            return [(piece, piece.div) for piece in self.digits[digit.var]]
        for piece in self.digits[digit.var]:
            if piece.div >= digit.div and piece.div * piece.size <= digit.div * digit.size:
                found.append((piece, piece.div // digit.div))
        total = 1
        for piece, _ in found:
            total *= piece.size
        if total != digit.size:
            raise NotAttention("a mask splits a dimension in another way than query, key and value do")
        return found

    def _expand(self, index: Index) -> list[tuple[Digit, int]]:
        terms: list[tuple[Digit, int]] = []
        for digit, stride in index.terms:
            if digit.size == 1:
                terms.append((digit, stride))
            else:
                terms += [(piece, s * stride) for piece, s in self.pieces(digit)]
        return terms

    def _assign(self) -> None:
        group = self.group
        _, in_key, in_value, _ = (
            {piece for index in indices for piece, _ in self._expand(index)} for indices in self.reads
        )
        from_batch = [d for var in group.batch for d in self.digits[var]]
        from_rows = [d for var in group.rows for d in self.digits[var]]
        shared = in_key | in_value
        batch = [d for d in from_batch if d in shared or d.size == 1]
        expanded = [d for d in from_batch if d not in shared and d.size != 1]
        batch += [d for d in from_rows if d in shared and d.size != 1]
        rows = [d for d in from_rows if d not in shared and d.size != 1]
        ones = [d for d in from_rows if d.size == 1]
        partner, group_digit = self._find_group(batch, expanded, rows)
        rest = [d for d in (*expanded, *rows) if d is not group_digit]
        query_digit = rest.pop() if rest and rest[-1] in rows else None
        if query_digit is None and ones:
            query_digit = ones[-1]
        # What varies with neither K nor V but is neither the group nor the query counts as a batch dimension.
        batch += rest
        head = partner if partner is not None else (batch[-1] if batch else None)
        self.batch = [d for d in batch if d is not head]
        self.names: dict[Digit, str] = {}
        for i, digit in enumerate(self.batch):
            self.names[digit] = "b" if len(self.batch) == 1 else f"b{i}"
        for name, digit in (("h", head), ("g", group_digit), ("m", query_digit)):
            if digit is not None:
                self.names[digit] = name
        for name, var in (("n", group.n), ("k", group.k), ("d", group.d)):
            for digit in self.digits[var]:
                self.names[digit] = name
        self.group_size = 1 if group_digit is None else group_digit.size
        self.head_size = 1 if head is None else head.size

    def _find_group(
        self, batch: Sequence[Digit], expanded: Sequence[Digit], rows: Sequence[Digit]
    ) -> tuple[Digit | None, Digit | None]:
        """
        The KV head and the query heads of one KV head (h and g), of which either may be absent.

        The group is a batching dimension that K and V were expanded over; or a row dimension that shares a
        dimension of a tensor with the KV head (`h * 4 + g`); or, of several row dimensions, the one after the KV head.
        """
        if expanded:
            group = expanded[-1]
            siblings = [d for d in batch if d.var is group.var]
            return (siblings[-1] if siblings else None), group
        for indices in (self.reads[0], self.reads[3]):
            for index in indices:
                pieces = [piece for piece, _ in self._expand(index)]
                for outer, inner in zip(pieces, pieces[1:]):
                    if outer in batch and inner in rows and outer.size != 1:
                        return outer, inner
        if len(rows) > 1:
            order = [piece for index in self.reads[0] for piece, _ in self._expand(index) if piece.size != 1]
            for outer, inner in zip(order, order[1:]):
                if outer in batch and inner in rows:
                    return outer, inner
            return None, rows[0]
        return None, None

    @property
    def batch_rank(self) -> int:
        """The number of batch dimensions."""
        return len(self.batch)

    @cached_property
    def _positions(self) -> dict[str, int]:
        names = ["b"] if self.batch_rank == 1 else [f"b{i}" for i in range(self.batch_rank)]
        return {name: i for i, name in enumerate((*names, *INNER_DIMS))}

    def layout(self, indices: Indices, allowed: str) -> AffineMapAttr:
        """
        The layout of a tensor with these indices. `allowed` names the dimensions after the batch dimensions that
        the tensor has; a digit of size 1 of any other is 0.
        """
        return make_layout(
            self.batch_rank + len(INNER_DIMS),
            [list(self._layout_terms(index, allowed)) for index in indices],
        )

    def _layout_terms(self, index: Index, allowed: str) -> Iterable[Term]:
        terms = self._expand(index)
        if len(terms) > 1:
            terms = [t for t in terms if t[0].size != 1]
        for digit, stride in sorted(terms, key=lambda t: -t[1]):
            name = self.names.get(digit)
            if name is not None and (name[0] == "b" or name in allowed):
                yield Term(self._positions[name], stride)
            elif digit.size != 1:
                raise NotAttention(f"a tensor varies with {name}, which it should not have")

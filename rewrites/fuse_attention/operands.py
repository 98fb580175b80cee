"""
Layouts of a matched group: which dimension of attention every variable is.

The variables are cut into the finest digits that any operand or result uses, and each of these becomes one of the
dimensions b..., h, g, m, n, k, d.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cached_property

from xdsl.dialects.builtin import DYNAMIC_INDEX, AffineMapAttr

from flashlower.dialects.attention.layout import INNER_DIMS, Term, make_layout
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.absorb import is_layout
from flashlower.rewrites.fuse_attention.access import Digit, Index, Indices, Read, Var
from flashlower.rewrites.fuse_attention.dequantise import is_partial, without_digits
from flashlower.rewrites.fuse_attention.forward import forward_step, single_user
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.match import Group

Terms = list[tuple[Digit, int]]
"""A sum of digits times strides."""


def result_of(group: Group) -> Read:
    """The value that the operation can define in the group's place: transposes and the like become its layout."""
    result, whole = group.root, (group.n, group.k, group.d)
    while (user := single_user(result.value)) is not None:
        step = forward_step(user, result.indices)
        if step is None or not is_layout(step, whole):
            break
        if user.name == "stablehlo.convert" and not hlo.is_rounding_convert(user):
            break
        result = Read(user.results[0], step)
    return result


class Dimensions:
    """Which dimension of attention every digit of every variable is."""

    def __init__(self, group: Group, result: Read):
        self.group = group
        self._whole = whole = (group.n, group.k, group.d)
        # A digit of the keys or of a head size is one of what is quantised, which cuts nothing.
        key, value = (
            [without_digits(read, whole).indices for read in operand.reads()] for operand in (group.key, group.value)
        )
        self.reads: list[Indices] = [
            group.query.read.indices,
            tuple(index for indices in key for index in indices),
            tuple(index for indices in value for index in indices),
            result.indices,
        ]
        # Uses of rows may cut variables further, but say nothing of what they are.
        self._rows = [use.read.indices for use in group.row_uses]
        cuts = {var: {1, var.size} for var in (*group.batch, *group.rows, *whole)}
        for indices in (*self.reads, *self._rows):
            for index in indices:
                for digit, _ in index.terms:
                    if digit.var in cuts:
                        cuts[digit.var] |= {digit.div, digit.div * digit.size}
        self.digits: dict[Var, list[Digit]] = {var: self._refine(var, sorted(of)) for var, of in cuts.items()}
        self._assign()

    @staticmethod
    def _refine(var: Var, cuts: Sequence[int]) -> list[Digit]:
        """The digits of a variable that the layouts tell apart, the most significant first."""
        if var.size == DYNAMIC_INDEX:
            return [Digit(var, 1, DYNAMIC_INDEX)]
        if any(high % low for low, high in zip(cuts, cuts[1:])):
            raise NotAttention("query, key and value split one dimension in ways that do not fit together")
        digits = [Digit(var, low, high // low) for low, high in zip(cuts, cuts[1:])]
        return digits[::-1] or [Digit(var, 1, 1)]

    def pieces(self, digit: Digit) -> Terms | None:
        """A digit as a sum of refined digits times strides; None where it is none."""
        if digit.size == 1:
            return []
        if digit.is_whole:
            return [(piece, piece.div) for piece in self.digits[digit.var]]
        end = digit.div * digit.size
        found = [
            (piece, piece.div // digit.div)
            for piece in self.digits[digit.var]
            if piece.div >= digit.div and piece.div * piece.size <= end
        ]
        return found if math.prod(piece.size for piece, _ in found) == digit.size else None

    def _expand(self, index: Index) -> Terms:
        terms: Terms = []
        for digit, stride in index.terms:
            if digit.size == 1 or is_partial(digit, self._whole):
                terms.append((digit, stride))
                continue
            if (pieces := self.pieces(digit)) is None:
                raise NotAttention("tensors split one dimension in ways that do not fit together")
            terms += [(piece, s * stride) for piece, s in pieces]
        return terms

    def _assign(self) -> None:
        group = self.group
        expanded_reads = [[self._expand(index) for index in indices] for indices in self.reads]
        in_query, in_key, in_value, in_result = expanded_reads
        from_batch = [d for var in group.batch for d in self.digits[var]]
        from_rows = [d for var in group.rows for d in self.digits[var]]
        shared = {piece for terms in (*in_key, *in_value) for piece, _ in terms}
        batch = [d for d in from_batch if d in shared or d.size == 1]
        expanded = [d for d in from_batch if d not in shared and d.size != 1]
        batch += [d for d in from_rows if d in shared and d.size != 1]
        rows = [d for d in from_rows if d not in shared and d.size != 1]
        ones = [d for d in from_rows if d.size == 1]
        partner, group_digit = self._find_group(batch, expanded, rows, in_query, in_result)
        rest = [d for d in (*expanded, *rows) if d is not group_digit]
        query_digit = rest.pop() if rest and rest[-1] in rows else None
        if query_digit is None and ones:
            query_digit = ones[-1]
        # What varies with neither K nor V but is neither the group nor the query counts as a batch dimension.
        batch += rest
        order = [*from_batch, *from_rows]
        # A group after all batch dimensions, with no KV head to share a dimension with, has one KV head (MQA).
        is_mqa = group_digit is not None and all(order.index(d) < order.index(group_digit) for d in batch)
        head = partner if partner is not None or is_mqa or not batch else batch[-1]
        # A layout that names no dimension of size 1 says nothing of it.
        said = {terms[0][0] for indices in expanded_reads for terms in indices if len(terms) == 1}
        self.batch = [d for d in batch if d is not head and (d.size != 1 or d in said)]
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

    @staticmethod
    def _find_group(
        batch: Sequence[Digit],
        expanded: Sequence[Digit],
        rows: Sequence[Digit],
        in_query: Sequence[Terms],
        in_result: Sequence[Terms],
    ) -> tuple[Digit | None, Digit | None]:
        """
        The KV head and the query heads of one KV head (h and g), of which either may be absent.

        The group is a batching dimension that K and V were expanded over; or a row dimension that shares a
        dimension of a tensor with the KV head (`h * 4 + g`); or, of several row dimensions, the one after the KV head,
        which a single batch dimension is not taken for.
        """
        if expanded:
            group = expanded[-1]
            siblings = [d for d in batch if d.var is group.var]
            return (siblings[-1] if siblings else None), group
        for terms in (*in_query, *in_result):
            for (outer, _), (inner, _) in zip(terms, terms[1:]):
                if outer in batch and inner in rows and outer.size != 1:
                    return outer, inner
        if len(rows) > 1:
            order = [piece for terms in in_query for piece, _ in terms if piece.size != 1]
            for outer, inner in zip(order, order[1:]):
                if outer in batch and inner in rows and len(batch) > 1:
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

    def layout(self, read: Read, allowed: str) -> AffineMapAttr:
        """
        The layout of a tensor that is read at these indices. `allowed` names the dimensions after the batch dimensions
        that the tensor may have. Raises `NotAttention` where it has others, or where it is not read as a whole.
        """
        return make_layout(
            self.batch_rank + len(INNER_DIMS),
            [
                self._layout_terms(index, size, allowed)
                for index, size in zip(read.indices, hlo.shape(read.value), strict=True)
            ],
        )

    def _layout_terms(self, index: Index, size: int, allowed: str) -> list[Term]:
        digits = sorted(self._expand(index), key=lambda t: t[1])
        if len(digits) > 1:
            digits = [t for t in digits if t[0].size != 1]
        terms: list[Term] = []
        covered = 1
        for digit, stride in digits:
            if digit.size != 1 and stride != covered:
                raise NotAttention("a tensor is not read as a whole")
            if is_partial(digit, self._whole):
                terms.append(self._partial_term(digit, covered, allowed))
            elif (name := self.names.get(digit)) is not None and (name[0] == "b" or name in allowed):
                terms.append(Term(self._positions[name], covered))
            elif digit.size != 1:
                raise NotAttention(f"a tensor varies with {digit.var.label}, which it should not have")
            covered *= digit.size
        if index.offset or covered != size:
            raise NotAttention("a tensor is not read as a whole")
        return terms[::-1]

    def _partial_term(self, digit: Digit, stride: int, allowed: str) -> Term:
        """The term of a digit of the keys or of a head size, as what is quantised has them."""
        name = "nkd"[self._whole.index(digit.var)]
        modulus = digit.size if digit.div == 1 else None
        if name not in allowed or (modulus is None and digit.div * digit.size != digit.var.size):
            raise NotAttention(f"a tensor has a part of {digit.var.label}, which it should not have")
        return Term(self._positions[name], stride, digit.div, modulus)

    def has_all_rows(self, read: Read) -> bool:
        """Whether a read varies with all dimensions that a row of the softmax has."""
        found = {piece for index in read.indices for piece, _ in self._expand(index)}
        return all(d in found for d, name in self.names.items() if name not in "nkd" and d.size != 1)

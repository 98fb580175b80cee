"""
Row values: reductions over exactly the keys, and sums of them.

A row value is one number for all keys of a row. What it reduces is read at the key variable, so that it can be compared
with what it is applied to.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

from ml_dtypes import finfo
from xdsl.ir import Operation

from flashlower.dialects.numpy_values import numpy_dtype
from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Index, Read, Tracer, Var
from flashlower.rewrites.fuse_attention.constants import ConstantFolder
from flashlower.rewrites.fuse_attention.hlo import NotAttention

Terms = list[tuple[float, Read]]
"""A sum of row values times coefficients."""

# What people subtract from a row of scores has fewer terms.
MAX_TERMS = 8


def same_terms(a: Terms, b: Terms) -> bool:
    """Whether two sums have the same terms, in any order."""
    return not difference(a, b)


def difference(a: Terms, b: Terms) -> Terms:
    """a - b without what cancels."""
    rest: Terms = []
    for coefficient, read in [*a, *((-c, r) for c, r in b)]:
        for i, (c, other) in enumerate(rest):
            if other.same_as(read):
                rest[i] = c + coefficient, other
                break
        else:
            rest.append((coefficient, read))
    return [(c, r) for c, r in rest if abs(c) > 1e-6]


@dataclass
class Reductions:
    """Reads row values of one candidate: reductions over the keys. `key` is the variable of the keys."""

    tracer: Tracer
    folder: ConstantFolder
    key: Var
    # The keys of the softmax: one more than those of the second dot where a column is a sink.
    key_index: Index = field(init=False)
    key_size: int = field(init=False)

    def __post_init__(self) -> None:
        self.key_index, self.key_size = Index.of(self.key), self.key.size

    def find_keys(self, exponential: Read) -> None:
        """Takes the keys of the softmax from its exponentials."""
        for index, size in zip(exponential.indices, hlo.shape(exponential.value)):
            if index.uses(self.key) and size == self.key.size + 1:
                self.key_index, self.key_size = index, size

    def through(self, op: Operation, position: int, read: Read) -> Read:
        """The read of an operand of an elementwise operation."""
        self.tracer.visited.add(op)
        operand = op.operands[position]
        # A rank-0 condition of a select stands for all elements.
        return self.tracer.source(Read(operand, read.indices if hlo.shape(operand) else ()))

    def is_row(self, read: Read) -> bool:
        """Whether a value is the same for all keys."""
        return not any(index.uses(self.key) for index in read.indices)

    def linear(self, read: Read) -> Terms:
        """A row value as a sum of others times constants."""
        terms: Terms = []
        worklist = [(1.0, read)]
        while worklist:
            coefficient, value = worklist.pop()
            value = self.tracer.source(value)
            op = hlo.owner(value.value)
            if op is None or len(terms) + len(worklist) > MAX_TERMS:
                terms.append((coefficient, value))
            elif op.name in ("stablehlo.add", "stablehlo.subtract"):
                sign = 1.0 if op.name == "stablehlo.add" else -1.0
                worklist += [
                    (sign * coefficient, self.through(op, 1, value)),
                    (coefficient, self.through(op, 0, value)),
                ]
            elif op.name == "stablehlo.negate":
                worklist.append((-coefficient, self.through(op, 0, value)))
            elif (scaled := self.folder.constant_factor(op)) is not None:
                self.tracer.visited.add(op)
                worklist.append((coefficient * scaled[1], Read(scaled[0], value.indices)))
            else:
                terms.append((coefficient, value))
        return terms

    def row_maximum(self, read: Read) -> Read:
        """Sees through `max(-inf, x)`, which jax.nn.softmax writes for empty rows."""
        op = hlo.owner(read.value)
        if op is not None and op.name == "stablehlo.maximum":
            for constant, other in ((0, 1), (1, 0)):
                if self.folder.is_negative_infinity(op.operands[constant]):
                    return self.through(op, other, read)
        return read

    def reduced_over_keys(self, read: Read, op: Operation) -> Read | None:
        """What a reduction over the keys reduces, read at the key; None where it is over anything else."""
        reduced = hlo.integers(hlo.attribute(op, "dimensions"))
        if len(reduced) != 1 or hlo.shape(op.operands[0])[reduced[0]] != self.key_size:
            return None
        if not self.is_row(read):
            return None
        self.tracer.visited.add(op)
        indices = list(read.indices)
        indices.insert(reduced[0], self.key_index)
        return self.tracer.source(Read(op.operands[0], tuple(indices)))

    def row_reduction(self, read: Read, kind: str) -> Read | None:
        """What a row sum or maximum is of, read at the key; None where it is none."""
        op = hlo.owner(read.value)
        if op is None or hlo.reduce_kind(op) != kind:
            return None
        start = self.folder.splat(op.operands[1])
        if start is None or not (start == 0 if kind == "add" else start <= _lowest(op)):
            return None
        return self.reduced_over_keys(read, op)

    def why_none(self, read: Read, kind: str) -> str:
        """Why a value is no such reduction over the keys."""
        op = hlo.owner(read.value)
        if op is None:
            return "it is an argument"
        if op.name != "stablehlo.reduce":
            return f"it comes from {op.name}"
        if hlo.reduce_kind(op) != kind:
            return f"it is a reduction by {hlo.reduce_kind(op) or 'more than one operation'}"
        dimensions = ", ".join(map(str, hlo.integers(hlo.attribute(op, "dimensions"))))
        return (
            f"it is a reduction of {op.operands[0].type} over [{dimensions}], which must be the one dimension that the "
            "second dot contracts, and start from a number that changes nothing"
        )

    def check_row_reduction(self, read: Read, kind: str, of: Read, what: str) -> None:
        """Raises `NotAttention`, beginning with `what`, unless `read` is the row sum or maximum of `of`."""
        operand = self.row_reduction(read, kind)
        if operand is None:
            raise NotAttention(f"{what} no {kind} over the keys: {self.why_none(read, kind)}")
        if not operand.same_as(of):
            raise NotAttention(f"{what} taken of other values")


def _lowest(reduce: Operation) -> float:
    """The lowest finite number of the element type of a reduction: no maximum is missed by starting there."""
    return float(cast(Any, finfo(numpy_dtype(hlo.element_type(reduce.operands[0])))).min)

"""
The softmax of a candidate: which values were exponentiated, and that they were divided by their own sum.

The row maximum and the row sum must be reductions, over exactly the keys, of exactly the values that they are applied
to (see `rows`). Exponentials are of base e or 2. The division may be a product with the reciprocal or a subtraction of
the logarithm, and may come after the second dot. A column that takes part in the softmax and is dropped after it, or a
further exponential in the sum, is an attention sink.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from xdsl.ir import Operation

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import Index, Read, Tracer, Var
from flashlower.rewrites.fuse_attention.constants import ConstantFolder
from flashlower.rewrites.fuse_attention.hlo import NotAttention
from flashlower.rewrites.fuse_attention.reductions import difference, same_terms
from flashlower.rewrites.fuse_attention.rows import Exponent, Guard, RowReader, RowSum


@dataclass(frozen=True)
class Sink:
    """A further score that takes part in the sum and has no value; 0 where no value is read."""

    read: Read | None
    is_added: bool
    """Whether its exponential is added to the sum; otherwise it is a column of the scores."""

    def same_as(self, other: Sink) -> bool:
        if self.read is None or other.read is None:
            return self.read is other.read
        return self.read.same_as(other.read)


@dataclass
class Softmax:
    """A softmax over the key variable, as found between the dots."""

    exponential: Read
    """The exponentials, at the keys of the second dot."""
    exponent: Exponent
    """What they are exponentials of: weights are exp(factor * score), normalised."""
    scores: Read
    """The scores of the exponent without the column of a sink."""
    sink: Sink | None
    guards: list[Guard]
    """Conditions under which weights are 0."""
    sum_guards: list[Guard] = field(default_factory=list[Guard])
    """Conditions under which exponentials are left out of the sum."""
    probabilities: list[Read] = field(default_factory=list[Read])
    """The weights after the normalisation; none where that comes after the second dot."""
    weight_factor: float = 1.0
    """A constant that the weights are multiplied with after the softmax."""


@dataclass
class SoftmaxFinder:
    """Finds the softmax that given weights come from; `key` is the variable of the keys."""

    tracer: Tracer
    folder: ConstantFolder
    key: Var
    rows: RowReader = field(init=False)

    def __post_init__(self) -> None:
        self.rows = RowReader(self.tracer, self.folder, self.key)

    def find(self, weights: Read) -> Softmax:
        """The softmax. Raises `NotAttention` with the reason where there is none."""
        guards: list[Guard] = []
        sums: list[Read] = []
        probabilities: list[Read] = []
        weight_factor = 1.0
        divisions_above_infinity: list[int] = []
        read = self.tracer.source(weights)
        while (op := hlo.owner(read.value)) is not None:
            if (finite := self._without_infinity(op, read)) is not None:
                divisions_above_infinity.append(len(probabilities))
                read = finite
            elif (guarded := self.rows.guard(op, read)) is not None:
                guards.append(guarded[0])
                read = guarded[1]
            elif (scaled := self.folder.constant_factor(op)) is not None:
                self.tracer.visited.add(op)
                weight_factor *= scaled[1]
                read = self.tracer.source(Read(scaled[0], read.indices))
            elif (division := self.division(op, read)) is not None:
                probabilities.append(read)
                numerator, total = division
                sums.append(total)
                read = self.rows.through(op, numerator, read)
            else:
                break
        self.rows.find_keys(read)
        exponent = self.rows.exponent(read)
        scores, sink = self._split_sink(exponent.scores)
        softmax = Softmax(read, exponent, scores, sink, guards, [], probabilities, weight_factor)
        if exponent.logarithms:
            probabilities.append(read)
        if len(probabilities) > 1:
            raise NotAttention("the weights are divided more than once")
        if not exponent.is_bounded and len(probabilities) in divisions_above_infinity:
            raise NotAttention(
                "infinite exponentials are replaced before they are divided by their sum; subtract the row maximum"
            )
        for total in sums:
            self.check_sum(softmax, total)
        if exponent.logarithms:
            self._check_logarithms(softmax)
        if probabilities:
            self.check_maximum(softmax)
        return softmax

    def division(self, op: Operation, read: Read) -> tuple[int, Read] | None:
        """Which operand is the numerator, and the denominator, of a quotient or of a product with a reciprocal."""
        if op.name == "stablehlo.divide":
            return 0, self.rows.through(op, 1, read)
        for side in (1, 0) if op.name == "stablehlo.multiply" else ():
            reciprocal = self.tracer.source(Read(op.operands[side], read.indices))
            divide = hlo.owner(reciprocal.value)
            if divide is None or divide.name != "stablehlo.divide":
                continue
            if self.folder.splat(divide.operands[0]) == 1:
                return 1 - side, self.rows.through(divide, 1, reciprocal)
        return None

    def _without_infinity(self, op: Operation, read: Read) -> Read | None:
        """`x` of `select(x == inf, c, x)`, of which jax.numpy.nan_to_num writes two; weights are never infinite."""
        if op.name != "stablehlo.select":
            return None
        condition = self.tracer.source(self.rows.through(op, 0, read))
        compare = hlo.owner(condition.value)
        if compare is None or compare.name != "stablehlo.compare" or hlo.comparison_direction(compare) != "EQ":
            return None
        bound = self.folder.splat(compare.operands[1])
        value = self.rows.through(op, 2, read)
        if bound not in (math.inf, -math.inf) or not self.rows.through(compare, 0, condition).same_as(value):
            return None
        return value

    # The sum

    def check_sum(self, softmax: Softmax, read: Read) -> None:
        """Raises `NotAttention` unless a value is the sum that weights are divided by; adds its sink to the softmax."""
        total = self.rows.row_sum(read)
        if total is None:
            raise NotAttention(f"the denominator is no add over the keys: {self.rows.why_none(read, 'add')}")
        if not total.exponential.same_as(softmax.exponential):
            raise NotAttention("the denominator is taken of other values")
        self._add_sum(softmax, total, softmax.exponent)

    def _check_logarithms(self, softmax: Softmax) -> None:
        """Checks exp(s - m - log(sum(exp(s - m))))."""
        (coefficient, logarithm), *others = softmax.exponent.logarithms
        read = self.rows.logarithm(logarithm)
        total = None if read is None or others else self.rows.row_sum(read)
        if total is None or not math.isclose(coefficient * softmax.exponent.factor, 1.0, rel_tol=1e-6):
            raise NotAttention("what is subtracted from the scores is no logarithm of their sum")
        exponent = self.rows.exponent(total.exponential)
        own = softmax.exponent
        if not (self.rows.same_scores(exponent, own) and same_terms(exponent.shifts, own.shifts)):
            raise NotAttention("the logarithm of a sum of other values is subtracted from the scores")
        self._add_sum(softmax, total, exponent)

    def _add_sum(self, softmax: Softmax, total: RowSum, exponent: Exponent) -> None:
        if total.is_clamped and not exponent.is_bounded:
            raise NotAttention(
                "the denominator is clamped, which may change a sum that is not known to be 1 or more; subtract the "
                "row maximum from the scores, or drop the clamp"
            )
        softmax.sum_guards += total.guards
        softmax.exponent.is_bounded &= exponent.is_bounded
        if (sink := self.sink_of(total, exponent)) is not None:
            if softmax.sink is not None:
                raise NotAttention("the softmax has two sinks")
            softmax.sink = sink

    def sink_of(self, total: RowSum, exponent: Exponent) -> Sink | None:
        """The sink whose exponential is added to a sum, with the same maximum subtracted from it."""
        if total.adds_one:
            if exponent.shifts:
                raise NotAttention(
                    "1 is added to the denominator, which is a sink of 0 only where no maximum was subtracted; add "
                    "exp(-maximum)"
                )
            return Sink(None, is_added=True)
        if total.extra is None:
            return None
        op = hlo.owner(total.extra.value)
        assert op is not None
        base, position = (1.0, 0) if op.name == "stablehlo.exponential" else (math.log(2), 1)
        if position == 1 and self.folder.splat(op.operands[0]) != 2:
            raise NotAttention("the denominator is no add over the keys")
        terms = [(base * c, read) for c, read in self.rows.linear(self.rows.through(op, position, total.extra))]
        rest = difference(terms, [(-c, read) for c, read in exponent.shifts])
        match rest:
            case []:
                return Sink(None, is_added=True)
            case [(c, read)] if math.isclose(c, 1.0, rel_tol=1e-6):
                return Sink(read, is_added=True)
            case _:
                raise NotAttention("an exponential of other values is added to the denominator")

    def check_maximum(self, softmax: Softmax) -> None:
        """Raises `NotAttention` where a maximum is of scores and of something else than the sink."""
        for read in softmax.exponent.raised:
            sink = softmax.sink
            if sink is None or sink.read is None or not sink.read.same_as(read):
                raise NotAttention("the subtracted maximum is taken of other values")

    # Sinks

    def _split_sink(self, columns: Read) -> tuple[Read, Sink | None]:
        """The scores of the keys, and the score of the column that was appended to them."""
        if self.rows.key_size == self.key.size:
            return columns, None
        op = hlo.owner(columns.value)
        axis = next((i for i, index in enumerate(columns.indices) if index.uses(self.key)), None)
        if op is None or op.name != "stablehlo.concatenate" or len(op.operands) != 2 or axis is None:
            raise NotAttention("the softmax is over one more key than the second dot")
        sizes = [hlo.shape(operand)[axis] for operand in op.operands]
        start = columns.indices[axis].offset
        if hlo.concatenate_dimension(op) != axis or sizes != ([self.key.size, 1] if start == 0 else [1, self.key.size]):
            raise NotAttention("the softmax is over one more key than the second dot")
        self.tracer.visited.add(op)

        def part(position: int, index: Index) -> Read:
            indices = (*columns.indices[:axis], index, *columns.indices[axis + 1 :])
            return self.tracer.source(Read(op.operands[position], indices))

        return part(start, Index.of(self.key)), Sink(part(1 - start, Index()), is_added=False)

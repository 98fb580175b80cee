"""
The structure of attention: dot -> elementwise -> softmax -> dot, whatever layouts lie between.

Matching starts at the second dot. Every dimension of the probabilities becomes a variable; from there everything is
followed backwards as reads (see `access`), and the row maximum and the row sum must be reductions, over exactly the key
variable, of exactly the values that they are applied to. What the two dots and the score are made of is left to
`operands` and `score`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xdsl.ir import Operation, SSAValue

from flashlower.rewrites.fuse_attention import hlo
from flashlower.rewrites.fuse_attention.access import (
    Index,
    Indices,
    Read,
    Tracer,
    Var,
    reshape_indices,
)
from flashlower.rewrites.fuse_attention.constants import ConstantFolder
from flashlower.rewrites.fuse_attention.expression import ABSORBING, NEGATIVE_INFINITY, Float, masked_by
from flashlower.rewrites.fuse_attention.score import NotAttention, ScoreReader


@dataclass
class Softmax:
    """A softmax over the key variable, as found between the dots."""

    exponent: Read
    """What the exponential was taken of, less the row maximum: the score."""
    guards: list[Read]
    """Conditions under which the probabilities are replaced by 0."""
    is_normalised: bool
    """Whether the division by the row sum comes before the second dot."""


@dataclass
class Group:
    """A candidate that is attention: reads of its operands over the variables, and its score."""

    root: SSAValue
    """The value that the group computes; its element type is that of the second dot or of the late division."""
    root_indices: Indices
    query: Read
    key: Read
    value: Read
    score: Float
    n: Var
    k: Var
    d: Var
    batch: list[Var]
    """Variables of the batching dimensions of the probabilities, in order."""
    rows: list[Var]
    """Variables of the other dimensions of the probabilities but the key, in order."""
    tracer: Tracer
    folder: ConstantFolder


class Matcher:
    """Matches one candidate: a stablehlo.dot_general whose operand `side` may hold probabilities."""

    def __init__(self, dot: Operation, side: int, folder: ConstantFolder, positions: Mapping[Operation, int]):
        """`positions` has the place of every operation in its block."""
        self.dot = dot
        self.side = side
        self.folder = folder
        self.positions = positions
        self.last = positions[dot]
        self.tracer = Tracer()
        self._set_variables()

    def _set_variables(self) -> None:
        dims = hlo.dot_dimensions(self.dot)
        side, other = self.side, 1 - self.side
        if len(dims.contracting[side]) != 1:
            raise NotAttention("the second dot contracts more than one dimension")
        weights, value = self.dot.operands[side], self.dot.operands[other]
        weights_shape, value_shape = hlo.shape(weights), hlo.shape(value)
        weights_indices = [Index()] * len(weights_shape)
        value_indices = [Index()] * len(value_shape)
        self.batch: list[Var] = []
        self.rows: list[Var] = []
        for i, (mine, theirs) in enumerate(zip(dims.batching[side], dims.batching[other])):
            self.batch.append(Var(weights_shape[mine], f"p{i}"))
            weights_indices[mine] = value_indices[theirs] = Index.of(self.batch[-1])
        contracted = dims.contracting[side][0]
        self.n = Var(weights_shape[contracted], "n")
        weights_indices[contracted] = value_indices[dims.contracting[other][0]] = Index.of(self.n)
        for i in dims.free(side, len(weights_shape)):
            self.rows.append(Var(weights_shape[i], f"r{i}"))
            weights_indices[i] = Index.of(self.rows[-1])
        free = dims.free(other, len(value_shape))
        if len(free) > 1:
            raise NotAttention("the value has more than one dimension that is neither batch nor key")
        self.d = Var(value_shape[free[0]] if free else 1, "d")
        for i in free:
            value_indices[i] = Index.of(self.d)
        self.weights = Read(weights, tuple(weights_indices))
        self.value = Read(value, tuple(value_indices))
        rows = [Index.of(v) for v in self.rows]
        columns = [Index.of(self.d) for _ in free]
        outer = [*rows, *columns] if side == 0 else [*columns, *rows]
        self.dot_indices: Indices = (*(Index.of(v) for v in self.batch), *outer)

    def match(self) -> Group:
        """The group. Raises `NotAttention` with the reason where there is none."""
        softmax = self._find_softmax()
        root, root_indices = self.dot.results[0], self.dot_indices
        if not softmax.is_normalised:
            root, root_indices = self._late_division(softmax)
        logit, first_dot = self._find_logit(softmax.exponent)
        computed = self._computed_from(logit.value)
        reader = ScoreReader(self.n, self.tracer, self.folder, logit, computed)
        score = reader.float_expr(softmax.exponent)
        for guard in softmax.guards:
            self._check_guard(guard, softmax, reader, score)
        query, key, k = self._first_dot_operands(first_dot, logit)
        self._check_escapes(computed)
        return Group(
            root,
            root_indices,
            query,
            key,
            self.value,
            score,
            self.n,
            k,
            self.d,
            self.batch,
            self.rows,
            self.tracer,
            self.folder,
        )

    # Softmax

    def _op(self, read: Read) -> Operation | None:
        return hlo.owner(read.value)

    def _through(self, op: Operation, position: int, read: Read) -> Read:
        """The read of an operand of an elementwise operation."""
        self.tracer.visited.add(op)
        return self.tracer.source(Read(op.operands[position], read.indices))

    def _find_softmax(self) -> Softmax:
        guards: list[Read] = []
        sums: list[Read] = []
        read = self.tracer.source(self.weights)
        while True:
            op = self._op(read)
            if op is None:
                raise NotAttention("the weights are no softmax")
            if op.name == "stablehlo.select" and self.folder.splat(op.operands[1]) == 0:
                self.tracer.visited.add(op)
                guards.append(self._guard(op, read))
                read = self._through(op, 2, read)
            elif op.name == "stablehlo.select" and self.folder.splat(op.operands[2]) == 0:
                self.tracer.visited.add(op)
                guards.append(self._guard(op, read))
                read = self._through(op, 1, read)
            elif op.name == "stablehlo.divide":
                sums.append(self._through(op, 1, read))
                read = self._through(op, 0, read)
            elif op.name == "stablehlo.exponential":
                exponential = read
                exponent = self._through(op, 0, read)
                break
            else:
                raise NotAttention(f"the weights come from {op.name}, not from a softmax")
        if len(sums) > 1:
            raise NotAttention("the weights are divided more than once")
        for total in sums:
            self._check_row_reduction(total, "add", exponential, "the denominator is")
        self.exponential = exponential
        op = self._op(exponent)
        if op is not None and op.name == "stablehlo.subtract":
            maximum = self._row_maximum(self._through(op, 1, exponent))
            subtrahend = self._through(op, 0, exponent)
            self._check_row_reduction(maximum, "maximum", subtrahend, "the subtracted maximum is")
            exponent = subtrahend
        return Softmax(exponent, guards, bool(sums))

    def _guard(self, op: Operation, read: Read) -> Read:
        condition = op.operands[0]
        return Read(condition, read.indices if hlo.shape(condition) else ())

    def _row_maximum(self, read: Read) -> Read:
        """Sees through `max(-inf, x)`, which jax.nn.softmax writes for empty rows."""
        op = self._op(read)
        if op is not None and op.name == "stablehlo.maximum":
            for constant, other in ((0, 1), (1, 0)):
                if self.folder.is_negative_infinity(op.operands[constant]):
                    return self._through(op, other, read)
        return read

    def _reduction_operand(self, read: Read, kind: str) -> Read | None:
        """What a row reduction over the key reduces, read at the key; None where it is no such reduction."""
        op = self._op(read)
        if op is None or hlo.reduce_kind(op) != kind or any(i.uses(self.n) for i in read.indices):
            return None
        reduced = hlo.integers(hlo.attribute(op, "dimensions"))
        if len(reduced) != 1 or hlo.shape(op.operands[0])[reduced[0]] != self.n.size:
            return None
        neutral = self.folder.splat(op.operands[1])
        if neutral is None or (kind == "add" and neutral != 0):
            return None
        if kind == "maximum" and neutral > ABSORBING:
            return None
        self.tracer.visited.add(op)
        indices = list(read.indices)
        indices.insert(reduced[0], Index.of(self.n))
        return self.tracer.source(Read(op.operands[0], tuple(indices)))

    def _check_row_reduction(self, read: Read, kind: str, of: Read, what: str) -> None:
        operand = self._reduction_operand(read, kind)
        if operand is None:
            raise NotAttention(f"{what} no {kind} over the keys")
        if not operand.same_as(of):
            raise NotAttention(f"{what} taken of other values")

    def _late_division(self, softmax: Softmax) -> tuple[SSAValue, Indices]:
        """Follows the unnormalised result to the division by the row sum."""
        value, indices = self.dot.results[0], self.dot_indices
        while True:
            user = single_user(value)
            if user is None:
                raise NotAttention("the weights are not divided by their sum")
            if user.name == "stablehlo.divide" and user.operands[0] == value:
                total = self.tracer.source(Read(user.operands[1], indices))
                if any(index.uses(self.d) for index in total.indices):
                    raise NotAttention("the result is divided by more than a row sum")
                self._check_row_reduction(total, "add", self.exponential, "the denominator is")
                self.tracer.visited.add(user)
                return user.results[0], indices
            step = forward_step(user, indices)
            if step is None:
                raise NotAttention("the weights are not divided by their sum")
            self.tracer.visited.add(user)
            value, indices = user.results[0], step

    # The first dot

    def _find_logit(self, exponent: Read) -> tuple[Read, Operation]:
        """The dot below the score one of whose operands varies with the key and not with the rows."""
        seen: set[SSAValue] = set()
        stack = [exponent]
        while stack:
            read = self.tracer.source(stack.pop())
            op = self._op(read)
            if op is None or read.value in seen:
                continue
            seen.add(read.value)
            if op.name == "stablehlo.dot_general":
                if self._key_side(op, read.indices) is not None:
                    return read, op
                continue
            if op.regions:
                continue
            stack += [
                Read(operand, read.indices)
                for operand in reversed(op.operands)
                if hlo.shape(operand) == hlo.shape(read.value)
            ]
        raise NotAttention("no dot product of queries and keys was found below the softmax")

    def _key_side(self, dot: Operation, indices: Indices) -> int | None:
        dims = hlo.dot_dimensions(dot)
        if len(dims.contracting[0]) != 1:
            return None
        batch = len(dims.batching[0])
        ranks = [len(hlo.shape(o)) for o in dot.operands]
        free = [dims.free(side, ranks[side]) for side in (0, 1)]
        of_lhs = indices[batch : batch + len(free[0])]
        of_rhs = indices[batch + len(free[0]) :]
        keys = [any(i.uses(self.n) for i in side) for side in (of_lhs, of_rhs)]
        if any(i.uses(self.n) for i in indices[:batch]):
            return None
        if self.n.size == 1:
            # With one key nothing varies with it: the side that does not vary with the rows is the keys'.
            keys = [not any(i.uses(r) for i in side for r in self.rows) for side in (of_lhs, of_rhs)]
            if all(keys):
                return 1
        return keys.index(True) if keys.count(True) == 1 else None

    def _first_dot_operands(self, dot: Operation, logit: Read) -> tuple[Read, Read, Var]:
        dims = hlo.dot_dimensions(dot)
        side = self._key_side(dot, logit.indices)
        assert side is not None
        k = Var(hlo.shape(dot.operands[0])[dims.contracting[0][0]], "k")
        batch = len(dims.batching[0])
        position = batch
        reads: list[Read] = []
        for operand_side, operand in enumerate(dot.operands):
            rank = len(hlo.shape(operand))
            indices = [Index()] * rank
            for i, dim in enumerate(dims.batching[operand_side]):
                indices[dim] = logit.indices[i]
            indices[dims.contracting[operand_side][0]] = Index.of(k)
            for dim in dims.free(operand_side, rank):
                indices[dim] = logit.indices[position]
                position += 1
            reads.append(Read(operand, tuple(indices)))
        return reads[1 - side], reads[side], k

    # Guards and escapes

    def _check_guard(self, guard: Read, softmax: Softmax, reader: ScoreReader, score: Float) -> None:
        """
        The probabilities are replaced by 0 under a condition: it must be that the row is fully masked, or that
        they are NaN, which they are for such a row. `attention.sdpa` gives 0 for it anyway.
        """
        read = self.tracer.source(guard)
        op = self._op(read)
        if op is None:
            raise NotAttention("the weights are masked after the softmax")
        if op.name == "stablehlo.not":
            read = self._through(op, 0, read)
            op = self._op(read)
        if op is not None and hlo.reduce_kind(op) in ("and", "or"):
            operand = self._reduction_over_keys(read, op)
            if operand is None:
                raise NotAttention("the weights are masked after the softmax")
            read, op = operand, self._op(operand)
        if op is not None and op.name == "stablehlo.compare":
            lhs, rhs = (self._through(op, side, read) for side in (0, 1))
            if self._is_probability(lhs) and lhs.same_as(rhs):
                return
            for value, bound in ((lhs, op.operands[1]), (rhs, op.operands[0])):
                if self.folder.is_negative_infinity(bound) and self._empties_row(value, softmax, reader, score):
                    return
        raise NotAttention("the weights are masked after the softmax by something else than an empty row")

    def _reduction_over_keys(self, read: Read, op: Operation) -> Read | None:
        reduced = hlo.integers(hlo.attribute(op, "dimensions"))
        if len(reduced) != 1 or hlo.shape(op.operands[0])[reduced[0]] != self.n.size:
            return None
        self.tracer.visited.add(op)
        indices = list(read.indices)
        indices.insert(reduced[0], Index.of(self.n))
        return self.tracer.source(Read(op.operands[0], tuple(indices)))

    def _is_probability(self, read: Read) -> bool:
        op = self._op(read)
        return op is not None and op.name == "stablehlo.divide" and op in self.tracer.visited

    def _empties_row(self, read: Read, softmax: Softmax, reader: ScoreReader, score: Float) -> bool:
        """Whether `read` being -inf (for all keys, or as the maximum over them) implies that the score is."""
        maximum = self._row_maximum(read)
        operand = self._reduction_operand(maximum, "maximum")
        value = operand if operand is not None else read
        if value.same_as(softmax.exponent):
            return True
        if value.value in reader.computed_from_logit:
            return False
        mask = reader.float_expr(value)
        return mask != NEGATIVE_INFINITY and masked_by(mask) <= masked_by(score)

    def _computed_from(self, logit: SSAValue) -> set[SSAValue]:
        """What is computed from the logits before the second dot. That ends the search: it must stay linear."""
        computed = {logit}
        worklist = [logit]
        while worklist:
            for use in worklist.pop().uses:
                user = use.operation
                if self.positions.get(user, self.last) < self.last:
                    new = [res for res in user.results if res not in computed]
                    computed.update(new)
                    worklist.extend(new)
        return computed

    def _check_escapes(self, computed: set[SSAValue]) -> None:
        """Nothing between the dots may be used by anything else: it would have to be computed after all."""
        if self.value.value in computed:
            raise NotAttention("the value is computed from the weights")
        for value in computed:
            for use in value.uses:
                if use.operation is not self.dot and use.operation not in self.tracer.visited:
                    raise NotAttention(f"a value between the dots is also used by {use.operation.name}")


def single_user(value: SSAValue) -> Operation | None:
    """The only operation that uses a value, once; None where there are more or none."""
    uses = list(value.uses)
    return uses[0].operation if len(uses) == 1 else None


def forward_step(op: Operation, indices: Indices) -> Indices | None:
    """The indices of an element after a transpose, a reshape, or a broadcast or conversion that changes no shape."""
    if op.name == "stablehlo.transpose":
        return tuple(indices[i] for i in hlo.permutation(op))
    if op.name == "stablehlo.reshape":
        return reshape_indices(indices, hlo.shape(op.operands[0]), hlo.shape(op.results[0]))
    same_shape = len(op.results) == 1 and hlo.shape(op.operands[0]) == hlo.shape(op.results[0])
    if op.name == "stablehlo.broadcast_in_dim" and same_shape:
        return indices if hlo.broadcast_dimensions(op) == tuple(range(len(indices))) else None
    if op.name == "stablehlo.convert" and hlo.is_float_convert(op.results[0]):
        return indices
    return None
